"""A whole answer of the Responses API, as one document: the response object that a stream would end with. Where it is text
alone, also as a stream that is complete, to the byte the one that `encoder` writes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...events import Annotations, Batch, Extra, FinishReason, LogProbs, Started
from ...sealed_thoughts import frames_message
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..provenance import KEY
from .open_items import Item
from .output import output_for, with_log_probs
from .response import WIRE, encode_begun, encode_ended, incomplete_reason

_json = msgspec.json.Encoder().encode


def encode_response(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return the answer that *events* are, the last of which is its `FinishReason`."""
    finish = events[-1]
    if not isinstance(finish, FinishReason):
        raise ValueError("the events of a complete answer end with its FinishReason")
    is_incomplete = incomplete_reason(finish) is not None
    unknown: dict[str, Any] = {}
    if (texts := texts_of(events)) is not None:
        output = write_message(head, "".join(texts), is_incomplete=is_incomplete)
    else:
        output = _json(_documents(events, head, unknown, is_incomplete=is_incomplete))
    if extension is not None:
        unknown[KEY] = with_reason(extension, finish)
    return encode_ended(head, finish, output, unknown)


def _documents(events: Batch, head: AnswerHead, unknown: dict[str, Any], *, is_incomplete: bool) -> list[Item]:
    """Return the items that *events* are, and add to *unknown* what an upstream of this wire said of the response."""
    output = output_for(head)
    for event, log_probs in with_log_probs(_by_their_text(events)):
        if isinstance(event, Extra) and event.wire == WIRE and "response" in event.members:
            unknown |= event.members["response"]
        else:
            output.add(event, log_probs)
    output.finish(is_incomplete=is_incomplete)
    return output.documents()


def _by_their_text(events: Batch) -> Batch:
    """Return *events* with what belongs to the text next to it: in one that was joined, that comes at the end."""
    place = next((place for place in reversed(range(len(events))) if type(events[place]) is str), None)
    if place is None:
        return events
    rest = events[place + 1 :]
    tokens: Batch = [event for event in rest if isinstance(event, LogProbs)]
    notes: Batch = [event for event in rest if isinstance(event, Annotations)]
    others = [event for event in rest if not isinstance(event, LogProbs | Annotations)]
    return [*events[:place], *tokens, events[place], *notes, *others]


# ---- answers of text alone ------------------------------------------------------------------------------------------------

#: What stands in a stream before the first piece of the text, and after the last one. Each event has its number.
_BEGIN: Final = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":%b}\n\n'
    b'event: response.in_progress\ndata: {"type":"response.in_progress","sequence_number":1,"response":%b}\n\n'
    b'event: response.output_item.added\ndata: {"type":"response.output_item.added","sequence_number":2,'
    b'"output_index":0,"item":%b}\n\n'
    b'event: response.content_part.added\ndata: {"type":"response.content_part.added","sequence_number":3,%b,'
    b'"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}\n\n'
)
_TEXT: Final = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,%b,'
    b'"delta":%b,"logprobs":[]}\n\n'
)
_END: Final = (
    b'event: response.output_text.done\ndata: {"type":"response.output_text.done","sequence_number":%d,%b,'
    b'"text":%b,"logprobs":[]}\n\n'
    b'event: response.content_part.done\ndata: {"type":"response.content_part.done","sequence_number":%d,%b,"part":%b}\n\n'
    b'event: response.output_item.done\ndata: {"type":"response.output_item.done","sequence_number":%d,'
    b'"output_index":0,"item":%b}\n\n'
    b'event: response.%b\ndata: {"type":"response.%b","sequence_number":%d,"response":%b}\n\n'
    b"data: [DONE]\n\n"
)

#: How many events stand before the first piece of the text.
_BEFORE: Final = 4

_PART: Final = b'{"type":"output_text","text":%b,"annotations":[],"logprobs":[]}'
_ITEM: Final = b'{"id":%b,"type":"message","status":"%b","role":"assistant","content":[%b]}'


def texts_of(events: Batch) -> list[str] | None:
    """Return the pieces of the text that is all of an answer, and so one message; None where there is more."""
    texts: list[str] = []
    for event in events:
        if type(event) is str:
            if event:
                texts.append(event)
        elif type(event) is Extra:
            if not frames_message(event):
                return None
        elif type(event) is not Started and type(event) is not FinishReason:
            return None
    return texts


def write_message(head: AnswerHead, text: str, *, is_incomplete: bool) -> bytes:
    """Return the output of an answer of a *text* alone, its one item."""
    return b"[%b]" % (_ITEM % (_item_id(head), b"incomplete" if is_incomplete else b"completed", _PART % _json(text)))


def _item_id(head: AnswerHead) -> bytes:
    return _json(f"msg_{head.id.removeprefix('resp_')}_0")


def write_short_stream(events: Batch, head: AnswerHead, extension: dict[str, Any] | None) -> bytes | None:
    """Return the complete stream of *events*; None where they are more than text, or less."""
    finish = events[-1]
    if type(finish) is not FinishReason or not (texts := texts_of(events)):
        return None
    status = b"completed" if incomplete_reason(finish) is None else b"incomplete"
    item_id, begun = _item_id(head), encode_begun(head)
    where = b'"item_id":%b,"output_index":0,"content_index":0' % item_id
    pieces = [_BEGIN % (begun, begun, _ITEM % (item_id, b"in_progress", b""), where)]
    pieces += [_TEXT % (number, where, _json(text)) for number, text in enumerate(texts, _BEFORE)]
    number = len(texts) + _BEFORE
    text = _json("".join(texts))
    part = _PART % text
    item = _ITEM % (item_id, status, part)
    unknown = {} if extension is None else {KEY: with_reason(extension, finish)}
    response = encode_ended(head, finish, b"[%b]" % item, unknown)
    pieces.append(
        _END % (number, where, text, number + 1, where, part, number + 2, item, status, status, number + 3, response),
    )
    return b"".join(pieces)
