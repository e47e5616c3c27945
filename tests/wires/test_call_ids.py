"""Calls and results without ids are brought together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import InvalidMessagesError
from autonomousai.wires.call_ids import give_ids, with_distinct_ids
from autonomousai.wires.messages import check_messages
from tests.support.lines import lines

HELLO = {"role": "user", "content": "Hello"}


def call(id: str | None = None, name: str = "f", **members: Any) -> dict[str, Any]:
    given = {} if id is None else {"id": id}
    return {**given, "type": "function", "function": {"name": name, "arguments": "{}"}, **members}


def asked(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(id: str | None = None, **members: Any) -> dict[str, Any]:
    given = {} if id is None else {"tool_call_id": id}
    return {"role": "tool", "content": "r", **given, **members}


@pytest.mark.parametrize(
    ("messages", "calls", "results"),
    [
        ([asked(call()), result()], ["call_1_0"], ["call_1_0"]),
        ([asked(call("")), result("")], ["call_1_0"], ["call_1_0"]),
        ([asked({**call(), "id": None}), {**result(), "tool_call_id": None}], ["call_1_0"], ["call_1_0"]),
        ([asked(call("a")), result()], ["a"], ["a"]),
        ([asked(call()), result("a")], ["a"], ["a"]),
        (
            [asked(call("", "f"), call("", "g")), result(name="g"), result(name="f")],
            ["call_1_0", "call_1_1"],
            ["call_1_1", "call_1_0"],
        ),
        (
            [asked(call("", "f"), call("", "g")), result(tool_name="g"), result()],
            ["call_1_0", "call_1_1"],
            ["call_1_1", "call_1_0"],
        ),
        ([asked(call(), call()), result(), result()], ["call_1_0", "call_1_1"], ["call_1_0", "call_1_1"]),
        (
            [asked(call("a"), call(), call("b")), result("b"), result(), result("a")],
            ["a", "call_1_1", "b"],
            ["b", "call_1_1", "a"],
        ),
        ([asked(call("call_1_1"), call()), result("call_1_1"), result()], ["call_1_1", "call_1_1_"], ["call_1_1", "call_1_1_"]),
        ([asked(call()), HELLO, result()], ["call_1_0"], ["call_1_0"]),
        ([asked(call()), result(), asked(call()), result()], ["call_1_0", "call_3_0"], ["call_1_0", "call_3_0"]),
        ([asked(call()), HELLO], ["call_1_0"], []),
        ([asked(call("a")), result("b")], ["a"], ["b"]),
        ([asked({"type": "custom", "custom": {"name": "f", "input": ""}}), HELLO], [None], []),
    ],
)
def test_calls_and_results_have_ids(messages: list[Any], calls: list[str | None], results: list[str]) -> None:
    """By name, or else in their order; ids that are there stay."""
    checked = check_messages([HELLO, *messages])

    assert calls == [each.get("id") for message in checked for each in message.get("tool_calls") or ()]
    assert results == [message["tool_call_id"] for message in checked if message["role"] == "tool"]


def test_the_ids_are_the_same_in_each_turn() -> None:
    """An upstream finds the conversation in its cache."""
    first = [HELLO, asked(call()), result()]

    assert check_messages(first) == check_messages([*first, HELLO, asked(call()), result()])[:3]


@pytest.mark.parametrize("messages", [[result()], [asked(call("a")), result("a"), result()], [result(), asked(call())]])
def test_a_result_of_nothing_is_refused(messages: list[Any]) -> None:
    """It names the message."""
    with pytest.raises(InvalidMessagesError, match="give the id of the call") as caught:
        check_messages([HELLO, *messages])

    assert "tool_call_id" == caught.value.field


def test_many_calls_without_ids_cost_in_proportion() -> None:
    """A caller may send as many as a body holds, and all others wait meanwhile."""

    def steps(count: int) -> int:
        ids = [None] * count
        messages = [HELLO, asked(*map(call, ids)), *map(result, ids)]
        return lines(lambda: check_messages(messages))

    assert steps(1000) < 12 * steps(100)


@pytest.mark.parametrize(
    ("messages", "calls", "results"),
    [
        ([asked(call("a")), result("a")], ["a"], ["a"]),
        ([asked(call("a")), result("a"), asked(call("a")), result("a")], ["a", "a_2"], ["a", "a_2"]),
        ([asked(call("a"), call("a")), result("a"), result("a")], ["a", "a_2"], ["a", "a_2"]),
        ([asked(call("a")), asked(call("a"), call("a")), result("a"), result("a")], ["a", "a_2", "a_3"], ["a_2", "a_3"]),
        ([asked(call("a"), call("a_2"), call("a")), result("a_2")], ["a", "a_2", "a_3"], ["a_2"]),
        ([asked(call("a"), call("a")), result("a"), result("a"), result("a")], ["a", "a_2"], ["a", "a_2", "a"]),
    ],
)
def test_ids_that_several_calls_have_are_made_distinct(messages: list[Any], calls: list[str], results: list[str]) -> None:
    """A result stays with the call of its turn; what was given stays as it is."""
    before = json.dumps(messages)

    made = with_distinct_ids(messages)

    assert calls == [each["id"] for message in made for each in message.get("tool_calls") or ()]
    assert results == [message["tool_call_id"] for message in made if message["role"] == "tool"]
    assert before == json.dumps(messages)


def test_many_calls_of_one_id_cost_what_as_many_others_do() -> None:
    """A caller may send as many as a body holds."""

    def steps(count: int) -> int:
        messages = [message for _ in range(count) for message in (asked(call("a")), result("a"))]
        return lines(lambda: with_distinct_ids(messages))

    assert steps(1000) < 2.5 * steps(500)


class Watched(list[Any]):
    """Counts how many of its items were looked at by their places."""

    looked = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.looked += len(found) if isinstance(place, slice) else 1
        return found


def test_many_turns_with_a_call_each_are_read_once() -> None:
    """A turn looks at its own results, and not at all that comes after them."""
    turns = Watched(message for _ in range(300) for message in (asked(call(None)), result(None)))

    give_ids(turns)

    assert turns.looked < 3 * len(turns)
    assert all(turn.get("tool_call_id") for turn in list(turns)[1::2])
