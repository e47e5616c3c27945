"""Where a process is killed in the midst of an answer, and what is asked of it."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from .sample import SEED

SYSTEM = {"role": "system", "content": "You are a patient teacher. Explain things in simple words, and give an example."}
PROMPTS = (
    "Why is the sky blue?",
    "How does a bicycle stay upright?",
    "What is a prime number?",
    "Tell me a story about a lighthouse.",
    "Write a haiku about rain, then explain it.",
)
LENGTH = 48


class Kill(NamedTuple):
    """One case: which prompt, how it is sampled, after how many pieces the child is killed, and how many answer beside it."""

    prompt: int
    sampling: tuple[tuple[str, Any], ...]
    after: int
    beside: int


def all_kills() -> list[Kill]:
    """A hundred: half of them greedy, half sampled with a seed, every fourth with three others beside it."""
    rng = random.Random(SEED)
    kills = []
    for number in range(100):
        greedy = number % 2 == 0
        sampling = (("temperature", 0),) if greedy else (("temperature", 0.9), ("seed", rng.randrange(2**31)))
        kills.append(
            Kill(number % len(PROMPTS), sampling, rng.randrange(1, LENGTH - 4), 3 if number % 4 < 2 and number % 8 > 3 else 0)
        )
    return kills
