"""Events -> output items, and each change of them (Open Responses, "Items are streamable"). Writes no bytes.

A change is the type and the members of an event of the wire. An item is begun by the first event that belongs to it, and is
done when another kind of event comes. A call whose arguments may still continue stays open beside others until the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

import msgspec

from ...events import (
    MANY,
    Annotations,
    Batch,
    Event,
    Extra,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    ToolCallDelta,
    fold,
    rest_of_name,
)
from ..citations import as_responses
from .custom_tools import custom_input, custom_names
from .response import WIRE

if TYPE_CHECKING:
    from ..base import AnswerHead

#: An event: its type, and its members beside that and the sequence number.
Change: TypeAlias = tuple[str, dict[str, Any]]
Item: TypeAlias = dict[str, Any]

# ---- parts ------------------------------------------------------------------------------------------------------------


class _PartKind(NamedTuple):
    """How a kind of part is named: its ``type``, the member with its text, the member of events with its index, and what the
    types of events begin with, for the part and for its text."""

    type: str
    member: str
    index_name: str
    part: str
    text: str

    def __deepcopy__(self, memo: object) -> Self:
        """Return the same kind, which is known by its identity."""
        return self


_TEXT: Final = _PartKind("output_text", "text", "content_index", "response.content_part", "response.output_text")
_REFUSAL: Final = _PartKind("refusal", "refusal", "content_index", "response.content_part", "response.refusal")
_THOUGHT: Final = _PartKind("reasoning_text", "text", "content_index", "response.content_part", "response.reasoning_text")
#: The reasoning of other upstreams is written as a summary: that is what clients show.
_SUMMARY: Final = _PartKind(
    "summary_text", "text", "summary_index", "response.reasoning_summary_part", "response.reasoning_summary_text"
)


class OutputPart:
    """A part whose text is being written. ``place``: the indexes of its item and of itself."""

    __slots__ = ("annotations", "kind", "log_probs", "pieces", "place")

    def __init__(self, kind: _PartKind, place: tuple[int, int]) -> None:
        self.kind = kind
        self.place = place
        self.pieces: list[str] = []
        self.annotations: list[Any] = []
        self.log_probs: list[Any] = []

    def add(self, text: str) -> None:
        """Add a piece of its text."""
        self.pieces.append(text)
        if len(self.pieces) > MANY:
            fold(self.pieces)

    def document(self) -> Item:
        """Return the part as far as it has come."""
        kind = self.kind
        part: Item = {"type": kind.type, kind.member: "".join(self.pieces)}
        if kind is _TEXT:
            part |= {"annotations": list(self.annotations), "logprobs": list(self.log_probs)}
        return part


#: By the type of the part.
_KINDS: Final = {kind.type: kind for kind in (_TEXT, _REFUSAL, _THOUGHT, _SUMMARY)}

# ---- items ------------------------------------------------------------------------------------------------------------


class _TextItem:
    """A message, or reasoning: parts of text, one after the other."""

    __slots__ = ("done", "id", "index", "is_message", "members", "part", "whole")

    def __init__(self, index: int, stem: str, members: Item, *, is_message: bool) -> None:
        self.index = index
        self.is_message = is_message
        self.id = members.get("id") or f"{'msg' if is_message else 'rs'}_{stem}_{index}"
        self.members = {name: value for name, value in members.items() if name != "id"}
        self.whole: Item | None = None  # reasoning as the upstream has it
        self.done: list[tuple[_PartKind, Item]] = []
        self.part: OutputPart | None = None

    def where(self, part: OutputPart) -> dict[str, Any]:
        """Return the members that say in an event which part is meant."""
        return {"item_id": self.id, "output_index": self.index, part.kind.index_name: part.place[1]}

    def begin(self) -> list[Change]:
        return [("response.output_item.added", {"output_index": self.index, "item": self.document("in_progress")})]

    def turn_to(self, kind: _PartKind, changes: list[Change], *, anew: bool = False) -> OutputPart:
        """Return the open part, which is one of that kind now; *anew*: another than before."""
        if self.part is not None and self.part.kind is kind and not anew:
            return self.part
        changes += self._end_part()
        place = sum(1 for each, _ in self.done if each.index_name == kind.index_name)
        self.part = part = OutputPart(kind, (self.index, place))
        changes.append((f"{kind.part}.added", {**self.where(part), "part": part.document()}))
        return part

    def add_part(self, document: Item) -> list[Change]:
        """Add a part that came whole, of a type that is not known here."""
        changes = self._end_part()
        where = {"item_id": self.id, "output_index": self.index, "content_index": len(self.done), "part": document}
        self.done.append((_TEXT, document))
        return [*changes, ("response.content_part.added", where), ("response.content_part.done", where)]

    def _end_part(self) -> list[Change]:
        part, self.part = self.part, None
        if part is None:
            return []
        kind, document = part.kind, part.document()
        self.done.append((kind, document))
        said = {kind.member: document[kind.member]}
        if kind is _TEXT:
            said["logprobs"] = document["logprobs"]
        where = self.where(part)
        return [(f"{kind.text}.done", {**where, **said}), (f"{kind.part}.done", {**where, "part": document})]

    def end(self, status: str) -> list[Change]:
        changes = self._end_part()
        return [*changes, ("response.output_item.done", {"output_index": self.index, "item": self.document(status)})]

    def document(self, status: str) -> Item:
        parts = [*self.done, *([] if self.part is None else [(self.part.kind, self.part.document())])]
        if self.is_message:
            content = [part for _, part in parts]
            said = {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}
            return {**self.members, **said}
        if self.whole is not None:
            return {**self.whole, "id": self.id}
        thoughts = [part for kind, part in parts if kind is _THOUGHT]
        item: Item = {"id": self.id, "type": "reasoning", "status": status}
        item["summary"] = [part for kind, part in parts if kind is _SUMMARY]
        return {**item, "content": thoughts} if thoughts else item

    @property
    def is_whole(self) -> bool:
        return True


class _CallItem:
    """A call of a function; or of a custom tool, whose text is known when the arguments are complete."""

    __slots__ = ("arguments", "call_id", "extra", "has_begun", "id", "index", "is_custom", "name")

    def __init__(self, index: int, stem: str) -> None:
        self.index = index
        self.id = f"{stem}_{index}"
        self.call_id: str | None = None
        self.name: str | None = None
        self.arguments: list[str] = []
        self.extra: dict[str, Any] = {}
        self.is_custom = False
        self.has_begun = False

    def add(self, delta: ToolCallDelta, custom: frozenset[str]) -> list[Change]:
        self.call_id = self.call_id or delta.id
        if delta.name and not self.has_begun:
            self.name = f"{self.name or ''}{rest_of_name(self.name or '', delta.name)}"
        self.extra |= delta.extra or {}
        changes: list[Change] = []
        if delta.arguments:
            self.arguments.append(delta.arguments)
            if len(self.arguments) > MANY:
                fold(self.arguments)
        if not self.has_begun:
            return self.begin(custom) if self.name and self.arguments else []
        if delta.arguments and not self.is_custom:
            changes.append(self._delta(delta.arguments))
        return changes

    def begin(self, custom: frozenset[str]) -> list[Change]:
        """Return how the call begins: when its name is complete, with the first arguments or with what comes after it."""
        self.has_begun = True
        self.is_custom = self.name in custom
        self.id = f"{'ctc' if self.is_custom else 'fc'}_{self.id}"
        item = {**self.document("in_progress"), "input" if self.is_custom else "arguments": ""}
        changes: list[Change] = [("response.output_item.added", {"output_index": self.index, "item": item})]
        if self.arguments and not self.is_custom:
            changes.append(self._delta("".join(self.arguments)))
        return changes

    def _delta(self, text: str) -> Change:
        kind = "response.custom_tool_call_input.delta" if self.is_custom else "response.function_call_arguments.delta"
        return kind, {"item_id": self.id, "output_index": self.index, "delta": text}

    def end(self, status: str) -> list[Change]:
        changes = [] if self.has_begun else self.begin(frozenset())
        where = {"item_id": self.id, "output_index": self.index}
        if not self.is_custom and status == "completed" and not "".join(self.arguments).strip():
            self.arguments.append("{}")  # clients read JSON, and a call without arguments is written so
            changes.append(self._delta("{}"))
        item = self.document(status)
        if self.is_custom:
            if item["input"]:
                changes.append(self._delta(item["input"]))
            changes.append(("response.custom_tool_call_input.done", {**where, "input": item["input"]}))
        else:
            said = {"name": self.name or "", "arguments": item["arguments"]}
            changes.append(("response.function_call_arguments.done", {**where, **said}))
        return [*changes, ("response.output_item.done", {"output_index": self.index, "item": item})]

    def document(self, status: str) -> Item:
        arguments = "".join(self.arguments)
        kind, said = (
            ("custom_tool_call", {"input": custom_input(arguments)})
            if self.is_custom
            else ("function_call", {"arguments": arguments})
        )
        call = {"id": self.id, "type": kind, "status": status, "call_id": self.call_id or f"call_{self.id}"}
        extra = {name: value for name, value in self.extra.items() if name not in ("type", "function", *call)}
        return {**extra, **call, "name": self.name or "", **said}

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object, which nothing can continue."""
        arguments = "".join(self.arguments).rstrip()
        if not self.has_begun or not arguments.endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(arguments), dict)
        except (msgspec.DecodeError, RecursionError):
            return False


