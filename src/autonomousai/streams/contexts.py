"""Contexts: what kept answers were continued from, each turn of a conversation stored once for all that follow it.

Written into each answer's request, a conversation of n turns would take the room of n²/2. So a request that continues from a
kept answer is stored with its own input alone, and beside it a *context*: the turn before it, and the id of the context of that
one. A context is stored as a stream of its own, which belongs to no caller: it stays when the answer that it repeats is
deleted, or past its time. It is kept for more than twice as long as answers are, and a conversation that has run for half
their time is stored in one piece once, at the next turn: so no context goes before an answer that was made of it.
"""

from __future__ import annotations

import secrets
from time import time
from typing import Any, Final, NamedTuple

import msgspec

from ..request import ChatRequest
from ..wires.openai_responses.kept import input_list
from ..wires.openai_responses.wire import OPENAI_RESPONSES
from ..wires.request_body import encode_request
from .errors import reported, stream_not_found
from .records import Record, RecordedRequest, encode_record, size_of
from .stores import GoneError, Store, context_keep_s

Item = dict[str, Any]

#: No caller has an id that belongs to this one.
_OWNER: Final = b""


class Context(msgspec.Struct, frozen=True):
    """A turn: the ``items`` that were asked and answered, after those of the context ``before``. ``since``: when the first of
    them all was stored, in seconds since the epoch."""

    items: list[Item]
    before: str = ""
    since: float = 0.0


class Turns(NamedTuple):
    """All that came before a request: its items, and since when they are stored."""

    items: list[Item]
    since: float


class Continued(NamedTuple):
    """What a request continues from, and its ``own`` input, which stands behind that in its document."""

    context: Context
    own: Any


_decode: Final = msgspec.json.Decoder(Context).decode


def next_context(recorded: RecordedRequest, turns: Turns, turn: list[Item], *, now: float, keep_s: float) -> Context:
    """Return the context of a request that continues from the answer to the *recorded* one, which has come after those *turns*;
    *turn*: its own input and what was answered."""
    if recorded.context and now - turns.since < keep_s / 2:
        return Context(turn, recorded.context, turns.since)
    return Context([*turns.items, *turn], "", now)


async def store_context(store: Store, context: Context, keep_s: float) -> str:
    """Store *context*, and return its id. *keep_s*: how long answers are kept. Raises `StoreError`."""
    context_id = secrets.token_hex(16)
    lease = await store.create(context_id, _OWNER, msgspec.json.encode(context), context_keep_s(keep_s))
    end = Record(end=True)
    if store.shared:
        await store.append(context_id, lease, 1, encode_record(end), end=True)
    else:
        store.append_now(context_id, lease, 1, end, size_of(end), end=True)
    return context_id


async def turns_of(store: Store, id: str) -> Turns:
    """Return what a context and those before it hold. Raises `GoneError`, `StoreError`."""
    turns: list[list[Item]] = []
    since = 0.0
    before = id
    while before:
        context = _decode(await store.request(before))
        turns.append(context.items)
        before, since = context.before, context.since
    return Turns([item for turn in reversed(turns) for item in turn], since)


def without_context(request: ChatRequest, own: Any) -> ChatRequest:
    """Return *request* as it is stored beside a context: with its *own* input alone, and no messages."""
    assert request.origin is not None
    origin = msgspec.structs.replace(request.origin, document={**request.origin.document, "input": own})
    return msgspec.structs.replace(request, messages=[], origin=origin)


async def with_context(store: Store, recorded: RecordedRequest) -> RecordedRequest:
    """Return a stored request as it was before `without_context`. Raises `GoneError`, `StoreError`."""
    origin = recorded.request.origin
    if not recorded.context or origin is None:
        return recorded
    turns = await turns_of(store, recorded.context)
    document = {**origin.document, "input": [*turns.items, *input_list(origin.document.get("input"))]}
    messages = OPENAI_RESPONSES.decode_request(encode_request(document), OPENAI_RESPONSES.paths[0]).messages
    request = msgspec.structs.replace(
        recorded.request, messages=messages, origin=msgspec.structs.replace(origin, document=document)
    )
    return msgspec.structs.replace(recorded, request=request)


class KeptRequests:
    """The requests of kept answers in a *store*. *keep_s*: how long answers are kept."""

    def __init__(self, store: Store, keep_s: float) -> None:
        self._store = store
        self._keep_s = keep_s

    async def written(self, recorded: RecordedRequest, continued: Continued) -> bytes:
        """Return what is stored of a request, and store beside it what it continues from. Raises `StoreError`."""
        context = await store_context(self._store, continued.context, self._keep_s)
        request = without_context(recorded.request, continued.own)
        return msgspec.json.encode(msgspec.structs.replace(recorded, request=request, context=context))

    async def find(self, id: str) -> RecordedRequest:
        """Return the request of a kept answer that was found, as it is stored: see `turns`. Raises `StatusError` 404 for the
        request of any other stream, 503 where the store cannot be reached."""
        with reported():
            try:
                recorded = msgspec.json.decode(await self._store.request(id) or b"null", type=RecordedRequest | None)
            except GoneError:
                recorded = None
        if recorded is None or not recorded.kept:
            raise stream_not_found()
        return recorded

    async def turns(self, recorded: RecordedRequest) -> Turns:
        """Return what came before the own input of a kept answer's request. Raises `StatusError` 410 where it was dropped, 503
        where the store cannot be reached."""
        with reported():
            return await turns_of(self._store, recorded.context)

    def next_context(self, recorded: RecordedRequest, turns: Turns, turn: list[Item]) -> Context:
        """Return the context of a request that continues from a kept answer; see `next_context`."""
        return next_context(recorded, turns, turn, now=time(), keep_s=self._keep_s)
