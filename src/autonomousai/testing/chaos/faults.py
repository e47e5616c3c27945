"""Chaos: faults on answers, wherever those come from: a recording, a script, a live upstream. By name, or drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, get_args

from ..scripts import Script
from ..server import Request
from ..steps import Line
from .lines import (
    CutLine,
    ErrorEventLine,
    FaultLine,
    GarbledEventLine,
    HalfEventLine,
    How,
    MissingDoneLine,
    SlowLine,
    SplitLine,
    StallLine,
    WrongLengthLine,
)

#: The largest byte at which a drawn fault cuts, and the most events that it lets pass: short answers have some of either.
_FURTHEST: Final = 400
_MOST_EVENTS: Final = 3


@dataclass(frozen=True)
class Fault:
    """One fault, by one of its class methods; ``Fault.cut(at=120)``. ``whole``: the answer arrives complete all the same.

    The class methods raise ValueError for arguments by which nothing could break.
    """

    name: str
    line: Callable[[Line], FaultLine] | None = None
    script: Script | None = None
    whole: bool = False

    @classmethod
    def status(cls, status: int, *, retry_after: float | None = 1) -> Fault:
        """An error in the place of the answer, which is not asked for: 429, 500, 503, 529."""
        if not 100 <= status <= 999:
            raise ValueError(f"a status has three digits, not {status}: Fault.status(503)")
        told = "" if retry_after is None else f", Retry-After {retry_after:g}"
        return cls(f"status {status}{told}", script=Script.status(status, retry_after=retry_after))

    @classmethod
    def cut(cls, *, at: int | None = None, after: int = 1, how: How = "fin") -> Fault:
        """The answer ends behind *at* bytes of its body, or behind *after* events with a piece of it. ``how``: ``"fin"`` closes
        the connection, ``"rst"`` resets it, ``"in_order"`` ends the body as if it were complete."""
        if how not in get_args(How):
            raise ValueError(f"no cut is called {how!r}; there are: {', '.join(get_args(How))}")
        return cls(f"cut, {how}, {_place(at, after)}", lambda line: CutLine(line, how, at, after))

    @classmethod
    def stall(cls, *, seconds: float | None = None, at: int | None = None, after: int = 1) -> Fault:
        """Silence at the place, for *seconds*, or until the client leaves."""
        told = "for ever" if seconds is None else f"for {_seconds(seconds):g} s"
        return cls(
            f"stall {told}, {_place(at, after)}", lambda line: StallLine(line, seconds, at, after), whole=seconds is not None
        )

    @classmethod
    def half_event(cls, *, at: int | None = None, after: int = 1) -> Fault:
        """Half of the next event, and then the end of the body in good order."""
        return cls(f"half an event, {_place(at, after)}", lambda line: HalfEventLine(line, at, after))

    @classmethod
    def garbled_event(cls, *, at: int | None = None, after: int = 1) -> Fault:
        """The next event lacks its second half, so that it cannot be read; the rest of the answer follows."""
        return cls(f"a garbled event, {_place(at, after)}", lambda line: GarbledEventLine(line, at, after))

    @classmethod
    def error_event(cls, *, after: int = 1) -> Fault:
        """An error in the stream, as its API has them, and then its end."""
        return cls(f"an error event, {_place(None, after)}", lambda line: ErrorEventLine(line, None, after))

    @classmethod
    def missing_done(cls) -> Fault:
        """The last event is left out: ``[DONE]``, ``message_stop``, ``response.completed``."""
        return cls("no [DONE]", MissingDoneLine)

    @classmethod
    def split_bytes(cls) -> Fault:
        """A write for each byte."""
        return cls("split at every byte", lambda line: SplitLine(line, characters=False), whole=True)

    @classmethod
    def split_utf8(cls) -> Fault:
        """Each character of several bytes is cut in two."""
        return cls("split inside of characters", lambda line: SplitLine(line, characters=True), whole=True)

    @classmethod
    def slow_first_token(cls, *, seconds: float = 1) -> Fault:
        """The head, and *seconds* later the answer."""
        return cls(f"the first token after {_seconds(seconds):g} s", lambda line: SlowLine(line, seconds), whole=True)

    @classmethod
    def wrong_content_length(cls, *, by: int = 100) -> Fault:
        """A Content-Length that is too large by so much, or too small (``by=-10``); of a stream, far too large or small."""
        if not by:
            raise ValueError("a length that is wrong by 0 is right: name another number of bytes")
        return cls(f"Content-Length wrong by {by}", lambda line: WrongLengthLine(line, by))


def _place(at: int | None, after: int) -> str:
    if (at or 0) < 0 or after < 0:
        raise ValueError(f"a fault cannot strike before the answer's beginning: at={at}, after={after}")
    return f"at byte {at}" if at is not None else f"behind {after} event{'s' * (after != 1)} of the answer"


def _seconds(seconds: float) -> float:
    if seconds < 0:
        raise ValueError(f"seconds is {seconds:g}, and must not be below 0")
    return seconds


#: Every fault by its name.
CHAOS: Final[dict[str, Callable[[], Fault]]] = {
    "429": lambda: Fault.status(429),
    "500": lambda: Fault.status(500, retry_after=None),
    "503": lambda: Fault.status(503),
    "529": lambda: Fault.status(529),
    "cut": Fault.cut,
    "cut_rst": lambda: Fault.cut(how="rst"),
    "cut_in_order": lambda: Fault.cut(how="in_order"),
    "stall": Fault.stall,
    "half_event": Fault.half_event,
    "garbled_event": Fault.garbled_event,
    "error_event": Fault.error_event,
    "missing_done": Fault.missing_done,
    "split_bytes": Fault.split_bytes,
    "split_utf8": Fault.split_utf8,
    "slow_first_token": Fault.slow_first_token,
    "wrong_content_length": Fault.wrong_content_length,
}
#: What is drawn from, unless you say otherwise: nothing by which a client without timeouts would hang.
DRAWN: Final = tuple(name for name in CHAOS if name != "stall")


@dataclass
class Strike:
    """A fault that one answer got. ``number``: the request's, counted from 0."""

    number: int
    request: Request
    fault: Fault
    line: FaultLine | None = None

    @property
    def struck(self) -> bool:
        """Whether the fault has happened, which it cannot in an answer that ends before its place."""
        return self.line is None or self.line.struck

    def __str__(self) -> str:
        if self.line is None or self.struck:
            return self.fault.name
        return f"{self.fault.name} (did not happen: {self.line.missed})"


