"""The table of vendors: each row makes a provider and an upstream, and what a row says is what its server is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from autonomousai import Anthropic, ConfigError, OpenAICompatible
from autonomousai.clients.adaptations import ADAPTATIONS
from autonomousai.clients.conversation_forms import with_call_ids
from autonomousai.clients.vendors import VENDORS, VendorName, vendor_at, vendor_by_headers, vendor_by_owner
from autonomousai.config import OpenAIConfig, Secret, load_config
from autonomousai.events import Reasoning
from autonomousai.kinds.kind import UpstreamSetup
from autonomousai.request import ChatRequest
from autonomousai.result import AsyncResult
from autonomousai.testing import End, Head, Request, Script, ScriptedServer, Send, chunks
from autonomousai.testing.completions import event

HELLO = [{"role": "user", "content": "Hello"}]
BEGUN = {"role": "assistant", "content": "The sky is"}

EVERY_VENDOR = pytest.mark.parametrize("name", VENDORS)

#: Where those answer that have no address for everybody.
OWN_ADDRESS = {
    "azure": "https://mine.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21",
    "bedrock": "https://bedrock-mantle.us-east-1.api.aws/v1",
    "vllm": "http://10.0.0.5:8000/v1",
}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in VENDORS.values():
        if row.key_env:
            monkeypatch.delenv(row.key_env, raising=False)


def config(tmp_path: Path, text: str, **env: str) -> OpenAIConfig:
    path = tmp_path / "config.toml"
    path.write_text(f'[upstreams.u]\nkind = "openai"\n{text}\n', encoding="utf-8")
    upstream = load_config(path, env).upstreams["u"]
    assert isinstance(upstream, OpenAIConfig)
    return upstream


# The table


def test_the_names_that_a_config_may_use_are_the_rows() -> None:
    """In the same order."""
    assert list(VENDORS) == list(get_args(VendorName))


def test_openais_base_url_may_be_in_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For a client that names none, as for OpenAI's own; a config says itself where it asks."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")

    assert "http://127.0.0.1:9/v1" == OpenAICompatible(vendor="openai", api_key="k").base_url
    assert "http://127.0.0.1:8/v1" == OpenAICompatible("http://127.0.0.1:8/v1", vendor="openai", api_key="k").base_url
    assert VENDORS["groq"].base_url == OpenAICompatible(vendor="groq", api_key="k").base_url
    upstream = config(tmp_path, 'vendor = "openai"\napi_key = "k"')
    provider = upstream.make_provider(UpstreamSetup("u"))
    assert isinstance(provider, OpenAICompatible)
    assert VENDORS["openai"].base_url == provider.base_url


def test_no_two_rows_can_be_taken_for_one_another() -> None:
    """By host, by owner or by header."""
    for attribute in ("base_url", "key_env", "owned_by", "header"):
        said = [value for row in VENDORS.values() if (value := getattr(row, attribute))]
        assert len(said) == len(set(said))


@EVERY_VENDOR
def test_a_row_names_what_there_is(name: VendorName) -> None:
    """Its forms are rows of the adaptations, its variable is one, and where a key is needed, all goes over TLS."""
    row = VENDORS[name]

    assert set(row.forms) <= {each.name for each in ADAPTATIONS}
    assert re.fullmatch(r"[A-Z_]*", row.key_env)
    assert not row.key_env or row.base_url.startswith("https://") or name in OWN_ADDRESS
    assert row.header == row.header.lower()


@EVERY_VENDOR
def test_a_row_makes_a_provider(name: VendorName, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name alone, where it has an address for everybody, with the key of its variable."""
    row = VENDORS[name]
    if row.key_env:
        monkeypatch.setenv(row.key_env, "the-key\n")

    provider = OpenAICompatible(OWN_ADDRESS.get(name), vendor=name)

    assert (row.base_url or OWN_ADDRESS[name]) == provider.base_url
    assert ("the-key" in "".join(provider._usual_headers.values())) == bool(row.key_env)


