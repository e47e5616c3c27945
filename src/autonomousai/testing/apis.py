"""The APIs that a script can speak: how each streams an answer, says an error, and writes a document. Knows no script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from .completions import chunks, completion, event
from .gemini import gemini_answer, gemini_chunks, gemini_event
from .messages import message, message_event, message_events
from .responses import response, response_event, response_events

ApiName = Literal["chat", "messages", "responses", "gemini"]


class SpokenApi(NamedTuple):
    """How an API writes. ``stream``, ``document``: a complete answer; ``begun``: one that has not ended; ``unsaid``: one
    without the event that says that it is complete; ``error``: what an error holds; ``malformed``: half an event."""

    stream: Callable[..., bytes]
    document: Callable[..., bytes]
    begun: Callable[..., bytes]
    unsaid: Callable[..., bytes]
    event: Callable[[Any], bytes]
    error: Mapping[str, Any]
    malformed: bytes


def _without_last_event(stream: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return *stream* without the last of its events."""

    def made(*parts: Any, **end: Any) -> bytes:
        body = stream(*parts, **end)
        return body[: body.rindex(b"\n\n", 0, -2) + 2]

    return made


_FAILURE: Final = "scripted failure"
APIS: Final[dict[ApiName, SpokenApi]] = {
    "chat": SpokenApi(
        chunks,
        completion,
        partial(chunks, finish=None, done=False),
        partial(chunks, done=False),
        event,
        {"error": {"message": _FAILURE, "type": "server_error", "param": None, "code": "scripted"}},
        b'data: {"choices":[{"delta":{"content": \n\n',
    ),
    "messages": SpokenApi(
        message_events,
        message,
        partial(message_events, finish=None),
        _without_last_event(message_events),
        message_event,
        {"type": "error", "error": {"type": "api_error", "message": _FAILURE}},
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text": \n\n',
    ),
    "responses": SpokenApi(
        response_events,
        response,
        partial(response_events, finish=None),
        _without_last_event(response_events),
        response_event,
        {"type": "error", "code": "server_error", "message": _FAILURE, "param": None, "sequence_number": 99},
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta": \n\n',
    ),
    "gemini": SpokenApi(
        gemini_chunks,
        gemini_answer,
        partial(gemini_chunks, finish=None),
        gemini_chunks,  # the reason is in the last event that there is
        gemini_event,
        {"error": {"code": 500, "message": _FAILURE, "status": "INTERNAL"}},
        b'data: {"candidates": [{"content": {"parts": [{"text": \r\n\r\n',
    ),
}


def api_of(target: str) -> ApiName:
    """Return the API of a request's *target*, by the end of its path: that of chat completions where it names no other one."""
    path = target.partition("?")[0].rstrip("/")
    if path.endswith((":streamGenerateContent", ":generateContent")):
        return "gemini"
    return "messages" if path.endswith("/messages") else "responses" if path.endswith("/responses") else "chat"