class Chaos:
    """Which faults the answers get.

    ``Chaos("529", "cut")``: the first two get these, later ones are whole; ``"ok"`` leaves one out, ``always`` repeats all.
    Without names they are drawn: *rate* of the answers get one of *among*. The request's number and the *seed* decide, and
    nothing else; a seed that you do not name is one at random, and is shown when the test fails.
    """

    def __init__(
        self,
        *faults: str | int | Fault,
        always: bool = False,
        seed: int | None = None,
        rate: float = 0.5,
        among: str | int | Fault | Iterable[str | int | Fault] = DRAWN,
    ) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"rate is {rate:g}, and must be from 0 to 1: 0.5 breaks half of the answers")
        among = [among] if isinstance(among, str | int | Fault) else among
        self.seed = (random.SystemRandom().randrange(1_000_000) if seed is None else seed) if not faults else None
        self._faults = [_fault(fault) for fault in faults]
        self._always = always
        self._rate = rate
        self._among = [(fault if isinstance(fault, str) else None, _fault(fault)) for fault in among]
        self._taken = 0
        self.strikes: list[Strike] = []

    def reseed(self, seed: int) -> None:
        """Draw by another seed, where faults are drawn."""
        if self.seed is not None:
            self.seed = seed

    def next(self) -> Fault | None:
        """The fault of the next request."""
        number, self._taken = self._taken, self._taken + 1
        if self.seed is not None:
            return self._draw(random.Random(f"{self.seed} {number}"))  # noqa: S311  a seed is what is wanted here
        if self._always:
            return self._faults[number % len(self._faults)]
        return self._faults[number] if number < len(self._faults) else None

    def strike(self, request: Request, fault: Fault, script: Script) -> Script:
        """The script of an answer, with the fault on it."""
        strike = Strike(self._taken - 1, request, fault)
        self.strikes.append(strike)
        return fault.script or Script(_Struck(strike, script))

    def never_happened(self) -> list[str]:
        """The faults that you named and that did not happen, with the reason; and drawn ones, where no request came at all."""
        if self.seed is not None:
            return [] if self._taken or not self._among or not self._rate else ["drawn by a seed: no request came"]
        told = [f"request {strike.number}: {strike}" for strike in self.strikes if not strike.struck and strike.request.end]
        left = enumerate(self._faults[self._taken :], self._taken)
        return told + [f"request {number}: {fault.name} (no such request came)" for number, fault in left if fault is not None]

    def _draw(self, draws: random.Random) -> Fault | None:
        if draws.random() >= self._rate or not self._among:
            return None
        name, fault = draws.choice(self._among)
        place: dict[str, Any] = {"at": draws.randrange(1, _FURTHEST)}
        if draws.random() < 0.5:
            place = {"after": draws.randrange(1, _MOST_EVENTS + 1)}
        if name in ("cut", "cut_rst", "cut_in_order"):
            how: dict[str, How] = {"cut": "fin", "cut_rst": "rst", "cut_in_order": "in_order"}
            return Fault.cut(how=how[name], **place)
        return Fault.half_event(**place) if name == "half_event" else fault


def _fault(fault: str | int | Fault) -> Fault | None:
    if isinstance(fault, Fault):
        return fault
    name = str(fault)  # a status may be a number
    if name == "ok":
        return None
    if name not in CHAOS:
        raise ValueError(f"no chaos is called {fault!r}; there are: ok, {', '.join(CHAOS)}")
    return CHAOS[name]()


class _Struck:
    """The steps of an answer, on a line that breaks it."""

    def __init__(self, strike: Strike, script: Script) -> None:
        self._strike = strike
        self._script = script

    async def play(self, line: Line) -> None:
        assert self._strike.fault.line is not None
        self._strike.line = faulty = self._strike.fault.line(line)
        for step in self._script.steps:
            await step.play(faulty)
            if faulty.over:
                return
        await faulty.end()
