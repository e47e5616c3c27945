"""The application's life and its cold routes: started by a lifespan, by the first request or by a probe; mounted; closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from autonomousai.config import Config, OpenAIConfig
from autonomousai.errors import ConfigError
from autonomousai.server import create_app
from autonomousai.server.app import App
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.sockets import CHAT, HELLO, Connection, ask, listening, request


class Starting(ScriptedProvider):
    """Notes its starts, and fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        super().__init__()
        self.starts = 0
        self.failures = failures
        self.pause = Pause()
        self.pause.release()

    async def start(self) -> None:
        self.starts += 1
        await self.pause.wait()
        if self.starts <= self.failures:
            raise ConfigError("the weights are missing; run: autonomousai pull")


async def test_the_first_request_starts_the_provider_once(serve):
    """Nobody runs our lifespan inside another application: the first requests, all at once, start it together, once."""
    provider = Starting()
    provider.pause = Pause()
    port = (await serve(provider)).port

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(port, request("POST", CHAT, HELLO))) for _ in range(5)]
        await provider.pause.reached.wait()
        provider.pause.release()

    assert ([200] * 5, 1) == ([task.result().status for task in tasks], provider.starts)


async def test_a_failed_start_is_told_and_tried_again(serve):
    """Who comes when it cannot start learns why; the next one may have more luck."""
    provider = Starting(failures=1)
    port = (await serve(provider)).port

    failed = await ask(port, request("POST", CHAT, HELLO))
    answered = await ask(port, request("POST", CHAT, HELLO))

    assert ((500, "config_error"), 200, 2) == (failed.told, answered.status, provider.starts)


async def test_who_leaves_during_the_start_does_not_stop_it(serve):
    """The start is everybody's: a caller who leaves is gone, the start goes on for the others."""
    provider = Starting()
    provider.pause = Pause()
    serving = await serve(provider)

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, HELLO))
        await provider.pause.reached.wait()
    await serving.app.empty()
    provider.pause.release()
    answered = await ask(serving.port, request("POST", CHAT, HELLO))

    assert (200, 1) == (answered.status, provider.starts)


async def test_closing_during_the_start_stops_it():
    """An application that is closed while it starts leaves no task behind."""
    provider = Starting()
    provider.pause = Pause()
    app = create_app(provider=provider)
    starting = asyncio.create_task(app.start())
    await provider.pause.reached.wait()

    await app.aclose()
    await asyncio.gather(starting, return_exceptions=True)

    assert (True, True) == (provider.closed, starting.cancelled())


async def live(app: App, *messages: str) -> list[dict[str, Any]]:
    """What the application says to these lifespan messages."""
    said: list[dict[str, Any]] = []
    incoming = iter(messages)

    async def receive() -> dict[str, Any]:
        return {"type": f"lifespan.{next(incoming)}"}

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_a_lifespan_starts_and_closes_the_provider():
    """Where a server runs our lifespan, the provider starts before the first request and is closed at the end."""
    provider = Starting()

    said = await live(create_app(provider=provider), "startup", "shutdown")

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [message["type"] for message in said]
    assert (1, True) == (provider.starts, provider.closed)


async def test_a_lifespan_that_cannot_start_says_why():
    """The server that runs us gets the reason."""
    said = await live(create_app(provider=Starting(failures=1)), "startup")

    expected = {"type": "lifespan.startup.failed", "message": "the weights are missing; run: autonomousai pull"}
    assert [expected] == said


async def test_a_websocket_is_closed():
    """There are none here, and asking for one is no bug."""
    said = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    await create_app(provider=ScriptedProvider())({"type": "websocket"}, receive, send)

    assert ["websocket.close"] == said


@pytest.mark.parametrize("path", ["/ai/v1/models", "/ai/healthz", "/ai/", "/ai/v1/models/llama-3.3-70b"])
async def test_inside_another_application_the_cold_routes_work(provider, path):
    """Mounted under a path, it finds its own."""
    outer: Any = Starlette(routes=[Mount("/ai", create_app(provider=provider))])
    outer.aclose = provider.aclose

    async with listening(outer) as serving:
        got = await ask(serving.port, request("GET", path))

    assert 200 == got.status


@pytest.mark.parametrize("path", [CHAT, "/api/v1/ai/chat"])
async def test_inside_another_application_the_hot_routes_work(provider, path):
    """The chat routes are found under a mount, too, and outside of it they are not."""
    outer: Any = Starlette(routes=[Mount("/ai", create_app(provider=provider))])
    outer.aclose = provider.aclose

    async with listening(outer) as serving:
        statuses = [(await ask(serving.port, request("POST", prefix + path, HELLO))).status for prefix in ("/ai", "")]

    assert [200, 404] == statuses


