"""`autonomousai doctor`: what is here, and what a server can do, against scripted servers with characters of their own."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autonomousai.config import OpenAIConfig, load_config
from autonomousai.events import Usage
from autonomousai.kinds.anthropic import AnthropicConfig
from autonomousai.testing import Hang, Head, Request, Script, ScriptedServer, Send, chunks
from tests.support.program import Ended, run, without

CHAT, LIST = "/v1/chat/completions", "/v1/models"
FURTHER = {"Responses": "/v1/responses", "Messages": "/v1/messages", "embeddings": "/v1/embeddings"}


def listing(*models: dict[str, Any]) -> Script:
    return Script.status(200, {"object": "list", "data": list(models)})


def refuse(status: int) -> Script:
    return Script.status(status, {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}})


def words_of(request: Request) -> str:
    return json.dumps(request.json())


class Capable:
    """A server that can do everything: it sees, calls functions, continues answers and stops when its caller leaves."""

    def __init__(self, owner: str = "vllm") -> None:
        self.entry = {"id": "big-model", "owned_by": owner, "max_model_len": 4096}
        self.long: Request | None = None

    def chat(self, request: Request) -> Script:
        body = request.json()
        if not isinstance(body["messages"], list):
            return refuse(400)
        if body["model"] != "big-model":
            return refuse(404)
        if "one thousand" in words_of(request):
            self.long = request
            return Script(Head(), Send(chunks("one two", finish=None, done=False)), Hang())
        if body.get("tools"):
            call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            return Script.status(200, {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "x"}]})
        if "image_url" in words_of(request):
            return Script.document("Red.")
        if body["messages"][-1]["role"] == "assistant":
            return Script.stream(" six", " seven")
        return Script.stream("Hello", usage=Usage(5, 1)) if body.get("stream") else Script.document("Hello", usage=Usage(5, 1))

    def metrics(self, _: Request) -> Script:
        running = int(self.long is not None and self.long.end is None)
        return Script.status(200, f'vllm:num_requests_running{{model="m"}} {running}.0\n', content_type="text/plain")

    def on(self, server: ScriptedServer) -> ScriptedServer:
        server.play(listing(self.entry), path=LIST)
        server.play(self.chat, path=CHAT)
        server.play(self.metrics, path="/metrics")
        server.play(Script.status(200, {"input_tokens": 9}), path="/v1/messages/count_tokens")
        return server


def alone(server: ScriptedServer, *, but: str = "") -> ScriptedServer:
    """The server, which has chat completions and no other wire but one."""
    for wire, path in FURTHER.items():
        if wire != but:
            server.play(refuse(404), path=path)
    return server


async def diagnosis(server: ScriptedServer, env: dict[str, str], *options: str, code: int = 0) -> dict[str, Any]:
    """What the doctor says of a server, by check; "config" is the section, "asked" the model."""
    ended = await run("doctor", "--upstream", f"{server.url}/v1", "--json", *options, env=env)
    assert (code, "") == (ended.code, ended.err)
    document = json.loads(ended.out)
    return {each["check"]: each for each in document["findings"]} | {"config": document["config"], "asked": document["model"]}


def results(found: dict[str, Any]) -> dict[str, str]:
    return {check: each["result"] for check, each in found.items() if isinstance(each, dict)}


async def test_a_capable_server_is_known_as_one(env: dict[str, str], tmp_path: Path) -> None:
    """Everything is found by asking, and the section that is printed loads and says it."""
    async with ScriptedServer() as server:
        found = await diagnosis(Capable().on(server), env, "--api-key", "sk-secret-key")
    path = tmp_path / "config.toml"
    path.write_text(found["config"])
    config = load_config(path, {"UPSTREAM_API_KEY": "sk-secret-key"})

    assert {"yes"} == set(results(found).values())
    assert "big-model" == found["asked"]
    assert "4096 tokens" == found["context"]["found"]
    assert (
        OpenAIConfig(
            base_url=f"{server.url}/v1",
            api_key="sk-secret-key",
            model="big-model",
            vendor="vllm",
            prefill="yes",
            vision=True,
            context=4096,
        )
        == config.upstreams["vllm"]
    )  # type: ignore[comparison-overlap]
    assert ("vllm",) == config.served()["llama"].route
    keys = {request.headers.get("x-api-key") or request.headers.get("authorization") for request in server.requests}
    assert {"Bearer sk-secret-key", "sk-secret-key"} == keys


async def test_a_vendor_is_known_by_its_headers(env: dict[str, str], tmp_path: Path) -> None:
    """Behind any address, with a query or without: the section names it, its variable holds the key, and it loads."""

    class Azure(Capable):
        def chat(self, request: Request) -> Script:
            hello = "Say hello" in words_of(request) and request.json().get("stream")
            return Script.stream("Hello", headers={"apim-request-id": "1"}) if hello else super().chat(request)

    azure = Azure("me")
    async with ScriptedServer() as server:
        server.play(listing(azure.entry), path="/openai/models?api-version=1")
        server.play(azure.chat, path="/openai/chat/completions?api-version=1")
        server.play(azure.metrics, path="/openai/metrics")
        url = f"{server.url}/openai?api-version=1"
        ended = await run("doctor", "--upstream", url, "--json", "--api-key", "sk-secret-key", env=env)
    document = json.loads(ended.out)
    path = tmp_path / "config.toml"
    path.write_text(document["config"])
    upstream = load_config(path, {"AZURE_OPENAI_API_KEY": "sk-secret-key"}).upstreams["azure"]

    assert ["the headers of its answers"] == [each["how"] for each in document["findings"] if each["check"] == "vendor"]
    assert "api_key" not in document["config"]
    assert isinstance(upstream, OpenAIConfig)
    assert ("azure", url, "sk-secret-key") == (upstream.vendor, upstream.base_url, upstream.api_key)


async def test_a_server_that_does_not_stop_is_found_out(env: dict[str, str]) -> None:
    """Its gauge stands still after the caller has left: cancellation is a no."""

    class Stubborn(Capable):
        def metrics(self, _: Request) -> Script:
            return Script.status(200, f"llamacpp:requests_processing {int(self.long is not None)}\n")

    async with ScriptedServer() as server:
        found = await diagnosis(Stubborn().on(server), env)

    assert "no" == found["cancellation"]["result"]
    assert "still at work" in found["cancellation"]["found"]


async def test_a_plain_server_is_known_as_one(env: dict[str, str], tmp_path: Path) -> None:
    """It answers the same to everything, without usage, [DONE] or a gauge: each is a no, or unknown, and never a yes."""

    def chat(request: Request) -> Script:
        return Script.stream("Hello", done=False) if request.json().get("stream") else Script.document("Hello")

    async with ScriptedServer() as server:
        alone(server).play(listing({"id": "small"}, {"id": "other"}), path=LIST)
        server.play(chat, path=CHAT)
        server.play(Script.status(404), path="/metrics")
        server.play(Script.status(404), path="/v1/metrics")
        found = await diagnosis(server, env)
    path = tmp_path / "config.toml"
    path.write_text(found["config"])

    assert {
        "models": "yes",
        "streaming": "yes",
        "finish reason": "yes",
        "usage": "no",
        "[DONE]": "no",
        "complete answers": "yes",
        "first token": "yes",
        "error shape": "no",
        "unknown models": "no",
        "prefill": "no",
        "vision": "no",
        "tools": "no",
        "cancellation": "unknown",
        "Responses": "no",
        "Messages": "no",
        "embeddings": "no",
    } == results(found)
    assert "it took the image, and said 'Hello'" == found["vision"]["found"]
    assert "no" == load_config(path, {}).upstreams["upstream"].prefill  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": [{"msg": "bad", "loc": ["body"]}]}, "422 with another shape (detail)"),
        ("Unprocessable", "422 with another shape (text)"),
        ({"error": {"message": "bad"}}, "422 with OpenAI's object, without type, param, code"),
    ],
)
async def test_the_shape_of_errors_is_told(body: Any, words: str, env: dict[str, str]) -> None:
    """OpenAI's, or what else there is."""

    class Own(Capable):
        def chat(self, request: Request) -> Script:
            wrong = not isinstance(request.json()["messages"], list)
            return Script.status(422, body) if wrong else super().chat(request)

    async with ScriptedServer() as server:
        found = await diagnosis(Own().on(server), env)

    assert words in found["error shape"]["found"]


