"""The page's files as they are served: with a strict policy, with sensible caching, and nothing beside them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from autonomousai.server import create_app
from autonomousai.server.page import page_files
from autonomousai.testing import ScriptedProvider
from tests.support.browser import Reader
from tests.support.sockets import Answer, ask, listening, request

from .conftest import Serve

pytestmark = pytest.mark.asyncio(loop_scope="package")


def policy(answer: Answer) -> dict[str, str]:
    """The directives of the Content-Security-Policy."""
    parts = (part.strip().partition(" ") for part in str(answer["content-security-policy"]).split(";"))
    return {name: value for name, _, value in parts}


async def test_the_page_comes_with_a_strict_policy(serve: Serve) -> None:
    """Scripts and styles from here alone, none inline; strings become no script; nobody may frame it."""
    port = (await serve()).port

    got = await ask(port, request("GET", "/"))

    assert (200, "text/html; charset=utf-8") == (got.status, got["content-type"])
    assert ("nosniff", "no-referrer") == (got["x-content-type-options"], got["referrer-policy"])
    expected = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data: blob:",
        "manifest-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "dompurify worker pdf",
    }
    assert expected == policy(got)


async def test_every_file_is_served_with_the_same_policy(serve: Serve) -> None:
    """As what it is, under a tag that saves sending it a second time, and without a key."""
    port = (await serve(api_keys=["sesame"])).port
    for name, file in page_files().items():
        path = f"/page/{name}"
        got = await ask(port, request("GET", path))
        again = await ask(port, request("GET", path, if_none_match=f'"other", W/{got["etag"]}'))

        assert (200, file.body) == (got.status, got.body)
        assert "'self'" == policy(got)["script-src"]
        assert ("nosniff", "no-cache") == (got["x-content-type-options"], got["cache-control"])
        assert (304, b"", got["etag"]) == (again.status, again.body, again["etag"])
    assert 200 == (await ask(port, request("HEAD", "/page/main.js"))).status


#: What a client sends as ``accept-encoding``, and whether it gets gzip.
ENCODINGS = {
    "": False,
    "gzip, deflate, br, zstd": True,
    "GZIP": True,
    "x-gzip": True,
    "*": True,
    "br": False,
    "identity": False,
    "gzip;q=0": False,
    "gzip; q=0.000": False,
    "*;q=0.5, gzip;q=0": False,
    "br;q=1.0, gzip;q=0.8, *;q=0.1": True,
    "gzip;q=many": False,
    ";;q=,": False,
}


@pytest.mark.parametrize("accepted", ENCODINGS)
async def test_files_are_compressed_for_those_who_take_it(accepted: str, serve: Serve) -> None:
    """The same file in either form, each with a tag of its own and its own length; caches between learn that there are two."""
    port = (await serve()).port
    plain = await ask(port, request("GET", "/page/style.css"))

    got = await ask(port, request("GET", "/page/style.css", accept_encoding=accepted))
    head = await ask(port, request("HEAD", "/page/style.css", accept_encoding=accepted))
    again = await ask(port, request("GET", "/page/style.css", accept_encoding=accepted, if_none_match=str(got["etag"])))

    is_gzip = ENCODINGS[accepted]
    assert ("gzip" if is_gzip else None) == got["content-encoding"]
    assert plain.body == (gzip.decompress(got.body) if is_gzip else got.body)
    assert (len(got.body) < len(plain.body) / 2, got["etag"] != plain["etag"]) == (is_gzip, is_gzip)
    assert {"accept-encoding"} == {each["vary"] for each in (plain, got, head, again)}
    assert [str(len(got.body)), got["etag"], got["content-encoding"]] == [
        head[name] for name in ("content-length", "etag", "content-encoding")
    ]
    assert (b"", 304, b"", got["etag"]) == (head.body, again.status, again.body, again["etag"])


async def test_what_is_compressed_already_is_sent_as_it_is(serve: Serve) -> None:
    """Fonts and pictures: there is one form of them."""
    port = (await serve()).port

    for name in ("vendor/inter/inter-latin.woff2", "icons/icon-512.png"):
        got = await ask(port, request("GET", f"/page/{name}", accept_encoding="gzip"))

        assert (None, None, page_files()[name].body) == (got["content-encoding"], got["vary"], got.body)


async def test_the_page_itself_is_compressed_too(serve: Serve) -> None:
    """And so is the list of what a browser keeps."""
    port = (await serve()).port
    whole = sum(len(file.body) for file in page_files().values())
    sent = sum(len(file.gzipped.body) for file in page_files().values())

    for path in ("/", "/page/shell.json"):
        assert "gzip" == (await ask(port, request("GET", path, accept_encoding="gzip")))["content-encoding"]
    assert sent < whole * 0.6


@pytest.mark.parametrize(
    "path", ["", "none.js", "__init__.py", "../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "vendor"]
)
async def test_nothing_else_is_served(path: str, serve: Serve) -> None:
    """A path that is none of the page's files is a 404, wherever it points."""
    got = await ask((await serve()).port, request("GET", f"/page/{path}"))

    assert (404, "not_found") == got.told


async def test_it_is_served_while_closing(serve: Serve) -> None:
    """Who reloads in mid-answer, to go on, gets the whole page."""
    server = await serve()
    server.app.drain()

    statuses = [(await ask(server.port, request("GET", path))).status for path in ("/", "/page/main.js", "/v1/models")]

    assert [200, 200, 503] == statuses


async def test_inside_another_application_everything_is_found(browser: Any) -> None:
    """Mounted under a path, the page works whole."""
    provider = ScriptedProvider()
    outer: Any = Starlette(routes=[Mount("/some/where", create_app(provider=provider))])
    outer.aclose = provider.aclose
    async with listening(outer) as server, Reader(browser, server.url) as reader:
        await reader.open("/some/where/")
        await reader.ask("Hello")

        assert "Hello world" == await reader.whole()
