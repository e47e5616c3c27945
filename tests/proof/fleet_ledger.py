"""What the fleet's soak compares: calls, as callers saw them; the log of the upstream, which counts for itself; and the entries
of the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

from autonomousai.testing import Request, ScriptedServer

#: An answer's number is the tokens of its prompt as the upstream counts them: so the ledger says which answer an entry is for.
FIRST = 100_000


def words_of(number: int) -> list[str]:
    """The pieces of an answer."""
    return [f" {number}-{piece}" for piece in range(5 + number % 20)]


def number_in(request: Request) -> int:
    return int(request.json()["messages"][0]["content"].split()[-1])


class Harm(NamedTuple):
    """A time in which calls may be cut or refused: a server was gone, or a key (whose name is the kind) was deleted."""

    kind: str
    began: float
    ended: float


@dataclass
class Call:
    """One request of a caller, and what became of it: ``"complete"``, ``"left"``, or what was the matter."""

    number: int
    key: str
    began: float
    resumable: bool = False
    ended: float = 0.0
    outcome: str = ""


def log_of(upstream: ScriptedServer) -> dict[int, list[int]]:
    """By the number of an answer, the pieces that each request for it got from the upstream."""
    found: dict[int, list[int]] = defaultdict(list)
    for request in upstream.requests:
        found[number_in(request)].append(request.text.count("-"))
    return found


class Verdict:
    """What the ledger says, beside what the callers and the upstream say. ``log``: by the number of an answer, the pieces that
    each request for it got from the upstream."""

    def __init__(self, calls: list[Call], harm: list[Harm], rows: list[Any], log: dict[int, list[int]]) -> None:
        self.calls = calls
        self.harm = harm
        self.rows = rows
        self.log = log
        self.by_number: dict[int, list[Any]] = defaultdict(list)
        for row in rows:
            if row.prompt_tokens >= FIRST:
                self.by_number[row.prompt_tokens].append(row)

    def unexplained(self) -> list[str]:
        """Calls that came to nothing for no reason that is documented: their server was gone, or their key deleted. A client
        that resumes its stream goes to another server, which knows it, unless Redis was away while it ran."""
        broken = [call for call in self.calls if call.outcome not in ("complete", "left")]
        return [f"{call}, during {self._kinds(call)}" for call in broken if not self._explained(call)]

    def _explained(self, call: Call) -> bool:
        kinds = self._kinds(call)
        gone = bool({"kill", "drain"} & kinds)
        return call.key in kinds or (gone and (not call.resumable or "redis" in kinds))

    def _kinds(self, call: Call) -> set[str]:
        return {harm.kind for harm in self.harm if harm.began <= call.ended and call.began <= harm.ended}

    def counted_twice(self) -> list[int]:
        """Answers with several entries."""
        return [number for number, rows in self.by_number.items() if len(rows) > 1]

    def miscounted(self) -> list[str]:
        """Entries whose tokens are not those of the upstream's log."""
        found = []
        for number, (row, *_) in self.by_number.items():
            right, sent = len(words_of(number)), self.log[number]
            exact = len(sent) == 1 and row.lost_tokens == 0
            if row.completion_tokens != right or not (exact or row.lost_tokens <= sum(sent) - right):
                found.append(f"{number}: {row.completion_tokens} and {row.lost_tokens} lost, of {sent}")
        unfinished = [row for row in self.rows if row.prompt_tokens < FIRST]
        return found + [f"{row.id} is {row.outcome}" for row in unfinished if row.outcome == "ok"]

    def lost(self) -> int:
        """Complete answers without an entry."""
        return sum(call.outcome == "complete" and call.number not in self.by_number for call in self.calls)

    def tokens_of(self, key: str, *, held: int, allowed: int) -> tuple[int, int]:
        """What Redis may say that a key has spent: what the ledger says, less what the *held* requests of killed servers took,
        which these had not reported yet; more what the *allowed* answers took that have no entry."""
        rows = [row for row in self.rows if row.key == key]
        told = sum(row.prompt_tokens + row.completion_tokens + row.lost_tokens for row in rows)
        largest = max((row.prompt_tokens + 100 for row in rows), default=0)
        return told - held * largest, told + allowed * largest

    def outcomes(self) -> str:
        """What became of the calls, in words."""
        found = Counter(call.outcome.partition(":")[0] + " (resumable)" * call.resumable for call in self.calls)
        return ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
