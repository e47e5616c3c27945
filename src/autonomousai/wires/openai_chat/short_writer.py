"""Answers of text alone, written whole: as a document, and as a stream that is complete.

The bytes are those that `completion` and `encoder` write; what is not known here is None, and takes that longer road.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from ...events import Batch, FinishReason, Started, Usage
from ...sealed_thoughts import frames_message
from ..base import AnswerHead
from ..finish_reasons import STANDARD
from ..json import join_strings
from .chunks import TRAILER, Json
from .encoder import usage_object

_json = msgspec.json.Encoder().encode

#: Members of a document that the upstream's unknown ones are written over.
_MEMBERS: Final = frozenset({"id", "object", "created", "model", "choices", "finish_reason", "usage", "x_autonomousai"})
_CHOICE_MEMBERS: Final = frozenset({"index", "message", "finish_reason", "logprobs", "delta"})


#: The JSON of the usual reasons, and of models' names that were written.
_REASONS: Final[dict[str | None, bytes]] = {reason: _json(reason) for reason in STANDARD}
_names: Final[dict[str, bytes]] = {}
_NAMES: Final = 64


def _name(model: str) -> bytes:
    if (name := _names.get(model)) is None:
        if len(_names) >= _NAMES:
            _names.clear()
        name = _names[model] = _json(model)
    return name


def write_short_answer(events: Batch, head: AnswerHead, extension: Json | None) -> bytes | None:
    """Return the document of *events*; None where they are more than text, or their unknown members are in other places than
    beside the document's own and the choice's."""
    first, *texts, finish = events
    if type(first) is not Started or type(finish) is not FinishReason or (reason := _REASONS.get(finish.reason)) is None:
        return None
    try:
        text = "".join(texts)  # type: ignore[arg-type]  # refused where it is not text alone
    except TypeError:
        if (said := _said(texts)) is None:
            return None
        text = "".join(said)
    members, of_choice = b"", b""
    if first.extra or finish.extra:
        unknown = _remembered(first.extra, finish.extra)
        if unknown is None:
            return None
        members, of_choice = unknown
    counted = _usage(finish.usage)
    provenance = b"" if extension is None else b',"x_autonomousai":' + _json(extension)
    # To join pieces takes less time than to format them.
    return b"".join(
        (
            b'{"id":',
            _json(head.id),
            b',"object":"chat.completion","created":',
            str(head.created).encode(),
            b',"model":',
            _name(head.model),
            b',"choices":[{"index":0,"message":{"role":"assistant","content":',
            _json(text),
            b',"refusal":null},"finish_reason":',
            reason,
            b',"logprobs":null',
            of_choice,
            b"}]",
            counted,
            members,
            provenance,
            b"}",
        )
    )


def _said(events: Batch) -> list[str] | None:
    """Return the texts of *events*; None where they are more than text. What stands around a text in the Messages API has no
    place here."""
    texts = [event for event in events if not frames_message(event)]
    return texts if all(type(text) is str for text in texts) else None  # type: ignore[return-value]


def _usage(usage: Usage | None) -> bytes:
    """Return the member with the tokens."""
    if usage is None:
        return b""
    if usage.extra:
        return b',"usage":' + _json(usage_object(usage))
    details = b"" if usage.cached_tokens is None else b',"prompt_tokens_details":{"cached_tokens":%d}' % usage.cached_tokens
    if usage.reasoning_tokens is not None:
        details += b',"completion_tokens_details":{"reasoning_tokens":%d}' % usage.reasoning_tokens
    return b',"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d%b}' % (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        details,
    )


#: What `_joined` returned, with the objects that it was given: most answers of one server have the same, see `_unknown`.
_known: Final[dict[tuple[int, int], tuple[Json | None, Json | None, tuple[bytes, bytes] | None]]] = {}
_KNOWN: Final = 64


def _remembered(first: Json | None, last: Json | None) -> tuple[bytes, bytes] | None:
    """Return what `_joined` returns; it is not done again for objects that it was done for."""
    key = id(first), id(last)
    known = _known.get(key)
    if known is None or known[0] is not first or known[1] is not last:
        if len(_known) >= _KNOWN:
            _known.clear()
        _known[key] = known = first, last, _joined(first or {}, last or {})
    return known[2]


def _joined(first: Json, last: Json) -> tuple[bytes, bytes] | None:
    """Return the unknown members of an answer's first and last chunk, and those of their choice, as they follow others."""
    members: Json = {**first, **last}
    of_choice: Json = {}
    if not _MEMBERS.isdisjoint(members) or TRAILER in members:
        if TRAILER in members or not (members.keys() & _MEMBERS) <= {"choices"}:
            return None
        members.pop("choices")
        for choice in (*first.get("choices", ()), *last.get("choices", ())):
            of_choice |= choice
        if len(first.get("choices", ())) > 1 or len(last.get("choices", ())) > 1 or of_choice.pop("index", 0):
            return None
        if not _CHOICE_MEMBERS.isdisjoint(of_choice):
            return None
    return _following(members), _following(of_choice)


