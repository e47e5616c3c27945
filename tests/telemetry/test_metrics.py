"""What `/metrics` says of real requests over real sockets, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.answer import Answer
from autonomousai.capabilities import Capabilities
from autonomousai.config import BreakerConfig, Config, ResumeConfig, RetryConfig, RouteConfig, ServerConfig
from autonomousai.errors import StatusError
from autonomousai.events import Batch, FinishReason, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.report import Attempt, Report
from autonomousai.result import AsyncResult
from autonomousai.server import create_app
from autonomousai.telemetry import metrics as metrics_module
from autonomousai.telemetry.exposition import render
from autonomousai.telemetry.families import ANSWER_BOUNDS, ENGINE_FAMILIES, FAMILIES, INFO_FAMILIES, PREFIX
from autonomousai.telemetry.metrics import AnswerMeter, Histogram, Metrics, engines_snapshot
from autonomousai.testing import Pause, Script, ScriptedProvider, ScriptedServer, answer
from tests.support.metrics import Counted, counted, read
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, events, listening, request

AGENT = "/api/v1/ai/chat"
STREAM = {**HELLO, "stream": True}
RESUMABLE = {"x_stream_resumable": "1"}
REFUSED = Script.status(503)
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


class Engine(ScriptedProvider):
    """What the embedded engine shows of itself."""

    state = "ready"

    async def metrics(self) -> dict[str, float]:
        return {"requests_processing": 2.0, "tokens_predicted_total": 17.0, "crashes_total": 1.0}


@asynccontextmanager
async def gateway(*urls: str, prefill: str = "no", **server: Any) -> AsyncIterator[Listening]:
    """A server over one upstream a URL, u0 and so on, each asked twice at most."""
    upstreams = [
        Upstream(
            f"u{number}",
            OpenAICompatible(url, prefill=prefill, retries=0),
            breaker=BreakerConfig(failures=5, cooldown=10_000),
        )
        for number, url in enumerate(urls)
    ]
    made = Gateway(upstreams, {"llama": [each.name for each in upstreams]}, retry=RetryConfig(attempts=2, backoff=0))
    async with listening(create_app(Config(server=ServerConfig(**server)), provider=made)) as place:
        yield place


async def until(port: int, reached: Callable[[Counted], bool]) -> Counted:
    """Look until the counters are as *reached* wants them."""
    async with asyncio.timeout(PATIENCE):
        while not reached(seen := await counted(port)):
            pass
    return seen


# ---- the text


async def test_every_family_is_told_with_its_kind_and_its_labels(serve, provider):
    """Once each, in valid text; a label that the table does not name is nowhere."""
    port = (await serve(Engine(answer("Hello", usage=USAGE)))).port
    await ask(port, request("POST", CHAT, STREAM, **RESUMABLE))
    await ask(port, request("GET", "/v1/streams/unknown"))

    got = await ask(port, request("GET", "/metrics"))

    told = {family.name: family for family in text_string_to_metric_families(got.body.decode())}
    assert "text/plain; version=0.0.4; charset=utf-8" == got["content-type"]
    for name, family in {**FAMILIES, **INFO_FAMILIES, "engine_crashes_total": ENGINE_FAMILIES["engine_crashes_total"]}.items():
        found = told[PREFIX + name.removesuffix("_total")]
        labels = {label for sample in found.samples for label in sample.labels} - {"le"}
        assert (family.kind, family.about) == (found.type, found.documentation)
        assert labels <= set(family.labels)


async def test_requests_are_counted_by_route_and_status(serve):
    """Callers' paths do not become names; who is inside, and the engine's own counters, stand beside them."""
    port = (await serve(Engine())).port
    for data in (
        request("POST", CHAT, HELLO),
        request("POST", CHAT, {}),
        request("GET", "/try/this"),
        request("GET", "/healthz"),
    ):
        await ask(port, data)

    seen = await counted(port)

    assert {("/healthz", "200"): 1, (CHAT, "200"): 1, (CHAT, "400"): 1, ("other", "404"): 1} == seen.by(
        "requests_total", "route", "status"
    )
    assert {("/healthz",): 1, (CHAT,): 2, ("other",): 1} == seen.by("request_seconds_count", "route")
    assert (0, 2, 17, 1) == (
        seen.of("requests_in_flight"),
        seen.of("engine_requests_processing", upstream="provider"),
        seen.of("engine_tokens_predicted_total", upstream="provider"),
        seen.of("engine_up", upstream="provider"),
    )


async def test_an_engine_that_is_down_is_told_as_down(serve):
    """Its crashes can be read all the same."""
    engine = Engine()
    engine.state = "failed"

    seen = await counted((await serve(engine)).port)

    assert (0, 1) == (seen.of("engine_up"), seen.of("engine_crashes_total"))


@pytest.mark.parametrize("path", [CHAT, AGENT])
@pytest.mark.parametrize(
    ("body", "headers"), [(HELLO, {}), (STREAM, {}), (STREAM, RESUMABLE)], ids=["whole", "stream", "resumable"]
)
async def test_an_answer_is_counted_with_its_tokens_and_times(path, body, headers):
    """By model and upstream, whichever the wire and the way; one first token, and a pause before each batch after it."""
    pause = Pause()
    script = Script.slow_first_token(pause, "Hello", " world", usage=USAGE)
    async with ScriptedServer(script) as upstream, gateway(upstream.url) as place:
        async with Connection(place.port) as caller:
            await caller.send(request("POST", path, body, **headers))
            await pause.reached.wait()
            pause.release()
            await caller.answer()
        seen = await counted(place.port)

    assert {("llama", "u0", "ok"): 1} == seen.by("answers_total", "model", "upstream", "outcome")
    assert {("llama", "u0", "prompt"): 7, ("llama", "u0", "completion"): 3} == seen.by(
        "tokens_total", "model", "upstream", "kind"
    )
    assert [1, 1] == [seen.of(f"{name}_seconds_count", model="llama", upstream="u0") for name in ("first_token", "answer")]
    assert 0 < seen.of("first_token_seconds_sum") <= seen.of("answer_seconds_sum") <= PATIENCE
    assert {("u0", "ok"): 1} == seen.by("attempts_total", "upstream", "outcome")


async def test_pauses_between_batches_are_counted(serve, provider):
    """Four batches have three pauses, whose sum is the time from the first to the last."""
    provider.play(answer("a", "b", "c"))
    serving = await serve()

    await ask(serving.port, request("POST", CHAT, STREAM))
    seen = await counted(serving.port)

    assert (1, 3) == (seen.of("first_token_seconds_count"), seen.of("inter_token_seconds_count"))
    assert 0 < seen.of("inter_token_seconds_sum") < PATIENCE


async def test_many_pauses_are_counted_together_and_each_once(serve, provider, monkeypatch):
    """However many came before metrics are read, and between two readings."""
    monkeypatch.setattr(metrics_module, "_TOGETHER", 4)
    provider.play(*(answer(*"abcdefg") for _ in range(2)))
    serving = await serve()

    counts = []
    for _ in range(2):
        await ask(serving.port, request("POST", CHAT, STREAM))
        counts.append((await counted(serving.port)).of("inter_token_seconds_count"))

    assert [7, 14] == counts


# ---- what a gateway did


async def told(*scripts: tuple[Script | str, ...], body: dict[str, Any] = STREAM, prefill: str = "no") -> Counted:
    """What is counted after one request to upstreams that play these."""
    async with ScriptedServer(*scripts[0]) as first, ScriptedServer(*scripts[-1]) as second:
        urls = [first.url, second.url][: len(scripts)]
        async with gateway(*urls, prefill=prefill) as place:
            await ask(place.port, request("POST", CHAT, body))
            return await counted(place.port)


async def test_a_retry_is_not_a_failover():
    """The same upstream again, and it answers."""
    seen = await told((REFUSED, Script.stream("Hello")))

    assert {("llama", "u0"): 1} == seen.by("retries_total", "model", "upstream")
    assert {} == {**seen.by("failovers_total", "source", "target"), **seen.by("rescues_total", "way")}
    assert {("u0", "status"): 1, ("u0", "ok"): 1} == seen.by("attempts_total", "upstream", "outcome")


async def test_a_failover_is_counted_from_whom_to_whom():
    """Two tries at the first, one at the second: the answer is the second's."""
    seen = await told((REFUSED,), (Script.stream("Hello"),))

    assert {("u0", "u1"): 1} == seen.by("failovers_total", "source", "target")
    assert {("u0",): 1} == seen.by("retries_total", "upstream")
    assert {("u1", "ok"): 1} == seen.by("answers_total", "upstream", "outcome")
    assert {("u0", "status"): 2, ("u1", "ok"): 1} == seen.by("attempts_total", "upstream", "outcome")


