"""How many tokens a prompt has that does not fit, how many its answer was to have, and how many fit: out of the words of the
servers of chat completions, which have no members for it. Agents of other APIs read these numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from ..late import late_pattern


class ContextCounts(NamedTuple):
    """Tokens of the prompt, of the answer that was asked for (None where nothing is said of it), and of both that fit."""

    prompt: int
    answer: int | None
    limit: int


def _patterns(*sources: str) -> tuple[re.Pattern[str], ...]:
    return tuple(late_pattern(source, re.IGNORECASE) for source in sources)


_NUMBER: Final = r"([0-9]{1,9})\b"

#: OpenAI, vLLM, SGLang, llama.cpp, TGI, MLX's servers, Anthropic.
_PROMPT: Final = _patterns(
    rf"{_NUMBER}(?: tokens)? (?:in|from) the (?:input )?messages",
    rf"{_NUMBER} (?:input|`inputs`) tokens",
    rf"input \({_NUMBER} tokens",
    rf"input length \(?{_NUMBER}",
    rf"request \({_NUMBER} tokens",
    rf"prompt (?:is )?too long: {_NUMBER}",
    rf"prompt \(length {_NUMBER}",
    rf"input token count \(?{_NUMBER}",
    rf"(?:resulted in|contains)(?: at least)? {_NUMBER} tokens",
)
_ANSWER: Final = _patterns(
    rf"{_NUMBER}(?: tokens)? (?:in|for) the completion",
    rf"{_NUMBER} (?:output tokens|`max_new_tokens`)",
    rf"is too large: {_NUMBER}",
)
_LIMIT: Final = _patterns(
    rf"(?:context length|context size|context window)(?: is| of)? \(?{_NUMBER}",
    rf"max_new_tokens` must be <= {_NUMBER}",
    rf"maximum (?:model|prompt) length(?: is| of)? {_NUMBER}",
    rf"{_NUMBER} maximum context length",
    rf"maximum allowed length \(?{_NUMBER}",
    rf"(?:tokens allowed|exceeds maximum length) \(?{_NUMBER}",
)


def context_counts(message: str) -> ContextCounts | None:
    """Return what *message* says of the tokens, None where it is not all there, or where it would fit."""
    words = message[:2000]
    prompt, answer, limit = (_first(patterns, words) for patterns in (_PROMPT, _ANSWER, _LIMIT))
    if prompt is None or limit is None or prompt + (answer or 0) <= limit:
        return None
    return ContextCounts(prompt, answer, limit)


def _first(patterns: Iterable[re.Pattern[str]], words: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(words))), None)
    return None if found is None else int(found[1])
