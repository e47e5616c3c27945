"""Traces, as OpenTelemetry's own SDK records them: a span a request, in it one an attempt, by the conventions; and the secrets
that are in none of them, nor in the log, nor in the metrics."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from autonomousai import OpenAICompatible
from autonomousai.capabilities import Capabilities
from autonomousai.config import Config, RetryConfig, Secret, ServerConfig, TelemetryConfig
from autonomousai.errors import ConfigError
from autonomousai.events import Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.request import ChatRequest
from autonomousai.server import App, create_app
from autonomousai.telemetry.access_log import AccessLog
from autonomousai.telemetry.tracing import OpenTelemetry
from autonomousai.testing import Pause, Script, ScriptedProvider, ScriptedServer
from tests.support.program import environment, finish, start
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, listening, request

STREAM = {**HELLO, "stream": True}
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=opaque"}


class Traced:
    """A server that is traced, and what was recorded of it."""

    def __init__(self, place: Listening, exporter: InMemorySpanExporter) -> None:
        self.place = place
        self.port = place.port
        self._exporter = exporter

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]

    def all(self) -> str:
        """Every span with all that it says."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@asynccontextmanager
async def traced(
    *urls: str, content: bool = False, log: AccessLog | None = None, api_key: str | None = None, **server: Any
) -> AsyncIterator[Traced]:
    """A server over upstreams u0 and so on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = OpenTelemetry(provider, content=content)
    upstreams = [
        Upstream(f"u{number}", OpenAICompatible(url, api_key=api_key, prefill="no", retries=0))
        for number, url in enumerate(urls)
    ]
    routes = {"llama": [each.name for each in upstreams]}
    made = Gateway(upstreams, routes, retry=RetryConfig(attempts=1, backoff=0), observer=tracer)
    async with listening(App(Config(server=ServerConfig(**server)), made, log=log, tracer=tracer)) as place:
        yield Traced(place, exporter)
    provider.shutdown()


async def test_a_number_that_fits_no_attribute_is_left_out():
    """The protocol has 64 bits and a sign; JSON has any number, and an upstream gets it as it was sent."""
    async with ScriptedServer(Script.stream("Hello", usage=USAGE)) as upstream, traced(upstream.url) as server:
        await ask(server.port, request("POST", CHAT, {**HELLO, "seed": 2**63, "top_k": -(2**63) + 1, "temperature": 10**30}))
        (inner,) = server.of(SpanKind.CLIENT)

    assert (10**30, 2**63) == (upstream.requests[0].json()["temperature"], upstream.requests[0].json()["seed"])
    told = {name: value for name, value in inner.attributes.items() if name.startswith("gen_ai.request.")}
    assert {"gen_ai.request.model": "llama", "gen_ai.request.top_k": -(2**63) + 1} == told


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "stream"])
async def test_a_request_and_its_attempt_are_spans_by_the_conventions(body):
    """What was asked for, of whom, who answered, with how many tokens, and how it ended."""
    async with ScriptedServer(Script.stream("Hello", usage=USAGE)) as upstream, traced(upstream.url) as server:
        await ask(server.port, request("POST", CHAT, {**body, "temperature": 0.5, "max_tokens": 9, "seed": 4}))
        (outer,), (inner,) = server.of(SpanKind.SERVER), server.of(SpanKind.CLIENT)

    assert (f"POST {CHAT}", "chat llama") == (outer.name, inner.name)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "llama",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": 4,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "http.response.status_code": 200,
        "autonomousai.upstream": "u0",
        "autonomousai.outcome": "ok",
    } == dict(inner.attributes)
    assert {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "llama",
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "autonomousai.upstream": "u0",
    } == {name: value for name, value in outer.attributes.items() if name != "autonomousai.request_id"}
    assert (outer.context.span_id, ["first token"]) == (inner.parent.span_id, [event.name for event in inner.events])


@pytest.mark.parametrize("headers", [{}, {"x_stream_resumable": "1"}], ids=["stream", "resumable"])
async def test_a_callers_trace_goes_on_here_and_at_the_upstream(headers):
    """The caller's span is the request's parent, the request's the attempt's, and the upstream is told of the attempt's."""
    async with ScriptedServer(Script.stream("Hello")) as upstream, traced(upstream.url) as server:
        await ask(server.port, request("POST", CHAT, STREAM, **CALLERS, **headers))
        async with asyncio.timeout(PATIENCE):
            await server.place.app.empty()
        (outer,), (inner,) = server.of(SpanKind.SERVER), server.of(SpanKind.CLIENT)
        carried = upstream.requests[0].headers

    assert (TRACE, PARENT) == (format_trace_id(outer.context.trace_id), format_span_id(outer.parent.span_id))
    assert outer.context.span_id == inner.parent.span_id
    assert (f"00-{TRACE}-{format_span_id(inner.context.span_id)}-01", "vendor=opaque") == (
        carried["traceparent"],
        carried["tracestate"],
    )


