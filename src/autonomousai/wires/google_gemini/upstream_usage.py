"""The tokens that the Gemini API counts (Gemini API reference, "UsageMetadata"), in the terms of chat completions."""

from __future__ import annotations

from typing import Any, Final

from ...events import Usage

Json = dict[str, Any]

#: A number of tokens that is none.
_TOO_MANY: Final = 2**63

#: Members that have a place in `Usage`.
_COUNTS: Final = (
    *("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
    *("cachedContentTokenCount", "totalTokenCount"),
)

#: Tokens by their kind: the member of the API, the group of chat completions, and the name of a count in it.
_DETAILS: Final = {
    "promptTokensDetails": ("prompt_tokens_details", "{}_tokens"),
    "cacheTokensDetails": ("prompt_tokens_details", "cached_{}_tokens"),
    "toolUsePromptTokensDetails": ("prompt_tokens_details", "tool_use_{}_tokens"),
    "candidatesTokensDetails": ("completion_tokens_details", "{}_tokens"),
}


def merge_usage(earlier: Json | None, later: Any) -> Json | None:
    """Return the counts of an answer: those of each chunk are cumulative, and some chunks lack what another one had."""
    if not isinstance(later, dict):
        return earlier
    merged = {**(earlier or {}), **{name: value for name, value in later.items() if value is not None}}
    for name in _COUNTS:
        was, now = count_of((earlier or {}).get(name)), count_of(merged.get(name))
        if was is not None and (now is None or was > now):
            merged[name] = was
    return merged or None


def usage_of(counted: Json | None) -> Usage | None:
    """Return the tokens; None where they were not counted. What a model thinks is part of its answer, and what its own tools
    read, of the prompt."""
    counts = {name: count_of((counted or {}).get(name)) for name in _COUNTS}
    prompt, total = (counts["promptTokenCount"] or 0) + (counts["toolUsePromptTokenCount"] or 0), counts["totalTokenCount"]
    said, thought = counts["candidatesTokenCount"] or 0, counts["thoughtsTokenCount"]
    if not counted or all(value is None for value in counts.values()):
        return None
    completion = said + (thought or 0)
    if thought and total == prompt + said >= thought + prompt:  # some servers count the thoughts with the answer
        completion = said
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cached_tokens=counts["cachedContentTokenCount"],
        reasoning_tokens=thought,
        extra=_details(counted) or None,
    )


def _details(counted: Json) -> Json:
    groups: Json = {}
    for member, (group, name) in _DETAILS.items():
        said = counted.get(member)
        for each in said if isinstance(said, list) else ():
            kind = each.get("modality") if isinstance(each, dict) else None
            if isinstance(kind, str) and kind.isascii() and (tokens := count_of(each.get("tokenCount"))) is not None:
                groups.setdefault(group, {})[name.format(kind.lower()[:20])] = tokens
    return groups


def count_of(value: Any) -> int | None:
    """Return a number of tokens; None where *value* is none. JSON of the vendor's 64-bit numbers has them as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if type(value) is int and 0 <= value < _TOO_MANY else None