async def test_another_form_of_the_request_is_found(env: dict[str, str]) -> None:
    """A server that refuses ``max_tokens`` is asked by the other name from then on, and the form is named."""

    def chat(request: Request) -> Script:
        if "max_tokens" in request.json():
            return Script.status(400, {"error": {"message": "use 'max_completion_tokens' instead", "param": "max_tokens"}})
        return Script.stream("Hello") if request.json().get("stream") else Script.document("Hello")

    async with ScriptedServer() as server:
        server.play(listing({"id": "small"}), path=LIST)
        server.play(chat, path=CHAT)
        server.play(Script.status(404), path="/metrics")
        server.play(Script.status(404), path="/v1/metrics")
        found = await diagnosis(server, env)

    assert "it takes max_completion_tokens" == found["request forms"]["found"]
    assert ("yes", "yes") == (found["streaming"]["result"], found["complete answers"]["result"])


@pytest.mark.parametrize(
    ("wire", "model", "settings"),
    [
        ("Responses", "m", {"kind": "openai", "base_url": "{}/v1", "api": "responses", "model": "m"}),
        ("Messages", "m", {"kind": "anthropic", "base_url": "{}", "model": "m"}),
        ("embeddings", "bge-m3", {"kind": "openai", "base_url": "{}/v1", "model": "bge-m3"}),
    ],
)
async def test_a_server_of_another_wire_is_known_as_one(
    wire: str, model: str, settings: dict[str, str], env: dict[str, str], tmp_path: Path
) -> None:
    """Chat completions are not there; the section that is printed asks over the wire that is, and loads."""
    async with ScriptedServer() as server:
        alone(server, but=wire).play(listing({"id": model}), path=LIST)
        server.play(refuse(404), path=CHAT)
        found = await diagnosis(server, env)
    path = tmp_path / "config.toml"
    path.write_text(found["config"])

    assert {"models": "yes", "streaming": "no", **{name: "yes" if name == wire else "no" for name in FURTHER}} == results(found)
    assert {key: value.format(server.url) for key, value in settings.items()} == (
        tomllib.loads(found["config"])["upstreams"]["upstream"]
    )
    assert load_config(path, {}).served()