async def test_a_rescue_anew_is_counted_with_its_splice():
    """The first breaks half-way, and the second repeats it and goes on: no retry and no failover."""
    seen = await told((Script.cut("Hello"), "bad_request"), (Script.stream("Hello", " world"),))

    assert {("llama", "anew"): 1} == seen.by("rescues_total", "model", "way")
    assert {("u0", "u1"): 1} == seen.by("splices_total", "source", "target")
    assert {} == {**seen.by("failovers_total", "source"), **seen.by("retries_total", "upstream")}
    assert {("u1", "ok"): 1} == seen.by("answers_total", "upstream", "outcome")


async def test_a_rescue_by_continuing_is_counted_as_one():
    """The upstream can continue, and does, from the last whole word."""
    seen = await told((Script.cut("Hello", " wor"), Script.stream(" world", "!")), prefill="yes")

    assert {("continue",): 1} == seen.by("rescues_total", "way")


class Repeating(ScriptedProvider):
    """One that gives the same bytes again."""

    capabilities = Capabilities(deterministic=True)


async def test_a_rescue_by_the_same_again_is_counted_as_one(serve):
    """An upstream that repeats itself is asked for the same."""
    cut = ["Hello", StatusError("gone", status=503)]
    upstream = Upstream("u0", Repeating(cut, answer("Hello", " world")))
    made = Gateway([upstream], {"llama": ["u0"]}, retry=RetryConfig(backoff=0))
    port = (await serve(made)).port

    await ask(port, request("POST", CHAT, STREAM))
    seen = await counted(port)

    assert {("again",): 1} == seen.by("rescues_total", "way")


