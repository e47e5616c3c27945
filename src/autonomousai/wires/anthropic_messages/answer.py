"""Events -> a whole answer of the Messages API, as one document, made of the same blocks as a stream is; and where it is text
alone, as a stream that is complete, to the byte the one that `encoder` writes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...events import Batch, Extra, FinishReason, Started
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..json import join_strings
from ..merging import merge_values
from ..tool_forms import object_of_arguments
from ..tool_names import NAMES
from .blocks import BlockWriter
from .message import WIRE, Payload, encode_begun, encode_unknown, encode_usage, members_of
from .stop import OWN_REASONS, stop_of, stopped_at

_json = msgspec.json.Encoder().encode


def encode_message(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return a whole answer as one document. Its last event is the `FinishReason`."""
    finish = events[-1]
    if type(finish) is not FinishReason:
        raise ValueError("the events of a complete answer end with its FinishReason")
    if (answer := text_answer(events)) is None:
        writer = BlockWriter(head.id.removeprefix("msg_"), (head.echo or {}).get(NAMES))
        payloads = [payload for event in events[:-1] for payload in writer.add(event)]
        payloads += writer.finish()
        stop = stop_of(finish, has_calls=writer.has_calls, is_refused=writer.is_refused, stopped_at=stopped_at(events))
        content = _json(_fold(payloads))
        start, delta = members_of(events, "message_start").part, members_of(events, "message_delta").part
    else:
        start, delta = answer.start, answer.delta
        stop = stop_of_text(events, finish, delta)
        content = b'[{"type":"text","text":%b}]' % _json(answer.text)
    # To join pieces takes less time than to write an object of them.
    return b"".join(
        (
            b'{"id":',
            _json(head.id),
            b',"type":"message","role":"assistant","model":',
            _json(head.model),
            b',"content":',
            content,
            b',"stop_reason":',
            _json(delta.get("stop_reason", stop["stop_reason"])),
            b',"stop_sequence":',
            _json(delta.get("stop_sequence", stop["stop_sequence"])),
            b',"usage":',
            encode_usage(finish.usage, start.get("usage")),
            encode_unknown(start),
            encode_unknown(delta),
            b"" if extension is None else b',"x_autonomousai":' + _json(with_reason(extension, finish, *OWN_REASONS)),
            b"}",
        )
    )


def _fold(payloads: list[Payload]) -> list[Payload]:
    """Return the blocks that the *payloads* of a stream make."""
    blocks: list[Payload] = []
    pieces: list[list[Payload]] = []
    for payload in payloads:
        if payload["type"] == "content_block_start":
            blocks.append(payload["content_block"])
            pieces.append([])
        elif payload["type"] == "content_block_delta":
            pieces[payload["index"]].append(payload["delta"])
    return [_grown(block, deltas) for block, deltas in zip(blocks, pieces, strict=True)]


#: The member of a block that a delta of that type is a piece of.
_TEXTS: Final = {"text_delta": "text", "thinking_delta": "thinking"}


def _grown(block: Payload, deltas: list[Payload]) -> Payload:
    """Return *block* with all its *deltas*."""
    grown = dict(block)
    texts: dict[str, list[str]] = {}
    arguments: list[str] = []
    for delta in deltas:
        kind = delta.get("type")
        if kind == "input_json_delta":
            arguments.append(delta.get("partial_json") or "")
        elif kind in _TEXTS:
            member = _TEXTS[kind]
            texts.setdefault(member, [grown.get(member) or ""]).append(delta.get(member) or "")
        elif kind == "signature_delta":
            grown["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            grown["citations"] = [*(grown.get("citations") or ()), delta.get("citation")]
        else:
            merge_values(grown, {name: value for name, value in delta.items() if name != "type"})
    grown |= {member: "".join(said) for member, said in texts.items()}
    if text := "".join(arguments):
        grown["input"] = object_of_arguments(text)
    return grown


# ---- answers of text alone ------------------------------------------------------------------------------------------------

#: What an upstream of this wire says of the end.
_STOP: Final[Payload] = {"stop_reason": None, "stop_sequence": None}

_START: Final = b'event: message_start\ndata: {"type":"message_start","message":'
_TEXT: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":'
_BEGIN: Final = (
    b'}\n\nevent: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n' + _TEXT
)
_BETWEEN: Final = b"}}\n\n" + _TEXT
_END: Final = (
    b'}}\n\nevent: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":'
)
_STOPPED: Final = b'}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'


class TextAnswer(msgspec.Struct, frozen=True, gc=False):
    """An answer of text alone, one block. ``start`` and ``delta``: what an upstream of this wire said at its beginning and of
    its end; read, and never changed."""

    texts: list[str]
    text: str
    start: Payload
    delta: Payload


_NOTHING: Final[Payload] = {}


def text_answer(events: Batch) -> TextAnswer | None:
    """Return the answer of *events*; None where they are more than a text, behind what an upstream of this wire said at its
    beginning and before what it said of the end, or less."""
    first, *said, finish = events
    start: Payload | None = _NOTHING
    delta: Payload | None = _NOTHING
    if said and type(event := said[0]) is Extra:
        start = _part(event, "message_start")
        del said[0]
    if said and type(event := said[-1]) is Extra:
        delta = _part(event, "message_delta")
        del said[-1]
    if start is None or delta is None or type(first) is not Started or type(finish) is not FinishReason:
        return None
    texts: list[str] = said  # type: ignore[assignment]  # refused where it is not text alone
    try:
        text = "".join(texts)
    except TypeError:
        return None
    return TextAnswer(texts, text, start, delta) if text else None


def _part(event: Extra, name: str) -> Payload | None:
    """Return what *event* says of the part of that *name*; None where it says anything else."""
    members = event.members
    return members.get(name) if event.wire == WIRE and len(members) == 1 else None


def stop_of_text(events: Batch, finish: FinishReason, delta: Payload) -> Payload:
    """Return why an answer of text alone has ended; it need not be found out where the *delta* says both members."""
    if "stop_reason" in delta and "stop_sequence" in delta:
        return _STOP
    return stop_of(finish, has_calls=False, is_refused=False, stopped_at=stopped_at(events))


def write_short_stream(events: Batch, head: AnswerHead, extension: dict[str, Any] | None) -> bytes | None:
    """Return the complete stream of *events*; None where they are more than text, or say what stands in other events than its
    first and its last."""
    finish = events[-1]
    if type(finish) is not FinishReason or (answer := text_answer(events)) is None:
        return None
    said = b"" if extension is None else b',"x_autonomousai":' + _json(with_reason(extension, finish, *OWN_REASONS))
    return b"".join(
        (
            _START,
            encode_begun(head.id, head.model, answer.start),
            _BEGIN,
            join_strings([text for text in answer.texts if text], _BETWEEN),
            _END,
            _json({**stop_of_text(events, finish, answer.delta), **answer.delta}),
            b',"usage":',
            encode_usage(finish.usage),
            said,
            _STOPPED,
        )
    )