async def test_a_messages_api_that_wants_a_bearer_token_is_asked_with_one(env: dict[str, str], tmp_path: Path) -> None:
    """As vLLM's refuses a key in any other header; the section that is printed sends it there."""

    def messages(request: Request) -> Script:
        if request.headers.get("authorization") != "Bearer k":
            return Script.status(401, {"error": "Unauthorized"})
        return Script.messages("Hello")

    async with ScriptedServer() as server:
        alone(server, but="Messages").play(listing({"id": "m"}), path=LIST)
        server.play(refuse(404), path=CHAT)
        server.play(messages, path=FURTHER["Messages"])
        found = await diagnosis(server, env, "--api-key", "k")
    path = tmp_path / "config.toml"
    path.write_text(found["config"])

    (upstream,) = load_config(path, {"UPSTREAM_API_KEY": "k"}).upstreams.values()
    assert "yes" == found["Messages"]["result"]
    assert found["Messages"]["found"].endswith("the key goes in Authorization")
    assert AnthropicConfig(base_url=server.url, api_key="k", key_header="authorization", model="m") == upstream


async def test_what_the_wires_said_is_told(env: dict[str, str]) -> None:
    """How long the answer was and what ended it, whether tokens are counted, and which model made numbers."""
    async with ScriptedServer() as server:
        server.play(listing(Capable().entry, {"id": "nomic-embed-text"}), path=LIST)
        found = await diagnosis(Capable().on(server), env)

    assert "11 characters, ended by 'stop'" == found["Responses"]["found"]
    assert "11 characters, ended by 'stop'; it counts tokens (9)" == found["Messages"]["found"]
    assert "3 numbers for a text, by nomic-embed-text" == found["embeddings"]["found"]