async def test_an_answer_that_nobody_could_finish_is_a_rescue_that_failed():
    """What was delivered cannot be gone on with: the answer is broken, by the kind of the break."""
    seen = await told((Script.cut("Hello"), Script.stream("Something else")))

    assert {("none",): 1} == seen.by("rescues_total", "way")
    assert {("u0", "cut"): 1} == seen.by("answers_total", "upstream", "outcome")
    assert ({}, 0) == (seen.by("splices_total", "source"), seen.of("tokens_total"))


async def test_an_answer_that_nobody_gave_is_told_by_its_cause():
    """Every try was refused: the answer's upstream is the last that was asked."""
    seen = await told((REFUSED,), (REFUSED,))

    assert {("llama", "u1", "status"): 1} == seen.by("answers_total", "model", "upstream", "outcome")
    assert 0 == seen.of("first_token_seconds_count")


async def test_a_hedge_is_counted_and_is_no_failover(serve):
    """From whom to whom, and what became of it; each model's policy is there to be seen."""
    slow, quick = ScriptedProvider([Pause(), *answer("A")]), ScriptedProvider(answer("B"))
    upstreams = [Upstream(name, each, time=lambda: 0.0) for name, each in (("u0", slow), ("u1", quick))]
    routes = {"llama": ["u0", "u1"], "hermes": ["u1"]}
    made = Gateway(upstreams, routes, policies={"llama": RouteConfig("weighted", hedge=1.0)})
    for _ in range(20):
        made.policies["llama"].loads["u0"].measure(0.0)
    port = (await serve(made)).port

    await ask(port, request("POST", CHAT, STREAM))
    seen = await counted(port)

    assert {("llama", "u0", "u1", "won"): 1} == seen.by("hedges_total", "model", "source", "target", "outcome")
    assert {("llama", "weighted"): 1, ("hermes", "order"): 1} == seen.by("route_policy", "model", "policy")
    assert {("u0", "hedged"): 1, ("u1", "ok"): 1} == seen.by("attempts_total", "upstream", "outcome")
    assert {} == {**seen.by("failovers_total", "source"), **seen.by("retries_total", "upstream")}


