"""What a refusal is about, where only its words tell: words -> codes. Knows no document and no status.

Servers answer with the same status, most often 400, to a request that is wrong, to a key that is, to an account without money
and to a model that they do not have. Whether another server would answer depends on which it is.
"""

from __future__ import annotations

import re
from typing import Final

from ..late import late_pattern


def _any(*patterns: str) -> re.Pattern[str]:
    return late_pattern("|".join(patterns), re.IGNORECASE)


#: In words that mean nothing else, from the most particular to the most general: the first that is found counts.
_CODES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        _any(
            r"maximum (?:context|prompt) length|context_?(?:length|window)_?exceeded|reduce the length of the messages",
            r"context (?:length|window|size|limit)\b.{0,60}\bexceed|exceed\w*\b.{0,80}\bcontext (?:length|window|size|limit)",
            r"(?:prompt|input) (?:is too long|exceeds max)|longer than the (?:model's context|maximum model) length",
            r"input token count .{0,40}exceeds|input length (?:\S+|\([^)]*\)) exceeds",
            r"range of input length should be|context length of only",
            r"too many tokens: total|tokens in request more than|exceeded model token limit",
            r"too large for .{0,60}size: \S+ tokens|`inputs` (?:tokens \+|must have less)",
        ),
        "context_length_exceeded",
    ),
    (
        _any(
            r"(?:credit|account) balance is (?:too low|insufficient)|insufficient (?:account )?(?:balance|credits?|funds)",
            r"(?:reached|exceeded) your (?:specified )?(?:api )?usage limits|exceeded your monthly included credits",
            r"budget (?:has been )?exceeded|overdue balance|out of credits|余额不足|额度不足|欠费",
            r"(?:reach|exceed)\w* (?:the |your |its )?(?:monthly )?spending limit|token quota has been (?:reached|exceeded)",
            r"(?:n't|not|no) have any credits",
        ),
        "insufficient_quota",
    ),
    (
        _any(
            r"\bapi[ _-]?key\b[^.]{0,40}\b(?:not valid|invalid|expired|incorrect|revoked|disabled|suspended|leaked)\b",
            r"\b(?:invalid|incorrect|wrong|expired|unknown) (?:x-)?api[ _-]?key\b|no auth credentials",
        ),
        "invalid_api_key",
    ),
    (
        _any(
            r"\bviolat\w+ (?:\w+ ){0,2}(?:usage|content) (?:guidelines|polic)",
            r"\b(?:input|prompt|content|request|message)s? (?:was|were|is|has been) flagged\b|\brequires moderation on\b",
            r"\bcontent[ -](?:filter\w*|management|moderation) polic|\binappropriate content\b|\bnew_sensitive\b|敏感内容",
        ),
        "content_filter",
    ),
    (
        _any(r"location is not supported|(?:country|region|territory)[^.]{0,40} not supported"),
        "unsupported_country_region_territory",
    ),
    (
        _any(
            r"\b(?:not|n't) support (?:tools?|functions?|images?|vision|audio|multimodal|streaming)\b|not a multimodal model",
            r"\bimages?(?: input)? (?:is|are) not supported|unknown variant .?image_url|requires --enable-auto-tool-choice",
        ),
        "unsupported_parameter",
    ),
    (
        _any(
            r"\bmodel\b[^.]{0,80}\b(?:not (?:found|exist|available|valid|loaded)|(?:not|n't) exist)\b",
            r"\bmodel\b[^.]{0,80}\b(?:decommissioned|deprecated|retired|unloaded|has crashed|end of life)\b",
            r"\bmodel\b[^:.]{0,80}\bis not supported\b|\b(?:invalid|unknown|unavailable|unsupported|no such) model\b",
            r"\bnot a valid model\b|unable to access model|failed to load model|no models? (?:is |are )?loaded",
            r"on-demand throughput",
        ),
        "model_not_found",
    ),
)


#: What a request says of an answer: a model that does not take one of these is there.
_OF_REQUESTS: Final = _any(
    r"\b(?:temperature|top_?[pk]|messages?\[\d|roles?|schema|response_format|tool_choice|max_(?:completion_)?tokens|logprobs)\b",
    r"\b(?:parameters?|reasoning_effort|effort|seed|stop sequences?|frequency_penalty|presence_penalty)\b",
)


def code_in_words(words: str) -> str | None:
    """Return the code of what *words* say is wrong, as OpenAI names it; None where they may say anything.

    Example::

        assert code_in_words("Your credit balance is too low to access the API.") == "insufficient_quota"
        assert code_in_words("temperature: must be at most 2") is None
    """
    for pattern, code in _CODES:
        found = pattern.search(words)
        if found is not None and not (code == "model_not_found" and _OF_REQUESTS.search(found[0])):
            return code
    return None


_BUSY: Final = _any(
    r"capacity (?:is )?(?:temporarily )?exceeded|temporarily unavailable|(?:is|currently) overloaded|server is busy"
)


_TOO_MANY: Final = _any(
    r"rate.?limit\w* (?:is |was |has been )?(?:reached|exceeded)|exceed\w* (?:\w+ ){0,4}rate.?limit",
    r"too many (?:requests|tokens)\b|请求过于频繁|请求频率|限流|并发数过高",
)


def says_too_many(words: str) -> bool:
    """Return whether *words* say that one caller has sent too much for now."""
    return bool(_TOO_MANY.search(words))


def says_busy(words: str) -> bool:
    """Return whether *words* say that the same request may be taken later."""
    return bool(_BUSY.search(words))