async def test_it_runs_under_a_server_that_does_not_fill_everything_in(provider):
    """ASGI's optional keys may be missing from a scope."""
    app = create_app(provider=provider)
    said: list[Any] = []
    incoming = [{"type": "http.request"}]
    over = asyncio.Event()

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "2",
        "method": "GET",
        "path": "/v1/models",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await app(scope, receive, send)

    assert 200 == said[0]["status"]


async def test_the_probes_say_how_it_stands(serve):
    """Alive always; ready once started, which the probe itself sees to, and not when it cannot start."""
    provider = Starting(failures=1)
    port = (await serve(provider)).port

    probes = [await ask(port, request("GET", path)) for path in ("/healthz", "/readyz", "/readyz")]

    assert [200, 503, 200] == [probe.status for probe in probes]
    assert ["ok", "failed", "ready"] == [probe.json()["status"] for probe in probes]
    assert "autonomousai pull" in probes[1].json()["reason"]


async def test_an_application_that_serves_nothing_is_not_ready():
    """No model has a route: whoever mounts it hears so from the probe."""
    config = Config(upstreams={"far": OpenAIConfig(base_url="http://127.0.0.1:9/v1")})
    async with listening(create_app(config)) as server:
        got = await ask(server.port, request("GET", "/readyz"))

    assert (503, True) == (got.status, "no model has a route" in got.json()["reason"])


class Engine(ScriptedProvider):
    """What the embedded engine shows of itself."""

    state = "ready"

    async def metrics(self) -> dict[str, float]:
        return {"requests_processing": 2.0, "tokens_predicted_total": 17.0}


async def test_an_engine_that_has_given_up_is_not_ready(serve):
    """A crashed engine that is left alone fails the readiness probe."""
    engine = Engine()
    engine.state = "failed"
    port = (await serve(engine)).port

    got = await ask(port, request("GET", "/readyz"))

    assert (503, "failed") == (got.status, got.json()["status"])


async def test_a_bug_in_a_cold_route_is_a_500_in_openais_shape(serve):
    """Even there nothing but the shape gets out."""

    class Broken(Engine):
        async def metrics(self) -> dict[str, float]:
            raise ZeroDivisionError("SECRET")

    got = await ask((await serve(Broken())).port, request("GET", "/metrics"))

    assert (500, "internal_error") == got.told
    assert "SECRET" not in got.body.decode()


async def test_the_default_application_is_the_default_config():
    """Without arguments it serves the five models from the embedded engine, then those of this machine; making it starts
    nothing."""
    app = create_app()

    expected = create_app(Config()).provider.get_models()
    assert expected == app.provider.get_models()
    assert ["llama", "qwen_coder", "hermes", "vision", "summary"] == expected[:5]
    await app.aclose()


async def test_two_applications_do_not_share_anything():
    """State lives in instances: draining one says nothing about another."""
    provider = ScriptedProvider(answer("Hello"))
    first, second = create_app(provider=provider), create_app(provider=provider)
    first.drain()

    async with listening(first) as one, listening(second) as two:
        statuses = [(await ask(each.port, request("POST", CHAT, HELLO))).status for each in (one, two)]

    assert [503, 200] == statuses


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/chat/completions", HELLO), ("GET", "/models", b""), ("GET", "/models/llama", b"")],
)
async def test_openais_paths_may_lack_their_beginning(port, method, path, body):
    """A base URL without /v1 is what many a client is given: the same answers, counted under the same name."""
    here, there = await ask(port, request(method, path, body)), await ask(port, request(method, "/v1" + path, body))
    counted = (await ask(port, request("GET", "/metrics"))).body.decode()

    assert (200, 200) == (here.status, there.status)
    assert here.json().keys() == there.json().keys()
    assert f'route="{path}"' not in counted


async def test_the_page_answers_to_head(port):
    """A link checker and a proxy ask for the head alone: it is that of the page, and nothing follows it."""
    whole = await ask(port, request("GET", "/"))
    async with Connection(port) as connection:
        head = await connection.ask(request("HEAD", "/"))
        after = await connection.ask(request("GET", "/healthz"))

    assert (200, whole["content-length"], 200) == (head.status, head["content-length"], after.status)
