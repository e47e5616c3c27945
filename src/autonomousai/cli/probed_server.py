"""Requests to a server that is looked at, and what came back. Knows the wire's bytes, and trusts nothing but what it sees."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from ..clients.learnt_forms import Adaptations
from ..clients.vendors import VendorName, vendor_by_headers
from ..errors import HTTPError, StreamError
from ..http.pool import HttpPool
from ..http.transport import Response, read_body
from ..http.urls import below
from ..timeouts import Clocks
from ..wires.foreign_errors import read_error
from ..wires.json import decode
from ..wires.sse import SSEDecoder

#: A list comes at once; for the first question a model may have to be loaded; for those after it, it is there.
LISTING: Final = Clocks(connect=5, first_token=20, idle=20, total=20)
COLD: Final = Clocks(connect=5, first_token=120, idle=60, total=300)
WARM: Final = Clocks(connect=5, first_token=30, idle=30, total=60)
_BODY: Final = 4_000_000

#: Gauges by which servers tell how many requests are at work in them.
_RUNNING: Final = re.compile(
    r"^(?:vllm:num_requests_running|llamacpp:requests_processing|sglang:num_running_reqs"
    r"|autonomousai_(?:chat_)?requests_in_flight|autonomousai_in_flight\w*)(?:\{[^}]*\})? ([0-9.eE+-]+)$",
    re.MULTILINE,
)


class StreamFound(msgspec.Struct):
    """A streamed answer as it came: its events, whether the sentinel was there, and seconds to the first text."""

    events: list[dict[str, Any]] = []
    done: bool = False
    first: float | None = None
    content_type: str = ""

    def choices(self) -> list[dict[str, Any]]:
        return [choice for event in self.events for choice in event.get("choices") or () if isinstance(choice, dict)]

    def finish_reason(self) -> str | None:
        return next((choice["finish_reason"] for choice in self.choices() if choice.get("finish_reason")), None)

    def usage(self) -> dict[str, Any] | None:
        return next((event["usage"] for event in reversed(self.events) if event.get("usage")), None)


class ProbedServer:
    """A server of OpenAI's wire. ``model``: the model of its requests; ``clocks`` hold for chat requests; ``vendor``: whose
    server it is, where the headers of a stream say so; ``adaptations``: the forms of a request that it takes."""

    def __init__(self, base_url: str, *, api_key: str | None, headers: dict[str, str]) -> None:
        self.model = ""
        self.clocks = COLD
        self.vendor: VendorName | None = None
        self.adaptations = Adaptations()
        self._base_url = base_url
        self._api_key = api_key
        self._headers = {"Content-Type": "application/json", "Accept": "*/*", **headers}
        self._pool = HttpPool()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    @asynccontextmanager
    async def open(self, body: dict[str, Any]) -> AsyncIterator[tuple[Response, float]]:
        """The response to a chat request, whatever its status, and when it was sent."""
        began = time.monotonic()
        response = await self._pool.post(
            below(self._base_url, "/chat/completions"),
            headers=self._headers,
            body=self.adaptations.applied(self.model, msgspec.json.encode({"model": self.model, **body})),
            clocks=self.clocks,
            streaming=bool(body.get("stream")),
        )
        try:
            yield response, began
        finally:
            await response.aclose()

    async def _read(self, response: Response) -> bytes:
        """The body; an answer of 400 or above is raised."""
        body = await read_body(response, _BODY)
        if response.status >= 400:
            raise read_error(response.status, body, response.headers, secrets=(self._api_key,) if self._api_key else ())
        return body

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that answers a chat request; an answer of 400 or above is raised."""
        async with self.open(body) as (response, _):
            return _decode(await self._read(response))

    async def refused(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body of an answer that should be a refusal."""
        async with self.open(body) as (response, _):
            data = await read_body(response, _BODY)
            try:
                return response.status, decode(data)
            except (ValueError, RecursionError):
                return response.status, data.decode("utf-8", "replace")[:200]

    async def stream(self, messages: Any, **fields: Any) -> StreamFound:
        """The streamed answer to *messages*, up to its end; an answer of 400 or above, and an error inside, is raised."""
        found = StreamFound()
        decoder = SSEDecoder()
        body = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}, **fields}
        async with self.open(body) as (response, began):
            self.vendor = vendor_by_headers(response.headers)
            found.content_type = response.headers.get("content-type", "").partition(";")[0]
            if response.status >= 400:
                await self._read(response)
            while data := await response.read_some():
                for event in decoder.feed(data):
                    if event == b"[DONE]":
                        found.done = True
                        return found
                    chunk = _decode(event if isinstance(event, bytes) else event.data)
                    if chunk.get("error"):
                        raise StreamError(f"an error came inside the stream: {chunk['error']}")
                    found.events.append(chunk)
                    response.progress()
                    if found.first is None and any(map(_says, found.choices())):
                        found.first = time.monotonic() - began
        return found

    async def get(self, url: str) -> bytes:
        """The body at *url*; an answer of 400 or above is raised."""
        response = await self._pool.get(url, headers=self._headers, clocks=LISTING)
        try:
            return await self._read(response)
        finally:
            await response.aclose()

    async def running(self) -> float | None:
        """How many requests are at work in the server, as it says itself; None where it does not."""
        base = self._base_url.partition("?")[0]
        for root in dict.fromkeys((base.removesuffix("/v1"), base)):
            with suppress(HTTPError):
                numbers = _RUNNING.findall((await self.get(f"{root}/metrics")).decode("utf-8", "replace"))
                if numbers:
                    return sum(map(float, numbers))
        return None


def _says(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    return isinstance(delta, dict) and any(
        delta.get(key) for key in ("content", "reasoning_content", "reasoning", "tool_calls")
    )


def _decode(data: bytes) -> dict[str, Any]:
    try:
        document = decode(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise StreamError("what came cannot be read as a JSON object")
    return document
