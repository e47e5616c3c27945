"""The text of an answer's body, read with `json` alone: what tests a client must not be made of this package's own decoders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

#: Where one event of a stream ends, whatever its line ends are.
EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
#: In the event by which a stream says that it is complete, whatever its API.
LAST_EVENT = re.compile(
    rb'^data: ?\[DONE\]|"type" ?: ?"(?:message_stop|response\.(?:completed|incomplete))"|"finishReason" ?: ?"', re.MULTILINE
)


def text_of(body: bytes) -> str:
    """Return the text of the first choice of *body*: a stream as far as its events are complete, or a JSON document.

    Of chat completions, text completions, Messages, Responses and the Gemini API; ``""`` for what is none of these.
    """
    if (document := _parsed(body.strip())) is not None:
        return _of_document(document)
    return "".join(map(_of_event, events(body)))


def events(body: bytes) -> Iterator[Any]:
    """Yield what the complete events of a stream hold, as far as it is a JSON object."""
    start = 0
    for end in EVENT_END.finditer(body):
        lines = body[start : end.start()].splitlines()
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
        start = end.end()
        if (parsed := _parsed(data)) is not None:
            yield parsed


def _parsed(data: bytes) -> Any:
    """The JSON object, or None."""
    if not data.startswith(b"{"):
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def _of_event(event: Any) -> str:
    kind = event.get("type")
    if kind == "content_block_delta":
        return _text(event.get("delta"), "text")
    if kind == "response.output_text.delta":
        return _text(event, "delta")
    if choice := _first_choice(event):
        return _text(choice.get("delta"), "content") or _text(choice, "text")
    return _of_candidate(event)


def _of_document(document: Any) -> str:
    if choice := _first_choice(document):
        return _text(choice.get("message"), "content") or _text(choice, "text")
    if candidate := _of_candidate(document):
        return candidate
    parts = document.get("content")
    for item in document.get("output") or ():
        parts = [*(parts or ()), *(item.get("content") or ())]
    return "".join(_text(part, "text") for part in parts or ())


def _of_candidate(document: Any) -> str:
    candidates = document.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    content = first.get("content") if isinstance(first, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    said = [part for part in parts if isinstance(part, dict) and not part.get("thought")] if isinstance(parts, list) else []
    return "".join(_text(part, "text") for part in said)


def _first_choice(document: Any) -> Any:
    choices = document.get("choices")
    if not isinstance(choices, list):
        return None
    return next((choice for choice in choices if isinstance(choice, dict) and not choice.get("index")), None)


def _text(place: Any, name: str) -> str:
    """The text at *name*, or nothing where there is none."""
    text = place.get(name) if isinstance(place, dict) else None
    return text if isinstance(text, str) else ""