async def test_each_attempt_is_a_span_and_says_what_ended_it():
    """The first upstream refuses, the second breaks, the third goes on: the request is well, two attempts are not."""
    scripts = [Script.status(503), Script.cut("Hello"), Script.stream("Hello", " world")]
    async with ScriptedServer(*scripts) as upstream, traced(*[upstream.url] * 3) as server:
        await ask(server.port, request("POST", CHAT, STREAM))
        (outer,), inner = server.of(SpanKind.SERVER), server.of(SpanKind.CLIENT)

    assert [("u0", "503", StatusCode.ERROR), ("u1", "cut", StatusCode.ERROR)] == [
        (span.attributes["autonomousai.upstream"], span.attributes.get("error.type"), span.status.status_code)
        for span in inner[:2]
    ]
    assert ("ok", StatusCode.UNSET) == (inner[-1].attributes["autonomousai.outcome"], outer.status.status_code)


async def test_a_stream_that_breaks_for_good_is_an_error_though_its_status_was_200():
    """The head was sent; what became of the answer is told by the span."""
    scripts = [Script.cut("Hello"), Script.stream("Something else")]
    async with ScriptedServer(*scripts) as upstream, traced(upstream.url) as server:
        await ask(server.port, request("POST", CHAT, STREAM))
        (outer,) = server.of(SpanKind.SERVER)

    assert (200, "cut", StatusCode.ERROR) == (
        outer.attributes["http.response.status_code"],
        outer.attributes["error.type"],
        outer.status.status_code,
    )


def test_an_attempt_that_lost_a_race_is_no_error():
    """Another upstream, asked beside it, had begun to answer."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    asked = ChatRequest("llama", [])

    OpenTelemetry(provider).attempt(Upstream("u0", ScriptedProvider()), asked).ended("hedged", None)
    (span,) = exporter.get_finished_spans()

    assert ("hedged", None, StatusCode.UNSET) == (
        span.attributes["autonomousai.outcome"],
        span.attributes.get("error.type"),
        span.status.status_code,
    )


async def test_who_leaves_ends_both_spans():
    """Neither is an error."""
    pause = Pause()
    async with ScriptedServer(Script.slow_first_token(pause, "Hello")) as upstream, traced(upstream.url) as server:
        async with Connection(server.port) as caller:
            await caller.send(request("POST", CHAT, STREAM))
            await pause.reached.wait()
        async with asyncio.timeout(PATIENCE):
            while not server.of(SpanKind.SERVER):
                await asyncio.sleep(0)
        (outer,), (inner,) = server.of(SpanKind.SERVER), server.of(SpanKind.CLIENT)

    assert (499, "left") == (outer.attributes["http.response.status_code"], inner.attributes["autonomousai.outcome"])
    assert [StatusCode.UNSET] * 2 == [span.status.status_code for span in (outer, inner)]


async def test_who_asks_how_we_are_leaves_no_trace():
    """Probes and scrapes come for ever; what else is asked for is traced, by route and not by path."""
    async with traced() as server:
        for path in ("/healthz", "/readyz", "/metrics", "/secret/path"):
            await ask(server.port, request("GET", path))
        names = [span.name for span in server.of(SpanKind.SERVER)]

    assert (["GET other"], False) == (names, "secret" in server.all())


async def test_content_is_told_where_an_operator_says_so():
    """What was asked and answered, in the conventions' form; of an image, that it was one."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}]
    async with ScriptedServer(Script.stream("Hello", " world")) as upstream, traced(upstream.url, content=True) as server:
        server.place.app.provider.upstreams["u0"].provider.capabilities = Capabilities(vision=True)
        await ask(server.port, request("POST", CHAT, {"model": "llama", "messages": asked}))
        (inner,) = server.of(SpanKind.CLIENT)

    assert [{"role": "user", "parts": [{"type": "text", "content": "What?"}, {"type": "image_url"}]}] == json.loads(
        inner.attributes["gen_ai.input.messages"]
    )
    assert [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello world"}], "finish_reason": "stop"}
    ] == json.loads(inner.attributes["gen_ai.output.messages"])


