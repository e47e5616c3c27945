"""The log of requests: what a line says, that nobody can write into it, and that a slow reader of it holds nobody up."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from autonomousai.config import Config, ModelConfig, OpenAIConfig
from autonomousai.events import FinishReason, Usage
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.telemetry.access_log import AccessLog, LineWriter
from autonomousai.testing import Pause, Script, ScriptedProvider, ScriptedServer, answer
from tests.support.program import environment, finish, start
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, listening, request

STREAM = {**HELLO, "stream": True}
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@asynccontextmanager
async def logged(provider: AsyncGeneratorProvider, path: Path, form: str = "json") -> AsyncIterator[Listening]:
    """A server that logs into a file, which is whole when the block is left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        async with listening(create_app(provider=provider, log=AccessLog(form, fd))) as place:
            yield place
    finally:
        os.close(fd)


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("headers", [{}, {"x_stream_resumable": "1"}], ids=["stream", "resumable"])
async def test_a_line_says_what_became_of_a_request(tmp_path, headers):
    """Method, path, model, upstream, status, tokens, first token, total, and the name that the caller was told as well."""
    async with logged(ScriptedProvider(answer("Hello", usage=USAGE)), tmp_path / "log") as place:
        got = await ask(place.port, request("POST", CHAT, STREAM, **headers))

    (entry,) = entries(tmp_path / "log")
    times = [entry.pop(name) for name in ("first_token_ms", "total_ms")]
    assert re.fullmatch(TIME, entry.pop("time"))
    assert {
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "model": "llama",
        "outcome": "ok",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "request_id": got["x-request-id"],
    } == entry
    assert 0 <= times[0] <= times[1] < PATIENCE * 1000


async def test_a_line_for_people_says_the_same(tmp_path):
    """In one line, in words of the form key=value."""
    async with logged(ScriptedProvider(answer("Hello", usage=USAGE)), tmp_path / "log", "text") as place:
        got = await ask(place.port, request("POST", CHAT, HELLO))
        await ask(place.port, request("GET", "/healthz"))

    first, second = (tmp_path / "log").read_text().splitlines()
    shape = rf"{TIME} POST {CHAT} 200 \d+ms model=llama upstream=- outcome=ok tokens=7\+3 first=\d+ms {got['x-request-id']}"
    assert re.fullmatch(shape, first)
    assert re.fullmatch(rf"{TIME} GET /healthz 200 \d+ms req_[0-9a-f]+", second)


@pytest.mark.parametrize("form", ["text", "json"])
async def test_what_an_upstream_answered_has_its_place(tmp_path, form):
    """Who calls is told 502; that the upstream refuses this server's key, its operator reads in the log."""
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    async with ScriptedServer(Script.status(401)) as upstream:
        routed = Config(upstreams={"far": OpenAIConfig(base_url=upstream.url)}, models={"llama": ModelConfig(route=("far",))})
        async with listening(create_app(routed, log=AccessLog(form, fd))) as place:
            got = await ask(place.port, request("POST", CHAT, HELLO))
    os.close(fd)

    said = (tmp_path / "log").read_text()
    assert 502 == got.status
    assert ('"outcome":"status","upstream_status":401' if form == "json" else "outcome=status upstream_status=401 ") in said


async def test_who_leaves_and_who_is_refused_have_their_lines(tmp_path):
    """With 499, and with the status that they got; an answer that was left says so."""
    pause = Pause()
    provider = ScriptedProvider(["Hello", pause])
    async with logged(provider, tmp_path / "log") as place:
        await ask(place.port, request("POST", CHAT, {}))
        async with Connection(place.port) as caller:
            await caller.send(request("POST", CHAT, HELLO))
            await pause.reached.wait()
        await provider.calls[0].over()

    told = [(entry["status"], entry.get("outcome")) for entry in entries(tmp_path / "log")]
    assert [(400, None), (499, "left")] == told


@pytest.mark.parametrize(("ended", "outcome"), [(FinishReason("stop", "finish_reason"), "ok"), (None, "running")])
async def test_a_line_may_come_before_the_answer_is_put_away(tmp_path, ended, outcome):
    """Who hangs up after the last byte had a whole answer; what is still generated, for who comes back, runs."""
    watch = SimpleNamespace(model="llama", upstream="u", outcome="", first=0.0, began=0.0, answer=SimpleNamespace(finish=ended))
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog("json", file.fileno())
        exchange = SimpleNamespace(method="POST", status=200, request_id="r", meter=watch, key="", extra=[])
        log.note(exchange, CHAT, known=True, seconds=1.0)
        log.close()

    assert outcome == entries(tmp_path / "log")[0]["outcome"]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nobody_can_write_into_the_log(tmp_path, form):
    """Line ends, quotes, escapes and other scripts in a path stay what they are: a path, escaped, in one line, and bounded. A
    query and a stream's id, which is a secret, are not written at all."""
    paths = [
        "/a%0A2026-01-01T00:00:00Z%20GET%20/faked%20200",
        "/%1B%5B31mred%22,%22status%22:200",
        "/%E2%80%AE%C3%A9",
        "/" + "x" * 1000,
        "/v1/models?key=SECRET",
        "/v1/streams/SECRETSECRETSECRETSECRETSECRETSE",
    ]
    async with logged(ScriptedProvider(), tmp_path / "log", form) as place:
        for path in paths:
            await ask(place.port, request("GET", path))

    lines = (tmp_path / "log").read_bytes().splitlines()
    assert len(paths) == len(lines)
    for line in lines:
        assert re.fullmatch(rb"[ -~]{1,450}", line)
        assert b"faked 200" not in line
        assert b'"status":200,' not in line.partition(b'"path"')[0]
        assert b"SECRET" not in line


