"""How much of a proof is run: a seeded sample in `make test`, all of it in `make proof` (which sets PROOF=whole)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("PROOF") == "whole"
SEED = int(os.environ.get("PROOF_SEED", "20261123"))


def sample(cases: Sequence[T], size: int) -> list[T]:
    """All *cases*, or a seeded choice of *size* of them, in order."""
    if WHOLE or len(cases) <= size:
        return list(cases)
    return [cases[at] for at in sorted(random.Random(SEED).sample(range(len(cases)), size))]