SICK: dict[str, Callable[[ScriptedServer], None]] = {
    "no stream": lambda server: server.play(Script.status(500), path=CHAT),
    "html": lambda server: server.play("html", path=CHAT),
    "cut": lambda server: server.play("reset_before_headers", path=CHAT),
    "malformed": lambda server: server.play(Script.malformed_event(), path=CHAT),
    "error event": lambda server: server.play(Script.error_event(), path=CHAT),
}


@pytest.mark.parametrize("sickness", SICK)
async def test_a_server_that_cannot_stream_is_said_to_be_ill(sickness: str, env: dict[str, str]) -> None:
    """Exit code 1, what went wrong, and no config that would not work."""
    async with ScriptedServer() as server:
        alone(server).play(listing({"id": "m"}), path=LIST)
        SICK[sickness](server)
        found = await diagnosis(server, env, code=1)

    assert ("no", None) == (found["streaming"]["result"], found["config"])


async def test_a_question_that_gets_no_answer_ends_no_examination(env: dict[str, str]) -> None:
    """What was found out is told, and what was not is unknown."""

    class Abrupt(Capable):
        def chat(self, request: Request) -> Script:
            body = request.json()
            known = isinstance(body["messages"], list) and body["model"] == "big-model"
            return super().chat(request) if known else Script.reset_before_headers()

    async with ScriptedServer() as server:
        found = await diagnosis(Abrupt().on(server), env)

    assert {"error shape", "unknown models"} == {check for check, result in results(found).items() if result == "unknown"}


async def test_a_wrong_key_is_said_and_not_shown(env: dict[str, str]) -> None:
    """The server's refusal, without the key that it repeats."""
    error = {"error": {"message": "Incorrect API key provided: my-own-secret-key", "type": "x", "param": None, "code": None}}
    async with ScriptedServer(Script.status(401, error)) as server:
        ended = await run("doctor", "--upstream", f"{server.url}/v1", "--api-key", "my-own-secret-key", env=env)

    assert 1 == ended.code
    assert "401" in ended.out
    assert "my-own-secret-key" not in ended.out + ended.err


async def test_nobody_listening_is_said_quickly(env: dict[str, str]) -> None:
    """One finding, exit code 1."""
    async with ScriptedServer() as server:
        url = server.url
    ended = await run("doctor", "--upstream", f"{url}/v1", env=env)

    assert 1 == ended.code
    assert ["CHECK", "models"] == [line.split()[0] for line in ended.out.splitlines() if line[0] != " "]
    assert "cannot connect" in ended.out


async def test_a_server_without_a_list_is_asked_for_the_named_model(env: dict[str, str]) -> None:
    """Where the list is missing, --model is enough; without it, that is said."""
    async with ScriptedServer() as server:
        Capable().on(server)
        server._queues[LIST].clear()
        server.play(Script.status(404), path=LIST)
        named = await diagnosis(server, env, "--model", "big-model")
        server.play(Script.html(), path=LIST)
        unreadable = await diagnosis(server, env, "--model", "big-model")
        server.play(Script.status(404), path=LIST)
        unnamed = await diagnosis(server, env, code=1)

    assert ["yes", "yes"] == [each["streaming"]["result"] for each in (named, unreadable)]
    assert 'model = "big-model"' in unreadable["config"]
    assert "name one with --model" in unnamed["model"]["found"]