async def test_without_a_log_nothing_is_written(capfd, serve):
    """An application that is mounted in another leaves logging to that one."""
    port = (await serve()).port

    await ask(port, request("POST", CHAT, HELLO))

    assert ("", "") == tuple(capfd.readouterr())


# ---- a slow reader


async def test_a_reader_who_does_not_read_holds_nobody_up(tmp_path):
    """The pipe is full, and requests are answered as before; what cannot wait is lost, and the reader is told how much."""
    reader, writer = os.pipe()
    lines = LineWriter(writer, max_waiting=10_000)
    try:
        for number in range(10_000):
            lines.write(b"line %d" % number)
            if number % 100 == 0:
                lines.flush()
        waiting = lines.waiting
        data = b""
        while b"lost" not in data:
            data += os.read(reader, 1 << 20)
            lines.flush()
    finally:
        lines.close()
        os.close(reader)
        os.close(writer)

    got = data.decode().splitlines()
    lost = int(re.search(r"\((\d+) lines", data.decode())[1])
    assert (10_000, True) == (len(got) - 1 + lost, waiting <= 10_000)
    assert [f"line {number}" for number in range(len(got) - 1)] == got[:-1]


async def test_a_reader_who_is_gone_costs_nothing():
    """Its lines go nowhere, and nothing is raised."""
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)

    lines.write(b"line")
    lines.close()
    os.close(writer)

    assert 0 == lines.waiting


async def test_a_line_that_is_longer_than_a_piece_is_written_whole(tmp_path):
    """As is a descriptor that somebody else has made non-blocking."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = LineWriter(writer)
    long = [b"x" * 5000, b"y" * 100, b"z" * 200_000]
    for line in long:
        lines.write(line)

    data = b""
    while lines.waiting:
        lines.flush()
        data += os.read(reader, 1 << 20)
    lines.close()
    os.close(reader)
    os.close(writer)

    assert b"\n".join(long) + b"\n" == data


# ---- serve


async def serve_once(tmp_path: Path, *arguments: str, server: str = "") -> tuple[str, str, str]:
    """One request to `serve`; its one line, what it said on stderr, and the name of the request."""
    async with ScriptedServer(Script.stream("Hello", usage=USAGE)) as upstream:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[server]\n{server}\napi_keys = ["k-SECRET"]\n[upstreams.far]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n'
            'api_key = "u-SECRET"\n[models.llama]\nroute = ["far"]\n'
        )
        process = await start("serve", "--config", str(config), "--port", "0", *arguments, env=environment(tmp_path))
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
        port = int(line.rpartition(":")[2])
        got = await ask(port, request("POST", CHAT, HELLO, authorization="Bearer k-SECRET"))
        process.send_signal(signal.SIGTERM)
        ended = await finish(process)
    assert (0, "", 200) == (ended.code, ended.out, got.status)
    return line, ended.err, got["x-request-id"] or ""


async def test_serve_greets_and_logs_on_stderr(tmp_path):
    """Where both wires, the page and the models are, who answers, and that keys are asked for, but not which; then a line a
    request, the last ones included."""
    line, said, name = await serve_once(tmp_path)

    url = line.removeprefix("listening on ").strip()
    assert {f"{url}/v1", url, f"{url}/", f"{url}/metrics"} <= set(said.split())
    assert re.search(r"^  llama +far$", said, re.MULTILINE)
    assert re.search(r"^  far +http://127.0.0.1:\d+/v1$", said, re.MULTILINE)
    assert re.search(rf"^{TIME} POST {CHAT} 200 \d+ms model=llama upstream=far .*tokens=7\+3 .*{name}$", said, re.MULTILINE)
    assert "SECRET" not in said


@pytest.mark.parametrize(
    ("arguments", "server", "form"),
    [
        ((), 'log = "json"', "json"),
        (("--log", "json"), 'log = "off"', "json"),
        (("--log", "off"), "", "off"),
    ],
)
async def test_the_form_is_the_command_lines_or_the_configs(tmp_path, arguments, server, form):
    """The command line goes first."""
    _, said, name = await serve_once(tmp_path, *arguments, server=server)

    found = [json.loads(line)["request_id"] for line in said.splitlines() if line.startswith("{")]
    assert ([name] if form == "json" else []) == found
    assert (form == "json") == (name in said)


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_key_in_the_query_is_in_no_line(tmp_path, form):
    """Clients of the Gemini API may send it there: to a path that is served, and to one that is not."""
    asked = {"contents": [{"parts": [{"text": "Hello"}]}]}
    async with logged(ScriptedProvider(), tmp_path / "log", form) as place:
        for path in ("/v1beta/models/llama:generateContent", "/v1beta/files", "/none"):
            await ask(place.port, request("POST", f"{path}?key=sk-secret", asked))

    said = (tmp_path / "log").read_text()
    assert 3 == len(said.splitlines())
    assert "/v1beta/models/{model}:generateContent" in said
    assert "sk-secret" not in said
