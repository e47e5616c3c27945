"""Events -> chunks of the OpenAI wire. One shape, strict, and no end of an answer that was not handed in.

The other half of `wires/openai_chat/decoder.py`, which reads what is written here. Knows no network and no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from ...answer import RUN, split_run
from ...events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Event,
    Extra,
    FinishReason,
    ForeignEvent,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from ...sealed_thoughts import members_of, sealed_in
from ..citations import as_chat
from ..finish_reasons import STANDARD, chat_reason, with_foreign_reason
from ..json import join_strings
from ..merging import merge_choice, merge_values
from ..sse import encode_event
from .chunks import TRAILER, WIRE

_json = msgspec.json.Encoder().encode

#: The end of an event.
_CLOSING: Final = b"}\n\n"

#: What follows the delta in a chunk; and where usage is wanted, which every chunk then names.
_AFTER: Final = b',"finish_reason":null}]' + _CLOSING
_AFTER_USAGE: Final = b',"finish_reason":null}],"usage":null' + _CLOSING

#: What stands before the delta of a chunk, behind what all chunks begin with.
_DELTA: Final = b'{"index":0,"delta":'

#: The delta of the first chunk.
_ROLE: Final = b'{"role":"assistant","content":""}'


class ChatStreamEncoder:
    """Events become the bytes of one streamed answer. A batch becomes one bytes object, to be sent in one write.

    *id*, *created* (seconds since the epoch) and *model* stand in every chunk. *finish_reason_at_top*: the AutonomousAI wire
    names the finish reason inside the choice and beside it, and tells the usage there unasked. *include_usage*: the last chunk
    counts the tokens, as the caller asked. *ids*: each event gets the next of them as its ``id``, to be resumed after. *begun*:
    the answer's beginning was written before, by another encoder.
    """

    __slots__ = (
        "_after",
        "_before",
        "_begun",
        "_constant",
        "_finish_reason_at_top",
        "_ids",
        "_include_usage",
        "_named",
        "_text_after",
        "_text_before",
    )

    def __init__(
        self,
        *,
        id: str,
        created: int,
        model: str,
        finish_reason_at_top: bool = False,
        include_usage: bool = False,
        ids: Iterator[str] | None = None,
        begun: bool = False,
    ) -> None:
        self._finish_reason_at_top = finish_reason_at_top
        self._include_usage = include_usage
        self._ids = ids
        self._begun = begun
        # A chunk is: opening, its choices and what else it says, closing. One with a delta is: before, its delta, after.
        opening = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            _json(id),
            created,
            _json(model),
        )
        self._before = opening + _DELTA
        self._after = _AFTER_USAGE if include_usage else _AFTER
        self._text_before = self._before + b'{"content":'
        self._text_after = b"}" + self._after
        self._named = id, created, model
        self._constant: dict[str, Any] = {}

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`. The first chunk of an answer names the role."""
        if self._begun and len(batch) == 1 and type(text := batch[0]) is str and text and self._ids is None:
            return b"".join((self._text_before, _json(text), self._text_after))
        pieces: list[bytes] = []
        if len(batch) <= RUN:
            self._write_each(pieces, batch)
            return b"".join(pieces)
        before, run, after = split_run(batch)
        if run and (not (self._begun or before) or any(type(event) is Extra for event in before)):
            before, run = batch, []  # the first text begins the answer, or is bound to others
        self._write_each(pieces, before)
        if run:
            self._add_texts(pieces, run if all(run) else [text for text in run if text])
            self._write_each(pieces, after)
        return b"".join(pieces)

    def _write_each(self, pieces: list[bytes], batch: Batch) -> None:
        texts: list[str] = []  # that follow one another
        events = iter(batch)
        for event in events:
            if type(event) is str and self._begun:
                if event:
                    texts.append(event)
                continue
            if texts:
                self._add_texts(pieces, texts)
                texts = []
            self._add_event(pieces, event, events)
        if texts:
            self._add_texts(pieces, texts)

    def _add_event(self, pieces: list[bytes], event: Event, others: Iterator[Event]) -> None:
        """Write *event*, and those of the *others* behind it that it binds to itself."""
        if type(event) is Started and (event.extra or event.spliced):
            self._repeat(event.extra or {})
        if not self._begun:
            self._begun = True
            self._add(pieces, _ROLE)
        if type(event) is Extra and event.wire == WIRE:
            self._add_bound(pieces, event, list(islice(others, event.covers)))
        elif type(event) is Extra:
            if (sealed := sealed_in(event)) is not None:
                self._add(pieces, _json(members_of(sealed)))
        elif type(event) is ForeignEvent:
            if event.wire == WIRE:
                kind = None if event.event == "message" else event.event
                pieces += (self._id_line(), encode_event(event.data, event=kind))
        elif type(event) is ChoiceEvent or type(event) is LogProbs:
            self._add_bound(pieces, Extra(self._constant, 1, WIRE), [event])
        elif type(event) is not Started and (delta := _delta(event)):
            self._add(pieces, delta)

    def _add_texts(self, pieces: list[bytes], texts: list[str]) -> None:
        """Write a chunk for each of *texts*."""
        if self._ids is not None:
            for text in texts:
                self._add(pieces, b'{"content":%b}' % _json(text))
            return
        before, after = self._text_before, self._text_after
        pieces += (before, join_strings(texts, after + before), after)

    def _repeat(self, constant: dict[str, Any]) -> None:
        """Write these unknown members into every chunk that has none of its own."""
        self._constant = constant
        members = {name: value for name, value in constant.items() if name != "choices"}
        choice: dict[str, Any] = next(iter(constant.get("choices", ())), {})
        inner = {name: value for name, value in choice.items() if name != "index"}
        usage = b',"usage":null' if self._include_usage else b""
        self._after = b',"finish_reason":null%b}]%b%b%b' % (_members(inner), usage, _members(members), _CLOSING)
        self._text_after = b"}" + self._after

    def _add(self, pieces: list[bytes], delta: bytes) -> None:
        pieces += (self._id_line(), self._before, delta, self._after)

    def _add_bound(self, pieces: list[bytes], extra: Extra, events: Batch) -> None:
        """Write *events* and unknown members as one chunk."""
        name, created, model = self._named
        chunk: dict[str, Any] = {"id": name, "object": "chat.completion.chunk", "created": created, "model": model}
        chunk["choices"] = choices_of(events)
        if self._include_usage:
            chunk["usage"] = None
        merge_members(chunk, extra.members)
        pieces += (self._id_line(), b"data: ", _json(chunk), b"\n\n")

    def _id_line(self) -> bytes:
        """Return what stands before the next event's data."""
        return b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()

    def sign(self, progress: int) -> bytes:
        """A chunk that says nothing but that the answer is being brought on: *progress* is higher each time. It has no id:
        there is nothing to resume after."""
        return b'%b{},"finish_reason":null}],"x_autonomousai":{"progress":%d}}\n\n' % (self._before, progress)

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        from ..errors import error_event  # noqa: PLC0415  most answers are no errors

        return error_event(error)

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """Return the chunk with the finish reason, that with the usage if it is wanted and known, and ``[DONE]``.

        *extension* goes into the last of the chunks. A reason that was not named is written as null.
        """
        usage = None if finish.usage is None else _json(usage_object(finish.usage))
        extra = self._constant if finish.extra is None else finish.extra
        trailer = extra.get(TRAILER)
        members = {name: value for name, value in extra.items() if name not in ("choices", TRAILER)}
        is_standard = finish.reason in STANDARD
        reason = _json(finish.reason if is_standard or self._finish_reason_at_top else chat_reason(finish))
        pieces = [] if self._begun else [self.write([finish])]
        pieces += (self._id_line(), self._before, b'{},"finish_reason":', reason, _choice_members(extra), b"}]")
        if self._finish_reason_at_top:
            pieces += (b',"finish_reason":', reason)
        counted = members.pop("usage", None)  # of this chunk, where the caller asked for it in each
        pieces.append(_members(members))
        if self._include_usage or counted is not None:
            pieces += (b',"usage":', _json(counted))
        if self._include_usage:
            if usage is not None:
                if trailer is None:
                    trailer = {name: value for name, value in self._constant.items() if name != "choices"}
                pieces += (
                    _CLOSING,
                    self._id_line(),
                    self._before.removesuffix(_DELTA),
                    b'],"usage":',
                    usage,
                    _members(trailer),
                )
        else:
            if self._finish_reason_at_top and usage is not None and counted is None:
                pieces += (b',"usage":', usage)
            pieces.append(_members({name: value for name, value in (trailer or {}).items() if name not in members}))
        if extension is not None:
            pieces += (b',"x_autonomousai":', _json(extension if is_standard else with_foreign_reason(extension, finish)))
        pieces += (_CLOSING, self._id_line(), b"data: [DONE]\n\n")
        return b"".join(pieces)


