"""The lists of models: what each can do, in OpenAI's shape, and in Anthropic's for its clients, with its errors."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.config import Config, Secret, ServerConfig
from autonomousai.engine.provider import LlamaCpp
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.conftest import Serve
from tests.support.sockets import Connection, ask, listening, request

VERSION = {"anthropic_version": "2023-06-01"}


def gateway() -> Gateway:
    """Models of an engine, of servers of which something is known and nothing, and of several together."""
    upstreams = [
        Upstream("engine", LlamaCpp(context=2048)),
        Upstream("known", OpenAICompatible("http://127.0.0.1:1/v1", context=8192, vision=True)),
        Upstream("unknown", OpenAICompatible("http://127.0.0.1:1/v1")),
        Upstream("hosted", AutonomousAI("http://127.0.0.1:1", api_key="")),
    ]
    routes = {upstream.name: [upstream.name] for upstream in upstreams}
    return Gateway(upstreams, {**routes, "several": ["engine", "known"]}, aliases={"other/name": "known"})


@pytest.mark.parametrize(
    ("model", "context", "capabilities"),
    [
        ("engine", 2048, {"vision": False, "schema": True, "prefill": True, "embeddings": False, "completions": True}),
        ("known", 8192, {"vision": True, "completions": True}),
        ("unknown", None, {"vision": False, "completions": True}),
        ("hosted", None, {"vision": True, "embeddings": False, "completions": False}),
        ("several", 8192, {"vision": True, "schema": True, "completions": True}),
    ],
)
async def test_what_a_model_can_do(model: str, context: int | None, capabilities: dict[str, bool]) -> None:
    """As far as that is known; the context by the names that OpenRouter's and vLLM's clients look for."""
    async with listening(create_app(provider=gateway())) as server:
        listed = (await ask(server.port, request("GET", "/v1/models"))).json()["data"]
        one = (await ask(server.port, request("GET", f"/v1/models/{model}"))).json()

    assert one in listed
    assert (context, context) == (one.get("context_length"), one.get("max_model_len"))
    assert capabilities.items() <= one["capabilities"].items()
    assert None not in one["capabilities"].values()
    assert (model == "engine") == ("prefill" in one["capabilities"])


@pytest.mark.parametrize("name", ["engine", "engine-70b"])
async def test_a_model_says_what_answers_in_its_place(name: str) -> None:
    """By its aliases too, however large they sound. A model that is itself says nothing."""
    engine = Upstream("engine", LlamaCpp(context=2048))
    other = Upstream("known", OpenAICompatible("http://127.0.0.1:1/v1"))
    routes = {"engine": ["engine", "known"], "known": ["known", "engine"]}
    served = Gateway([engine, other], routes, aliases={"engine-70b": "engine"})
    async with listening(create_app(provider=served)) as server:
        one = (await ask(server.port, request("GET", f"/v1/models/{name}"))).json()
        itself = (await ask(server.port, request("GET", "/v1/models/known"))).json()

    assert ("smollm2-135m", "engine · smollm2-135m, a demo model") == (one["answered_by"], one["description"])
    assert {"answered_by", "description"}.isdisjoint(itself)


async def test_anthropics_clients_get_its_shape() -> None:
    """By their header; all models are one page, and an alias is found too."""
    async with listening(create_app(provider=gateway())) as server:
        got = await ask(server.port, request("GET", "/v1/models?limit=1000", **VERSION))
        one = await ask(server.port, request("GET", "/models/other/name", **VERSION))

    document = got.json()
    assert ({"data", "has_more", "first_id", "last_id"}, False) == (set(document), document["has_more"])
    assert ("engine", "other/name", 6) == (document["first_id"], document["last_id"], len(document["data"]))
    assert got["request-id"] == got["x-request-id"]
    assert one.json() in document["data"]
    assert ("model", "known", "known", 8192) == tuple(
        one.json()[name] for name in ("type", "id", "display_name", "max_input_tokens")
    )


async def test_an_empty_list_has_no_ends(serve: Serve) -> None:
    """Both are null."""
    port = (await serve(ScriptedProvider(models=[]))).port
    got = await ask(port, request("GET", "/v1/models", **VERSION))

    assert {"data": [], "has_more": False, "first_id": None, "last_id": None} == got.json()


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "kind"),
    [
        ("GET", "/v1/models/none", "k", 404, "not_found_error"),
        ("GET", "/v1/models", "wrong", 401, "authentication_error"),
        ("POST", "/v1/models", "k", 405, "invalid_request_error"),
    ],
)
async def test_its_errors_have_its_shape(method: str, path: str, key: str, status: int, kind: str) -> None:
    """And OpenAI's without the header."""
    app = create_app(Config(server=ServerConfig(api_keys=(Secret("k"),))), provider=ScriptedProvider())
    async with listening(app) as server:
        theirs = await ask(server.port, request(method, path, x_api_key=key, **VERSION))
        ours = await ask(server.port, request(method, path, authorization=f"Bearer {key}"))

    told: dict[str, Any] = theirs.json()
    assert (status, "error", kind) == (theirs.status, told["type"], told["error"]["type"])
    assert told["request_id"] == theirs["request-id"]
    assert (status, {"error"}) == (ours.status, set(ours.json()))


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/models/llama"])
async def test_head_is_clean(port: int, path: str) -> None:
    """For clients that look whether somebody is there: no body, and the connection goes on."""
    async with Connection(port) as connection:
        got = [await connection.ask(request("HEAD", path, **VERSION)) for _ in range(2)]

    assert [(200, b"")] * 2 == [(each.status, each.body) for each in got]


async def test_anthropics_sdk_lists_and_finds_models(serve: Serve) -> None:
    """Unmodified."""
    url = (await serve(gateway())).url
    async with anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as client:
        listed = [model.id async for model in client.models.list(limit=2)]
        one = await client.models.retrieve("known")
        with pytest.raises(anthropic.NotFoundError, match="none"):
            await client.models.retrieve("none")

    assert ["engine", "known", "unknown", "hosted", "several", "other/name"] == listed
    assert ("known", "active", 8192) == (one.display_name, one.lifecycle, one.max_input_tokens)
    assert one.created_at.tzinfo is not None


@pytest.mark.parametrize(("path", "headers"), [("/v1/models", {}), ("/v1/models", VERSION), ("/api/tags", {})])
async def test_other_names_that_the_operator_wrote_are_listed(path: str, headers: dict[str, str]) -> None:
    """Behind the models, as programs offer what is listed; those of the five are known without being listed."""
    five = Gateway(
        [Upstream("far", ScriptedProvider())], {"llama": ["far"]}, aliases={"llama-3.3-70b": "llama", "mine": "llama"}
    )
    async with listening(create_app(provider=five)) as server:
        listed = (await ask(server.port, request("GET", path, **headers))).json()

    names = [each.get("id") or each["name"] for each in listed.get("data") or listed["models"]]
    assert ["llama", "mine"] == [name.removesuffix(":latest") for name in names]


async def test_admin_leads_to_the_page_of_what_is_used() -> None:
    """Without a key, which the page wants then."""
    async with listening(
        create_app(Config(server=ServerConfig(api_keys=(Secret("k"),))), provider=ScriptedProvider())
    ) as server:
        got = [await ask(server.port, request("GET", path)) for path in ("/admin", "/admin/")]

    assert [(303, "/usage")] * 2 == [(each.status, each["location"]) for each in got]
