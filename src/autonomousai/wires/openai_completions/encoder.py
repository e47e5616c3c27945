"""Events -> chunks and documents of text completions (OpenAI API reference, "The completion object").

They are read by the decoder of chat completions, which takes ``text`` where a ``delta`` should be; so members without an event
bear that wire's name. What a text cannot hold (reasoning, tool calls, refusals) is left out: a raw prompt has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from ...events import Batch, ChoiceEvent, Event, Extra, FinishReason, ForeignEvent, LogProbs, Started
from ..base import AnswerHead
from ..errors import error_event
from ..merging import merge_choice, merge_values
from ..openai_chat.chunks import TRAILER
from ..openai_chat.chunks import WIRE as CHAT_WIRE
from ..openai_chat.encoder import usage_object
from ..raw import COMPLETIONS_WIRE
from ..sse import encode_event

_json = msgspec.json.Encoder().encode

#: The wires whose unknown members and events are passed on.
_OWN: Final = frozenset({COMPLETIONS_WIRE, CHAT_WIRE})

_OBJECT: Final = "text_completion"


class TextStreamEncoder:
    """One streamed answer. *ids*: each event gets the next of them as its ``id``."""

    __slots__ = ("_constant", "_ids", "_include_usage", "_lengths", "_stamp")

    def __init__(self, head: AnswerHead, ids: Iterator[str] | None) -> None:
        self._stamp = {"id": head.id, "object": _OBJECT, "created": head.created, "model": head.model}
        self._include_usage = head.include_usage
        self._ids = ids
        self._constant: dict[str, Any] = {}
        self._lengths: dict[int, int] = {}  # characters of the tokens of each choice

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`. Each event of the batch is a chunk, but for those that came in one."""
        pieces: list[bytes] = []
        events = iter(batch)
        for event in events:
            if type(event) is Started:
                self._constant = event.extra or {}
            elif type(event) is Extra:
                if event.wire in _OWN:
                    pieces.append(self._chunk(list(islice(events, event.covers)), event.members))
            elif type(event) is ForeignEvent:
                if event.wire in _OWN:
                    kind = None if event.event == "message" else event.event
                    pieces += (self._id_line(), encode_event(event.data, event=kind))
            elif type(event) is not FinishReason and _says(event):
                pieces.append(self._chunk([event], self._constant))
        return b"".join(pieces)

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`."""
        chunk = {**self._stamp, "choices": [_choice(0)], "x_autonomousai": {"progress": progress}}
        return b"data: %b\n\n" % _json(chunk)

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return error_event(error)

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`: the chunk with the finish reason, that with the usage if it is wanted, and ``[DONE]``."""
        extra = self._constant if finish.extra is None else finish.extra
        last: dict[str, Any] = {**self._stamp, "choices": [{**_choice(0), "finish_reason": finish.standard_reason}]}
        _merge(last, {name: value for name, value in extra.items() if name != TRAILER})
        pieces = []
        if self._include_usage:
            last["usage"] = None
            if finish.usage is not None:
                pieces.append(self._event(last))
                last = {**self._stamp, "choices": [], "usage": usage_object(finish.usage)}
        _merge(last, extra.get(TRAILER) or {})
        if extension is not None:
            last["x_autonomousai"] = extension
        return b"".join([*pieces, self._event(last), self._id_line(), b"data: [DONE]\n\n"])

    def _chunk(self, events: Batch, members: dict[str, Any]) -> bytes:
        """Return one chunk that says *events*, with unknown *members*."""
        chunk: dict[str, Any] = {**self._stamp, "choices": choices_of(events, self._lengths)}
        if self._include_usage:
            chunk["usage"] = None
        _merge(chunk, members)
        return self._event(chunk)

    def _event(self, chunk: dict[str, Any]) -> bytes:
        return b"%bdata: %b\n\n" % (self._id_line(), _json(chunk))

    def _id_line(self) -> bytes:
        return b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()


def encode_text_completion(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return a whole answer as one document. Its last event is the `FinishReason`; a usage that is not known is left out."""
    finish = events[-1]
    assert type(finish) is FinishReason
    choices = choices_of(["", *events], {})
    document: dict[str, Any] = {
        "id": head.id,
        "object": _OBJECT,
        "created": head.created,
        "model": head.model,
        "choices": sorted(choices, key=lambda choice: int(choice["index"])),
    }
    started = [event for event in events if type(event) is Started][-1:]  # after a splice, of the upstream that continued
    _merge(document, started[0].extra or {} if started else {})
    for event in events:
        if type(event) is Extra and event.wire in _OWN:
            _merge(document, event.members)
    extra = finish.extra or {}
    _merge(document, {name: value for name, value in extra.items() if name != TRAILER})
    _merge(document, extra.get(TRAILER) or {})
    if finish.usage is not None:
        document["usage"] = usage_object(finish.usage)
    if extension is not None:
        document["x_autonomousai"] = extension
    return _json(document)