async def test_a_breaker_is_told_by_its_state():
    """Five failures open it; the states of each upstream add up to one."""
    async with ScriptedServer(REFUSED) as upstream, gateway(upstream.url) as place:
        before = await counted(place.port)
        for _ in range(3):
            await ask(place.port, request("POST", CHAT, HELLO))
        after = await counted(place.port)

    assert [{("u0", "closed"): 1}, {("u0", "open"): 1}] == [
        seen.by("breaker_state", "upstream", "state") for seen in (before, after)
    ]


async def test_the_queue_is_told_as_long_as_it_is(serve, provider):
    """One place, taken; one caller waits for it."""
    pause = Pause()
    provider.play([pause, *answer("first")], answer("second"))
    port = (await serve(max_concurrency=1)).port

    async with Connection(port) as first, Connection(port) as second:
        await first.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        await second.send(request("POST", CHAT, HELLO))
        waiting = await until(port, lambda seen: seen.of("queue_length") == 1)
        pause.release()
        await first.answer()
        await second.answer()
    after = await counted(port)

    assert [(1, 2, 1), (1, 0, 0)] == [
        (seen.of("places"), seen.of("requests_in_flight"), seen.of("queue_length")) for seen in (waiting, after)
    ]


# ---- labels


def made_of(report: Report) -> AsyncResult:
    async def source():
        batch: Batch = ["Hello", FinishReason("stop", "finish_reason")]
        yield batch

    return AsyncResult(source, report=report)


async def test_names_that_nobody_configured_become_other():
    """Whatever a provider or another server's note says: the labels are bounded."""
    metrics = Metrics(["llama"], ["u0"])
    for number in range(100):
        attempts = [Attempt(f"made-up-{number}", "ok", 200, 1)]
        result = made_of(Report())
        with metrics.answer(f"model-{number}", result, 0.0) as watch:
            result.report.attempts += attempts
            result.report.upstream = f"made-up-{number}"
            async for _ in result.batches():
                watch.batch()

    seen = read(render([metrics.snapshot()]))

    assert {("other", "other", "ok"): 100} == seen.by("answers_total", "model", "upstream", "outcome")
    assert {("other", "other", "ok"): 100} == seen.by("attempts_total", "model", "upstream", "outcome")


async def test_what_another_server_did_is_told_by_it_alone():
    """A stream that was taken over brings its account of attempts and splices; here only the new ones count."""
    metrics = Metrics(["llama"], ["u0"])
    result = made_of(
        Report(upstream="u0", attempts=[Attempt("u0", "cut", 200, 1), Attempt("u0", "server_lost", None, 0)], begun=-1)
    )
    with metrics.answer("llama", result, 0.0):
        result.report.attempts.append(Attempt("u0", "ok", 200, 1))
        result.report.ways.append("again")
        await result.text()

    seen = read(render([metrics.snapshot()]))

    assert {("u0", "ok"): 1} == seen.by("attempts_total", "upstream", "outcome")
    assert ({}, {("again",): 1}) == (seen.by("retries_total", "upstream"), seen.by("rescues_total", "way"))


# ---- what is counted together


def test_values_that_are_counted_together_count_as_each_alone():
    """Whatever they are, and where they are bounds."""
    drawn = random.Random(7)
    for _ in range(200):
        values = [drawn.choice((drawn.uniform(0, 700), *ANSWER_BOUNDS)) for _ in range(drawn.randrange(40))]
        alone, together = Histogram(ANSWER_BOUNDS), Histogram(ANSWER_BOUNDS)
        for value in values:
            alone.observe(value)

        together.observe_all(sorted(values))

        assert alone.counts == together.counts
        assert pytest.approx(alone.sum) == together.sum