# ---- the output -------------------------------------------------------------------------------------------------------


class Output:
    """The output of one answer. *stem*: what the items' ids are made of; *custom*: the names of custom tools."""

    __slots__ = ("_calls", "_custom", "_items", "_open", "_stem", "_text_item")

    def __init__(self, stem: str, custom: frozenset[str]) -> None:
        self._stem = stem
        self._custom = custom
        #: Those that are done; None for one that is open.
        self._items: list[Item | None] = []
        self._open: dict[int, _TextItem | _CallItem] = {}
        self._calls: dict[int, _CallItem] = {}
        self._text_item: _TextItem | None = None

    @property
    def text_id(self) -> str:
        """Return the id of the item with the open text."""
        return "" if self._text_item is None else self._text_item.id

    @property
    def text_part(self) -> OutputPart | None:
        """Return the part that the next piece of text continues, None where none does."""
        item = self._text_item
        return item.part if item is not None and item.part is not None and item.part.kind is _TEXT else None

    def documents(self) -> list[Item]:
        """Return all items that have begun, as far as they have come."""
        items = (self._open[index] if item is None else item for index, item in enumerate(self._items))
        begun = (item for item in items if not isinstance(item, _CallItem) or item.has_begun)
        return [item if isinstance(item, dict) else item.document("incomplete") for item in begun]

    def add(self, event: Event, log_probs: LogProbs | None = None) -> list[Change]:
        """Return the changes that *event* brings; *log_probs*: of its tokens, where it is text or a refusal."""
        adder = _ADDERS.get(type(event))
        if adder is not None:
            return adder(self, event)
        if isinstance(event, str) and (event or log_probs is not None):
            return self._add_text(event, None if log_probs is None else log_probs.content)
        return []

    def finish(self, *, is_incomplete: bool) -> list[Change]:
        """Return the changes by which all items are done. The last one is incomplete where the answer is."""
        changes: list[Change] = []
        if not self._items:
            self._turn_to(_TEXT, changes)
        changes += self._begin_named()
        for index in sorted(self._open):
            last = index == len(self._items) - 1
            changes += self._end(index, "incomplete" if is_incomplete and last else "completed")
        return changes

    def _turn_to(self, kind: _PartKind, changes: list[Change]) -> tuple[_TextItem, OutputPart]:
        """Return the open item of text and its open part, which is one of that kind now."""
        is_message = kind in (_TEXT, _REFUSAL)
        item = self._text_item
        if item is None or item.is_message is not is_message:
            item = self._begin_text({}, changes, is_message=is_message)
        return item, item.turn_to(kind, changes)

    def _begin_text(self, members: Item, changes: list[Change], *, is_message: bool) -> _TextItem:
        """Begin a message or reasoning, which has these members beside the usual ones."""
        changes += self._end_whole()
        self._text_item = item = _TextItem(self._begin(), self._stem, members, is_message=is_message)
        self._open[item.index] = item
        changes += item.begin()
        return item

    def _add_piece(self, kind: _PartKind, text: str, **more: Any) -> list[Change]:
        changes: list[Change] = []
        item, part = self._turn_to(kind, changes)
        part.add(text)
        part.log_probs += more.get("logprobs", ())
        return [*changes, (f"{kind.text}.delta", {**item.where(part), "delta": text, **more})]

    def _add_text(self, text: str, log_probs: Iterable[Any] | None) -> list[Change]:
        return self._add_piece(_TEXT, text, logprobs=[_log_prob(each) for each in log_probs or ()])

    def _add_log_probs(self, event: LogProbs) -> list[Change]:
        """Add those that came without a text: to the open one, where there is one."""
        return [] if self.text_part is None else self._add_text("", event.content)

    def _add_reasoning(self, event: Reasoning) -> list[Change]:
        part = None if self._text_item is None else self._text_item.part
        in_full = event.key == _THOUGHT.type or (part is not None and part.kind is _THOUGHT)
        return self._add_piece(_THOUGHT if in_full else _SUMMARY, event.text) if event.text else []

    def _add_refusal(self, event: Refusal) -> list[Change]:
        return self._add_piece(_REFUSAL, event.text) if event.text else []

    def _add_call(self, event: ToolCallDelta) -> list[Change]:
        changes: list[Change] = []
        call = self._calls.get(event.index)
        if call is None:
            changes = self._end_whole()
            self._calls[event.index] = call = _CallItem(self._begin(), self._stem)
            self._open[call.index] = call
        elif call.index not in self._open:
            return changes  # its arguments were a whole object: what follows can be no part of it
        if event.id and any(other.call_id == event.id for other in self._calls.values() if other is not call):
            # Some servers give several calls one id, and their outputs could not be told apart.
            event = msgspec.structs.replace(event, id=f"{event.id}_{event.index}")
        return changes + call.add(event, self._custom)

    def _add_annotations(self, event: Annotations) -> list[Change]:
        changes: list[Change] = []
        item, part = self._turn_to(_TEXT, changes)
        for each in event.items:
            said = {"annotation_index": len(part.annotations), "annotation": as_responses(each)}
            part.annotations.append(said["annotation"])
            changes.append(("response.output_text.annotation.added", {**item.where(part), **said}))
        return changes

    def _add_images(self, event: Images) -> list[Change]:
        changes: list[Change] = []
        for each in event.items:
            image = {"type": "image_generation_call", "status": "completed", "result": _base64_of(each)}
            changes += self._add_item({"id": f"ig_{self._stem}_{len(self._items)}", **image})
        return changes

    def _add_foreign(self, event: Extra) -> list[Change]:
        """Add what an upstream of the same wire sent that has no event: see `items`."""
        changes: list[Change] = []
        for name, members in event.members.items() if event.wire == WIRE else ():
            if name == "item":
                changes += self._add_item(members)
            elif name in ("message", "reasoning"):
                self._begin_text(members, changes, is_message=name == "message")
            elif name == "part":
                self._add_part(members, changes)
        return changes

    def _add_part(self, document: Item, changes: list[Change]) -> None:
        """Begin a part of a known type, or add one of another type, which is whole."""
        kind = _KINDS.get(document["type"])
        item, is_message = self._text_item, kind in (None, _TEXT, _REFUSAL)
        if item is None or item.is_message is not is_message:
            item = self._begin_text({}, changes, is_message=is_message)
        if kind is None:
            changes += item.add_part(document)
        else:
            item.turn_to(kind, changes, anew=True)

    def _add_item(self, item: Item) -> list[Change]:
        """Add an item that came whole; one of reasoning is the whole of that which came before it."""
        thought = self._text_item
        if item.get("type") == "reasoning" and thought is not None and not thought.is_message:
            thought.whole = item
            return self._end(thought.index, "completed")
        changes = self._end_whole()
        index = self._begin()
        self._items[index] = item
        said = {"output_index": index, "item": item}
        return [*changes, ("response.output_item.added", said), ("response.output_item.done", said)]

    def _begin(self) -> int:
        self._items.append(None)
        return len(self._items) - 1

    def _end_whole(self) -> list[Change]:
        """End all that nothing can continue, as another item begins."""
        changes = self._begin_named()
        whole = [index for index, item in sorted(self._open.items()) if item.is_whole]
        return [*changes, *(change for index in whole for change in self._end(index, "completed"))]

    def _begin_named(self) -> list[Change]:
        """Begin the calls that wait for the rest of their names: none comes."""
        calls = [item for _, item in sorted(self._open.items()) if isinstance(item, _CallItem)]
        return [change for call in calls if call.name and not call.has_begun for change in call.begin(self._custom)]

    def _end(self, index: int, status: str) -> list[Change]:
        item = self._open[index]
        changes = item.end(status)
        self._items[index] = item.document(status)
        del self._open[index]
        if item is self._text_item:
            self._text_item = None
        return changes


