"""Ids of calls and of their results, where a program left them out: Ollama's own API has none, some servers send calls without
any, and programs send back what they got.

A call and its result are brought together by the name that the result has, or else by their order. An id that is made here says
where the call stands: so the same conversation has the same ids in each turn, and an upstream finds it in its cache.
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


def _calls(message: Message) -> list[Call]:
    """Return the calls of functions that a message makes."""
    calls = message.get("tool_calls")
    return [call for call in calls if call.get("type", "function") == "function"] if isinstance(calls, list) else []


def _results(messages: Messages, begin: int) -> list[Message]:
    """Return the results from *begin* on, before other calls are made."""
    results = []
    for place in range(begin, len(messages)):  # no slice: each turn would copy all that comes after it
        if _calls(message := messages[place]):
            break
        if message["role"] == "tool":
            results.append(message)
    return results


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