@pytest.mark.parametrize("number", [1, 255, 256, 257, 700])
def test_complete_answers_count_as_those_that_are_watched(number: int, monkeypatch: pytest.MonkeyPatch):
    """However many there are, and whenever it is looked at them."""
    drawn = random.Random(number)
    at_once, watched = (Metrics(["llama"], ["u0", "u1"]) for _ in range(2))
    for index in range(number):
        name, model, seconds = drawn.choice(("u0", "u1", "u2", None)), drawn.choice(("llama", "qwen")), drawn.uniform(0, 700)
        key = drawn.choice(("", "shop"))
        report = Report(name, [Attempt(name, "ok", 200, 1)]) if name else None
        said = Answer(report)
        said.add(["Hello", FinishReason("stop", "finish_reason", drawn.choice((USAGE, None)))])
        monkeypatch.setattr("autonomousai.telemetry.metrics.monotonic", lambda now=seconds: 10.0 + now)
        at_once.whole(model, said, 10.0, key)
        at_once.request(CHAT, 200, seconds)
        meter = AnswerMeter(watched, model, said, 10.0, key=key)
        with meter:
            meter.batch()
        watched.request(CHAT, 200, seconds)
        if index in (3, 300):
            at_once.snapshot()

    seen = {sample[:2]: sample[2] for sample in at_once._samples()}
    expected = {sample[:2]: sample[2] for sample in watched._samples()}

    assert expected.keys() == seen.keys()
    assert all(pytest.approx(expected[name]) == seen[name] for name in expected)
    assert number == seen["requests_total", (CHAT, "200")][0]


# ---- several processes


async def test_processes_are_added_up_and_an_engine_is_told_once():
    """Counters, histograms and gauges are sums; the one engine's counters are not doubled, whoever tells them."""
    engine = {"embedded": {"tokens_predicted_total": 17.0}}
    snapshots = []
    for number in (1, 2):
        gauges = [("requests_in_flight", (), [number])]
        metrics = Metrics(["llama"], ["u0"], gauges=lambda gauges=gauges: gauges)
        for _ in range(number):
            metrics.request(CHAT, 200, 0.3)
        snapshots.append(metrics.snapshot(engine))

    seen = read(render([*snapshots, engines_snapshot(engine)]))

    assert (3, 3, 2, 17) == (
        seen.of("requests_total", status="200"),
        seen.of("requests_in_flight"),
        seen.of("processes"),
        seen.of("engine_tokens_predicted_total"),
    )
    buckets = seen.by("request_seconds_bucket", "le")
    assert ((3, 3), None) == ((buckets["0.5",], buckets["+Inf",]), buckets.get(("0.25",)))
    assert pytest.approx(0.9) == seen.of("request_seconds_sum")


# ---- coming back


async def test_who_comes_back_is_counted_by_what_they_found(serve):
    """The stream, its end, nothing."""
    serving = await serve()
    first = await ask(serving.port, request("POST", CHAT, STREAM, **RESUMABLE))
    name = first["x-stream-id"]
    last = first.body.count(b"\nid: ") + 1

    await ask(serving.port, request("GET", f"/v1/streams/{name}"))
    await ask(serving.port, request("GET", f"/v1/streams/{name}", last_event_id=str(last)))
    await ask(serving.port, request("DELETE", f"/v1/streams/{name}"))
    await ask(serving.port, request("GET", f"/v1/streams/{name}"))
    await ask(serving.port, request("GET", "/v1/streams/unknown"))
    seen = await counted(serving.port)

    assert {("ok",): 1, ("ended",): 1, ("gone",): 1, ("not_found",): 1} == seen.by("resumes_total", "outcome")
    assert "[DONE]" == events(first.body)[-1]


