"""Usage in each chunk (``stream_options.continuous_usage_stats`` of vLLM and SGLang), for the callers that ask for it.

Others hear of usage at the end alone, whatever an upstream sends: many count in each chunk, unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...events import Batch
from .chunks import Chunk
from .decoder import ChatStreamDecoder
from .usual import UsualChunk
from .wire import OpenAIChatWire


class ContinuousUsageDecoder(ChatStreamDecoder):
    """Takes the usage of a chunk that says something for one of its members: it comes with the chunk's events."""

    __slots__ = ()

    def _take(self, chunk: Chunk | UsualChunk, batch: Batch, unknown: dict[str, Any]) -> None:
        if chunk.usage and chunk.choices and self._started:
            unknown = {**unknown, "usage": chunk.usage}
        super()._take(chunk, batch, unknown)
        self._usual = False  # each chunk is read here: none is like the one before it


class ContinuousUsageWire(OpenAIChatWire):
    """Chat completions whose chunks count as they go."""

    decoder = ContinuousUsageDecoder


CONTINUOUS_USAGE: Final = ContinuousUsageWire()


def asks_for_usage(fields: Mapping[str, Any]) -> bool:
    """Return whether the *fields* of a request ask for usage in each chunk."""
    options = fields.get("stream_options")
    return options is not None and isinstance(options, Mapping) and options.get("continuous_usage_stats") is True
