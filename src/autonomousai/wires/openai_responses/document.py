"""An answer over the Responses wire that came as one document -> events: the same as the stream of it would bring."""

from __future__ import annotations

from ...errors import StreamError
from ...events import Batch
from ..foreign_errors import error_in_event
from ..json import unwrapped
from ..unreadable import unreadable
from .decoder import ResponsesStreamDecoder


def decode_response(body: bytes) -> Batch:
    """Return a whole answer: `Started`, what it says, `FinishReason`.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success, or has not ended.
    """
    decoder = ResponsesStreamDecoder()
    obj = decoder.load(body.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(obj, dict):
        raise unreadable("the answer", body)
    obj = unwrapped(obj, "output")
    status = obj.get("status")
    if status in ("queued", "in_progress"):
        raise StreamError(
            f"the response has not ended: its status is {status!r}", status=200, retryable=True, code="broken_off"
        )
    if not isinstance(obj.get("output"), list) and isinstance(text := obj.get("output_text"), str) and text:
        obj["output"] = [{"type": "message", "content": text}]
    if not isinstance(obj.get("output"), list) and status not in ("failed", "cancelled", "incomplete"):
        raise error_in_event(obj) or unreadable("the answer holds no output and", body)
    batch: Batch = []
    decoder.begin(obj, batch)
    decoder.take_response(obj, batch, "completed")
    if decoder.failure is not None:
        partial: Batch = []
        ResponsesStreamDecoder().take_response({**obj, "status": "incomplete"}, partial, "incomplete")
        decoder.failure.partial = "".join([event for event in partial if type(event) is str])
        raise decoder.failure
    return [*batch, decoder.finish()]