def _following(members: Json) -> bytes:
    return b"," + _json(members)[1:-1] if members else b""


# ---- as a stream ----------------------------------------------------------------------------------------------------------


#: The unknown members of a stream's chunks, as they follow others: those of each choice, and of its chunk; of the choice with
#: the reason, and of that chunk; of a chunk that counts tokens, or where none does, of the reason's beside its own.
_Members: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes, bytes]


def write_short_stream(events: Batch, head: AnswerHead, extension: Json | None) -> bytes | None:
    """Return the complete stream of *events*; None where they are more than text, or their unknown members are in other places
    than beside a chunk's own and its choice's."""
    first, *texts, finish = events
    if type(first) is not Started or type(finish) is not FinishReason or (reason := _REASONS.get(finish.reason)) is None:
        return None
    counted = _usage(finish.usage)
    if (members := _stream_members(first.extra, finish.extra)) is None:
        return None
    of_choice, of_chunk, of_last_choice, of_last, of_counting, beside = members
    try:
        "".join(texts)  # type: ignore[arg-type]  # refused where it is not text alone
    except TypeError:
        if (texts := _said(texts)) is None:  # type: ignore[assignment]
            return None
    opening = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
        _json(head.id),
        head.created,
        _name(head.model),
    )
    before = opening + b'{"index":0,"delta":'
    include_usage = head.include_usage
    usage = b',"usage":null' if include_usage else b""
    after = b"".join((b',"finish_reason":null', of_choice, b"}]", usage, of_chunk, b"}\n\n"))
    pieces = [before, b'{"role":"assistant","content":""}', after]
    if said := [text for text in texts if text]:
        pieces += (before, b'{"content":', join_strings(said, b"}" + after + before + b'{"content":'), b"}", after)  # type: ignore[arg-type]
    pieces += (before, b'{},"finish_reason":', reason, of_last_choice, b"}]", of_last, usage)
    if include_usage and counted:
        pieces += (b"}\n\n", opening, b"]", counted, of_counting)
    elif not include_usage:
        pieces.append(beside)
    if extension is not None:
        pieces += (b',"x_autonomousai":', _json(extension))
    pieces.append(b"}\n\ndata: [DONE]\n\n")
    return b"".join(pieces)


#: What `_stream_members` returned, with the objects that it was given; see `_known`.
_known_streams: Final[dict[tuple[int, int], tuple[Json | None, Json | None, _Members | None]]] = {}


def _stream_members(first: Json | None, last: Json | None) -> _Members | None:
    """Return the unknown members of the chunks of a stream; None where they are in other places. They are not written again for
    objects that they were written for."""
    key = id(first), id(last)
    known = _known_streams.get(key)
    if known is None or known[0] is not first or known[1] is not last:
        if len(_known_streams) >= _KNOWN:
            _known_streams.clear()
        _known_streams[key] = known = first, last, _written(first or {}, last)
    return known[2]


def _written(first: Json, last: Json | None) -> _Members | None:
    last = first if last is None else last
    choices, last_choices = first.get("choices", ()), last.get("choices", ())
    if "usage" in last or len(choices) > 1 or len(last_choices) > 1:
        return None
    choice: Json = dict(*choices)
    last_choice: Json = dict(*last_choices)
    if choice.pop("index", 0) or last_choice.pop("index", 0) or "delta" in last_choice:
        return None
    constant = {name: value for name, value in first.items() if name != "choices"}
    members = {name: value for name, value in last.items() if name not in ("choices", TRAILER)}
    trailer = last.get(TRAILER)
    return (
        _following(choice),
        _following(constant),
        _following(last_choice),
        _following(members),
        _following(constant if trailer is None else trailer),
        _following({name: value for name, value in (trailer or {}).items() if name not in members}),
    )
