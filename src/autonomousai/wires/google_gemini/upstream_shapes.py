"""What the Gemini API writes, as it is read (Gemini API reference, "GenerateContentResponse"): the names of its members, and
its JSON. Knows no order of chunks."""

from __future__ import annotations

from typing import Any, Final

from ...events import Extra
from ..json import load_leniently
from ..openai_chat.chunks import UNREADABLE
from ..provenance import KEY

Json = dict[str, Any]

#: The name of the wire, in events that are bound to it.
WIRE: Final = "google_gemini"

#: The member of an `Extra` with the signature of what a model said without a call; see `sealed_thoughts`.
SIGNATURE: Final = "signature"

#: Members of a chunk and of a candidate that have events, or that each answer has of its own.
_KNOWN_CHUNK: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime", "error", KEY})
_KNOWN_CANDIDATE: Final = frozenset({"index", "content", "logprobsResult"})

#: What a candidate says besides in each chunk, of no use to any reader: how likely its tokens are on average until now.
_PASSING: Final = frozenset({"avgLogprobs", "tokenCount"})


def chunks_in(document: bytes) -> list[Json] | None:
    """Return the chunks that a JSON text is: one, or a list of some, as the API streams where no events are asked for. None
    where it is neither."""
    try:
        value = load_leniently(document, lambda said, mended: None)
    except UNREADABLE:
        return None
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else None


def candidates_of(chunk: Json) -> list[tuple[int, Json]]:
    """Return the candidates of a chunk, with their indexes; the first may lack its own."""
    said = chunk.get("candidates")
    found = [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []
    return [(index_of(each.get("index", place)), each) for place, each in enumerate(found)]


def index_of(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0


def parts_of(candidate: Json) -> list[Json]:
    """Return the parts of what a candidate says; those that filters stop have no content."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def unknown_of_chunk(chunk: Json) -> Json:
    """Return the members of a chunk that have no event."""
    return {name: value for name, value in chunk.items() if name not in _KNOWN_CHUNK}


def unknown_of_candidate(candidate: Json) -> Json:
    """Return the members of a candidate that have no event, as they came."""
    return {
        name: value
        for name, value in candidate.items()
        if name not in _KNOWN_CANDIDATE and name not in _PASSING and value not in (None, [], {})
    }


def extra(members: Json) -> Extra:
    """Return the event of *members* that have no other, in the nesting of a chunk."""
    return Extra(members, 0, WIRE)


def text_in(value: Any) -> str:
    """Return *value* where it is text, else nothing."""
    return value if isinstance(value, str) else ""