async def test_a_stream_under_way_is_told_as_written(serve, provider):
    """As long as it is generated, whether anybody reads it or not."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" world")])
    serving = await serve()

    async with Connection(serving.port) as caller:
        await caller.send(request("POST", CHAT, STREAM, **RESUMABLE))
        await pause.reached.wait()
    left = await until(serving.port, lambda seen: seen.of("requests_in_flight") == 0)
    pause.release()
    after = await until(serving.port, lambda seen: seen.of("streams") == 0)

    assert ({("written",): 1}, {("ok",): 1}) == (left.by("streams", "role"), after.by("answers_total", "outcome"))


# ---- orphans


class Stubborn(AsyncGeneratorProvider):
    """Goes on when it is told to stop, until the test lets it go."""

    def __init__(self) -> None:
        self.at_work = asyncio.Event()
        self.may_stop = asyncio.Event()

    def create_async_generator(self, model, messages, proxy=None, stream=False, **kwargs: Any) -> AsyncResult:
        async def source():
            batch: Batch = ["Hello"]
            yield batch
            self.at_work.set()
            while not self.may_stop.is_set():
                try:
                    await self.may_stop.wait()
                except asyncio.CancelledError:
                    continue

        return AsyncResult(source)


@pytest.mark.parametrize("headers", [{}, RESUMABLE], ids=["stream", "resumable"])
async def test_a_generation_that_does_not_stop_is_an_orphan(headers):
    """The caller is gone, or nobody came back in time: what is still at work then is counted."""
    provider = Stubborn()
    app = create_app(Config(resume=ResumeConfig(grace_s=0)), provider=provider)
    app.orphans.after_s = 0

    async with listening(app) as place:
        async with Connection(place.port) as caller:
            await caller.send(request("POST", CHAT, STREAM, **headers))
            await provider.at_work.wait()
            before = await counted(place.port)
        after = await until(place.port, lambda seen: seen.of("orphaned_generations_total") > 0)
        provider.may_stop.set()
        async with asyncio.timeout(PATIENCE):
            await app.empty()

    assert (0, 1, set()) == (
        before.of("orphaned_generations_total"),
        after.of("orphaned_generations_total"),
        app.orphans.suspected,
    )


@pytest.mark.parametrize("headers", [{}, RESUMABLE], ids=["stream", "resumable"])
async def test_a_generation_that_stops_is_none(serve, provider, headers):
    """Suspected while it is being stopped, and cleared by its end: the count cannot rise any more."""
    pause = Pause()
    provider.play(["Hello", pause])
    place = await serve()

    async with Connection(place.port) as caller:
        await caller.send(request("POST", CHAT, STREAM, **headers))
        _, head = await caller.head()
        await pause.reached.wait()
        if headers:
            await ask(place.port, request("DELETE", f"/v1/streams/{dict(head)['x-stream-id']}"))
    await provider.calls[0].over()
    async with asyncio.timeout(PATIENCE):
        await place.app.empty()
    seen = await counted(place.port)

    assert (0, set()) == (seen.of("orphaned_generations_total"), place.app.orphans.suspected)
    assert {("left",): 1} == seen.by("answers_total", "outcome")


FAR = {"X-Stream-Id": "far-away"}


@pytest.mark.parametrize(
    ("goodbye", "orphans"), [(Script.status(204), 0), (Script.status(404), 0), (Script.status(500), 1), (Script.hang_up(), 1)]
)
@pytest.mark.parametrize("kind", [OpenAICompatible, AutonomousAI])
async def test_an_upstream_that_could_not_be_told_goes_on_for_nobody(kind, goodbye, orphans):
    """A server that keeps streams goes on when its connection ends; where it does not hear that we left, that is an orphan."""
    stalled = Script.stall("Hello")
    stalled = Script(type(stalled.steps[0])(headers=FAR), *stalled.steps[1:])
    async with ScriptedServer(stalled) as upstream:
        for path in ("/v1/streams/far-away", "/streams/far-away"):
            upstream.play(goodbye, path=path)
        made = Gateway([Upstream("u0", kind(upstream.url, retries=0))], {"llama": ["u0"]})
        async with listening(create_app(provider=made)) as place:
            async with Connection(place.port) as caller:
                await caller.send(request("POST", CHAT, STREAM))
                await caller.until(b"Hello")
            await until(place.port, lambda seen: seen.of("requests_in_flight") == 0)
            seen = await counted(place.port)

    assert orphans == seen.of("orphaned_generations_total")
    assert ("DELETE", True) == (upstream.requests[1].method, upstream.requests[1].path.endswith("/streams/far-away"))
