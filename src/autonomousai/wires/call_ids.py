"""Ids of calls and of their results, where a program left them out: Ollama's own API has none, some servers send calls without
any, and programs send back what they got.

A call and its result are brought together by the name that the result has, or else by their order. An id that is made here says
where the call stands: so the same conversation has the same ids in each turn, and an upstream finds it in its cache.

Other servers draw the same id in each turn (``call_0``), or for several calls at once: where such ids are refused, the later
calls get others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..events import Message, Messages

Call = dict[str, Any]


def give_ids(messages: Messages) -> None:
    """Give each call of a function in *messages* an id, and each result that of its call, in place. What has one keeps it; a
    result that there is no call for gets none."""
    if all(map(_has_ids, messages)):
        return
    taken = {call["id"] for message in messages for call in _calls(message) if call.get("id")}
    for place, message in enumerate(messages):
        if calls := _calls(message):
            _match(place, calls, _results(messages, place + 1), taken)


def _has_ids(message: Message) -> bool:
    if message["role"] == "tool":
        return bool(message.get("tool_call_id"))
    return all(call.get("id") for call in _calls(message))


def calls_of(message: Message) -> list[Any]:
    """Return the calls that a message makes: the assistant's, which are checked. The member passes in messages of others."""
    return (message.get("tool_calls") or []) if message["role"] == "assistant" else []


def _calls(message: Message) -> list[Call]:
    """Return the calls of functions that a message makes."""
    return [call for call in calls_of(message) if call.get("type", "function") == "function"]


def _results(messages: Messages, begin: int) -> list[Message]:
    """Return the results from *begin* on, before other calls are made."""
    results = []
    for place in range(begin, len(messages)):  # no slice: each turn would copy all that comes after it
        if _calls(message := messages[place]):
            break
        if message["role"] == "tool":
            results.append(message)
    return results


class DistinctIds:
    """Ids of calls of which no two are the same, and the results that belong to them, in the order of a conversation. *taken*:
    all ids that stand in it."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._made: set[str] = set()
        self._counts: dict[str, int] = {}  # of calls by one id: with many of them each begins where the last one ended
        self._waiting: dict[str, tuple[int, deque[str]]] = {}  # by the id that was drawn: the turn, and its calls' ids

    def of_call(self, call_id: str, turn: int) -> str:
        """Return the id of a call that is made in a *turn*: its own, unless an earlier call has that."""
        own = call_id
        while own in self._made or (own != call_id and own in self._taken):
            self._counts[call_id] = self._counts.get(call_id, 1) + 1
            own = f"{call_id}_{self._counts[call_id]}"
        self._made.add(own)
        begun, waiting = self._waiting.get(call_id, (turn, deque()))
        if begun != turn:
            waiting = deque()
        waiting.append(own)
        self._waiting[call_id] = (turn, waiting)
        return own

    def of_result(self, call_id: str) -> str:
        """Return the id of the call that a result is of: of those of the last turn that drew this id, the first without one."""
        _, waiting = self._waiting.get(call_id, (0, deque()))
        return waiting.popleft() if waiting else call_id


def with_distinct_ids(messages: Messages) -> Messages:
    """Return *messages* with ids of calls of which no two are the same, for servers that pair calls and results by them alone.
    What is changed is a copy: another upstream may be asked with the same messages."""
    drawn = [call["id"] for message in messages for call in _all_calls(message)]
    if len(drawn) == len(taken := set(drawn)):
        return messages
    ids = DistinctIds(taken)
    said: Messages = []
    for turn, message in enumerate(messages):
        if message["role"] == "tool" and isinstance(message.get("tool_call_id"), str):
            message = {**message, "tool_call_id": ids.of_result(message["tool_call_id"])}
        elif _all_calls(message):
            message = {**message, "tool_calls": [_distinct(call, ids, turn) for call in message["tool_calls"]]}
        said.append(message)
    return said


def _all_calls(message: Message) -> list[Call]:
    """Return the calls of a message that have an id, of any type."""
    return [call for call in calls_of(message) if isinstance(call.get("id"), str)]


def _distinct(call: Call, ids: DistinctIds, turn: int) -> Call:
    return {**call, "id": ids.of_call(call["id"], turn)} if isinstance(call.get("id"), str) else call


def _match(place: int, calls: list[Call], results: list[Message], taken: set[str]) -> None:
    known = {call["id"] for call in calls if call.get("id")}
    answered = {result.get("tool_call_id") for result in results} & known
    waiting = _Waiting({index: call for index, call in enumerate(calls) if call.get("id") not in answered})
    for result in results:
        own = result.get("tool_call_id")
        if own in known or (index := waiting.place_of(result)) is None:
            continue
        call = waiting.calls.pop(index)
        call["id"] = result["tool_call_id"] = own or call.get("id") or _fresh(place, index, taken)
    for index, call in waiting.calls.items():
        call["id"] = call.get("id") or _fresh(place, index, taken)


class _Waiting:
    """Calls without a result, by their places among the calls of a message: there may be many of them, and of results."""

    def __init__(self, calls: dict[int, Call]) -> None:
        self.calls = calls
        self._places: dict[tuple[bool, str | None], deque[int]] = {}  # by whether they have an id, and by name; None: by any
        for place, call in calls.items():
            for name in (call["function"]["name"], None):
                self._places.setdefault((bool(call.get("id")), name), deque()).append(place)

    def place_of(self, result: Message) -> int | None:
        """Return the place of the call that a result is of: the first of its name. Where there is none, or the result has no
        name, the first; but not one that has an id and another name."""
        name = result.get("name") or result.get("tool_name")
        # An id that no call has can be the one that a call without any has lost.
        kinds = (False,) if result.get("tool_call_id") else (False, True)
        named = self._first(name, kinds) if isinstance(name, str) else None
        return self._first(None, kinds if name is None else (False,)) if named is None else named

    def _first(self, name: str | None, kinds: tuple[bool, ...]) -> int | None:
        firsts = []
        for kind in kinds:
            places = self._places.get((kind, name))
            while places and places[0] not in self.calls:
                places.popleft()
            if places:
                firsts.append(places[0])
        return min(firsts, default=None)


def _fresh(place: int, index: int, taken: set[str]) -> str:
    made = f"call_{place}_{index}"
    while made in taken:
        made += "_"
    taken.add(made)
    return made
