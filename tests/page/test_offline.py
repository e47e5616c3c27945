"""The page without its server: an application that can be installed, kept complete or not at all, and never stale."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from autonomousai.server import create_app, page
from autonomousai.server.page.served import File
from autonomousai.testing import ScriptedProvider
from tests.support.browser import Reader
from tests.support.sockets import ask, listening, request

from .conftest import Serve, Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: The addresses that the browser keeps, with the sizes of what is kept there.
KEPT = """
async () => {
  const found = {};
  for (const name of await caches.keys())
    for (const request of await (await caches.open(name)).keys())
      found[new URL(request.url).pathname] = (await (await caches.match(request)).arrayBuffer()).byteLength;
  return found;
}
"""


#: Ask until it is so.
UNTIL = """
async () => {
  const found = %s;
  while (!(await found())) await new Promise((resolve) => setTimeout(resolve, 20));
}
"""


async def until(reader: Reader, so: str) -> None:
    """Wait until *so*, an asynchronous function in the page, returns something true."""
    await reader.page.wait_for_load_state()
    await reader.page.evaluate(UNTIL % so)


async def kept(reader: Reader) -> dict[str, int]:
    """Wait until a set is complete; the files of the page that are kept, by their paths."""
    await until(reader, "() => caches.match(new URL('page/shell.json', location))")
    found: dict[str, int] = await reader.page.evaluate(KEPT)
    return found


async def away(reader: Reader) -> None:
    await reader.context.set_offline(True)


async def test_the_page_opens_without_its_server(serve: Serve, sit: Sit) -> None:
    """With what was said; it says that the server cannot be reached, and works on once it can."""
    reader = await sit(await serve(), service_workers="allow")
    await reader.ask("Hello")
    await reader.whole()
    await kept(reader)

    await away(reader)
    await reader.page.reload()
    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    await reader.context.set_offline(False)
    await reader.page.reload()
    await expect(reader.page.locator("#model")).to_be_enabled()
    await reader.ask("And again")

    await expect(reader.page.locator(".answer")).to_have_count(2)
    await expect(reader.text).to_have_text("Hello world")


async def test_all_of_the_page_is_kept_and_no_answer(serve: Serve, sit: Sit) -> None:
    """The files that it needs to open, byte for byte; nothing of what the models say, nor of the list of them."""
    reader = await sit(await serve(), service_workers="allow")
    await reader.ask("Hello")
    await reader.whole()

    found = await kept(reader)

    files = {f"/page/{name}": len(file.body) for name, file in page.page_files().items() if page.is_needed(name)}
    files["/"] = files.pop("/page/index.html")
    assert {**files, "/page/shell.json": len(page.shell().body)} == found


async def test_a_new_version_is_there_at_the_next_load(serve: Serve, sit: Sit, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not at the one after it; and then the new one is what is kept, and nothing of the old."""
    reader = await sit(await serve(), service_workers="allow")
    before = await kept(reader)
    old = page.page_files()
    body = old["index.html"].body.replace(b"<title>autonomousai", b"<title>second version")
    new = {**old, "index.html": File(body, {**page.HEADERS, "content-type": "text/html"})}
    monkeypatch.setattr(page, "page_files", lambda: new)
    page.shell.cache_clear()

    try:
        response = await reader.page.reload()
        assert response is not None
        assert b"second version" in await response.body()
        await reader.page.wait_for_function(
            "(size) => caches.match(new URL('./', location)).then((r) => r.arrayBuffer()).then((b) => b.byteLength === size)",
            arg=len(body),
        )
        after = await kept(reader)
    finally:
        page.shell.cache_clear()

    assert {**before, "/": len(body), "/page/shell.json": after["/page/shell.json"]} == after
    assert 1 == await reader.page.evaluate("caches.keys().then((names) => names.length)")


