"""Short answers of text alone, read and written whole: a stream that came in one read, and a document.

Both are proofs. `read_short_stream` takes what one typed decode has proven to be usual chunks and gives the events that
`decoder` gives; `write_short_answer` writes the bytes that `encoder` writes. What either does not know is None, and takes that
longer road.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from ...events import Batch, FinishReason, Started, Usage
from ...late import late_decoder
from ..finish_reasons import STANDARD
from .chunks import TRAILER, UNREADABLE, Json, counted_more, usage_of
from .usual import TextChunk, unknown_in_choice, unknown_in_chunk, unknown_members_of

#: Bytes of a stream above which templates read it at less cost.
_SHORT: Final = 4096

_BEGINNING: Final = b"data: {"
_BETWEEN: Final = b"}\n\ndata: {"
_SEAM: Final = b"}\n{"  # of two lines that were events
_END: Final = b"}\n\ndata: [DONE]\n\n"

_TEXT: Final = late_decoder(TextChunk)
_json = msgspec.json.Encoder().encode

#: The unknown members of a chunk, which most chunks of one server have alike; read, and never changed.
_unknown = lru_cache(maxsize=64)(unknown_members_of)


def read_short_stream(data: bytes) -> Batch | None:
    """Return the answer that *data* is: `Started`, its text, `FinishReason`. None where it is not a whole stream of usual
    chunks that say text alone, end in one with a reason, after which usage may stand, and in ``[DONE]``."""
    if len(data) > _SHORT or not (data.startswith(_BEGINNING) and data.endswith(_END)):
        return None
    part = data[len(_BEGINNING) - 1 : 1 - len(_END)]
    lines = part.replace(_BETWEEN, _SEAM)
    seams = (len(part) - len(lines)) // (len(_BETWEEN) - len(_SEAM))
    # A line can only end between two objects that are no part of another one: so no value reaches from one line to the next.
    if len(lines.split(b"\n")) != seams + 1 or b"\r" in lines:  # to split takes a third of counting
        return None
    try:
        chunks = _TEXT.decode_lines(lines)
    except UNREADABLE:
        return None
    return _events(chunks) if len(chunks) == seams + 1 else None  # else there are several on a line


def _events(chunks: list[TextChunk]) -> Batch | None:
    counting = None if chunks[-1].choices else chunks.pop()
    if not chunks or not (chunks[0].choices and chunks[-1].choices):
        return None
    first, last = chunks[0], chunks.pop()
    constant = _unknown(unknown_in_chunk(first), unknown_in_choice(first.choices[0]))
    batch: Batch = [Started(first.model or None, None, constant or None)]
    usage: Json | None = None
    for chunk in chunks:
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.finish_reason:
            return None
        if chunk is not first and not _has_same_unknown(chunk, first):
            return None
        usage = counted_more(usage, chunk.usage) if usage and chunk.usage else chunk.usage or usage
        if choice.delta.content:
            batch.append(choice.delta.content)
    return batch if _end(batch, first, last, constant, usage, counting) else None


def _has_same_unknown(one: TextChunk, other: TextChunk) -> bool:
    """Return whether two chunks with a choice have the same unknown members, by a quicker look than at those values."""
    first, second = one.choices[0], other.choices[0]
    return (
        one.system_fingerprint == other.system_fingerprint
        and one.service_tier == other.service_tier
        and one.provider == other.provider
        and one.prompt_token_ids == other.prompt_token_ids
        and one.prompt_logprobs == other.prompt_logprobs
        and one.kv_transfer_params == other.kv_transfer_params
        and first.token_ids == second.token_ids
        and first.stop_reason == second.stop_reason
        and first.native_finish_reason == second.native_finish_reason
    )


def _end(
    batch: Batch, first: TextChunk, last: TextChunk, constant: Json, usage: Json | None, counting: TextChunk | None
) -> bool:
    """Add what the *last* chunk with a choice says, and the one that counts tokens. Returns whether an answer ends so."""
    choice = last.choices[0]
    if (reason := choice.finish_reason) not in STANDARD or choice.delta.content:
        return False
    extra = None
    if last is not first:
        unknown = _unknown(unknown_in_chunk(last), unknown_in_choice(choice))
        extra = None if unknown == constant else unknown
    model = last.model or first.model or None
    if counting is None:
        finish = FinishReason(
            reason,
            "finish_reason",
            usage_of(counted_more(usage, last.usage) if usage and last.usage else last.usage or usage),
            model,
            extra,
        )
    elif (
        last.usage
        or (counted := usage_of(counted_more(usage, counting.usage) if usage and counting.usage else counting.usage)) is None
    ):
        return False
    else:
        trailer = _unknown(unknown_in_chunk(counting), ())
        if trailer != {name: value for name, value in constant.items() if name != "choices"}:
            extra = {**(constant if extra is None else extra), TRAILER: trailer}
        finish = FinishReason(reason, "finish_reason", counted, counting.model or model, extra)
    batch.append(finish)
    return True


#: Members of a document that the upstream's unknown ones are written over.
_MEMBERS: Final = frozenset({"id", "object", "created", "model", "choices", "finish_reason", "usage", "x_autonomousai"})
_CHOICE_MEMBERS: Final = frozenset({"index", "message", "finish_reason", "logprobs", "delta"})


def write_short_answer(events: Batch, *, id: str, created: int, model: str, extension: Json | None) -> bytes | None:
    """Return the document of *events*; None where they are more than text, or their unknown members are in other places than
    beside the document's own and the choice's."""
    first, *texts, finish = events
    if type(first) is not Started or type(finish) is not FinishReason or finish.reason not in STANDARD:
        return None
    try:
        text = "".join(texts)  # type: ignore[arg-type]  # refused where it is not text alone
    except TypeError:
        return None
    members, of_choice = b"", b""
    if first.extra or finish.extra:
        unknown = _remembered(first.extra, finish.extra)
        if unknown is None:
            return None
        members, of_choice = unknown
    if (counted := _usage(finish.usage)) is None:
        return None
    said = b"" if extension is None else b',"x_autonomousai":%b' % _json(extension)
    return (
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":{"role":"assistant",'
        b'"content":%b,"refusal":null},"finish_reason":%b,"logprobs":null%b}]%b%b%b}'
        % (_json(id), created, _json(model), _json(text), _json(finish.reason), of_choice, counted, members, said)
    )


def _usage(usage: Usage | None) -> bytes | None:
    """Return the member with the tokens; None where it has members that are not known."""
    if usage is None:
        return b""
    if usage.extra:
        return None
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