# ---- what nobody may read


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_prompt_no_answer_and_no_key_is_told(tmp_path: Path, form: str) -> None:
    """Neither by the log, nor by a trace, nor by a metric: whatever becomes of the request, and whoever errs."""
    prompt, said, key, upstreams_key = "PROMPT-CANARY", "ANSWER-CANARY", "KEY-CANARY", "UPSTREAMS-CANARY"
    scripts = [
        Script.stream(said),
        Script.cut(said),
        Script.status(400, {"error": {"message": f"no: {prompt} {upstreams_key}", "type": "x"}}),
        Script.error_event(said, error={"message": prompt}),
        Script.document(said),
    ]
    bodies = [
        {"messages": [{"role": "user", "content": prompt}], "stream": True, "user": prompt, "stop": [prompt]},
        {"messages": [{"role": prompt, "content": prompt}]},
        {"model": prompt, "messages": [{"role": "user", "content": prompt}]},
        {"messages": [{"role": "user", "content": prompt}], prompt: prompt},
    ]
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = AccessLog(form, fd)
    async with (
        ScriptedServer() as upstream,
        traced(upstream.url, log=log, api_key=upstreams_key, api_keys=(Secret(key),)) as server,
    ):
        auth = {"authorization": f"Bearer {key}"}
        for script in scripts:
            upstream.play(script)
            await ask(server.port, request("POST", CHAT, bodies[0], **auth))
        for body in bodies[1:]:
            await ask(server.port, request("POST", CHAT, body, **auth))
        upstream.play("silence")
        await ask(server.port, request("POST", CHAT, bodies[0], authorization=f"Bearer {key}-WRONG"))
        await ask(server.port, request("GET", f"/v1/models?key={key}&q={prompt}", **auth))
        async with Connection(server.port) as caller:
            await caller.send(request("POST", CHAT, bodies[0], **auth))
            await upstream.request(len(upstream.requests))
        async with asyncio.timeout(PATIENCE):
            await server.place.app.empty()
        metrics = (await ask(server.port, request("GET", "/metrics", **auth))).body.decode()
        spans = server.all()
    os.close(fd)

    told = {"the log": path.read_text(), "the trace": spans, "the metrics": metrics}
    assert [] == [(where, word) for where, text in told.items() for word in ("CANARY", "WRONG") if word in text]
    assert len(scripts) + len(bodies[1:]) + 4 == path.read_text().count("\n")
    assert all(CHAT in text for text in told.values())


# ---- setting it up


async def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    """At the start, with the key; and where it is off, nobody looks for it."""
    for name in [name for name in sys.modules if name.startswith("opentelemetry")] + ["autonomousai.telemetry.tracing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigError, match=r"telemetry\.otel: .*pip install 'autonomousai\[otel\]'"):
        create_app(Config(telemetry=TelemetryConfig(otel=True)))
    app = create_app(Config())

    await app.aclose()


async def test_serve_sends_spans_to_where_the_environment_says(tmp_path):
    """By OTLP over HTTP, under a name of our own, at the latest at the end; and the upstream hears of the trace."""
    async with ScriptedServer(Script.stream("Hello")) as upstream, ScriptedServer(Script.document("")) as collector:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[telemetry]\notel = true\n[upstreams.far]\nkind = "openai"\nbase_url = "{upstream.url}"\n'
            '[models.llama]\nroute = ["far"]\n'
        )
        env = environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        process = await start("serve", "--config", str(config), "--port", "0", env=env)
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
        await ask(int(line.rpartition(":")[2]), request("POST", CHAT, HELLO, **CALLERS))
        process.terminate()
        ended = await finish(process)

    (sent,) = collector.requests
    assert (0, "/v1/traces") == (ended.code, sent.path)
    assert all(word in sent.body for word in (b"autonomousai", b"chat llama", b"gen_ai.request.model", bytes.fromhex(TRACE)))
    assert upstream.requests[0].headers["traceparent"].startswith(f"00-{TRACE}-")