async def test_a_file_that_was_changed_on_the_way_is_not_kept(serve: Serve, sit: Sit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one version and half of another is worse than none: what was kept before stays."""
    reader = await sit(await serve(), service_workers="allow")
    before = await kept(reader)
    old = page.page_files()
    changed = {**old, "sse.js": File(old["sse.js"].body + b"// more\n", {**page.HEADERS, "content-type": "text/javascript"})}
    monkeypatch.setattr(page, "page_files", lambda: changed)
    listed = json.loads(page.shell().body)
    stale = File(json.dumps({**listed, "version": "other"}).encode(), {**page.HEADERS, "content-type": "application/json"})
    monkeypatch.setattr(page, "shell", lambda: stale)

    async with reader.context.expect_event("console", lambda message: "is not the file" in message.text):
        await reader.page.reload()

    assert before == await kept(reader)


async def test_under_a_path_it_is_an_application_of_its_own(browser: Any) -> None:
    """It keeps what lies below its path, and takes nothing else of that server."""
    provider = ScriptedProvider()
    other = Route("/", lambda request: PlainTextResponse("the other application"))
    outer: Any = Starlette(routes=[other, Mount("/some/where", create_app(provider=provider))])
    outer.aclose = provider.aclose
    async with listening(outer) as server, Reader(browser, server.url, service_workers="allow") as reader:
        await reader.open("/some/where/")
        assert all(path.startswith("/some/where/") for path in await kept(reader))
        await away(reader)

        await reader.page.reload()

        await expect(reader.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
        await reader.context.set_offline(False)
        await reader.page.goto(server.url)
        assert "the other application" == await reader.page.inner_text("body")


async def test_where_another_application_took_its_place_it_leaves(browser: Any, serve: Serve) -> None:
    """At an address like localhost:8000 many applications live, one after the other."""
    provider = ScriptedProvider()
    inner = create_app(provider=provider)
    here: list[Any] = [inner]

    async def either(scope: Any, receive: Any, send: Any) -> None:
        await here[-1](scope, receive, send)

    outer: Any = Starlette(routes=[Mount("/", either)])
    outer.aclose = provider.aclose
    async with listening(outer) as server, Reader(browser, server.url, service_workers="allow") as reader:
        await reader.open()
        await kept(reader)
        here.append(Starlette(routes=[Route("/", lambda request: PlainTextResponse("another application"))]))

        await reader.page.reload()

        assert "another application" == await reader.page.inner_text("body")
        await until(reader, "async () => 0 === (await caches.keys()).length")
        await until(reader, "async () => 0 === (await navigator.serviceWorker.getRegistrations()).length")


async def test_it_can_be_installed(serve: Serve, sit: Sit) -> None:
    """The manifest names what is there, relative to itself; the browser finds no fault in it."""
    server = await serve(api_keys=["sesame"])
    files = page.page_files()
    manifest = json.loads(files["app.webmanifest"].body)
    got = await ask(server.port, request("GET", "/page/app.webmanifest"))
    reader = await sit(server, open=False)
    await reader.page.goto(reader.url)
    client = await reader.context.new_cdp_session(reader.page)

    found = await client.send("Page.getAppManifest")

    assert (200, "application/manifest+json") == (got.status, got["content-type"])
    assert [] == found["errors"]
    assert (f"{server.url}/", f"{server.url}/") == (found["manifest"]["startUrl"], found["manifest"]["scope"])
    assert all(icon["src"] in files for icon in manifest["icons"])
    assert {"any", "192x192", "512x512"} == {icon["sizes"] for icon in manifest["icons"]}


async def test_without_a_place_to_keep_it_the_page_works_as_ever(serve: Serve, sit: Sit) -> None:
    """A reader may allow no page to keep anything."""
    reader = await sit(await serve(), open=False)
    await reader.context.add_init_script(
        "Object.defineProperty(navigator, 'serviceWorker', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    await reader.open()

    await reader.ask("Hello")

    assert "Hello world" == await reader.whole()