@EVERY_VENDOR
def test_a_row_makes_an_upstream(name: VendorName, tmp_path: Path) -> None:
    """A config names it, and its key is in its variable; without the variable, that one is named."""
    row = VENDORS[name]
    text = f'vendor = "{name}"\n' + (f'base_url = "{OWN_ADDRESS[name]}"' if name in OWN_ADDRESS else "")

    upstream = config(tmp_path, text, **({row.key_env: "the-key"} if row.key_env else {}))

    assert ("the-key" if row.key_env else None) == upstream.api_key
    assert isinstance(upstream.make_provider(UpstreamSetup("u")), OpenAICompatible)
    assert upstream.place.startswith("http")
    assert "?" not in upstream.place
    if row.key_env:
        with pytest.raises(ConfigError, match=rf"upstreams\.u\.api_key: the environment variable {row.key_env} is not set"):
            config(tmp_path, text)
        with pytest.raises(ConfigError, match=f"the environment variable {row.key_env}, for the key of"):
            OpenAICompatible(OWN_ADDRESS.get(name), vendor=name)


def test_what_is_written_wins_over_the_row(tmp_path: Path) -> None:
    """Address and key."""
    upstream = config(
        tmp_path, 'vendor = "groq"\nbase_url = "http://proxy:1/v1"\napi_key = "env:MINE"', MINE="own", GROQ_API_KEY="x"
    )

    assert ("http://proxy:1/v1", "own") == (upstream.base_url, upstream.api_key)
    provider = upstream.make_provider(UpstreamSetup("u"))
    assert ("http://proxy:1/v1", "Bearer own") == (provider.base_url, provider._usual_headers["Authorization"])


def test_no_key_is_asked_for_where_the_caller_says_otherwise_who_asks() -> None:
    """An empty key is none; a header of the caller's own stands for one."""
    without = OpenAICompatible(vendor="groq", api_key="")
    entra = OpenAICompatible(OWN_ADDRESS["azure"], vendor="azure", headers={"authorization": "Bearer token-of-entra"})

    assert "Authorization" not in without._usual_headers
    assert "api-key" not in entra._usual_headers


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('vendor = "grok"', "upstreams.u.vendor", "did you mean groq?"),
        ('vendor = "anthropic"', "upstreams.u.vendor", 'write kind = "anthropic"'),
        ("vendor = 1", "upstreams.u.vendor", "is unknown"),
        ("vendor = ['groq']", "upstreams.u.vendor", "is unknown"),
        ("", "upstreams.u.base_url", "name one of these with vendor: openai"),
        ('vendor = "vllm"', "upstreams.u.base_url", "write the server's address"),
        ('base_url = "http://far/v1?api_key=x"', "upstreams.u.base_url", "carries a key"),
        ('base_url = "http://far/v1/chat/completions?api-version=1"', "upstreams.u.base_url", "leave out /chat/completions"),
        ('base_url = "http://far/v1#x"', "upstreams.u.base_url", "fragment"),
        ('base_url = "groq"', "upstreams.u.base_url", 'write kind = "openai" and vendor = "groq"'),
        ('base_url = "anthropic"', "upstreams.u.base_url", "its base URL is https://api.anthropic.com"),
    ],
)
def test_a_mistake_is_told(text: str, key: str, words: str, tmp_path: Path) -> None:
    """With the key that is at fault."""
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)

    assert (key, True) == (caught.value.key, words in str(caught.value))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OpenAICompatible(vendor="grok"), "did you mean groq?"),  # type: ignore[arg-type]
        (lambda: OpenAICompatible(vendor="anthropic"), "use Anthropic"),  # type: ignore[arg-type]
        (OpenAICompatible, "base_url is missing"),
        (lambda: OpenAICompatible(vendor="azure", api_key="k"), "which Azure OpenAI has for each customer"),
        (lambda: OpenAICompatible("http://far/v1?token=x"), "carries a key"),
        (lambda: OpenAICompatible("groq"), 'its base URL is https://api.groq.com/openai/v1; or write vendor="groq"'),
        (lambda: OpenAICompatible("vllm"), "vLLM has no common one"),
        (lambda: OpenAICompatible("anthropic"), "its base URL is https://api.anthropic.com"),
        (lambda: Anthropic("mistral"), 'use OpenAICompatible(vendor="mistral")'),
    ],
)
def test_a_mistake_in_python_is_told(make: Callable[[], object], words: str) -> None:
    """As a `ConfigError`."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        make()


# Who a server is


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://API.OpenAI.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://mine.services.ai.azure.com/openai/v1", "azure"),
        ("https://bedrock-mantle.eu-west-1.api.aws/v1", "bedrock"),
        ("https://mine.elb.amazonaws.com/v1", None),
        ("https://api.deepseek.com/beta", "deepseek"),
        ("https://evil-api.groq.com.example/v1", None),
        ("https://xapi.groq.com/v1", None),
        ("http://127.0.0.1:11434/v1", None),
        ("http://[::1]:1/v1", None),
    ],
)
def test_a_vendor_is_known_by_its_host(url: str, name: str | None) -> None:
    """Exactly: what only looks like it is nobody's, and neither is this machine."""
    assert name == vendor_at(url)


