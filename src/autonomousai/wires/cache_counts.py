"""What of a prompt was read from a cache, and what was written to one, as servers count it: each has names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..events import Usage

#: Where servers count what was read, in their usage beside the member that has a field here: DeepSeek, Moonshot, and proxies of
#: Anthropic.
READ: Final = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens", "cache_read_tokens")

#: Where they count what was written, in the details of the prompt and in the usage itself.
_WRITTEN: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")

_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")


def cache_read(usage: Usage) -> int:
    """Return the tokens of the prompt that were read from a cache."""
    return usage.cached_tokens or (_first(usage.extra, READ) if usage.extra else 0)


def cache_written(usage: Usage) -> int:
    """Return the tokens of the prompt that were written to a cache."""
    if not (extra := usage.extra):
        return 0
    details = (found for name in _DETAILS if isinstance(found := extra.get(name), Mapping))
    return max((_first(counts, _WRITTEN) for counts in (*details, extra)), default=0)


def cache_written_1h(usage: Usage) -> int:
    """Return how many of them were written for an hour (Messages API, ``cache_creation`` of the usage)."""
    kinds = (usage.extra or {}).get("cache_creation")
    return _first(kinds, ("ephemeral_1h_input_tokens",)) if isinstance(kinds, Mapping) else 0


def _first(counts: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((count for name in names if type(count := counts.get(name)) is int and count > 0), 0)
