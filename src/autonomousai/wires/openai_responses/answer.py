"""A whole answer of the Responses API, as one document: the response object that a stream would end with."""

from __future__ import annotations

from typing import Any

from ...events import Annotations, Batch, Extra, FinishReason, LogProbs, Started
from ...sealed_thoughts import sealed_in
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..provenance import KEY
from .open_items import Item
from .output import message_of, output_for, with_log_probs
from .response import WIRE, encode_ended, incomplete_reason


def encode_response(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return the answer that *events* are, the last of which is its `FinishReason`."""
    finish = events[-1]
    if not isinstance(finish, FinishReason):
        raise ValueError("the events of a complete answer end with its FinishReason")
    is_incomplete = incomplete_reason(finish) is not None
    unknown: dict[str, Any] = {}
    if (text := _sole_text(events)) is not None:
        documents = [message_of(head, text, "incomplete" if is_incomplete else "completed")]
    else:
        documents = _documents(events, head, unknown, is_incomplete=is_incomplete)
    if extension is not None:
        unknown[KEY] = with_reason(extension, finish)
    return encode_ended(head, finish, documents, unknown)


def _sole_text(events: Batch) -> str | None:
    """Return the text that is all of an answer, and so one message; None where there is more."""
    texts: list[str] = []
    for event in events:
        if type(event) is str:
            texts.append(event)
        elif type(event) is Extra:
            if event.wire == WIRE or sealed_in(event) is not None:
                return None
        elif type(event) is not Started and type(event) is not FinishReason:
            return None
    return "".join(texts)


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
