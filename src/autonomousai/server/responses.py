"""``/v1/responses/{id}``: a response that is kept is read, read on as a stream, cancelled or dropped, and its input listed.

OpenAI API reference, "Responses": get, delete, cancel, list input items. Knows the requests alone; what is kept, and how, is in
`kept`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from ..http.server.exchange import Exchange
from ..wires.openai_responses.kept import input_page, not_in_background
from ..wires.openai_responses.wire import OPENAI_RESPONSES
from ..wires.shapes import refusal
from .admission import check_wire
from .auth import RESPONSES_PATH
from .context import EndpointContext
from .disconnect import DisconnectScope
from .endpoint import PlacedRequest, in_place
from .kept import KeptResponse, find_kept
from .sse_response import SSEResponse

#: Digits of an event's number.
_MAX_DIGITS: Final = 15


class ResponsesRoute:
    """Requests about one kept response."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        #: By the method, and what follows the id in the path.
        self._handlers: Mapping[tuple[str, str], Callable[[Exchange, str, SSEResponse | None], Awaitable[None]]] = {
            ("GET", ""): self._get,
            ("DELETE", ""): self._delete,
            ("POST", "/cancel"): self._cancel,
            ("GET", "/input_items"): self._list_input,
        }

    def serves(self, exchange: Exchange) -> bool:
        """Return whether a request is one of these."""
        name, rest = _parts_of(exchange)
        return bool(name) and (_method_of(exchange), rest) in self._handlers

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request. Raises as `Endpoint` does."""
        await in_place(self._context, exchange, OPENAI_RESPONSES, self._serve)

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange = self._context, asked.exchange
        if exchange.caller is not None:
            check_wire(exchange.caller, OPENAI_RESPONSES)
        name, rest = _parts_of(exchange)
        if (exchange.method, rest) == ("GET", "") and _is_streamed(exchange):
            asked.response = SSEResponse(exchange, OPENAI_RESPONSES, context.sweep(), context.keepalive_s)
        await context.ready()
        await self._handlers[_method_of(exchange), rest](exchange, name, asked.response)

    async def _find(self, exchange: Exchange, id: str) -> KeptResponse:
        context = self._context
        return await find_kept(context.streams, context.key_of(exchange), id, exchange.request_id)

    async def _get(self, exchange: Exchange, id: str, response: SSEResponse | None) -> None:
        after = _query(exchange).get("starting_after")
        if after is not None and not (after.isascii() and after.isdigit() and len(after) <= _MAX_DIGITS):
            raise refusal("starting_after", "must be the sequence_number of an event of this response")
        kept = await self._find(exchange, id)
        if response is None:
            await _respond(exchange, await kept.response())
        else:
            # Events are counted from 1 on, and their sequence numbers from 0 on.
            await self._stream(exchange, kept, response, last=0 if after is None else int(after) + 1)

    async def _stream(self, exchange: Exchange, kept: KeptResponse, response: SSEResponse, *, last: int) -> None:
        """Send the events after number *last*, and those that come."""
        context = self._context
        streams = context.streams
        response.name(kept.stream, goes_on=streams.outlive_us)
        with (
            DisconnectScope(exchange, context.places.callers, context.orphans),
            streams.reader(streams.attach(kept.stream, kept.found, exchange.request_id), last) as reader,
        ):
            if await streams.seek(reader):
                await response.write(b"")
                await response.relay(reader)
            else:
                await response.write(b"data: [DONE]\n\n", last=True)

    async def _delete(self, exchange: Exchange, id: str, response: SSEResponse | None) -> None:
        kept = await self._find(exchange, id)
        await self._context.streams.drop(kept.stream)
        await _respond(exchange, {"id": id, "object": "response", "deleted": True})

    async def _cancel(self, exchange: Exchange, id: str, response: SSEResponse | None) -> None:
        kept = await self._find(exchange, id)
        if kept.recorded.kept != "background":
            raise not_in_background()
        if kept.found.state == "running":
            await self._context.streams.cancel(kept.stream)
            kept = await self._find(exchange, id)
        await _respond(exchange, await kept.response())

    async def _list_input(self, exchange: Exchange, id: str, response: SSEResponse | None) -> None:
        kept = await self._find(exchange, id)
        query = {name: value for name, value in _query(exchange).items() if name in ("order", "limit", "after")}
        await _respond(exchange, input_page(await kept.input(), kept.stream, **query))


def _method_of(exchange: Exchange) -> str:
    return "GET" if exchange.method == "HEAD" else exchange.method


def _parts_of(exchange: Exchange) -> tuple[str, str]:
    """Return the id in a path, and what follows it."""
    name, slash, rest = exchange.path.partition(RESPONSES_PATH.removeprefix("/v1"))[2].partition("/")
    return name, slash + rest


def _is_streamed(exchange: Exchange) -> bool:
    """Return whether the response is to come as events. Raises `StatusError` 400 where that is neither true nor false."""
    value = _query(exchange).get("stream", "false")
    if value not in ("true", "false"):
        raise refusal("stream", "must be true or false")
    return value == "true"


def _query(exchange: Exchange) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(exchange.query.decode("latin-1"), keep_blank_values=True).items()}


async def _respond(exchange: Exchange, document: dict[str, Any]) -> None:
    exchange.respond(200, msgspec.json.encode(document))
    await exchange.drain()
