"""Output items while they are written, and the changes by which they grow (Open Responses, "Items are streamable")."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self, TypeAlias

import msgspec

from ...answer import MANY, fold
from ...events import ToolCallDelta, rest_of_name
from ..custom_tools import custom_input
from .client_tools import ClientTool, client_call
from .namespaces import NO_NAMES, ToolNames

#: An event: its type, and its members beside that and the sequence number.
Change: TypeAlias = tuple[str, dict[str, Any]]
Item: TypeAlias = dict[str, Any]


class PartKind(NamedTuple):
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


TEXT: Final = PartKind("output_text", "text", "content_index", "response.content_part", "response.output_text")
REFUSAL: Final = PartKind("refusal", "refusal", "content_index", "response.content_part", "response.refusal")
THOUGHT: Final = PartKind("reasoning_text", "text", "content_index", "response.content_part", "response.reasoning_text")
#: The reasoning of other upstreams is written as a summary: that is what clients show.
SUMMARY: Final = PartKind(
    "summary_text", "text", "summary_index", "response.reasoning_summary_part", "response.reasoning_summary_text"
)


class OutputPart:
    """A part whose text is being written. ``place``: the indexes of its item and of itself."""

    __slots__ = ("annotations", "kind", "log_probs", "pieces", "place")

    def __init__(self, kind: PartKind, place: tuple[int, int]) -> None:
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

    def add_all(self, texts: list[str]) -> None:
        """Add several pieces of its text."""
        self.pieces.append("".join(texts))
        if len(self.pieces) > MANY:
            fold(self.pieces)

    def document(self) -> Item:
        """Return the part as far as it has come."""
        kind = self.kind
        part: Item = {"type": kind.type, kind.member: "".join(self.pieces)}
        if kind is TEXT:
            part |= {"annotations": list(self.annotations), "logprobs": list(self.log_probs)}
        return part


#: By the type of the part.
PART_KINDS: Final = {kind.type: kind for kind in (TEXT, REFUSAL, THOUGHT, SUMMARY)}


class TextItem:
    """A message, or reasoning: parts of text, one after the other."""

    __slots__ = ("done", "id", "index", "is_message", "members", "part", "places", "sealed", "whole")

    def __init__(self, index: int, stem: str, members: Item, *, is_message: bool) -> None:
        self.index = index
        self.is_message = is_message
        self.id = members.get("id") or f"{'msg' if is_message else 'rs'}_{stem}_{index}"
        self.members = {name: value for name, value in members.items() if name != "id"}
        self.whole: Item | None = None  # reasoning as the upstream has it
        self.sealed: Item = {}  # what is said besides of reasoning that is signed
        self.done: list[tuple[PartKind, Item]] = []
        self.places: dict[str, int] = {}  # how many of those are counted under each name of an index
        self.part: OutputPart | None = None

    def where(self, part: OutputPart) -> dict[str, Any]:
        """Return the members that say in an event which part is meant."""
        return {"item_id": self.id, "output_index": self.index, part.kind.index_name: part.place[1]}

    def begin(self) -> list[Change]:
        return [("response.output_item.added", {"output_index": self.index, "item": self.document("in_progress")})]

    def turn_to(self, kind: PartKind, changes: list[Change], *, anew: bool = False) -> OutputPart:
        """Return the open part, which is one of that kind now; *anew*: another than before."""
        if self.part is not None and self.part.kind is kind and not anew:
            return self.part
        changes += self._end_part()
        self.part = part = OutputPart(kind, (self.index, self.places.get(kind.index_name, 0)))
        changes.append((f"{kind.part}.added", {**self.where(part), "part": part.document()}))
        return part

    def add_part(self, document: Item) -> list[Change]:
        """Add a part that came whole, of a type that is not known here."""
        changes = self._end_part()
        where = {"item_id": self.id, "output_index": self.index, "content_index": len(self.done), "part": document}
        self._add_done(TEXT, document)
        return [*changes, ("response.content_part.added", where), ("response.content_part.done", where)]

    def _add_done(self, kind: PartKind, document: Item) -> None:
        self.done.append((kind, document))
        self.places[kind.index_name] = self.places.get(kind.index_name, 0) + 1

    def _end_part(self) -> list[Change]:
        part, self.part = self.part, None
        if part is None:
            return []
        kind, document = part.kind, part.document()
        self._add_done(kind, document)
        said = {kind.member: document[kind.member]}
        if kind is TEXT:
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
        thoughts = [part for kind, part in parts if kind is THOUGHT]
        item: Item = {"id": self.id, "type": "reasoning", "status": status, **self.sealed}
        item["summary"] = [part for kind, part in parts if kind is SUMMARY]
        return {**item, "content": thoughts} if thoughts else item

    @property
    def is_whole(self) -> bool:
        return True


class CallItem:
    """A call of a function, maybe of a namespace; or of a custom tool or another that the caller runs, of which all is known
    when the arguments are complete."""

    __slots__ = ("arguments", "call_id", "client", "extra", "has_begun", "id", "index", "is_custom", "name", "names")

    def __init__(self, index: int, stem: str) -> None:
        self.index = index
        self.id = f"{stem}_{index}"
        self.call_id: str | None = None
        self.name: str | None = None
        self.arguments: list[str] = []
        self.extra: dict[str, Any] = {}
        self.is_custom = False
        self.client: ClientTool | None = None
        self.names = NO_NAMES
        self.has_begun = False

    def add(self, delta: ToolCallDelta, names: ToolNames) -> list[Change]:
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
            return self.begin(names) if self.name and self.arguments else []
        if delta.arguments and self._is_function:
            changes.append(self._delta(delta.arguments))
        return changes

    def begin(self, names: ToolNames) -> list[Change]:
        """Return how the call begins: when its name is complete, with the first arguments or with what comes after it."""
        self.has_begun = True
        self.names, self.is_custom = names, self.name in names.custom
        self.client = names.clients.get(self.name or "")
        self.id = f"{'fc' if self._is_function else 'ctc'}_{self.id}"
        item = self.document("in_progress", "")
        changes: list[Change] = [("response.output_item.added", {"output_index": self.index, "item": item})]
        if self.arguments and self._is_function:
            changes.append(self._delta("".join(self.arguments)))
        return changes

    @property
    def _is_function(self) -> bool:
        return not self.is_custom and self.client is None

    def _delta(self, text: str) -> Change:
        kind = "response.custom_tool_call_input.delta" if self.is_custom else "response.function_call_arguments.delta"
        return kind, {"item_id": self.id, "output_index": self.index, "delta": text}

    def end(self, status: str) -> list[Change]:
        changes = [] if self.has_begun else self.begin(NO_NAMES)
        where = {"item_id": self.id, "output_index": self.index}
        if self._is_function and status == "completed" and not "".join(self.arguments).strip():
            self.arguments.append("{}")  # clients read JSON, and a call without arguments is written so
            changes.append(self._delta("{}"))
        item = self.document(status)
        if self.is_custom:
            if item["input"]:
                changes.append(self._delta(item["input"]))
            changes.append(("response.custom_tool_call_input.done", {**where, "input": item["input"]}))
        elif self.client is None:
            said = {"name": item["name"], "arguments": item["arguments"]}
            changes.append(("response.function_call_arguments.done", {**where, **said}))
        return [*changes, ("response.output_item.done", {"output_index": self.index, "item": item})]

    def document(self, status: str, arguments: str | None = None) -> Item:
        """Return the call; *arguments*: others than those that have come."""
        arguments = "".join(self.arguments) if arguments is None else arguments
        if self.client is not None:
            kind, said = self.client.call_type, client_call(self.client, arguments)
        elif self.is_custom:
            kind, said = "custom_tool_call", {"input": custom_input(arguments)}
        else:
            kind, said = "function_call", {"arguments": arguments}
        call = {"id": self.id, "type": kind, "status": status, "call_id": self.call_id or f"call_{self.id}"}
        extra = {name: value for name, value in self.extra.items() if name not in ("type", "function", *call)}
        written = {} if self.client is not None else self.names.written(self.name or "")
        return {**extra, **call, **written, **said}

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