def choices_of(events: Batch, lengths: dict[int, int]) -> list[dict[str, Any]]:
    """Return the choices that *events* are. *lengths*: characters of each choice's tokens before; it is brought up to date."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        index, said = (event.index, event.event) if isinstance(event, ChoiceEvent) else (0, event)
        if not isinstance(said, str | LogProbs | FinishReason):
            continue
        choice = choices.setdefault(index, _choice(index))
        if isinstance(said, FinishReason):
            choice["finish_reason"] = said.standard_reason
        elif isinstance(said, LogProbs):
            probabilities, lengths[index] = _older_shape(said, lengths.get(index, 0))
            if choice["logprobs"] is None:
                choice["logprobs"] = probabilities
            else:
                merge_values(choice["logprobs"], probabilities)
        elif isinstance(said, str):
            choice["text"] += said
    return list(choices.values())


def _choice(index: int) -> dict[str, Any]:
    return {"text": "", "index": index, "logprobs": None, "finish_reason": None}


def _bare(event: Event) -> Event:
    return event.event if isinstance(event, ChoiceEvent) else event


def _says(event: Event) -> bool:
    """Return whether *event* is a part of a text completion; an empty text is none."""
    said = _bare(event)
    if isinstance(said, str):
        return bool(said)
    return isinstance(said, LogProbs) or (isinstance(event, ChoiceEvent) and isinstance(said, FinishReason))


def _older_shape(probabilities: LogProbs, offset: int) -> tuple[dict[str, Any], int]:
    """Return the log probabilities of chat completions, which some servers send here too, as text completions have them, four
    lists; and the offset after them. *offset*: characters before the first token."""
    shape: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in probabilities.content or ():
        told = entry if isinstance(entry, dict) else {}
        token = str(told.get("token", ""))
        top = told.get("top_logprobs")
        shape["tokens"].append(token)
        shape["token_logprobs"].append(told.get("logprob"))
        shape["top_logprobs"].append(
            {str(each.get("token", "")): each.get("logprob") for each in top if isinstance(each, dict)} if top else None
        )
        shape["text_offset"].append(offset)
        offset += len(token)
    return shape, offset


def _merge(document: dict[str, Any], members: dict[str, Any]) -> None:
    """Put unknown *members* into *document*; choices are matched by their index. Log probabilities that came in pieces are
    joined. What a chat's delta would hold has no place."""
    for name, value in members.items():
        if name != "choices":
            document[name] = value
            continue
        choices = {choice["index"]: choice for choice in document["choices"]}
        for unknown in value:
            choice = choices.get(unknown["index"])
            if choice is None:
                choice = choices[unknown["index"]] = _choice(unknown["index"])
                document["choices"].append(choice)
            more = {inner: each for inner, each in unknown.items() if inner not in ("index", "delta")}
            probabilities = more.pop("logprobs", None)
            merge_choice(choice, more)
            if isinstance(known := choice["logprobs"], dict) and isinstance(probabilities, dict):
                merge_values(known, probabilities)
            elif probabilities is not None:
                choice["logprobs"] = dict(probabilities) if isinstance(probabilities, dict) else probabilities
