"""A server before an upstream that answers with bytes as they are given, and how many tasks its requests took."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.gateway.gateway import Gateway
from autonomousai.http.server.cycle import RequestResponseCycle
from autonomousai.http.server.exchange import Exchange, Handle
from autonomousai.http.server.protocol import HTTPProtocol
from autonomousai.http.sweep import Sweep
from autonomousai.server import App, create_app
from tests.support.raw import RawConnection, RawServer, answering
from tests.support.sockets import CHAT, HELLO, PATIENCE, Answer, Connection, Listening, listening, request

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(**members: Any) -> bytes:
    document = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", **members}
    event = b"data: %b\n\n" % json.dumps(document).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def choice(delta: Any, reason: str | None = None) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": reason}])


HELLO_CHUNKS = [choice({"role": "assistant", "content": ""}), choice({"content": "Hel"}), choice({"content": "lo"})]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
END = choice({}, "stop") + chunk(choices=[], usage=USAGE) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
WHOLE = HEAD + b"".join(HELLO_CHUNKS) + END


class Tasks:
    """How many requests a task was made for."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.handed_over = 0
        self.handed = asyncio.Event()
        handle, hand_over = app.handle, HTTPProtocol.hand_over

        async def counted(exchange: Exchange) -> None:
            self.begun += 1
            await handle(exchange)

        def handed(protocol: HTTPProtocol, cycle: RequestResponseCycle, handle: Handle) -> None:
            self.handed_over += 1
            self.handed.set()
            hand_over(protocol, cycle, handle)

        monkeypatch.setattr(app, "handle", counted)
        monkeypatch.setattr(HTTPProtocol, "hand_over", handed)


def never_silent(app: App) -> None:
    """Let no silence of a stream be long enough to be bridged, however busy the machine is."""
    app._sweep = Sweep(asyncio.get_running_loop(), 1e6)


#: The second in which the limits of keys count, where time stands still.
NOW = 1_800_000_000.0


def stop_time(app: App) -> None:
    """Let all requests come in one second: how much of a limit is left, and how long a refusal asks to wait, depend on it."""
    quotas = app._keys._quotas
    quotas._now = quotas._store._now = lambda: NOW  # type: ignore[attr-defined]


@asynccontextmanager
async def serving(
    answer: Callable[[RawConnection], Awaitable[None]], tables: str = "", *, cheaper: bool = False, kind: str = "openai"
) -> AsyncIterator[tuple[Listening, RawServer]]:
    """A server of one model, whose upstream answers so; in the end its breaker has no request under way. *tables*: of its
    config, beside those; *cheaper*: an upstream "cheap" answers likewise those who are over their budget; *kind*: the
    upstream's."""
    async with answering(answer) as upstream:
        text = f'[upstreams.there]\nkind = "{kind}"\nbase_url = "{upstream.url}"\n[models.llama]\nroute = ["there"]\n'
        if cheaper:
            text += f'over_budget = ["cheap"]\n[upstreams.cheap]\nkind = "openai"\nbase_url = "{upstream.url}"\n'
        app = create_app(parse_config(text + tables, {}))
        await app.start()
        async with listening(app) as listener:
            yield listener, upstream
            async with asyncio.timeout(PATIENCE):
                await app.empty()
            assert isinstance(app.provider, Gateway)
            assert {0} == {each.breaker.running for each in app.provider.upstreams.values()}


async def whole(connection: RawConnection) -> None:
    await connection.send(WHOLE)


async def ask_thrice(port: int, path: str = CHAT, body: Any = HELLO, **headers: str) -> list[Answer]:
    """The first request opens the upstream's connection, and the head of the second is known."""
    async with Connection(port) as connection:
        return [await connection.ask(request("POST", path, body, **headers)) for _ in range(3)]


def told(answer: Answer) -> dict[str, Any]:
    """An answer without what differs each time."""
    document: dict[str, Any] = answer.json()
    for name in ("id", "created", "created_at", "completed_at", "request_id"):
        document.pop(name, None)
    for item in document.get("output", ()):
        item.pop("id")
    for attempt in document.get("x_autonomousai", {}).get("attempts", ()):
        attempt.pop("ms")
    return {"status": answer.status, "kind": answer["content-type"], **document}


async def metrics(port: int, **headers: str) -> list[str]:
    async with Connection(port) as connection:
        text = (await connection.ask(request("GET", "/metrics", **headers))).body.decode()
    return [line for line in text.splitlines() if "_total{" in line and 'route="/metrics"' not in line]


# ---- upstreams ----


async def in_pieces(connection: RawConnection) -> None:
    for piece in (HEAD, *HELLO_CHUNKS, END):
        await connection.send(piece)
        await asyncio.sleep(0)


async def refused(connection: RawConnection) -> None:
    if connection.heard == 1:
        await connection.send(WHOLE)
    else:
        await connection.send(b'HTTP/1.1 400 Bad\r\ncontent-length: 35\r\n\r\n{"error":{"message":"no","code":1}}')


async def refused_with_an_answer(connection: RawConnection) -> None:
    """What stands under another status than 200 is no answer, however complete it is."""
    await connection.send(WHOLE if connection.heard == 1 else WHOLE.replace(b"200 OK", b"400 Bad"))


async def a_document(connection: RawConnection) -> None:
    message = {"role": "assistant", "content": "Hello"}
    body = json.dumps({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def broken_then_whole(connection: RawConnection) -> None:
    """The first answer is complete; the second breaks in its midst; what is asked then continues it."""
    if connection.number == 1 and connection.heard == 2:
        await connection.send(HEAD + b"".join(HELLO_CHUNKS))
        connection.reset()
    else:
        await connection.send(WHOLE)


async def stale(connection: RawConnection) -> None:
    """Each connection answers once, and is closed by the next request."""
    if connection.heard == 1:
        await connection.send(WHOLE)
    else:
        connection.reset()


#: Upstreams that bring no complete answer at once.
UNUSUAL = [in_pieces, refused, refused_with_an_answer, a_document, broken_then_whole, stale]
