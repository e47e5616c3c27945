"""The ways to make a `Double`: of scripts, of a recording, of a live upstream."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..chaos import Chaos, Fault
from ..recordings.forward import LiveUpstream
from ..recordings.matching import Normalise
from ..recordings.tape import RecordMode, Tape
from ..server import Play
from .double import Double

#: Chaos, or one fault, or one for each of the first requests; an empty list is none.
AnyChaos = Chaos | Fault | str | int | Iterable[Fault | str | int] | None


def scripted(*scripts: Play, chaos: AnyChaos = None) -> Double:
    """A server that plays *scripts*, in a thread of its own; see `ScriptedServer`."""
    return Double(*scripts, chaos=as_chaos(chaos))


def record(
    path: str | Path,
    upstream: str,
    *,
    mode: RecordMode = "all",
    chaos: AnyChaos = None,
    speed: float | None = None,
    ignore: str | Iterable[str] = (),
    normalise: Normalise | None = None,
    secret_fields: str | Iterable[str] = (),
    repeat: bool = False,
) -> Double:
    """A proxy before *upstream* that writes requests and answers into the file at *path*, when the block has ended well.

    *upstream* is what the client's base URL would be (``"https://api.openai.com/v1"``); the client gets ``url`` in its place.
    Its own key passes through, and is not written down. ``mode``: see `RecordMode`; with ``"once"`` a file that is there is
    replayed. The further arguments are those of `Tape`.
    """
    tape = Tape(
        Path(path),
        upstream,
        mode=mode,
        speed=speed,
        ignore=ignore,
        normalise=normalise,
        secret_fields=secret_fields,
        repeat=repeat,
    )
    return Double(tape=tape, chaos=as_chaos(chaos))


def replay(
    path: str | Path,
    *,
    chaos: AnyChaos = None,
    speed: float | None = None,
    ignore: str | Iterable[str] = (),
    normalise: Normalise | None = None,
    secret_fields: str | Iterable[str] = (),
    repeat: bool = False,
) -> Double:
    """A server that answers from the recording at *path*, at once or with ``speed=1`` in its timing. See `record`."""
    tape = Tape(
        Path(path), mode="none", speed=speed, ignore=ignore, normalise=normalise, secret_fields=secret_fields, repeat=repeat
    )
    return Double(tape=tape, chaos=as_chaos(chaos))


def live(upstream: str, *, chaos: AnyChaos = None) -> Double:
    """A proxy before *upstream* that only breaks its answers."""
    return Double(upstream=LiveUpstream(upstream), chaos=as_chaos(chaos))


def as_chaos(chaos: AnyChaos) -> Chaos | None:
    """What was said of chaos, as `Chaos`. An empty list is none, not that which is drawn."""
    if chaos is None or isinstance(chaos, Chaos):
        return chaos
    faults = [chaos] if isinstance(chaos, str | int | Fault) else list(chaos)
    return Chaos(*faults) if faults else None