async def test_our_own_server_on_the_real_engine(real_server: str, env: dict[str, str], tmp_path: Path) -> None:
    """The table for people ends in a section that loads; what the engine can and cannot do is found out."""
    ended = await run("doctor", "--upstream", f"{real_server}/v1", env=env)
    rows = dict(re.findall(r"^(\S+(?: \S+)*?) {2,}(yes|no|unknown) ", ended.out, re.MULTILINE))
    path = tmp_path / "config.toml"
    path.write_text(ended.out.partition("\n\n")[2])
    config = load_config(path, {})

    assert (0, "") == (ended.code, ended.err)
    expected = {"streaming": "yes", "finish reason": "yes", "usage": "yes", "[DONE]": "yes", "complete answers": "yes"}
    expected |= {"error shape": "yes", "unknown models": "yes", "vision": "no", "tools": "no", "cancellation": "yes"}
    assert expected == {check: rows.get(check) for check in expected}
    assert ["autonomousai"] == list(config.upstreams)


# This machine


def findings(ended: Ended) -> dict[str, Any]:
    return {each["check"]: each for each in json.loads(ended.out)["findings"]}


async def test_the_doctor_looks_around(env: dict[str, str]) -> None:
    """A newcomer learns what is installed and missing, and with --hosted that the hosted service does not answer: exit code 3,
    no weights."""
    named = {**env, "HTTPS_PROXY": "http://127.0.0.1:9", "AUTONOMOUSAI_API_KEY": "sk-secret-key"}
    ended = await run("doctor", "--hosted", "--json", env=named)
    found = findings(ended)

    assert 3 == ended.code
    assert {"package", "Python", "engine", "extra server", "extra local", "extra cli", "hosted service", "server"} <= set(found)
    assert ("no", "autonomousai pull smollm2-135m") == tuple(found["weights smollm2-135m"][key] for key in ("result", "how"))
    assert "no" == found["hosted service"]["result"]
    assert found["hosted service"]["found"].startswith("working would be False: ")
    assert "sk-secret-key" not in ended.out + ended.err


