"""An answer of the Messages API in one document (Anthropic API reference, "Create a Message"): bytes in, events out."""

from __future__ import annotations

from typing import Any

from ...errors import StreamError
from ...events import Batch, FinishReason, Started, ToolCallDelta
from ..finish_reasons import broken_off
from ..finish_reasons import finish_reason_of as said_reason
from ..foreign_errors import error_in_event
from ..json import BOM, unwrapped
from ..unreadable import notes_on, unreadable
from .block_reader import BlockReader
from .members import Json, extra, finish_reason_of, load_object, text_in, unknown_of_message, usage_of


def decode_message(body: bytes) -> Batch:
    """Return a whole answer that was not streamed: `Started`, what it says, `FinishReason`.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success.
    """
    message = load_object(body.removeprefix(BOM))
    if message is None:
        raise unreadable("the answer", body)
    message = unwrapped(message, "content")
    batch: Batch = [Started(text_in(message.get("model")) or None)]
    if members := unknown_of_message(message):
        batch.append(extra("message_start", members))
    content = message.get("content")
    said = _read_blocks(content)
    if (error := _error_in(message)) is not None:
        error.partial = "".join([event for event in said if type(event) is str])
        raise error
    if content is None and message.get("stop_reason") is None:
        raise unreadable("the answer holds no message and", body)
    batch += said
    reason = said_reason(message.get("stop_reason"))
    if reason is not None:
        batch.append(extra("message_delta", {"stop_reason": reason, "stop_sequence": message.get("stop_sequence")}))
    usage = message.get("usage")
    finish = FinishReason(
        finish_reason_of(reason, has_calls=any(type(event) is ToolCallDelta for event in said)),
        "body" if reason is None else "finish_reason",
        usage_of(usage if isinstance(usage, dict) else None),
        text_in(message.get("model")) or None,
        None,
        notes_on(body),
    )
    return [*batch, finish]


def _error_in(message: Json) -> StreamError | None:
    """Return the error that a document is, in Anthropic's shape or any other, or that its reason reports."""
    if message.get("type") != "message" and (error := error_in_event(message)) is not None:
        return error
    reason = said_reason(message.get("stop_reason"))
    return None if reason is None else broken_off(reason)


def _read_blocks(content: Any) -> Batch:
    said: Batch = []
    blocks = BlockReader()
    if isinstance(content, str):  # as in requests
        content = [{"type": "text", "text": content}]
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        if isinstance(block, dict):
            blocks.start(None, block, said)
            blocks.close(said)
    return said
