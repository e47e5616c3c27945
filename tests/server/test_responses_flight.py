"""A usual request of the Responses API whose response is not kept is sent without a task too; its items keep their order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.flights import END, HEAD, UNUSUAL, Tasks, ask_thrice, choice, metrics, serving, told, whole
from tests.support.raw import RawConnection
from tests.support.sockets import Connection, request

PATH = "/v1/responses"
ASKED = {"model": "llama", "input": "Hello", "instructions": "Be brief.", "temperature": 0.5, "store": False}


async def asked(upstream: Any, body: Any = ASKED, *, launches: bool) -> tuple[Any, Tasks]:
    """All that three requests leave behind, by either way."""
    with pytest.MonkeyPatch.context() as patch:
        async with serving(upstream) as (listener, server):
            tasks = Tasks(listener.app, patch)
            if not launches:
                patch.setattr(listener.app, "launch", lambda exchange: False)
            answers = await ask_thrice(listener.port, PATH, body)
            begun = tasks.begun
            names = [sorted(name for name, _ in answer.headers) for answer in answers]
            left = [told(answer) for answer in answers], names, server.asked, await metrics(listener.port)
            tasks.begun = begun
    return left, tasks


async def test_both_ways_give_and_count_the_same() -> None:
    """What the response repeats of its request is part of it; and the short way makes no task."""
    short, tasks = await asked(whole, launches=True)
    long, _ = await asked(whole, launches=False)

    assert long == short
    assert "Be brief." == short[0][-1]["instructions"]
    assert (1, 0) == (tasks.begun, tasks.handed_over)


def mixed(*pieces: Any) -> bytes:
    return HEAD + b"".join(choice(piece) for piece in pieces) + END


THINKS = [{"content": "One"}, {"reasoning_content": "Hm"}, {"content": "two"}, {"reasoning_content": "Ah"}, {"content": "!"}]


async def mixed_at_once(connection: RawConnection) -> None:
    await connection.send(mixed(*THINKS))


async def mixed_in_pieces(connection: RawConnection) -> None:
    for line in mixed(*THINKS).splitlines(keepends=True):
        await connection.send(line)


async def words_at_once(connection: RawConnection) -> None:
    await connection.send(mixed(*({"content": word} for word in ("One", "", " two", " three"))))


@pytest.mark.parametrize("upstream", [*UNUSUAL, mixed_at_once, mixed_in_pieces, words_at_once], ids=lambda each: each.__name__)
async def test_what_comes_otherwise_has_the_same_items(upstream: Any) -> None:
    """In the order in which they were said, however they come."""
    short, _ = await asked(upstream, launches=True)
    long, _ = await asked(upstream, launches=False)

    assert long == short


@pytest.mark.parametrize("store", [{}, {"store": True}, {"store": None}])
async def test_what_is_kept_is_answered_in_a_task(store: dict[str, Any]) -> None:
    """And can be asked for again."""
    body = {name: value for name, value in ASKED.items() if name != "store"} | store
    async with serving(whole) as (listener, _):
        with pytest.MonkeyPatch.context() as patch:
            tasks = Tasks(listener.app, patch)
            answers = await ask_thrice(listener.port, PATH, body)
        async with Connection(listener.port) as connection:
            again = await connection.ask(request("GET", f"{PATH}/{answers[-1].json()['id']}"))

    assert (3, 0) == (tasks.begun, tasks.handed_over)
    assert answers[-1].json() == again.json()
