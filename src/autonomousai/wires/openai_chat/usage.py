"""The usage of chat completions (OpenAI API reference, "Completion usage"): what a usage object counts, as servers do write it.

Knows no chunk and no stream.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...events import Usage
from ..cache_counts import READ

Json = dict[str, Any]

#: Members that have a place in `Usage`, and in groups; others pass, whatever they count.
_KNOWN: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_KNOWN_DETAILS: Final = {"prompt_tokens_details": "cached_tokens", "completion_tokens_details": "reasoning_tokens"}

#: How servers name the tokens of the prompt, and those of the answer: as OpenAI does, as the Responses and the Messages API do,
#: as gateways in JavaScript do, and as Ollama does.
PROMPT: Final = ("prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "prompt_eval_count")
COMPLETION: Final = ("completion_tokens", "output_tokens", "completionTokens", "outputTokens", "eval_count")
TOTAL: Final = ("total_tokens", "totalTokens")
_COUNTS: Final = frozenset({*PROMPT, *COMPLETION, *TOTAL})

#: Where servers count the tokens that were thought, and those of a prompt that a cache had.
THOUGHT: Final = ("completion_tokens_details", "output_tokens_details")
CACHED: Final = ("prompt_tokens_details", "input_tokens_details")

_WHOLE: Final = {int}


def usage_of(usage: Json | None) -> Usage | None:
    """The tokens that a usage object counts; None where it counts none of the three that make one."""
    if not usage:
        return None
    if len(usage) == len(_KNOWN):  # as most servers count
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("total_tokens")
        if {*map(type, counts)} == _WHOLE and min(counts) >= 0 and max(counts) < 2**63:  # type: ignore[type-var, operator]
            return Usage(*counts)  # type: ignore[arg-type]
    prompt, completion, total = (named_count(usage, names) for names in (PROMPT, COMPLETION, TOTAL))
    if prompt is None and completion is None and total is None:
        return None
    return Usage(
        prompt_tokens=prompt or 0,
        completion_tokens=completion or 0,
        total_tokens=(prompt or 0) + (completion or 0) if total is None else total,
        cached_tokens=cached_count(usage),
        reasoning_tokens=thought_count(usage),
        extra=unknown_of_usage(usage),
    )


def unknown_of_usage(usage: Json) -> Json | None:
    """Return the members of a usage object that have no place in `Usage`, None where there are none."""
    unknown = {}
    for name, value in usage.items():
        if name in _KNOWN:
            continue
        if name in _KNOWN_DETAILS and isinstance(value, dict):
            value = {inner: each for inner, each in value.items() if inner != _KNOWN_DETAILS[name]}
            if not value:
                continue
        elif name in _KNOWN_DETAILS and value is None:
            continue
        unknown[name] = value
    return unknown or None


def counted_more(earlier: Json, later: Json) -> Json:
    """Return what a usage object and a later one count together: counts only grow, and some servers spread them over two
    chunks, or send zeros where they know nothing, first or last."""
    if later.get("prompt_tokens") and later.get("completion_tokens"):
        return later
    lacking = {
        names[0]: known
        for names in (PROMPT, COMPLETION)
        if not named_count(later, names) and (known := named_count(earlier, names))
    }
    if not lacking:
        return later
    counts = {name: value for name, value in later.items() if name not in TOTAL}
    return {
        **{name: value for name, value in earlier.items() if name not in later and name not in _COUNTS},
        **counts,
        **lacking,
    }


def counts_both(usage: Json) -> bool:
    """Return whether a usage object names the tokens of prompt and answer."""
    return all(any(usage.get(name) is not None for name in names) for names in (PROMPT, COMPLETION))


def _count(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        return int(value)
    if type(value) is int:
        return value if 0 <= value < 2**63 else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value < 2**63 and value == int(value) else None


def named_count(usage: Json, names: tuple[str, ...]) -> int | None:
    """Return the count under the first of *names* that has one."""
    return next((count for name in names if (count := _count(usage.get(name))) is not None), None)


def cached_count(usage: Json) -> int | None:
    """Return the tokens of the prompt that were read from a cache, where they have a place of OpenAI's, or a vendor's name."""
    cached = detail_count(usage, CACHED, "cached_tokens")
    return named_count(usage, READ) if cached is None else cached


def thought_count(usage: Json) -> int | None:
    """Return the tokens that were thought, in a place of OpenAI's, or beside the other counts."""
    thought = detail_count(usage, THOUGHT, "reasoning_tokens")
    return _count(usage.get("reasoning_tokens")) if thought is None else thought


def detail_count(usage: Json, groups: tuple[str, ...], key: str) -> int | None:
    """Return the count *key* in the first of *groups* that has one."""
    details = (usage.get(group) for group in groups)
    return next((count for each in details if isinstance(each, dict) and (count := _count(each.get(key))) is not None), None)
