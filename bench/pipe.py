"""What a server on uvicorn costs that does nothing for its callers: the floor that ours is measured against.

Two plain ASGI applications, run with uvicorn, uvloop and httptools. `forward` sends what comes on to the upstream with aiohttp,
and the answer back, reading neither; `answer` has one answer for all, and asks nobody. Neither has clocks, keys, bounds,
evidence or metrics.

    python bench/pipe.py forward|answer UPSTREAM_URL PORT
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            return body


class Forward:
    """Each request goes on as it is, each read of the answer is a write."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        body = await read_body(receive)
        url = self._upstream + scope["path"]
        async with self._session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            headers = [(b"content-type", response.headers["Content-Type"].encode())]
            if length := response.headers.get("Content-Length"):
                headers.append((b"content-length", length.encode()))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            async for data in response.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Answer:
    """The upstream's first document, for everybody."""

    def __init__(self, upstream: str) -> None:
        self._forward = Forward(upstream)
        self._body = b""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._body:
            await read_body(receive)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(self._body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._body, "more_body": False})
            return

        async def keep(message: Message) -> None:
            self._body += message.get("body", b"")
            await send(message)

        await self._forward(scope, receive, keep)


def main() -> None:
    kind, upstream, port = sys.argv[1:]
    app = {"forward": Forward, "answer": Answer}[kind](upstream)
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "off",
        "access_log": False,
        "log_level": "error",
    }
    uvicorn.run(app, host="127.0.0.1", port=int(port), backlog=8192, **options)


if __name__ == "__main__":
    main()
