"""Log probabilities of the tokens that were chosen alone, as OpenAI has them where no ``top_logprobs`` are wanted (OpenAI API
reference, "The chat completion object"): llama.cpp names at least one more beside each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ..events import Batch, LogProbs


def wants_no_alternatives(fields: Mapping[str, Any]) -> bool:
    """Return whether a request wants the chosen tokens alone."""
    return bool(fields.get("logprobs")) and not fields.get("top_logprobs")


async def without_alternatives(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """Yield the answer, with nothing of tokens that were not chosen."""
    async with aclosing(batches):
        async for batch in batches:
            yield [_bare(event) if type(event) is LogProbs else event for event in batch]


def _bare(event: LogProbs) -> LogProbs:
    return LogProbs([{**told, "top_logprobs": []} for told in event.content or ()], event.refusal)