def test_a_vendor_is_known_by_what_its_server_says() -> None:
    """The owner of its models, or a header that only its answers have."""
    assert ("vllm", "sglang", None) == (
        vendor_by_owner({"me", "vllm"}),
        vendor_by_owner({"sglang"}),
        vendor_by_owner({"", "me"}),
    )
    assert "groq" == vendor_by_headers({"Content-Type": "x", "X-Groq-Region": "fra"})
    assert "llama-server" == vendor_by_headers({"Server": "llama.cpp"})
    assert vendor_by_headers({"Server": "uvicorn"}) is None


# What they are sent


def azure(request: Request) -> Script:
    """Knows callers by ``api-key``, and no path without a version; begins with a chunk that has no choices."""
    if request.headers.get("api-key") != "azure-key":
        return Script.status(401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or expired."})
    if request.path != "/openai/deployments/gpt/chat/completions?api-version=2024-10-21":
        return Script.status(404, {"error": {"code": "404", "message": "Resource not found"}})
    if "max_tokens" in request.json():
        return Script.status(400, {"error": {"message": "use 'max_completion_tokens' instead", "param": "max_tokens"}})
    filtered = {
        "choices": [],
        "id": "",
        "object": "",
        "model": "",
        "created": 0,
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    return Script(Head(), Send(event(filtered) + chunks("Hel", "lo")), End())


def mistral(request: Request) -> Script:
    """Wants ids of nine letters and digits, the old name of the limit, and ``prefix`` in a last message of the assistant."""
    body = request.json()
    if "max_completion_tokens" in body:
        detail = [
            {"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}
        ]
        return Script.status(422, {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"})
    for message in body["messages"]:
        for named in [call["id"] for call in message.get("tool_calls", [])] + [message.get("tool_call_id", "a" * 9)]:
            if not re.fullmatch("[a-zA-Z0-9]{9}", named):
                said = f"Tool call id was {named} but must be a-z, A-Z, 0-9, with a length of 9."
                return Script.status(400, {"object": "error", "message": said, "type": "invalid_request_error", "code": 3280})
    if body["messages"][-1]["role"] == "assistant" and not body["messages"][-1].get("prefix"):
        return Script.status(
            400, {"object": "error", "message": "Expected last role User or Tool", "type": "invalid_request_error"}
        )
    return Script.stream({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}, "Hel", "lo")


def deepseek(request: Request) -> Script:
    """Continues below /beta alone, where a last message of the assistant says ``prefix``."""
    last = request.json()["messages"][-1]
    if last.get("prefix") and not request.path.startswith("/beta/"):
        return Script.status(400, {"error": {"message": "prefix needs base_url=https://api.deepseek.com/beta", "code": "x"}})
    return Script.stream(" blue" if last.get("prefix") else "No")


def vllm(request: Request) -> Script:
    """Begins a new message unless two fields say otherwise."""
    body = request.json()
    goes_on = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
    return Script.stream(" blue" if goes_on else "No")


async def test_azure_is_asked_as_it_wants() -> None:
    """The bare key in its own header and no bearer; the version with each request; the new name of the limit at once."""
    async with ScriptedServer(azure) as server:
        url = f"{server.url}/openai/deployments/gpt?api-version=2024-10-21"
        async with OpenAICompatible(url, vendor="azure", api_key="azure-key") as provider:
            text = await provider.create_async_generator("gpt", HELLO, stream=True, max_tokens=5).text()

    assert "Hello" == text
    assert [("azure-key", None)] == [(each.headers["api-key"], each.headers.get("authorization")) for each in server.requests]


async def test_azures_models_are_listed_below_its_version() -> None:
    """The query is at the end of any URL."""
    async with ScriptedServer(Script.status(200, {"data": [{"id": "gpt"}]})) as server:
        async with OpenAICompatible(f"{server.url}/openai?api-version=1", vendor="azure", api_key="azure-key") as provider:
            names = await provider.fetch_models()

    assert (["gpt"], "/openai/models?api-version=1") == (names, server.requests[0].path)


async def test_mistral_gets_ids_that_it_takes() -> None:
    """Foreign ids of calls become ids of its own kind, the same one for a call and its result; the answer is read."""
    call = {"id": "call_PTLP8xhu3uwZk4l3nlnrrJha", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "1"},
    ]
    async with ScriptedServer(mistral) as server:
        async with OpenAICompatible(server.url, vendor="mistral", api_key="mistral-key") as provider:
            answer = provider.create_async_generator("m", messages, stream=True, max_completion_tokens=5)
            parts = [part async for part in answer]
    sent = server.requests[0].json()

    assert ["Hm"] == [part.text for part in parts if isinstance(part, Reasoning)]
    assert (1, 5) == (len(server.requests), sent["max_tokens"])
    assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"]
    assert "call_PTLP8xhu3uwZk4l3nlnrrJha" == messages[2]["tool_call_id"]


def test_ids_that_fit_are_kept() -> None:
    """Others are replaced each by one of its own; what is no id passes."""
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefgh1"}, {"id": "call-1"}, {"id": None}, "odd"]},
        {"role": "tool", "content": "", "tool_call_id": "call-2"},
    ]
    changed = with_call_ids(messages, 9)
    calls = changed[0]["tool_calls"]

    assert (["abcdefgh1", None], "odd") == ([calls[0]["id"], calls[2]["id"]], calls[3])
    assert 2 == len({each for each in (calls[1]["id"], changed[1]["tool_call_id"]) if re.fullmatch("[a-zA-Z0-9]{9}", each)})
    assert HELLO is with_call_ids(HELLO, 9)


@pytest.mark.parametrize(
    ("vendor", "play", "path"),
    [("mistral", mistral, "/v1"), ("deepseek", deepseek, "/beta"), ("vllm", vllm, "/v1")],
)
async def test_an_answer_is_continued_as_the_vendor_wants_it(vendor: VendorName, play: Any, path: str) -> None:
    """Without a probe: the row is believed."""
    async with ScriptedServer(play) as server:
        async with OpenAICompatible(server.url + path, vendor=vendor, api_key="k") as provider:
            assert (True, True) == (provider.capabilities.continues, await provider.continues())
            text = await AsyncResult(provider.stream_continuation(ChatRequest("m", HELLO), "The sky is")).text()

    assert text in (" blue", "Hello")
    assert [("assistant", "The sky is")] == [
        (last["role"], last["content"]) for last in [request.json()["messages"][-1] for request in server.requests]
    ]


async def test_deepseek_does_not_continue_where_it_would_not() -> None:
    """Below any other path it is asked whether it does, as any server is."""
    provider = OpenAICompatible("https://api.deepseek.com", vendor="deepseek", api_key="k")

    assert provider.capabilities.continues is None


@pytest.mark.parametrize(("prefill", "known"), [("yes", True), ("no", False)])
def test_an_operator_knows_better(prefill: Any, known: bool) -> None:
    """Whether it continues is as configured, whatever the row says."""
    assert known == OpenAICompatible("http://h/v1", vendor="vllm", prefill=prefill).capabilities.continues


async def test_a_refusal_of_a_vendors_usual_form_is_heeded() -> None:
    """A model that takes the other name is asked by it, and that is remembered for this model."""

    def old(request: Request) -> Script:
        if "max_completion_tokens" in request.json():
            return Script.status(400, {"error": {"message": "Unrecognized request argument: max_completion_tokens"}})
        return Script.document("Hello")

    async with ScriptedServer(old) as server, OpenAICompatible(server.url, vendor="openai", api_key="k") as provider:
        for _ in range(2):
            assert "Hello" == await provider.create_async_generator("m", HELLO, max_tokens=5).text()
        known = provider.status().adaptations

    assert 3 == len(server.requests)
    assert (("m", "max_tokens"),) == known


def test_the_key_of_a_vendor_is_not_shown() -> None:
    """Neither by the config's repr nor by the place that people are told."""
    upstream = OpenAIConfig(OWN_ADDRESS["azure"], vendor="azure", api_key=Secret("very-secret-key"))

    assert "very-secret-key" not in repr(upstream)
    assert "https://mine.openai.azure.com/openai/deployments/gpt" == upstream.place
