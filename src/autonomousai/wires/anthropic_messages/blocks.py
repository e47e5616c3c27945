"""Events -> content blocks (Anthropic API reference, "Streaming messages"): what starts, grows and stops, one at a time.

The payloads are those of a stream's events; `encoder` writes them one by one, `answer` folds them into a document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ...events import Annotations, Event, Extra, Reasoning, Refusal, ToolCallDelta, rest_of_name
from ...reasoning_details import ReasoningDetails
from ...sealed_thoughts import of_call, pack, sealed_in
from ..citations import as_messages, is_of_messages
from .message import WIRE, Payload

#: A block of each type as it starts, and the type and the member of its deltas.
_STARTS: Final[dict[str, Payload]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTAS: Final = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}


class _WaitingCall:
    """A call whose block cannot be started yet: the pieces that came of it, each behind what is bound to it."""

    __slots__ = ("has_arguments", "id", "index", "name", "pieces")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id: str | None = None
        self.name = ""
        self.has_arguments = False
        self.pieces: list[ToolCallDelta | Extra] = []

    def add(self, piece: ToolCallDelta) -> None:
        self.pieces.append(piece)
        self.id = self.id or piece.id
        if not (self.name and self.has_arguments):
            self.name += rest_of_name(self.name, piece.name or "")
            self.has_arguments = self.has_arguments or bool(piece.arguments)


class BlockWriter:
    """Writes the events of one answer as blocks, numbered from 0 without a gap. *name*: what is unique to the answer; *names*:
    the names of tools by those that they were offered under, where these differ.

    Blocks do not interleave. Calls that do (some servers stream several at once) are written one after the other: what comes
    for another block waits until the arguments of the open call are complete JSON, or the answer has ended. A call's block
    starts when its name is complete: with its first arguments, or with what comes after it.

    ``index``: of the block that was started last; ``has_calls``: whether a call was written; ``is_refused``: whether a refusal
    was.
    """

    __slots__ = (
        "_arguments",
        "_bound",
        "_call",
        "_call_ids",
        "_details",
        "_head",
        "_kind",
        "_last",
        "_more",
        "_more_of_stop",
        "_name",
        "_names",
        "_waiting",
        "_waiting_calls",
        "_written",
        "has_calls",
        "index",
        "is_refused",
    )

    def __init__(self, name: str, names: Mapping[str, str] | None = None) -> None:
        self.has_calls = False
        self.is_refused = False
        self._name = name
        self._names = names or {}
        self.index = -1  # of the last block
        self._kind: str | None = None  # the type of the block that is open
        self._call: int | None = None  # the call whose block is open
        self._arguments: list[str] = []  # of that call
        self._last = ""  # the last of their characters that is no white space
        self._more: tuple[Payload, Payload] | None = None  # members of the next delta, and of its event
        self._more_of_stop: Payload = {}
        self._waiting: deque[Event | _WaitingCall] = deque()
        self._waiting_calls: dict[int, _WaitingCall] = {}  # those among them
        self._bound: Extra | None = None  # what is said of the next event that waits
        self._written: set[int] = set()  # calls whose blocks were started
        self._call_ids: set[str] = set()
        self._details = ReasoningDetails()
        self._head: ToolCallDelta | None = None  # of a call that has a name and no arguments yet

    @property
    def is_text(self) -> bool:
        """Return whether a further piece of text is one more delta of the open block."""
        return self._kind == "text" and self._head is None and not self._waiting and self._more is None

    def add(self, event: Event) -> Iterator[Payload]:
        """Yield the payloads that *event* brings."""
        if isinstance(event, Extra) and event.wire != WIRE:
            if (sealed := sealed_in(event)) is not None and not self._waiting and self._is_complete():
                yield from self.settle()
                yield from self._seal(pack(sealed))
            elif sealed is None:
                self._details.add(event)
            return
        if (head := self._head) is not None:
            if isinstance(event, ToolCallDelta) and event.index == head.index and not event.arguments:
                self._head = _joined(head, event)
                return
            self._head = None
            if isinstance(event, ToolCallDelta) and event.index == head.index:
                yield from self._start_call(_joined(head, event))
                return
            yield from self._start_call(head)
        if isinstance(event, ToolCallDelta) and event.index == self._call:
            if self._bound is not None:
                bound, self._bound = self._bound, None
                yield from self._write_extra(bound)
            yield from self._grow_call(event)
            if self._waiting and self._is_complete():
                yield from self._go_on()
        elif self._waiting or (self._call is not None and not (isinstance(event, Extra) or self._is_complete())):
            self._wait(event)
            first = self._waiting[0] if self._waiting else None
            if self._call is None and isinstance(first, _WaitingCall) and first.name:
                yield from self._go_on()
        else:
            yield from self._write(event)

    def finish(self) -> Iterator[Payload]:
        """Yield the payloads of what waited, and the end of the last block."""
        yield from self.settle()
        if self._bound is not None:
            self._waiting.append(self._bound)
            self._bound = None
        while self._waiting:
            yield from self._stop()
            if isinstance(first := self._waiting.popleft(), _WaitingCall):
                yield from self._write_waiting(first)
            else:
                yield from self._write(first)
            yield from self._go_on()
        yield from self.settle()
        if self._kind != "thinking":
            yield from self._stop()
        yield from self._seal_details()
        yield from self._stop()

    def settle(self) -> Iterator[Payload]:
        """Yield the start of a call that waits for the rest of its name: none comes, for something else does."""
        head, self._head = self._head, None
        if head is not None:
            yield from self._start_call(head)

    def _wait(self, event: Event) -> None:
        """Let *event* wait: a piece of a call with those that came before it."""
        if isinstance(event, Extra) and event.covers:
            self._bound = event
            return
        bound, self._bound = self._bound, None
        if not isinstance(event, ToolCallDelta):
            self._waiting += (event,) if bound is None else (bound, event)
            return
        if (call := self._waiting_calls.get(event.index)) is None:
            call = self._waiting_calls[event.index] = _WaitingCall(event.index)
            self._waiting.append(call)
        if bound is not None:
            call.pieces.append(bound)
        call.add(event)

    def _go_on(self) -> Iterator[Payload]:
        """Write what waited, up to what cannot be written yet."""
        while self._waiting:
            first = self._waiting[0]
            if self._head is not None:
                yield from self.settle()
            if self._call is not None and not (isinstance(first, Extra) or self._is_complete()):
                return
            if not isinstance(first, _WaitingCall):
                self._waiting.popleft()
                yield from self._write(first)
            elif first.name or first.index in self._written:
                self._waiting.popleft()
                yield from self._write_waiting(first)
            else:
                return

    def _write_waiting(self, call: _WaitingCall) -> Iterator[Payload]:
        """Write a call that has waited, by whatever name came. What follows its complete arguments is no part of them."""
        del self._waiting_calls[call.index]
        if call.index in self._written:
            return
        started = False
        for piece in call.pieces:
            if isinstance(piece, Extra):
                yield from self._write_extra(piece)
            elif started:
                yield from self._grow_call(piece)
            else:
                started = True
                first = msgspec.structs.replace(piece, id=call.id, name=call.name or None)
                yield from self._begin_call(first, has_arguments=call.has_arguments)
            if started and self._call is not None and self._is_complete():
                return

    def _begin_call(self, event: ToolCallDelta, *, has_arguments: bool) -> Iterator[Payload]:
        """Begin a call with its first piece, or keep it where more of its name may come."""
        if self._kind == "tool_use" and self._call is None:  # its block came as an upstream of this wire began it
            self._take_call(event)
            yield from self._grow_call(event)
        elif event.name and not has_arguments:
            self._head = event
        else:
            yield from self._start_call(event)

    def _write(self, event: Event) -> Iterator[Payload]:
        if isinstance(event, str):
            if event:
                yield from self._say("text", event)
        elif isinstance(event, Reasoning):
            if event.text:
                yield from self._say("thinking", event.text)
        elif isinstance(event, Refusal):
            self.is_refused = True
            if event.text:
                yield from self._say("text", event.text)
        elif isinstance(event, ToolCallDelta):
            yield from self._write_call(event)
        elif isinstance(event, Annotations):
            yield from self._cite(event)
        elif isinstance(event, Extra):
            yield from self._write_extra(event)

    def _write_extra(self, event: Extra) -> Iterator[Payload]:
        """Write what an upstream of this wire said and has no event: a block as it began, a delta of another type, and members
        of an event that is written for another one."""
        members = event.members
        others = members.get("event") or {}
        if (block := members.get("content_block")) is not None:
            yield from self._start(block, others)
        elif (delta := members.get("delta")) is not None:
            if event.covers:
                self._more = (delta, others)
            elif self._kind is not None:
                yield {**self._delta(delta), **others}
        self._more_of_stop |= members.get("content_block_stop") or {}

    def _seal_details(self) -> Iterator[Payload]:
        """Write what a chat upstream said of thoughts that their vendor wants back."""
        if self._details and (details := self._details.take()) is not None:
            yield from self._seal(details)

    def _seal(self, content: str) -> Iterator[Payload]:
        """End a thought with what another vendor encrypted of it; one without words is a block of its own."""
        if self._kind == "thinking":
            yield self._delta({"type": "signature_delta", "signature": content})
        else:
            yield from self._start({"type": "redacted_thinking", "data": content})
        yield from self._stop()

    def _cite(self, event: Annotations) -> Iterator[Payload]:
        """Write what the open text cites. A text begins with what it cites where an upstream of this wire says so."""
        for item in event.items:
            citation = as_messages(item)
            if citation is None or (self._kind != "text" and not is_of_messages(item)):
                continue
            if self._kind != "text":
                yield from self._start(_STARTS["text"])
            yield self._delta({"type": "citations_delta", "citation": citation})

    def _say(self, kind: str, text: str) -> Iterator[Payload]:
        if self._kind != kind:
            yield from self._start(_STARTS[kind])
        delta, member = _DELTAS[kind]
        yield self._delta({"type": delta, member: text})

    # ---- calls

    def _write_call(self, event: ToolCallDelta) -> Iterator[Payload]:
        """Write the first piece of a call. What follows one that was complete is no part of its arguments."""
        if event.index in self._written:
            return
        if event.name or (self._kind == "tool_use" and self._call is None):
            yield from self._begin_call(event, has_arguments=bool(event.arguments))
        else:
            self._wait(event)

    def _start_call(self, event: ToolCallDelta) -> Iterator[Payload]:
        call_id = event.id or f"toolu_{self._name}_{event.index}"
        if call_id in self._call_ids:  # some servers give several calls one id, and results could not be distinguished
            call_id = f"{call_id}_{event.index}"
        self._call_ids.add(call_id)
        if (sealed := of_call(call_id, event.extra)) is not None:
            yield from self._seal(pack(sealed))
        block = {"type": "tool_use", "id": call_id, "name": self._names.get(event.name or "", event.name or ""), "input": {}}
        yield from self._start({**(event.extra or {}), **block})
        self._take_call(event)
        yield from self._grow_call(event)

    def _take_call(self, event: ToolCallDelta) -> None:
        self._call = event.index
        self._arguments, self._last = [], ""
        self._written.add(event.index)
        self.has_calls = True

    def _grow_call(self, event: ToolCallDelta) -> Iterator[Payload]:
        if event.arguments:
            self._arguments.append(event.arguments)
            self._last = event.arguments.rstrip()[-1:] or self._last
            yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})

    def _is_complete(self) -> bool:
        """Return whether the arguments of the open call, if there is one, are complete."""
        if self._call is None:
            return True
        if self._last != "}":
            return False
        self._arguments = ["".join(self._arguments)]
        try:
            msgspec.json.decode(self._arguments[0])
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    # ---- blocks

    def _start(self, block: Payload, others: Payload | None = None) -> Iterator[Payload]:
        if self._details and block.get("type") in ("text", "tool_use"):
            yield from self._seal_details()
        yield from self._stop()
        self.index += 1
        self._kind = str(block.get("type"))
        yield {"type": "content_block_start", "index": self.index, "content_block": block, **(others or {})}

    def _delta(self, delta: Payload) -> Payload:
        if self._more is None:
            return {"type": "content_block_delta", "index": self.index, "delta": delta}
        (members, others), self._more = self._more, None
        return {"type": "content_block_delta", "index": self.index, "delta": {**delta, **members}, **others}

    def _stop(self) -> Iterator[Payload]:
        if self._kind is not None:
            self._kind = self._call = None
            others, self._more_of_stop = self._more_of_stop, {}
            yield {"type": "content_block_stop", "index": self.index, **others}


def _joined(head: ToolCallDelta, more: ToolCallDelta) -> ToolCallDelta:
    """Return the beginning of a call with what a further piece brings."""
    name = head.name or ""
    return ToolCallDelta(
        head.index,
        head.id or more.id,
        name + rest_of_name(name, more.name or ""),
        more.arguments,
        {**(head.extra or {}), **(more.extra or {})} or None,
    )