def choices_of(events: Batch) -> list[dict[str, Any]]:
    """Return the choices of a chunk that says *events*."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        index, said = (event.index, event.event) if isinstance(event, ChoiceEvent) else (0, event)
        choice = choices.setdefault(index, {"index": index, "delta": {}, "finish_reason": None})
        if isinstance(said, FinishReason):
            choice["finish_reason"] = chat_reason(said)
        elif isinstance(said, LogProbs):
            choice["logprobs"] = {"content": said.content, "refusal": said.refusal}
        elif (delta := _delta_of(said)) is not None:
            merge_values(choice["delta"], delta)
    return list(choices.values())


def merge_members(chunk: dict[str, Any], members: dict[str, Any]) -> None:
    """Put unknown *members*, in the nesting of a chunk, into *chunk*; choices are matched by their index."""
    for name, value in members.items():
        if name != "choices":
            chunk[name] = value
            continue
        choices = {choice["index"]: choice for choice in reversed(chunk["choices"])}
        for unknown in value:
            choice = choices.get(unknown["index"])
            if choice is None:
                choice = choices[unknown["index"]] = {"index": unknown["index"], "delta": {}, "finish_reason": None}
                chunk["choices"].append(choice)
            if (delta := unknown.get("delta")) is not None:
                merge_values(choice.setdefault("delta", {}), delta)
            merge_choice(choice, {name: each for name, each in unknown.items() if name != "delta"})


def _members(members: dict[str, Any]) -> bytes:
    """Return members as they follow others in an object: each after a comma."""
    return b"," + _json(members)[1:-1] if members else b""


def _choice_members(extra: dict[str, Any]) -> bytes:
    """Return the unknown members of the first choice, as they follow others; those of its delta were written before."""
    for choice in extra.get("choices", ()):
        if choice["index"] == 0:
            return _members({name: value for name, value in choice.items() if name not in ("index", "delta")})
    return b""


def _delta(event: Event) -> bytes | None:
    """Return the delta of a chunk that says what *event* says; None where it says nothing by itself."""
    if type(event) is str:
        return b'{"content":%b}' % _json(event) if event else None
    delta = _delta_of(event)
    return None if delta is None else _json(delta)


def _delta_of(event: Event) -> dict[str, Any] | None:
    if isinstance(event, str):
        return {"content": event}
    if isinstance(event, Reasoning):
        return {event.key or "reasoning_content": event.text} if event.text else None
    if isinstance(event, Refusal):
        return {"refusal": event.text} if event.text else None
    if isinstance(event, Annotations):
        return {"annotations": [as_chat(item) for item in event.items]}
    if isinstance(event, Images):
        return {"images": event.items}
    if not isinstance(event, ToolCallDelta):
        return None
    function = {"name": event.name} if event.name is not None else {}
    function["arguments"] = event.arguments
    call: dict[str, Any] = {"index": event.index}
    if event.id is not None:
        call |= {"id": event.id, "type": "function"}
    call["function"] = function
    if event.extra:
        merge_values(call, event.extra)
        if "custom" in event.extra and not (event.name or event.arguments):
            del call["function"]
    return {"tool_calls": [call]}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return *usage* as the member of that name."""
    counted: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        counted["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        counted["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.extra:
        merge_values(counted, usage.extra)
    return counted