_ADDERS: Final[dict[type, Callable[[Output, Any], list[Change]]]] = {
    Reasoning: Output._add_reasoning,
    LogProbs: Output._add_log_probs,
    Refusal: Output._add_refusal,
    ToolCallDelta: Output._add_call,
    Annotations: Output._add_annotations,
    Images: Output._add_images,
    Extra: Output._add_foreign,
}


def output_for(head: AnswerHead) -> Output:
    """Return the output of an answer with that *head*, still empty."""
    return Output(head.id.removeprefix("resp_"), custom_names((head.echo or {}).get("tools")))


def with_log_probs(batch: Batch) -> Iterator[tuple[Any, LogProbs | None]]:
    """Return the events of *batch*, each text with the log probabilities that came before it, and at the end those that no text
    came with."""
    held: LogProbs | None = None
    for event in batch:
        if isinstance(event, LogProbs):
            held = event if held is None else LogProbs([*(held.content or ()), *(event.content or ())])
        elif type(event) is str:
            yield event, held
            held = None
        else:
            yield event, None
    if held is not None:
        yield held, None


def _log_prob(token: Any) -> Any:
    """Return what is told of a token, with all members that the schema names."""
    if not isinstance(token, dict):
        return token
    tops = token.get("top_logprobs")
    said = {**token, "bytes": token.get("bytes") or []}
    said["top_logprobs"] = [{**top, "bytes": top.get("bytes") or []} for top in tops or () if isinstance(top, dict)]
    return said


def _base64_of(image: Any) -> str:
    """Return the data of an image, or its address where it has one elsewhere."""
    url = image.get("image_url") if isinstance(image, dict) else image
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        return ""
    return url.partition(";base64,")[2] if url.startswith("data:") else url
