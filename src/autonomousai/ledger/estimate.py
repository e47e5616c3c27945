"""Tokens of one answer, and what they are where no upstream counted them: an estimate, from what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..answer import Answer
from ..request import ChatRequest
from ..wires.messages import CheckedMessages

#: Characters of a token, of most texts in most vocabularies.
CHARACTERS: Final = 4

#: Characters that the pieces of an answer have on average where each is a token; longer ones hold several.
_LONGEST_PIECE: Final = 12

#: Tokens that a message has beside its text.
_AROUND: Final = 4

#: Tokens that an image is taken for.
_IMAGE: Final = 800


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Tokens of an answer. ``completion``: what the caller got; ``last``: what the last try generated; ``lost``: what was
    generated and not delivered. ``cached``, ``cache_write``: part of ``prompt``; ``reasoning``: part of ``completion``;
    ``cache_write_1h``: part of ``cache_write``."""

    prompt: int = 0
    completion: int = 0
    last: int = 0
    lost: int = 0
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    cache_write_1h: int = 0


def pieces_of(answer: Answer) -> int:
    """Return how many pieces of text, reasoning and calls came to the caller, in all choices."""
    pieces = answer.deltas if answer.report is None else answer.report.joined or answer.deltas
    return pieces + sum(choice.deltas for choice in answer.choices.values()) if answer.choices else pieces


def tokens_per_piece(answer: Answer) -> Callable[[int], int]:
    """Return what makes a number of pieces of *answer* a number of tokens: the same number, as most upstreams send each token
    by itself; where pieces are long, by their characters."""
    came = pieces_of(answer)
    if not came or (size := answer.generated) <= _LONGEST_PIECE * came:
        return int
    average = size / came / CHARACTERS
    return lambda pieces: round(pieces * average)


def completion_tokens(answer: Answer) -> int:
    """Return what `tokens_per_piece` makes of all pieces of a complete *answer*."""
    pieces = pieces_of(answer)
    if not pieces or (size := answer.generated) <= _LONGEST_PIECE * pieces:
        return pieces
    return round(pieces * (size / pieces / CHARACTERS))


def prompt_tokens(request: ChatRequest) -> int:
    """Return about how many tokens the prompt of *request* has: four characters each, and what stands around a message.

    Example::

        assert prompt_tokens(ChatRequest("llama", [{"role": "user", "content": "Why is the sky blue?"}])) == 9
    """
    size = sum(_size(request.fields.get(name), 0) for name in ("tools", "functions")) if request.fields else 0
    messages = request.messages
    if type(messages) is CheckedMessages and messages.plain:  # as usual
        for message in messages:
            size += len(message["content"])
    else:
        for message in messages:
            content = message.get("content")
            size += len(content) if type(content) is str else _size(content, 1)
    if not messages and request.origin is not None:
        document = request.origin.document
        size += sum(_size(document.get(name), 1) for name in _RAW)
    return _AROUND * len(messages) - (-size // CHARACTERS)


#: Members of a request that is no conversation which hold what is read.
_RAW: Final = ("prompt", "input", "query", "documents", "suffix")


def _size(value: Any, depth: int) -> int:
    """Return how many characters of text are in a JSON value. A list of whole numbers is one of tokens."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        if value.get("type") in ("image_url", "image", "input_image"):
            return _IMAGE * CHARACTERS
        return sum(_size(each, depth + 1) for each in value.values()) if depth < 100 else 0
    if isinstance(value, list):
        return sum(_size(each, depth + 1) for each in value) if depth < 100 else 0
    return CHARACTERS if type(value) is int else 0
