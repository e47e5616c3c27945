"""The published description: it names what there is, exactly, and its page needs nothing from elsewhere.

That its schemas are true is for Schemathesis to find out, see `tests/compat/test_schemathesis.py`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from autonomousai.config import Config, LlamaCppConfig, ModelConfig, OpenAIConfig
from autonomousai.events import Reasoning, ToolCallDelta, Usage
from autonomousai.request import RESERVED
from autonomousai.server import create_app
from autonomousai.server.openapi import answers
from autonomousai.server.openapi.document import make_document
from autonomousai.server.openapi.page import write_page
from autonomousai.settings import KeyPolicy
from autonomousai.testing import ScriptedProvider, answer
from autonomousai.wires.fields import FieldTable
from autonomousai.wires.registry import WIRES
from tests.support.sockets import CHAT, HELLO, ask, events, listening, request

USAGE = Usage(3, 2, 5, cached_tokens=1, reasoning_tokens=1)
EVERYTHING = answer(Reasoning("hm"), "Hello", ToolCallDelta(0, "call_1", "f", "{}"), finish="tool_calls", usage=USAGE)


def refs(node: Any) -> set[str]:
    """All references in a document."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(refs(value) for value in node.values()))
    return set().union(*map(refs, node)) if isinstance(node, list) else set()


def test_every_reference_leads_somewhere() -> None:
    """Inside the document."""
    document = make_document(vision=True, asks_key=True)

    for ref in refs(document):
        found: Any = document
        for step in ref.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_the_paths_are_those_that_are_served() -> None:
    """No route is left out but that of the page's own files, and none is invented."""
    app = create_app(provider=ScriptedProvider())
    routes = [route for route in app._cold.routes if route.include_in_schema]
    served: dict[str, set[str]] = {}
    for route in routes:
        served.setdefault(route.path.replace("{id:path}", "{id}"), set()).update(route.methods or set())

    described = make_document(vision=False, asks_key=False)["paths"]

    assert served.keys() == described.keys()
    for path, item in described.items():
        methods = {method.upper() for method in item} - {"PARAMETERS"}
        assert methods - {"HEAD"} == served[path] - {"HEAD"}


@pytest.mark.parametrize("table", [wire.fields for wire in WIRES.values() if wire.fields], ids=lambda table: table.name)
def test_the_fields_are_those_of_the_table(table: FieldTable) -> None:
    """A field that is checked is described, and an option of clients is refused, or a member that another wire has there."""
    document = make_document(vision=True, asks_key=True)

    described = document["components"]["schemas"][table.name]["properties"]

    taken = {name for name, schema in described.items() if schema is not False}
    assert (table.rows.keys(), RESERVED - table.rows.keys() - table.ignored) == (taken, described.keys() - taken)


def same(document: Any, struct: type[msgspec.Struct]) -> bool:
    """Whether a document holds what *struct* names, and nothing else."""
    return bool(document == msgspec.to_builtins(msgspec.convert(document, struct)))


@pytest.mark.parametrize("path", [CHAT, "/api/v1/ai/chat"])
async def test_a_whole_answer_is_as_described(serve: Any, path: str) -> None:
    """With all that there can be in one."""
    port = (await serve(ScriptedProvider(EVERYTHING))).port

    got = (await ask(port, request("POST", path, HELLO))).json()

    assert same(got, answers.ChatCompletion)
    assert got["choices"][0]["message"].keys() == {"role", "content", "refusal", "reasoning_content", "tool_calls"}


@pytest.mark.parametrize("path", [CHAT, "/api/v1/ai/chat"])
@pytest.mark.parametrize("counted", [True, False])
async def test_a_streamed_answer_is_as_described(serve: Any, path: str, counted: bool) -> None:
    """Each chunk of it."""
    port = (await serve(ScriptedProvider(EVERYTHING))).port
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": counted}}

    got = events((await ask(port, request("POST", path, body))).body)

    assert "[DONE]" == got.pop()
    assert all(same(chunk, answers.ChunkSchema) for chunk in got)


@pytest.mark.parametrize(
    ("path", "struct"),
    [
        ("/v1/models", answers.ModelList),
        ("/v1/models/llama", answers.Model),
        ("/v1/models/none", answers.Error),
        ("/healthz", answers.Health),
        ("/readyz", answers.Readiness),
    ],
)
async def test_a_document_is_as_described(port: int, path: str, struct: type[msgspec.Struct]) -> None:
    """The cold routes too."""
    got = await ask(port, request("GET", path))

    assert same(got.json(), struct)


@pytest.mark.parametrize("name", ["NewKey", "KeyChange"])
def test_the_fields_of_a_key_are_those_of_its_policy(name: str) -> None:
    """None that an admin may write is left out."""
    schema = make_document(vision=False, asks_key=False)["components"]["schemas"][name]

    assert set(KeyPolicy.__struct_fields__) == schema["properties"].keys() - {"name"}


async def test_what_an_admin_reads_is_as_described(serve: Any) -> None:
    """Of a key with everything that there is in one."""
    port = (await serve(ScriptedProvider(), admin_keys=["sk-admin"])).port
    policy = {
        "models": ["llama"],
        "wires": ["openai_chat"],
        "expires": "2099-01-31",
        "labels": {"team": "shop"},
        "requests_per_minute": 5,
        "tokens_per_minute": 5,
        "max_concurrency": 5,
        "token_budget": 5,
        "budget": 5.0,
    }

    async def admin(method: str, path: str, body: Any = b"") -> Any:
        return (await ask(port, request(method, f"/admin/{path}", body, authorization="Bearer sk-admin"))).json()

    assert same(await admin("POST", "keys", {"name": "shop", **policy}), answers.NewSecret)
    assert same(await admin("POST", "keys/shop/rotate", {"keep_old_s": 60}), answers.NewSecret)
    assert same(await admin("GET", "keys"), answers.KeyList)
    assert same(shown := await admin("GET", "keys/shop"), answers.KeyWithUsage)
    assert same(await admin("POST", "keys/shop/disable"), answers.Key)
    assert same(await admin("DELETE", "keys/shop"), answers.DeletedKey)
    assert same(await admin("POST", "reload"), answers.Error)
    told = set(answers.KeyWithUsage.__struct_fields__)
    assert told == shown.keys()


