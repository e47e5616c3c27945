"""A whole answer of the Responses API, as one document: the response object that a stream would end with."""

from __future__ import annotations

from typing import Any

import msgspec

from ...events import Batch, Extra, FinishReason
from ..base import AnswerHead
from ..provenance import KEY
from .output import output_for, with_log_probs
from .response import INCOMPLETE, WIRE, ended


def encode_response(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return the answer that *events* are, the last of which is its `FinishReason`."""
    finish = events[-1]
    if not isinstance(finish, FinishReason):
        raise ValueError("the events of a whole answer end with its FinishReason")
    output = output_for(head)
    unknown: dict[str, Any] = {}
    for event, log_probs in with_log_probs(events):
        if isinstance(event, Extra) and event.wire == WIRE and "response" in event.members:
            unknown |= event.members["response"]
        else:
            output.add(event, log_probs)
    output.finish(is_incomplete=finish.reason in INCOMPLETE)
    if extension is not None:
        unknown[KEY] = extension
    return msgspec.json.encode(ended(head, finish, output.documents(), unknown))
