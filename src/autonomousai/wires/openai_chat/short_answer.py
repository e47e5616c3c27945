"""Short answers of text alone that came as a stream in one read, read whole.

That is a proof: `read_short_stream` takes what typed decodes have proven to be usual chunks, and gives the events that
`decoder` gives. What it does not know is None, and takes that longer road. `short_writer` writes such answers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ...events import Batch, FinishReason, Started, Usage
from ...late import late_decoder
from ..finish_reasons import STANDARD
from .chunks import TRAILER, UNREADABLE, Json
from .usage import counted_more, usage_of
from .usual import NONE_IN_CHUNK, RestOfChunk, TextChunk, unknown_in_choice, unknown_in_chunk, unknown_members_of

#: Bytes of a stream above which templates read it at less cost.
_SHORT: Final = 4096

_BEGINNING: Final = b"data: "
_NEXT: Final = b"\n\ndata: "
_BETWEEN: Final = b"}" + _NEXT + b"{"
_SEAM: Final = b"}\n{"  # of two lines that were events
_END: Final = b"\n\ndata: [DONE]\n\n"

#: To look for a number takes a tenth of looking for a byte of bytes.
_LF: Final = 0x0A
_CR: Final = 0x0D

#: The choices of a chunk, with and without a space, and the content.
_CHOICES: Final = b'"choices":['
_SPACED_CHOICES: Final = b'"choices": ['
_CONTENT: Final = b'"content":'
_EMPTY: Final = b'""'

_TEXT: Final = late_decoder(TextChunk)
_REST: Final = late_decoder(RestOfChunk)
_CONTENT_VALUE: Final = msgspec.json.Decoder(str | None)
_json = msgspec.json.Encoder().encode

#: The unknown members of a chunk, which most chunks of one server have alike; read, and never changed.
_unknown = lru_cache(maxsize=64)(unknown_members_of)


class _ReadChunk(msgspec.Struct, frozen=True, gc=False):
    """What one chunk says. ``has_choice``: False where it counts tokens alone. ``reason``: why the answer has ended, empty
    before. ``unknown``: its unknown members, equal ones mostly in one object."""

    text: str
    reason: str | None
    usage: Json | None
    model: str | None
    unknown: Json
    has_choice: bool = True


def read_short_stream(data: bytes) -> Batch | None:
    """Return the answer that *data* is: `Started`, its text, `FinishReason`. None where it is not a whole stream of usual
    chunks that say text alone, end in one with a reason, after which usage may stand, and in ``[DONE]``."""
    if len(data) > _SHORT:
        return None
    part = data.removeprefix(_BEGINNING).removesuffix(_END)
    if len(data) - len(part) != len(_BEGINNING) + len(_END):
        return None
    batch = _read_alike(part)
    if batch is None and (said := _read_each(part)) is not None:
        batch = _folded(said)
    return batch


def _read_each(part: bytes) -> list[_ReadChunk] | None:
    """Return what the chunks say that *part* holds, where each is a usual one."""
    lines = part.replace(_BETWEEN, _SEAM)
    seams = (len(part) - len(lines)) // (len(_BETWEEN) - len(_SEAM))
    # A line can only end between two objects that are no part of another one: so no value reaches from one line to the next.
    if len(lines.split(b"\n")) != seams + 1 or _CR in lines:  # to split takes a third of counting
        return None
    try:
        chunks = _TEXT.decode_lines(lines)
    except UNREADABLE:
        return None
    if len(chunks) != seams + 1:  # several on a line
        return None
    first, said = chunks[0], []
    constant = _unknown(unknown_in_chunk(first), unknown_in_choice(first.choices[0]) if first.choices else ())
    for chunk in chunks:
        model = chunk.model or None
        if not chunk.choices:
            said.append(_ReadChunk("", None, chunk.usage, model, _unknown(unknown_in_chunk(chunk), ()), has_choice=False))
            continue
        choice, unknown = chunk.choices[0], constant
        if not (first.choices and _has_same_unknown(chunk, first)):
            unknown = _unknown(unknown_in_chunk(chunk), unknown_in_choice(choice))
        said.append(_ReadChunk(choice.delta.content or "", choice.finish_reason, chunk.usage, model, unknown))
    return said


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


def _folded(said: list[_ReadChunk]) -> Batch | None:
    """Return the events of an answer whose chunks say this; None where none ends so."""
    counting = None if said[-1].has_choice else said.pop()
    if not said:
        return None
    first, last = said[0], said.pop()
    constant, reason = first.unknown, last.reason
    if reason not in STANDARD or last.text:
        return None
    batch: Batch = [Started(first.model, None, constant or None)]
    usage: Json | None = None
    for each in said:
        if each.reason or not each.has_choice or (each.unknown is not constant and each.unknown != constant):
            return None
        if each.usage:
            usage = counted_more(usage, each.usage) if usage else each.usage
        if each.text:
            batch.append(each.text)
    model = last.model or first.model
    if counting is None:
        counted = usage_of(counted_more(usage, last.usage) if usage and last.usage else last.usage or usage)
        batch.append(_end(reason, counted, model, constant, last.unknown, None))
        return batch
    counted = usage_of(counted_more(usage, counting.usage) if usage and counting.usage else counting.usage)
    if last.usage or counted is None:
        return None
    batch.append(_end(reason, counted, counting.model or model, constant, last.unknown, counting.unknown))
    return batch


def _end(
    reason: str | None, usage: Usage | None, model: str | None, constant: Json, last: Json, trailer: Json | None
) -> FinishReason:
    """Return the end of an answer. *constant*: the unknown members that its chunks have; *last*: those of the one with the
    reason; *trailer*: of one that counts tokens, where it has one."""
    extra = None if last is constant or last == constant else last
    if trailer is not None and trailer != {name: value for name, value in constant.items() if name != "choices"}:
        extra = {**(constant if extra is None else extra), TRAILER: trailer}
    return FinishReason(reason, "finish_reason", usage, model, extra)


# ---- chunks that begin alike, up to their choices: that beginning is decoded once, and what follows it is known again -----


class _Shape(msgspec.Struct, frozen=True, gc=False):
    """What is known of the rest of a chunk after a beginning whose unknown members have the values ``beside``: of all of the
    rest, or of what stands before its content, where ``tail`` follows the content. It has a choice, and counts no tokens."""

    beside: tuple[Any, ...]
    tail: bytes
    reason: str | None
    unknown: Json


#: By the rest of a chunk, or by what of it stands before the content. None holds what an answer says.
_shapes: Final[dict[bytes, _Shape]] = {}
_SHAPES: Final = 256

#: A content in place of another: where it is read as the content, any is that stands there.
_PROBE: Final = "probe"


def _read_alike(part: bytes) -> Batch | None:
    """Return the answer whose chunks *part* holds, where all begin alike, and one of its own counts tokens.

    A chunk that is split behind ``"choices":[`` has the members of two: of what comes before, with no choices, and of what
    follows, with nothing before. Both are decoded, or known."""
    before, name, _ = part.partition(_CHOICES)
    if not name:
        before, name, _ = part.partition(_SPACED_CHOICES)
    beginning = before + name
    try:
        begun = _TEXT.decode(beginning + b"]}")
    except UNREADABLE:
        return None
    if begun.usage or _LF in beginning or _CR in part:
        return None
    batch: Batch = [""]  # in place of `Started`, which is known at the end
    beside = NONE_IN_CHUNK  # as most have it, and a look is quicker than a comparison of values
    if (
        begun.system_fingerprint is not UNSET
        or begun.service_tier is not UNSET
        or begun.provider is not UNSET
        or begun.prompt_token_ids is not UNSET
        or begun.prompt_logprobs is not UNSET
        or begun.kv_transfer_params is not UNSET
    ):
        beside = unknown_in_chunk(begun)
    last = _fold_rests(batch, beginning, part.split(_NEXT), beside)
    if last is None:
        return None
    constant, shape, usage, trailer = last
    counted = None
    if shape.reason not in STANDARD or (usage is not None and (counted := usage_of(usage)) is None):
        return None
    model = begun.model or None
    batch[0] = Started(model, None, constant or None)
    batch.append(_end(shape.reason, counted, model, constant, shape.unknown, trailer))
    return batch


def _fold_rests(
    batch: Batch, beginning: bytes, chunks: list[bytes], beside: tuple[Any, ...]
) -> tuple[Json, _Shape, Json | None, Json | None] | None:
    """Add the texts of *chunks* to *batch*. Returns the unknown members of the first, the shape of the last with a choice, and
    the usage and the unknown members of one that counts tokens behind it. None where they are no answer."""
    constant: Json = {}
    last: _Shape | None = None
    usage: Json | None = None
    trailer: Json | None = None
    for chunk in chunks:
        rest = chunk.removeprefix(beginning)
        if usage is not None or len(rest) == len(chunk):
            return None
        before, name, after = rest.partition(_CONTENT)
        shape = _shapes.get(before)
        text: str | None = ""
        if (
            shape is None
            or (shape.beside is not beside and shape.beside != beside)
            or (name and (text := _content(after, shape.tail)) is None)
        ):
            if (learnt := _learnt(rest, before, after, beside)) is None:
                return None
            shape, text, usage = learnt
            if usage is not None:
                trailer = shape.unknown
                continue
        if last is None:
            constant = shape.unknown
        elif last.reason or last.unknown is not constant:
            return None
        if text:
            if shape.reason:
                return None
            batch.append(text)
        last = shape
    return None if last is None else (constant, last, usage, trailer)


def _content(after: bytes, tail: bytes) -> str | None:
    """Return the content that stands before the *tail*; None where it is none, or has another tail."""
    content = after.removesuffix(tail)
    if len(content) == len(after) or _LF in content:
        return None
    if content == _EMPTY:
        return ""
    try:
        return _CONTENT_VALUE.decode(content) or ""
    except UNREADABLE:
        return None


def _learnt(rest: bytes, before: bytes, after: bytes, beside: tuple[Any, ...]) -> tuple[_Shape, str | None, Json | None] | None:
    """Return the shape of *rest*, its text, and what it counts where it has no choice. Remember the shape, by what stands
    *before* the content, and *after* its name. None where it is no usual one."""
    if _LF in rest or (chunk := _decoded(rest)) is None or bool(chunk.usage) == bool(chunk.choices):
        return None
    own = unknown_in_chunk(chunk)
    in_chunk = tuple([first if last is UNSET else last for first, last in zip(beside, own, strict=True)])
    if not chunk.choices:
        return _Shape(beside, b"", None, _unknown(in_chunk, ())), None, chunk.usage
    choice = chunk.choices[0]
    content = choice.delta.content
    tail = after.lstrip(b" ").removeprefix(_json(content))
    shape = _Shape(beside, tail, choice.finish_reason, _unknown(in_chunk, unknown_in_choice(choice)))
    if not chunk.obfuscation and (before == rest or _takes_any_content(before, tail)):
        if len(_shapes) >= _SHAPES:
            _shapes.clear()
        _shapes[before] = shape
    return shape, content, None


def _decoded(rest: bytes) -> RestOfChunk | None:
    try:
        return _REST.decode(b'{"choices":[' + rest)
    except UNREADABLE:
        return None


def _takes_any_content(before: bytes, tail: bytes) -> bool:
    """Return whether what stands between these two is the content of a chunk, and its last: a name may come twice."""
    probe = _decoded(before + _CONTENT + _json(_PROBE) + tail)
    return bool(tail) and probe is not None and bool(probe.choices) and probe.choices[0].delta.content == _PROBE
