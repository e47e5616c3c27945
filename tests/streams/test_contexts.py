"""What kept answers were continued from: stored once, put together again, and kept for as long as it is needed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from autonomousai.streams.contexts import (
    Context,
    Turns,
    next_context,
    store_context,
    turns_of,
    with_context,
    without_context,
)
from autonomousai.streams.records import RecordedRequest
from autonomousai.streams.stores import GoneError
from autonomousai.streams.stores.memory import MemoryStore
from autonomousai.wires.openai_responses.wire import OPENAI_RESPONSES

DAY = 86_400.0


def said(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


def recorded(value: Any, **more: Any) -> RecordedRequest:
    body = {"model": "m", "input": value, "instructions": "Be brief.", "temperature": 0.5, "stream": True, **more}
    request = OPENAI_RESPONSES.decode_request(json.dumps(body).encode(), "/v1/responses")
    return RecordedRequest(request, OPENAI_RESPONSES.name, "id", "attended")


@pytest.mark.parametrize("own", ["More", [said("user", "More")], None, []])
async def test_a_request_is_put_together_as_it_was(own: Any) -> None:
    """What another server takes over is what this one was asked, to the last field."""
    store = MemoryStore(keep_s=60, max_bytes=10**6)
    first, second = [said("user", "Hi"), said("assistant", "Hello")], [said("user", "And?"), said("assistant", "Yes.")]
    one = await store_context(store, Context(first, since=1.0), DAY)
    two = await store_context(store, Context(second, one, 1.0), DAY)
    more = [said("user", own)] if isinstance(own, str) else own or []
    if isinstance(own, str):
        more = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": own}]}]
    whole = recorded([*first, *second, *more])
    kept = msgspec.structs.replace(whole, request=without_context(whole.request, own), context=two)
    written = msgspec.json.encode(kept)

    read = await with_context(store, msgspec.json.decode(written, type=RecordedRequest))

    assert read.request == whole.request
    assert b"Hello" not in written
    assert await turns_of(store, two) == Turns([*first, *second], 1.0)
    assert await turns_of(store, "") == Turns([], 0.0)


async def test_what_is_gone_is_said_to_be() -> None:
    """A store may make room: then the conversation is not half of itself."""
    store = MemoryStore(keep_s=60, max_bytes=10**6)
    one = await store_context(store, Context([said("user", "Hi")]), DAY)
    two = await store_context(store, Context([said("user", "And?")], one), DAY)
    await store.drop(one)

    with pytest.raises(GoneError):
        await turns_of(store, two)


def test_a_conversation_that_lasts_is_stored_in_one_piece_again() -> None:
    """Before any of its contexts can go: an answer that is made of it now is kept for a day from now on."""
    turns, turn = Turns([said("user", "Hi")], 1000.0), [said("assistant", "Hello")]
    later = msgspec.structs.replace(recorded("x"), context="before")

    assert next_context(recorded("x"), Turns([], 0.0), turn, now=5.0, keep_s=DAY) == Context(turn, "", 5.0)
    assert next_context(later, turns, turn, now=1001.0, keep_s=DAY) == Context(turn, "before", 1000.0)
    assert next_context(later, turns, turn, now=1000.0 + DAY / 2, keep_s=DAY) == Context(
        [*turns.items, *turn], "", 1000.0 + DAY / 2
    )


async def test_contexts_are_kept_for_longer_than_answers() -> None:
    """One is made of the first up to half a day later, and is kept for a day after its end."""
    now = 0.0
    store = MemoryStore(keep_s=60, max_bytes=10**6, now=lambda: now)
    one = await store_context(store, Context([said("user", "Hi")]), DAY)

    now = 1.5 * DAY + 600
    assert (await turns_of(store, one)).items
    await store.heartbeat({}, ())
    assert (await turns_of(store, one)).items
    now = 2 * DAY + 3601
    await store.heartbeat({}, ())
    with pytest.raises(GoneError):
        await turns_of(store, one)
