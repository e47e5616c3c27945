"""How an answer came about: attempts, splices, and the report that a gateway fills. Imports nothing of the package."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

#: The outcome of an attempt that was left because another upstream, asked beside it, had begun to answer.
HEDGED: Final = "hedged"


class Attempt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One try at one upstream. ``outcome``: ``"ok"``, or what ended it; ``status``: its HTTP status, None before an answer;
    ``ms``: how long it took. ``tokens``: pieces that it had generated, where it ended otherwise than ``"ok"``."""

    upstream: str
    outcome: str
    status: int | None
    ms: int
    tokens: int = 0


class Splice(msgspec.Struct, frozen=True, gc=False, rename={"source": "from", "target": "to"}):
    """Where an answer went on elsewhere. ``offset``: characters of the text before it; from which upstream to which."""

    offset: int
    source: str
    target: str


class Report(msgspec.Struct, gc=False):
    """How an answer came about: filled by a gateway while it answers, and complete with the `FinishReason` or the error.

    ``seed``: what an upstream that repeats itself was asked with, where it was drawn for it. ``repeated``: pieces that had been
    generated without being part of the text, when the last splice was made. ``begun``: the index of the attempt that was the
    first to deliver something, -1 where another server did; None before. ``ways``: of each splice that was made here, what kind
    of rescue it was: again, continue or anew. ``steps``: grows while a broken answer is brought on, with each batch that brings
    again what was delivered, and with each try that ends.
    ``author``: the upstream that began the answer, which can generate it again if it is deterministic.
    ``spent``: pieces that attempts which have ended had generated: they are not in the last upstream's own count.
    ``joined``: the pieces of an answer that was delivered as one. ``hedged``: whether a second upstream was asked while the
    first was silent. ``cache``: whether a cache was asked for the answer, and had it.
    """

    upstream: str | None = None
    attempts: list[Attempt] = []
    splices: list[Splice] = []
    seed: int | None = None
    repeated: int = 0
    begun: int | None = None
    ways: list[str] = []
    steps: int = 0
    author: str | None = None
    spent: int = 0
    joined: int = 0
    hedged: bool = False
    cache: Literal["hit", "miss"] | None = None
