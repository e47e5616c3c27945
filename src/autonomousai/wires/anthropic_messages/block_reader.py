"""The content blocks of one answer, in order, become events. Knows neither the stream nor the document that they came in.

Text, thinking and the calls of tools have events of their own; such a block begins with its first event, as long as that says
all of it. Everything else is an `Extra`, see `members`.
"""

from __future__ import annotations

from typing import Any, Final

from ...events import Annotations, Batch, Reasoning, ToolCallDelta
from ..citations import is_of_messages
from ..json import Halves
from ..openai_chat import tool_calls
from ..quoted_arguments import QuotedArguments, is_quoted
from .members import BLOCK_OF_DELTA, KNOWN_BLOCKS, TEXT_OF_DELTA, Json, arguments_of, extra, text_in, unknown

#: What a server that leaves out a block's beginning must have meant.
_IMPLIED_BLOCKS: dict[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": ""},
    "tool_use": {"type": "tool_use", "input": {}},
}


def _implied_type(delta: Json) -> str:
    """Return the type of a delta that does not say it, by what it holds."""
    return next((kind for kind, member in TEXT_OF_DELTA.items() if member in delta), "")


def _implied_block(block: Json) -> str:
    """Return the type of a block that does not say it, by what it holds."""
    if isinstance(block.get("name"), str) and "input" in block:
        return "tool_use"
    return next((kind for kind in ("text", "thinking") if isinstance(block.get(kind), str)), "")


#: The note of an answer in which a block's first words were taken once.
BEGUN_TWICE: Final = "the first words of a block came twice, and were taken once"


