"""How many tokens a request may take, before it is answered.

No tokenizer is asked: it would take longer than all else of a request's way in. Four bytes of text are taken for a token, three
of other scripts' for each character, which is about right for the usual ones; at an answer's end the upstream's count holds.
"""

from __future__ import annotations

from typing import Any, Final

from ..request import ChatRequest
from ..wires.messages import CheckedMessages

#: Tokens of an image, a document or a sound, whatever its size: each vendor counts them in its own way.
MEDIA_TOKENS: Final = 1_000

#: Tokens that are reserved for an answer whose request does not say how long it may be.
UNSAID_TOKENS: Final = 1_024

#: Bytes of text in a token.
_BYTES: Final = 4

#: Members that hold media, as bytes in letters, and characters of those that are no words.
_MEDIA: Final = frozenset({"image_url", "url", "data", "file_data", "input_audio", "b64_json"})
_LONGEST_URL: Final = 512

#: Members of a request that are read by a model beside its messages.
_READ: Final = ("tools", "response_format", "functions")

#: Members of a document that is no conversation which hold what is read.
_RAW: Final = ("prompt", "suffix", "input", "query", "documents")

#: What says how long an answer may be.
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def prompt_tokens(request: ChatRequest) -> int:
    """Return about how many tokens a request's prompt has; at least one."""
    messages = request.messages
    size = 4 * len(messages) * _BYTES
    if type(messages) is CheckedMessages and messages.plain:  # of a role and text alone, as usual
        for message in messages:
            text = message["content"]
            size += len(message["role"]) + (len(text) if text.isascii() else _size(text))
    else:
        size += sum(_size(value, name) for message in messages for name, value in message.items())
    if fields := request.fields:
        size += sum(_size(fields[name]) for name in _READ if name in fields)
    if request.origin is not None and not request.messages:
        size += sum(_size(request.origin.document.get(name)) for name in _RAW)
    return -(-size // _BYTES) or 1


def answer_tokens(request: ChatRequest) -> tuple[int, bool]:
    """Return how many tokens a request's answers may have, all choices together, and whether it says so itself."""
    document = {} if request.origin is None else request.origin.document
    if not request.fields and not document:
        return UNSAID_TOKENS, False
    said = [
        each for name in _LIMITS for each in (request.fields.get(name), document.get(name)) if type(each) is int and each > 0
    ]
    counts = (request.fields.get("n"), request.fields.get("best_of"), document.get("n"), document.get("best_of"))
    choices = max([1, *(each for each in counts if type(each) is int)])
    return max(said, default=UNSAID_TOKENS) * choices, bool(said)


def tier_of(request: ChatRequest) -> str | None:
    """Return the ``service_tier`` that a request names, None where it names none."""
    tier = request.fields.get("service_tier") if request.fields else None
    if tier is None and request.origin is not None:
        tier = request.origin.document.get("service_tier")
    return tier if isinstance(tier, str) else None


def _size(value: Any, name: str = "") -> int:
    """Return the bytes of text in a value of JSON; a number is a token, as in lists of tokens."""
    if type(value) is str:
        if name in _MEDIA and (len(value) > _LONGEST_URL or value.startswith("data:")):
            return MEDIA_TOKENS * _BYTES
        return len(value) if value.isascii() else len(value.encode(errors="replace")) * _BYTES // 3
    if type(value) is list:
        if value and type(value[0]) is int:
            return len(value) * _BYTES
        return sum(_size(each, name) for each in value)
    if isinstance(value, dict):
        return sum(_size(each, key) for key, each in value.items())
    return 0 if value is None or type(value) is bool else _BYTES