@pytest.mark.parametrize("asks_key", [True, False])
def test_an_admin_key_opens_what_admins_do_and_nothing_else(asks_key: bool) -> None:
    """Whether callers need a key or not."""
    paths = make_document(vision=False, asks_key=asks_key)["paths"]
    operations = [(path, each) for path, item in paths.items() for name, each in item.items() if name != "parameters"]

    assert {path for path in paths if path.startswith("/admin/")} == {
        path for path, operation in operations if {"admin-key": []} in operation.get("security", ())
    }


async def test_it_is_published(port: int) -> None:
    """As JSON, of that version, with the paths under the server's root."""
    got = await ask(port, request("GET", "/openapi.json"))

    assert (200, "application/json") == (got.status, got["content-type"])
    assert ("3.1.0", [{"url": "/"}]) == (got.json()["openapi"], got.json()["servers"])


async def test_inside_another_application_the_paths_lie_under_its_own(provider: ScriptedProvider) -> None:
    """So that a program that reads the document asks the right address."""
    outer: Any = Starlette(routes=[Mount("/ai", create_app(provider=provider))])
    outer.aclose = provider.aclose

    async with listening(outer) as serving:
        got = await ask(serving.port, request("GET", "/ai/openapi.json"))
        page = await ask(serving.port, request("GET", "/ai/docs"))

    assert [{"url": "/ai"}] == got.json()["servers"]
    assert 200 == page.status


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_it_is_open_to_all_and_tells_them_nothing_of_ours(serve: Any, path: str) -> None:
    """Who has no key yet reads how one is sent, and neither a model's name nor an upstream's."""
    provider = ScriptedProvider(models=["our-secret-model"])
    port = (await serve(provider, api_keys=["our-secret-key"])).port

    got = await ask(port, request("GET", path))

    assert 200 == got.status
    assert b"Authorization: Bearer KEY" in got.body
    assert b"our-secret" not in got.body


async def test_without_keys_none_is_described(port: int) -> None:
    """A client made from it asks its user for nothing."""
    document = (await ask(port, request("GET", "/openapi.json"))).json()

    assert "security" not in document
    assert "401" not in document["paths"][CHAT]["post"]["responses"]


@pytest.mark.parametrize(("sees", "expected"), [(True, True), (False, False)])
async def test_images_are_described_where_an_upstream_sees(sees: bool, expected: bool) -> None:
    """One that does is enough; the embedded engine does not."""
    config = Config(
        upstreams={"embedded": LlamaCppConfig(), "eyes": OpenAIConfig("http://127.0.0.1:9/v1", vision=sees)},
        models={"vision": ModelConfig(route=("eyes",))},
    )

    async with listening(create_app(config)) as serving:
        document = (await ask(serving.port, request("GET", "/openapi.json"))).json()

    parts = document["components"]["schemas"]["Content"]["anyOf"][1]["items"]["anyOf"]
    assert expected == any("image_url" in part.get("properties", ()) for part in parts)


async def test_the_page_loads_and_runs_nothing(port: int) -> None:
    """Its policy allows its own style sheet, known by its hash, and nothing else; its links stay on the page, or lead to the
    document."""
    got = await ask(port, request("GET", "/docs"))

    page = got.body.decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in (got["content-security-policy"] or "")
    assert (got["content-security-policy"] or "").startswith("default-src 'none'; ")
    assert [] == re.findall(r"<script|<img|<link|style=|src=|\bon[a-z]+=|@import|url\(", page)
    ids = set(re.findall(r'id="([^"]*)"', page))
    assert {"openapi.json", *(f"#{name}" for name in ids)} >= set(re.findall(r'href="([^"]*)"', page))


async def test_the_page_shows_everything(port: int) -> None:
    """Every operation, every status of it, every schema and every field."""
    document = (await ask(port, request("GET", "/openapi.json"))).json()

    page = (await ask(port, request("GET", "/docs"))).body.decode()

    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                section = page.partition(f'<section id="{operation["operationId"]}">')[2].partition("</section>")[0]
                assert f"<b>{method.upper()}</b> {path}" in section
                assert all(f"<code>{status}</code>" in section for status in operation["responses"])
    for name, schema in document["components"]["schemas"].items():
        section = page.partition(f'<section id="schema-{name}">')[2].partition("</section>")[0]
        assert all(f"<code>{field}</code>" in section for field in schema.get("properties", {}))


@pytest.mark.parametrize("asks_key", [True, False])
def test_the_page_says_what_needs_an_admin_key(asks_key: bool) -> None:
    """And nothing else does."""
    document = make_document(vision=False, asks_key=asks_key)

    sections = write_page(document).split("<section ")[1:]

    told = {re.findall(r"</b> (/[^<]*)", section)[0] for section in sections if "Needs an admin key." in section}
    assert {path for path in document["paths"] if path.startswith("/admin/")} == told


def test_a_text_of_the_document_is_no_markup() -> None:
    """Whatever stands in it."""
    document = make_document(vision=False, asks_key=False)
    document["info"]["title"] = "<script>"

    assert "<script>" not in write_page(document)