class BlockReader:
    """Reads the blocks of one answer. ``said``: whether any block has begun; ``notes``: what was wrong with them."""

    __slots__ = (
        "_begun",
        "_calls",
        "_growing",
        "_halves",
        "_ids",
        "_index",
        "_inputs",
        "_is_open",
        "_kind",
        "_pending",
        "_place",
        "_places",
        "_quoted",
        "_said",
        "_seen",
        "_thought",
        "notes",
        "said",
    )

    def __init__(self) -> None:
        self.said = False
        self.notes: tuple[str, ...] = ()
        self._kind = ""  # the type of the current block, or of the last one
        self._index = -1
        self._is_open = False
        self._pending: Json | None = None  # the block, while no event says that it has begun
        self._halves = Halves()  # of characters, whose rest comes with the next piece of the text, thought or call
        self._calls = 0
        self._place = 0  # of the current call among the calls
        self._places: dict[int, int] = {}  # by the block's index
        self._inputs: dict[int, Any] = {}  # of calls, until a piece of their arguments comes
        self._quoted: dict[int, QuotedArguments | None] = {}  # of calls whose arguments come; None: they are no text of JSON
        self._said: dict[int, list[str]] = {}  # of calls, what has come of their arguments, in pieces
        self._growing: set[int] = set()  # calls whose arguments are sent again from their beginning with each piece
        self._seen: set[int] = set()  # the indexes of all blocks that have begun
        self._ids: set[str] = set()  # of calls
        self._begun = ""  # the text that the current block began with, until its first delta
        self._thought: list[str] = []  # of the current block

    @property
    def has_calls(self) -> bool:
        """Return whether a call of a tool has begun."""
        return self._calls > 0

    def start(self, index: int | None, block: Json, batch: Batch, others: Json | None = None) -> None:
        """Begin a block; what it holds already is said at once. *others*: unknown members of the event that began it."""
        if not block.get("type") and (kind := _implied_block(block)):
            block = {**block, "type": kind}
        last, self._kind = self._kind, text_in(block.get("type"))
        self._end(batch)  # of a call before it, which some servers leave open, the arguments may still come
        self._index = self._index + 1 if index is None else index
        self._seen.add(self._index)
        self._is_open = self.said = True
        self._begun, self._thought = "", []
        known = KNOWN_BLOCKS.get(self._kind)
        if known is None:
            batch.append(extra("content_block", block, others))
        elif self._kind == "tool_use":
            self._start_call(block, batch, others, is_whole=not unknown(block, known))
        else:
            self._start_text(block, batch, others, is_whole=not unknown(block, known) and self._kind != last)

    def _start_text(self, block: Json, batch: Batch, others: Json | None, *, is_whole: bool) -> None:
        text, signature = text_in(block.get(self._kind)), text_in(block.get("signature"))
        opening = {**block, self._kind: ""}
        cited = block.get("citations") if self._kind == "text" else None
        cited = cited if isinstance(cited, list) and cited and all(map(is_of_messages, cited)) else []
        if cited:
            opening["citations"] = []
        if signature:
            opening["signature"] = ""
        if is_whole and not others:
            self._pending = opening
        else:
            batch.append(extra("content_block", opening, others))
        if text:
            self._say(text, batch)
        self._begun = text
        if signature:
            self._pass_on({"type": "signature_delta", "signature": signature}, None, batch)
        if cited:
            batch.append(Annotations(cited))

    def _start_call(self, block: Json, batch: Batch, others: Json | None, *, is_whole: bool) -> None:
        self._place = self._places[self._index] = self._calls
        self._calls += 1
        if (said := block.get("input")) is not None:
            self._inputs[self._place] = said
        if not is_whole or others:
            batch.append(extra("content_block", {**block, "input": {}}, others))
        call_id = text_in(block.get("id"))
        if not call_id or call_id in self._ids:  # callers tell calls apart by their ids
            call_id = tool_calls.new_call_id()
        self._ids.add(call_id)
        batch.append(ToolCallDelta(self._place, call_id, text_in(block.get("name"))))

    def delta(self, index: int | None, delta: Json, batch: Batch, others: Json | None = None) -> None:
        """Say more of a block. Where its beginning was left out, or was another block's, one begins."""
        kind = text_in(delta.get("type")) or _implied_type(delta)
        if kind == "citations_delta" and self._is_open and self._kind == "text" and not others and self._cite(delta, batch):
            return
        block = BLOCK_OF_DELTA.get(kind)
        if block is None or (self._is_open and self._kind not in KNOWN_BLOCKS):
            self._pass_on(delta, others, batch)
            return
        place = self._places.get(-1 if index is None else index) if block == "tool_use" else None
        if place is None:
            if not self._is_open or block != self._kind:
                self.start(index, _IMPLIED_BLOCKS[block], batch)
            place = self._place
        member = TEXT_OF_DELTA[kind]
        rest = unknown(delta, frozenset({"type", member}))
        before = len(batch)
        self._say_more(block, place, delta.get(member), batch)
        if rest or others:
            if len(batch) == before:
                self._pass_on(delta, others, batch)
            else:
                batch.insert(before, extra("delta", rest, others, covers=1))

    def _cite(self, delta: Json, batch: Batch) -> bool:
        """Say what the open text cites. False: it is no citation that has an event."""
        if delta.keys() != {"type", "citation"} or not is_of_messages(delta["citation"]):
            return False
        self._pending = None
        batch.append(Annotations([delta["citation"]]))
        return True

    def _say_more(self, block: str, place: int, said: Any, batch: Batch) -> None:
        if block == "tool_use":
            arguments = self._halves.joined(place, said) if isinstance(said, str) else arguments_of(said) if said else ""
            if arguments:
                self._inputs.pop(place, None)
                self._argue(place, arguments, batch)
        elif text := text_in(said):
            if self._begun:
                text = self._without_begun(text)
            self._say(text, batch)

    def _without_begun(self, text: str) -> str:
        """Return the first piece of a block without what the block began with: some servers send that twice. What is no word
        (digits, white space) may well follow itself, and is taken as it comes."""
        begun, self._begun = self._begun, ""
        if not (text.startswith(begun) and any(map(str.isalpha, begun))):
            return text
        self.notes = (BEGUN_TWICE,)
        return text[len(begun) :]

    def _argue(self, place: int, arguments: str, batch: Batch) -> None:
        """Say a piece of the arguments of the call at *place*, or what is new in one that repeats all before it."""
        said = self._said.setdefault(place, [])
        if (rest := tool_calls.rest_of_arguments(said, arguments, grows=place in self._growing)) is not None:
            self._growing.add(place)
            arguments = rest
        if not arguments:
            return
        said.append(arguments)
        if place not in self._quoted:
            self._quoted[place] = QuotedArguments() if is_quoted(arguments) else None
        if (quoted := self._quoted[place]) is not None:
            arguments = quoted.add(arguments)
        if arguments:
            batch.append(ToolCallDelta(place, arguments=arguments))

    @property
    def has_half(self) -> bool:
        """Return whether half a character waits for the next text."""
        return bool(self._halves)

    def stop(self, index: int | None, batch: Batch, others: Json | None = None) -> None:
        """End a block. *others*: unknown members of the event that ended it."""
        place = self._place if index is None else self._places.get(index)
        if place is None and index != self._index and index in self._seen:  # it ended when the next one began
            if others:
                batch.append(extra("content_block_stop", others))
            return
        if index is None or index == self._index or place is None:
            self._end(batch)
            place = self._place
        self._say_input(place, batch)
        if others:
            batch.append(extra("content_block_stop", others))

    def close(self, batch: Batch) -> None:
        """Say what was held back of all blocks."""
        self._end(batch)
        for place in list(self._inputs):
            self._say_input(place, batch)
        for place, quoted in self._quoted.items():
            if quoted is not None and (rest := quoted.rest()):
                batch.append(ToolCallDelta(place, arguments=rest))

    def _end(self, batch: Batch) -> None:
        """Say what was held back of the current block, if one is open."""
        if not self._is_open:
            return
        self._is_open = False
        halves = self._halves.flush()
        for key, half in halves:
            batch.append(
                half if key == "text" else Reasoning(half) if key == "thinking" else ToolCallDelta(key, arguments=half)
            )
        if not halves and self._pending is not None:
            batch.append(extra("content_block", self._pending))
        self._pending = None

    def _say_input(self, place: int, batch: Batch) -> None:
        """Say the input that a call began with, where no arguments came."""
        if (said := self._inputs.pop(place, None)) is not None:
            batch.append(ToolCallDelta(place, arguments=arguments_of(said)))

    def _say(self, text: str, batch: Batch) -> None:
        if text := self._halves.joined(self._kind, text):
            if self._kind == "thinking":
                self._thought.append(text)
                batch.append(Reasoning(text))
            else:
                batch.append(text)
            self._pending = None

    def _pass_on(self, delta: Json, others: Json | None, batch: Batch) -> None:
        """Pass on a delta that has no event of its own; the block that it belongs to has begun."""
        if self._pending is not None:
            batch.append(extra("content_block", self._pending))
            self._pending = None
        event = extra("delta", delta, others)
        if delta.get("type") == "signature_delta" and self._kind == "thinking":
            event.members["thought"] = "".join(self._thought)  # what is signed: events may be put in another order
        batch.append(event)
