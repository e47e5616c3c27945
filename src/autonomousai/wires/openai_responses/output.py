"""Events -> output items, and each change of them (Open Responses, "Items are streamable"). Writes no bytes.

A change is the type and the members of an event of the wire. An item is begun by the first event that belongs to it, and is
done when another kind of event comes. A call whose arguments may still continue stays open beside others until the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...events import (
    Annotations,
    Batch,
    Event,
    Extra,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    ToolCallDelta,
)
from ...reasoning_details import ReasoningDetails
from ...sealed_thoughts import of_call, pack, sealed_in
from ..citations import as_responses
from .items import BREAK
from .made_images import image_in, item_of
from .namespaces import ToolNames, names_of
from .open_items import PART_KINDS, REFUSAL, SUMMARY, TEXT, THOUGHT, CallItem, Change, Item, OutputPart, PartKind, TextItem
from .response import WIRE

if TYPE_CHECKING:
    from ..base import AnswerHead


class Output:
    """The output of one answer. *stem*: what the items' ids are made of; *names*: how calls are written back."""

    __slots__ = (
        "_begun",
        "_call_ids",
        "_calls",
        "_details",
        "_is_parted",
        "_items",
        "_names",
        "_open",
        "_shown",
        "_stem",
        "_text_item",
        "_touched",
        "_unfinished",
    )

    def __init__(self, stem: str, names: ToolNames) -> None:
        self._stem = stem
        self._names = names
        #: Those that are done; None for one that is open.
        self._items: list[Item | None] = []
        self._open: dict[int, TextItem | CallItem] = {}
        self._calls: dict[int, CallItem] = {}
        self._call_ids: set[str] = set()
        #: Indexes of calls that something came of since it was last seen whether they are whole.
        self._touched: set[int] = set()
        self._text_item: TextItem | None = None
        self._details = ReasoningDetails()
        #: By their ids, the indexes of items of other types, whose events an upstream of the same wire sends.
        self._begun: dict[str, int] = {}
        self._unfinished: set[str] = set()
        #: Whether the next piece of reasoning begins with `BREAK`, and whether the next image was shown with its item.
        self._is_parted = False
        self._shown = False

    def index_of(self, id: Any) -> int | None:
        """Return the index of an item of another type that was begun; None for any other."""
        return self._begun.get(id) if isinstance(id, str) else None

    @property
    def text_id(self) -> str:
        """Return the id of the item with the open text."""
        return "" if self._text_item is None else self._text_item.id

    @property
    def text_part(self) -> OutputPart | None:
        """Return the part that the next piece of text continues, None where none does."""
        item = self._text_item
        return item.part if item is not None and item.part is not None and item.part.kind is TEXT else None

    def documents(self) -> list[Item]:
        """Return all items that have begun, as far as they have come."""
        items = (self._open[index] if item is None else item for index, item in enumerate(self._items))
        begun = (item for item in items if not isinstance(item, CallItem) or item.has_begun)
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
        self._seal_details(changes)
        if not self._items:
            self._turn_to(TEXT, changes)
        changes += self._begin_named(self._open)
        for index in sorted(self._open):
            last = index == len(self._items) - 1
            changes += self._end(index, "incomplete" if is_incomplete and last else "completed")
        return changes

    def _turn_to(self, kind: PartKind, changes: list[Change]) -> tuple[TextItem, OutputPart]:
        """Return the open item of text and its open part, which is one of that kind now."""
        is_message = kind in (TEXT, REFUSAL)
        item = self._text_item
        if item is None or item.is_message is not is_message:
            item = self._begin_text({}, changes, is_message=is_message)
        return item, item.turn_to(kind, changes)

    def _begin_text(self, members: Item, changes: list[Change], *, is_message: bool) -> TextItem:
        """Begin a message or reasoning, which has these members beside the usual ones."""
        if is_message:
            self._seal_details(changes)
        changes += self._end_whole()
        self._text_item = item = TextItem(self._begin(), self._stem, members, is_message=is_message)
        self._open[item.index] = item
        changes += item.begin()
        return item

    def _add_piece(self, kind: PartKind, text: str, **more: Any) -> list[Change]:
        changes: list[Change] = []
        item, part = self._turn_to(kind, changes)
        part.add(text)
        part.log_probs += more.get("logprobs", ())
        return [*changes, (f"{kind.text}.delta", {**item.where(part), "delta": text, **more})]

    def _add_text(self, text: str, log_probs: Iterable[Any] | None) -> list[Change]:
        return self._add_piece(TEXT, text, logprobs=[_log_prob(each) for each in log_probs or ()])

    def _add_log_probs(self, event: LogProbs) -> list[Change]:
        """Add those that came without a text: to the open one, where there is one."""
        return [] if self.text_part is None else self._add_text("", event.content)

    def _add_reasoning(self, event: Reasoning) -> list[Change]:
        part = None if self._text_item is None else self._text_item.part
        in_full = event.key == THOUGHT.type or (part is not None and part.kind is THOUGHT)
        text = event.text.removeprefix(BREAK) if self._is_parted else event.text
        self._is_parted = False
        return self._add_piece(THOUGHT if in_full else SUMMARY, text) if text else []

    def _add_refusal(self, event: Refusal) -> list[Change]:
        return self._add_piece(REFUSAL, event.text) if event.text else []

    def _add_call(self, event: ToolCallDelta) -> list[Change]:
        changes: list[Change] = []
        call = self._calls.get(event.index)
        if call is None:
            self._seal_details(changes)
            if (sealed := of_call(event.id, event.extra)) is not None:
                self._add_sealed(pack(sealed), changes)
            changes += self._end_whole()
            self._calls[event.index] = call = CallItem(self._begin(), self._stem)
            self._open[call.index] = call
        elif call.index not in self._open:
            return changes  # its arguments were a whole object: what follows can be no part of it
        if (call_id := event.id) and call.call_id is None:
            if call_id in self._call_ids:
                # Some servers give several calls one id, and their outputs could not be distinguished.
                call_id = f"{call_id}_{event.index}"
                event = msgspec.structs.replace(event, id=call_id)
            self._call_ids.add(call_id)
        self._touched.add(call.index)
        return changes + call.add(event, self._names)

    def _add_annotations(self, event: Annotations) -> list[Change]:
        changes: list[Change] = []
        item, part = self._turn_to(TEXT, changes)
        for each in event.items:
            said = {"annotation_index": len(part.annotations), "annotation": as_responses(each)}
            part.annotations.append(said["annotation"])
            changes.append(("response.output_text.annotation.added", {**item.where(part), **said}))
        return changes

    def _add_images(self, event: Images) -> list[Change]:
        changes: list[Change] = []
        shown, self._shown = self._shown, False
        for each in () if shown else event.items:
            changes += self._add_item({"id": f"ig_{self._stem}_{len(self._items)}", **item_of(each)})
        return changes

    def _add_foreign(self, event: Extra) -> list[Change]:
        """Add what an upstream of the same wire sent that has no event: see `items`."""
        changes: list[Change] = []
        if event.wire != WIRE:
            if (sealed := sealed_in(event)) is not None:
                self._add_sealed(pack(sealed), changes)
            else:
                self._details.add(event)
            return changes
        for name, members in event.members.items():
            if name == "item":
                changes += self._add_item(members)
                self._shown = image_in(members) is not None
            elif name == "begun":
                changes += self._begin_item(members)
            elif name in ("message", "reasoning"):
                self._begin_text(members, changes, is_message=name == "message")
            elif name == "part":
                self._add_part(members, changes)
        return changes

    def _seal_details(self, changes: list[Change]) -> None:
        """Write what a chat upstream said of thoughts that their vendor wants back."""
        if self._details and (details := self._details.take()) is not None:
            self._add_sealed(details, changes)

    def _add_sealed(self, content: str, changes: list[Change]) -> None:
        """End the reasoning that a signature of another vendor is for; one without words is an item of its own."""
        item = self._text_item
        if item is None or item.is_message or item.sealed:
            item = self._begin_text({}, changes, is_message=False)
        item.sealed = {"encrypted_content": content}
        changes += self._end(item.index, "completed")

    def _add_part(self, document: Item, changes: list[Change]) -> None:
        """Begin a part of a known type, or add one of another type, which is whole."""
        kind = PART_KINDS.get(document["type"])
        item, is_message = self._text_item, kind in (None, TEXT, REFUSAL)
        if item is None or item.is_message is not is_message:
            item = self._begin_text({}, changes, is_message=is_message)
        if kind is None:
            changes += item.add_part(document)
        else:
            item.turn_to(kind, changes, anew=True)
            self._is_parted = bool(document.get("break"))

    def _add_item(self, item: Item) -> list[Change]:
        """Add an item that came whole; one of reasoning is the whole of that which came before it."""
        thought = self._text_item
        if item.get("type") == "reasoning" and thought is not None and not thought.is_message:
            thought.whole = item
            return self._end(thought.index, "completed")
        name = said if isinstance(said := item.get("id"), str) else ""
        changes = [] if name in self._unfinished else self._begin_item(item)
        index = self._begun[name] if name in self._unfinished else len(self._items) - 1
        self._unfinished.discard(name)
        self._items[index] = item
        return [*changes, ("response.output_item.done", {"output_index": index, "item": item})]

    def _begin_item(self, item: Item) -> list[Change]:
        """Begin an item of another type, whose events may follow before it is whole."""
        changes = self._end_whole()
        index = self._begin()
        self._items[index] = item
        if isinstance(name := item.get("id"), str) and name:
            self._begun[name] = index
            self._unfinished.add(name)
        return [*changes, ("response.output_item.added", {"output_index": index, "item": item})]

    def _begin(self) -> int:
        self._items.append(None)
        return len(self._items) - 1

    def _end_whole(self) -> list[Change]:
        """End all that nothing can continue, as another item begins: of the calls, those that something came of."""
        touched, self._touched = self._touched & self._open.keys(), set()
        changes = self._begin_named(touched)
        if self._text_item is not None:
            touched.add(self._text_item.index)
        whole = [index for index in sorted(touched) if self._open[index].is_whole]
        return [*changes, *(change for index in whole for change in self._end(index, "completed"))]

    def _begin_named(self, indexes: Iterable[int]) -> list[Change]:
        """Begin the calls that wait for the rest of their names: none comes."""
        calls = [item for index in sorted(indexes) if isinstance(item := self._open[index], CallItem)]
        return [change for call in calls if call.name and not call.has_begun for change in call.begin(self._names)]

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
    return Output(head.id.removeprefix("resp_"), names_of((head.echo or {}).get("tools") or ()))


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
    """Return what is said of a token, with all members that the schema names."""
    if not isinstance(token, dict):
        return token
    tops = token.get("top_logprobs")
    said = {**token, "bytes": token.get("bytes") or []}
    said["top_logprobs"] = [{**top, "bytes": top.get("bytes") or []} for top in tops or () if isinstance(top, dict)]
    return said
