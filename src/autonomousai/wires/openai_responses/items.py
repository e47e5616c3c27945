"""The output items of an upstream's response, piece by piece or whole -> events. Knows no stream and no document.

The items of OpenAI's API reference ("Responses", ``output``). What a piece brought is not brought again by the whole: the text
of a finished part or item adds only what its deltas lacked. A call of a custom tool is one of the function that such a tool
becomes (see `custom_tools`), and comes whole. What has no event is an `Extra` at its place, with one member:

- ``begun``: an output item of another type begins, whose events follow; ``item``: a whole one. A ``reasoning`` item is the
  whole of the reasoning that came before it.
- ``message``: a message begins here; its members that have no event (``phase``). ``reasoning``: the same; its id, where
  it is encrypted.
- ``part``: a part begins here, of the type that the object names; a whole part, where its type has no event. With ``break`` it
  is one of reasoning behind others, and its first piece begins with `BREAK`, which is no part of its text.

The latter three are left out where events imply them: a first message, a part of another type than the one before, a summary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ...events import Annotations, Batch, Extra, Images, LogProbs, Reasoning, Refusal, ToolCallDelta
from ..custom_tools import custom_arguments
from ..json import Halves, mend
from ..openai_chat.tool_calls import rest_of_arguments
from ..quoted_arguments import QuotedArguments, is_quoted
from .made_images import image_in

WIRE_NAME: Final = "openai_responses"

Json = dict[str, Any]

#: What a part of each type is called here, and under which key it holds its text.
_TEXT, _REFUSAL, _THOUGHT, _SUMMARY = "output_text", "refusal", "reasoning_text", "summary_text"
_KEYS: Final = {_TEXT: "text", _REFUSAL: "refusal", _THOUGHT: "text", _SUMMARY: "text"}

#: Types of parts that some servers write in place of another.
_SAME_AS: Final = {"message": {"text": _TEXT}, "reasoning": {"text": _THOUGHT, _TEXT: _THOUGHT}}

#: Members of items that have a place in events, or that every encoder writes by itself.
_KNOWN_MESSAGE: Final = frozenset({"id", "type", "role", "status", "content"})
_KNOWN_CALL: Final = frozenset({"id", "type", "call_id", "name", "arguments", "input", "status"})
_KNOWN_REASONING: Final = frozenset({"id", "type", "summary", "content", "status"})

#: Types of items that become events of their own, which begin them too.
_WITH_EVENTS: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})

#: Types of items that ask the caller for something, so that the answer ends with the reason ``tool_calls``.
_CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call"}
)

#: What parts the thoughts of one answer for readers who know no parts.
BREAK: Final = "\n\n"

#: Characters and pieces of arguments that are held back until their calls have names; no other bound counts them.
_MOST_HELD: Final = 256 * 1024


class _Item:
    """One output item. ``number``: how many began before it. ``pieces``: the text of each part, by its type and index."""

    __slots__ = (
        "annotated",
        "arguments",
        "begun",
        "call",
        "call_id",
        "grows",
        "halves",
        "id",
        "index",
        "is_done",
        "is_named",
        "last_part",
        "number",
        "pieces",
        "quoted",
        "spoken",
        "type",
    )

    def __init__(self, index: int | None, item_id: str | None, kind: str, number: int) -> None:
        self.number = number
        self.index = index
        self.id = item_id
        self.type = kind
        self.is_done = False
        self.pieces: dict[tuple[str, int], list[str]] = {}
        self.begun: dict[tuple[str, int], str] = {}  # the text with which a part was added, until its first piece
        self.halves = Halves()  # of characters, whose rest comes with the next piece
        self.last_part: str | None = None
        self.annotated: dict[int, int] = {}  # how many annotations of each part came
        self.spoken: set[int] = set()  # parts whose log probabilities came
        self.call: int | None = None  # the index among the calls, of a function call that was begun
        self.call_id: str | None = None
        self.is_named = False
        self.grows = False  # the arguments of a call are sent again from their beginning with each piece
        self.quoted: QuotedArguments | None = None  # of a call whose arguments are text of JSON
        self.arguments: list[str] = []  # of a call that is not named yet, or with which it began and that may be none


class OutputItems:
    """The items of one answer. ``asks``: whether one of them is a call that the caller is to make. *new_id*: draws the id of a
    call that has none."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.asks = False
        self._items: list[_Item] = []
        self._kinds: set[str] = set()
        # By what events name them: the first of an id, and the last of an index, of both, and of each call's own id.
        self._of_id: dict[str, _Item] = {}
        self._of_index: dict[int, _Item] = {}
        self._of_both: dict[tuple[int | None, str], _Item] = {}
        self._of_call_id: dict[str, _Item] = {}
        self._open_calls: dict[int, _Item] = {}  # by their order
        self._has_thought = False
        self._ids: set[str] = set()  # of calls
        self._calls = 0
        self._held = 0

    # ---- whole items

    def add(self, event: Json, batch: Batch) -> None:
        """Take ``response.output_item.added``: what it holds of the item may be more than its type."""
        obj = event.get("item")
        if not isinstance(obj, dict):
            return
        index, item_id = _place_of(event), _text_of(obj, "id")
        known = self._exactly(index, item_id)
        if known is not None and not known.is_done:
            if known.type == "function_call" and known.call is None:  # pieces of its arguments came before
                self._call(known, {**obj, "arguments": "".join(known.arguments)}, batch)
            return
        item = self._begin(obj, index, item_id, batch)
        if item.type == "function_call":
            if obj.get("arguments") in ("{}", {}):  # some servers begin so, whatever follows
                obj, item.arguments = {**obj, "arguments": ""}, ["{}"]
            self._call(item, obj, batch)
        elif item.type not in _WITH_EVENTS and item_id is not None:
            batch.append(_extra("begun", obj))

    def complete(self, event: Json, batch: Batch) -> None:
        """Take ``response.output_item.done``: the item as it is, of which any part may have come."""
        if isinstance(obj := event.get("item"), dict):
            index, item_id = _place_of(event), _text_of(obj, "id")
            self._complete(
                self._open(index, item_id, _text_of(obj, "type")) or self._begin(obj, index, item_id, batch), obj, batch
            )

    def complete_all(self, output: Any, batch: Batch) -> None:
        """Take the ``output`` of a whole response: the items of which nothing came, and those that were not finished."""
        found: set[_Item] = set()  # each stands for one item of the output alone, whatever ids a server gives them
        for index, obj in enumerate(output if isinstance(output, list) else ()):
            if not isinstance(obj, dict):
                continue
            item_id, kind = _text_of(obj, "id"), _text_of(obj, "type") or "message"
            known = (self._exactly(index, item_id), self._by_id(item_id), self._by_index(index))
            item = next((each for each in known if each is not None and each not in found), None)
            if item is None or (item.type != kind and kind not in self._kinds):
                item = self._begin(obj, index, item_id, batch)
            found.add(item)
            if item.type == kind and not item.is_done:
                self._complete(item, obj, batch)
        for item in self._items:
            self._say_held(item, batch)

    def _say_held(self, item: _Item, batch: Batch) -> None:
        """Say what was held back of an item until more of it came."""
        if item.type == "function_call" and item.arguments:
            self._call(item, {"id": item.id, "arguments": "".join(item.arguments)}, batch)
        if item.quoted is not None and (rest := item.quoted.rest()):
            batch.append(ToolCallDelta(item.call or 0, arguments=rest))
        for (part, place), text in item.begun.items():
            if (part, place) not in item.pieces:
                self._say(item, part, place, text, batch, whole=True)
        for key, half in item.halves.flush():
            if key == "arguments":
                self._argue(item, half, batch, whole=False)
            else:
                part, place = key
                self._say(item, part, place, half, batch, whole=False)

    def _complete(self, item: _Item, obj: Json, batch: Batch) -> None:
        if item.is_done:
            return
        item.is_done = True
        self._open_calls.pop(item.number, None)
        if item.type == "message":
            self._complete_parts(item, obj.get("content"), batch)
        elif item.type == "function_call":
            if item.arguments and not obj.get("arguments"):
                obj = {**obj, "arguments": "".join(item.arguments)}
            self._call(item, obj, batch)
        elif item.type == "custom_tool_call":
            said = obj.get("input")
            self._call(item, {**obj, "arguments": custom_arguments(said if isinstance(said, str) else "")}, batch)
        elif item.type == "reasoning":
            self._complete_parts(item, obj.get("summary"), batch)
            self._complete_parts(item, obj.get("content"), batch)
            parts = len(item.pieces)
            if parts != 1 or any(value is not None for name, value in obj.items() if name not in _KNOWN_REASONING):
                batch.append(_extra("item", obj))
        else:
            batch.append(_extra("item", obj if item.id is None else {**obj, "id": item.id}))
            if (image := image_in(obj)) is not None:
                batch.append(Images([image]))

    # ---- their parts

    def say(self, event: Json, part: str, batch: Batch, *, whole: bool) -> None:
        """Take a piece of text, or all of it, of a *part* of that type."""
        place = event.get("summary_index" if part == _SUMMARY else "content_index")
        place = place if type(place) is int else 0
        text = event.get(_KEYS[part] if whole else "delta")
        item = self._of_part(event, part, batch)
        if not whole and (probs := event.get("logprobs")) and isinstance(probs, list):
            item.spoken.add(place)
            batch.append(LogProbs(probs))
        if not (item.is_done and not whole and (part, place) in item.pieces):  # all of it came before its pieces
            self._say(item, part, place, text, batch, whole=whole)

    def add_part(self, event: Json, batch: Batch) -> None:
        """Take ``response.content_part.added``: the text that the part may hold counts, unless its pieces repeat it."""
        part = event.get("part")
        if not isinstance(part, dict) or (kind := _text_of(part, "type") or "") not in _KEYS:
            return
        if (text := _text_of(part, _KEYS[kind])) is None:
            return
        place = event.get("summary_index", event.get("content_index"))
        item = self._of_part(event, kind, batch)
        if not item.is_done:
            item.begun[kind, place if type(place) is int else 0] = text

    def complete_part(self, event: Json, batch: Batch) -> None:
        """Take ``response.content_part.done`` or ``response.reasoning_summary_part.done``."""
        part = event.get("part")
        if not isinstance(part, dict):
            return
        place = event.get("summary_index", event.get("content_index"))
        kind = _text_of(part, "type") or ""
        item = self._open(_place_of(event), _text_of(event, "item_id"))
        if item is None and kind in _KEYS:
            item = self._of_part(event, kind, batch)
        if item is not None and not item.is_done and _SAME_AS.get(item.type, {}).get(kind, kind) in _KEYS:
            self._complete_part(item, place if type(place) is int else 0, part, batch)

    def annotate(self, event: Json, batch: Batch) -> None:
        """Take ``response.output_text.annotation.added``."""
        if (annotation := event.get("annotation")) is None:
            return
        item = self._of_part(event, _TEXT, batch)
        place = event.get("content_index")
        place = place if type(place) is int else 0
        item.annotated[place] = item.annotated.get(place, 0) + 1
        batch.append(Annotations([annotation]))

    def argue(self, event: Json, batch: Batch, *, whole: bool) -> None:
        """Take a piece of a function call's arguments, or all of them."""
        index, item_id = _place_of(event), _text_of(event, "item_id")
        obj = {"type": "function_call", "id": item_id, "name": event.get("name")}
        item = self._open(index, item_id, "function_call") or self._open_call(index, item_id)
        item = item or self._begin(obj, index, item_id, batch)
        if item.is_done and not whole and item.pieces.get(("arguments", 0)):
            return  # all of them came with the item
        if item.call is None and obj["name"] is None:  # its item, which has the name and the id, is still to come
            delta = "" if whole else _text_of(event, "delta") or ""
            self._held += 1 + len(delta)
            if self._held <= _MOST_HELD:
                item.arguments += [delta] if delta else []
                return
            obj["arguments"] = "".join(item.arguments)
        self._call(item, obj, batch)
        self._argue(item, event.get("arguments" if whole else "delta"), batch, whole=whole)

    def _complete_parts(self, item: _Item, parts: Any, batch: Batch) -> None:
        if isinstance(parts, str) and parts:  # as some servers write it
            parts = [{"type": "text", "text": parts}]
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                self._complete_part(item, place, part, batch)

    def _complete_part(self, item: _Item, place: int, part: Json, batch: Batch) -> None:
        kind = _text_of(part, "type") or ""
        kind = _SAME_AS.get(item.type, {}).get(kind, kind)
        if kind not in _KEYS:
            if item.type == "message":
                item.last_part = kind
                batch.append(_extra("part", part))
            return
        self._say(item, kind, place, part.get(_KEYS[kind]), batch, whole=True)
        if kind != _TEXT:
            return
        probs, annotations = part.get("logprobs"), part.get("annotations")
        if isinstance(probs, list) and probs and place not in item.spoken:
            item.spoken.add(place)
            batch.append(LogProbs(probs))
        come = item.annotated.get(place, 0)
        if isinstance(annotations, list) and len(annotations) > come:
            item.annotated[place] = len(annotations)
            batch.append(Annotations(annotations[come:]))

    def _say(self, item: _Item, part: str, place: int, text: Any, batch: Batch, *, whole: bool) -> None:
        if not isinstance(text, str):
            return
        pieces = item.pieces.get((part, place))
        if pieces is None:
            if not text:
                return
            if item.begun and not whole and (begun := item.begun.pop((part, place), None)) is not None:
                text = text if text.startswith(begun) or begun.startswith(text) else begun + text
            pieces = item.pieces[part, place] = []
        text = _more_of(item, (part, place), pieces, text, whole=whole)
        if not text:
            return
        is_thought = part in (_THOUGHT, _SUMMARY)
        if not pieces:
            parted = {"break": True} if is_thought and self._has_thought else {}
            if parted or part in (_THOUGHT, item.last_part):
                batch.append(_extra("part", {"type": part, **parted}))
            item.last_part = part
            self._has_thought = self._has_thought or is_thought
        else:
            parted = {}
        pieces.append(text)
        if is_thought:
            batch.append(Reasoning(f"{BREAK}{text}" if parted else text))
        else:
            batch.append(text if part == _TEXT else Refusal(text))

    def _call(self, item: _Item, obj: Json, batch: Batch) -> None:
        """Say what *obj* names of a function call and was not named before."""
        arguments = obj.get("arguments")
        name = None if item.is_named else _text_of(obj, "name")
        item.is_named = item.is_named or name is not None
        if item.call is None:
            item.call, self._calls = self._calls, self._calls + 1
            item.pieces["arguments", 0] = []
            extra = {key: value for key, value in obj.items() if key not in _KNOWN_CALL and value is not None}
            call_id = _text_of(obj, "call_id") or item.id or self._new_id()
            if call_id in self._ids:  # callers tell calls apart by their ids
                call_id = self._new_id()
            self._ids.add(call_id)
            item.call_id = call_id
            self._of_call_id[call_id] = item
            batch.append(ToolCallDelta(item.call, call_id, name, "", extra or None))
        elif name is not None:
            batch.append(ToolCallDelta(item.call, None, name))
        self._argue(item, arguments, batch, whole=True)

    def _argue(self, item: _Item, arguments: Any, batch: Batch, *, whole: bool) -> None:
        if isinstance(arguments, dict | list):  # as some servers write them
            arguments = msgspec.json.encode(arguments).decode()
        if not isinstance(arguments, str) or item.call is None:
            return
        pieces = item.pieces["arguments", 0]
        arguments = _more_of(item, "arguments", pieces, arguments, whole=whole)
        if not whole and (rest := rest_of_arguments(pieces, arguments, grows=item.grows)) is not None:
            item.grows, arguments = True, rest
        if not arguments:
            return
        item.arguments = []
        if not pieces and is_quoted(arguments):
            item.quoted = QuotedArguments()
        pieces.append(arguments)
        if item.quoted is not None:
            arguments = item.quoted.add(arguments)
        if arguments:
            batch.append(ToolCallDelta(item.call, arguments=arguments))

    # ---- which item is meant

    def _begin(self, obj: Json, index: int | None, item_id: str | None, batch: Batch) -> _Item:
        kind = _text_of(obj, "type") or "message"
        before = self._items[-1] if self._items else None
        item = _Item(index, item_id, kind, len(self._items))
        self._add(item)
        self.asks = self.asks or kind in _CALLS
        if kind in ("message", "reasoning"):
            # Who gets encrypted reasoning sends it back under the id that it was encrypted for.
            keeps = ("id",) if obj.get("encrypted_content") else ()
            known = _KNOWN_MESSAGE if kind == "message" else obj.keys() - keeps
            members = {name: value for name, value in obj.items() if name not in known and value is not None}
            if members or (before is not None and before.type == kind):
                batch.append(_extra(kind, members))
        return item

    def _add(self, item: _Item) -> None:
        self._items.append(item)
        self._kinds.add(item.type)
        if item.id is not None:
            self._of_id.setdefault(item.id, item)
            self._of_both[item.index, item.id] = item
        if item.index is not None:
            self._of_index[item.index] = item
        if item.type == "function_call":
            self._open_calls[item.number] = item

    def _of_part(self, event: Json, part: str, batch: Batch) -> _Item:
        """Return the item whose part an event is about, begun where the server had not said so."""
        index, item_id = _place_of(event), _text_of(event, "item_id")
        kind = "reasoning" if part in (_SUMMARY, _THOUGHT) else "message"
        return self._open(index, item_id, kind) or self._begin({"type": kind}, index, item_id, batch)

    def _open(self, index: int | None, item_id: str | None, kind: str | None = None) -> _Item | None:
        """Return the item that is meant: some servers number all items the same, others name one anew in each event."""
        item = self._exactly(index, item_id)
        if item is None and index is not None:
            item = self._by_index(index)
            item = None if item is None or item.is_done else item
        elif item is None:
            item = self._by_id(item_id) or (self._items[-1] if item_id is None and self._items else None)
        return None if item is None or (kind is not None and item.type != kind) else item

    def _open_call(self, index: int | None, item_id: str | None) -> _Item | None:
        """Return the call that is meant by its own id in place of its item's, or as the only one that is open."""
        named = None if item_id is None else self._of_call_id.get(item_id)
        if named is not None and named.number in self._open_calls:
            return named
        return next(iter(self._open_calls.values())) if index is None and len(self._open_calls) == 1 else None

    def _exactly(self, index: int | None, item_id: str | None) -> _Item | None:
        return None if item_id is None else self._of_both.get((index, item_id))

    def _by_id(self, item_id: str | None) -> _Item | None:
        return None if item_id is None else self._of_id.get(item_id)

    def _by_index(self, index: int) -> _Item | None:
        return self._of_index.get(index)


def _extra(name: str, members: Json) -> Extra:
    return Extra({name: members}, 0, WIRE_NAME)


def _more_of(item: _Item, key: Any, pieces: list[str], text: str, *, whole: bool) -> str:
    """Return what *text*, a piece or all of it, adds to the *pieces* that came, without half a character at its end."""
    if not whole:
        return item.halves.joined(key, text)
    if text:
        item.halves.pop(key, None)  # all of it is here: no rest comes
    return _rest(pieces, mend(text))


def _rest(pieces: list[str], text: str) -> str:
    """Return what *text* has beyond the *pieces*; nothing where it is another text, as what was said stands."""
    said = "".join(pieces)
    return text[len(said) :] if text.startswith(said) else ""


def _place_of(event: Json) -> int | None:
    index = event.get("output_index")
    return index if type(index) is int else None


def _text_of(obj: Json, key: str) -> str | None:
    text = obj.get(key)
    return text if isinstance(text, str) and text else None