async def test_the_hosted_service_is_called_on_request_alone(env: dict[str, str]) -> None:
    """Without --hosted no request leaves this machine: the proxy, by which it would, hears nothing."""
    async with ScriptedServer(Script.status(502), Script.status(502)) as proxy:
        named = {**env, "HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url}
        ended = await run("doctor", "--json", env=named)
        before = len(proxy.requests)
        await run("doctor", "--hosted", "--json", env=named)

    found = findings(ended)["hosted service"]
    assert ("unknown", "autonomousai doctor --hosted") == (found["result"], found["how"])
    assert (0, 1) == (before, len(proxy.requests))


async def test_the_doctor_says_how_upstreams_are_asked(env: dict[str, str], tmp_path: Path) -> None:
    """Of each model that a config would serve; a mistake in it is told before anything is looked at."""
    file = tmp_path / "a.toml"
    upstream = '[upstreams.{0}]\nkind = "openai"\nbase_url = "http://{0}/v1"\nweight = {1}\n'
    models = '[models.m]\nroute = ["a", "b"]\npolicy = "fastest"\nsticky = true\nhedge = 0.05\n[models.n]\nroute = ["b"]\n'
    file.write_text(upstream.format("a", 3) + upstream.format("b", 0.5) + models)
    named = {**env, "HTTPS_PROXY": "http://127.0.0.1:9"}

    found = findings(await run("doctor", "--json", "--config", str(file), env=named))
    file.write_text("[models.m]\npolicy = 1\n")
    wrong = await run("doctor", "--config", str(file), env=named)

    assert ("fastest; a 3, b 0.5; sticky; hedge 0.05", "a > b") == tuple(found["route of m"][key] for key in ("found", "how"))
    assert "order" == found["route of n"]["found"]
    assert (3, True) == (wrong.code, "models.m" in wrong.err)


async def test_the_doctor_misses_what_is_missing(env: dict[str, str]) -> None:
    """Without the engine the extra that brings it is named."""
    code = "import sys; sys.modules['xllamacpp'] = None; from autonomousai.cli import main; main(['doctor', '--json'])"
    ended = await run(env={**env, "HTTPS_PROXY": "http://127.0.0.1:9"}, program=(sys.executable, "-c", code))

    assert "pip install 'autonomousai[local]'" == findings(ended)["engine"]["how"]


@pytest.mark.parametrize(
    ("script", "code", "result"), [(listing({"id": "a"}, {"id": "b"}), 0, "yes"), (Script.status(500), 1, "no")]
)
async def test_the_doctor_asks_the_server_of_the_environment(
    script: Script, code: int, result: str, env: dict[str, str]
) -> None:
    """Whether it answers decides the exit code."""
    async with ScriptedServer(script) as server:
        named = {**env, "AUTONOMOUSAI_BASE_URL": server.url, "HTTPS_PROXY": "http://127.0.0.1:9"}
        ended = await run("doctor", "--json", env=named)

    assert (code, result) == (ended.code, findings(ended)["server"]["result"])


async def test_the_doctor_asks_the_server_that_is_named(env: dict[str, str]) -> None:
    """By --base-url, as for `chat`, before that of the environment, and with the key that is given."""
    async with ScriptedServer(listing({"id": "a"})) as server:
        other = {**env, "AUTONOMOUSAI_BASE_URL": "http://127.0.0.1:9"}
        ended = await run("doctor", "--json", "--base-url", server.url, "--api-key", "sk-mine", env=other)

    assert (0, "GET /v1/models at --base-url") == (ended.code, findings(ended)["server"]["how"])
    assert "Bearer sk-mine" == server.requests[0].headers["authorization"]


async def test_a_route_in_the_environments_address_is_named(env: dict[str, str]) -> None:
    """The same advice as `chat` gives, and not what a server says of a doubled path."""
    named = {**env, "AUTONOMOUSAI_BASE_URL": "http://127.0.0.1:9/v1/chat/completions", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ended = await run("doctor", "--json", env=named)

    assert (1, True) == (ended.code, "leave out /chat/completions" in findings(ended)["server"]["found"])


async def test_a_pipe_gets_a_table_that_can_be_read(env: dict[str, str]) -> None:
    """One long sentence does not stretch every row: it is broken into lines."""
    async with ScriptedServer() as server:
        server.play(Script.status(404, {"error": {"message": "very long " * 40}}), path=LIST)
        ended = await run("doctor", "--upstream", f"{server.url}/v1", env=env)

    assert 1 == ended.code
    assert [] == [line for line in ended.out.splitlines() if len(line) > 120]
    assert ended.out.count("very long") >= 10


async def test_the_doctors_section_is_toml(env: dict[str, str]) -> None:
    """What is printed under the table can be pasted as it is."""
    async with ScriptedServer() as server:
        Capable("library").on(server)
        ended = await run("doctor", "--upstream", f"{server.url}/v1", env=env)

    assert ["ollama"] == list(tomllib.loads(ended.out.partition("\n\n")[2])["upstreams"])


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_without_the_writer_of_toml_what_was_found_is_told(form: tuple[str, ...], env: dict[str, str]) -> None:
    """Where the extra is not installed it is named, and only the section is missing."""
    async with ScriptedServer() as server:
        Capable("library").on(server)
        ended = await run("doctor", "--upstream", f"{server.url}/v1", *form, env=env, program=without("tomli_w"))

    assert 0 == ended.code
    assert "pip install 'autonomousai[cli]'" in ended.err
    assert ("[upstreams" in ended.out, "answers" in ended.out) == (False, True)
