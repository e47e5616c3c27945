"""What the fixtures of `pytest_autonomousai` are: makers of doubles that live as long as the test. Knows no pytest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..chaos import Chaos
from ..recordings.forward import LiveUpstream
from ..recordings.matching import Normalise
from ..recordings.recording import shown
from ..recordings.tape import MissingRecordingError, RecordMode, Tape
from ..server import Play
from .double import Double
from .makers import AnyChaos, as_chaos

#: Bytes of a file's name before its ending; a longer one is cut, and told apart by a digest.
_LONGEST = 120


@dataclass
class TestDoubles:
    """The doubles of one test. ``file``, ``name``: of the test; ``directory``: where recordings are, beside *file*."""

    __test__ = False  # no test, whatever its name

    file: Path
    name: str
    node: str
    directory: str = "recordings"
    mode: RecordMode = "once"
    chaos_seed: int | None = None
    doubles: list[Double] = field(default_factory=list)

    def add(self, double: Double) -> Double:
        """Start a double, and keep it until the test has ended."""
        if self.chaos_seed is not None:
            double.chaos.reseed(self.chaos_seed)
        self.doubles.append(double.start())
        return double

    def path(self, name: str | None) -> Path:
        """Where a recording of this test is kept: a further one of the same name has a number."""
        stem = name or self.name
        safe = re.sub(r"[^\w.=+-]+", "-", stem).strip("-.")
        plain = re.fullmatch(r"[\w.=+-]+(\[[\w.=+-]*\])?", stem) is not None
        if not plain or len(safe.encode()) > _LONGEST:  # names that differ must not become one
            safe = f"{safe.encode()[:_LONGEST].decode(errors='ignore')}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
        folder = self.file.parent / self.directory / self.file.stem
        taken = [double.tape.path for double in self.doubles if double.tape is not None]
        path, number = folder / f"{safe}.toml", 2
        while path in taken:
            path, number = folder / f"{safe}.{number}.toml", number + 1
        return path

    def problems(self) -> list[str]:
        """What no test should pass over, with what to do."""
        found = [problem for double in self.doubles for problem in double.problems()]
        if any(double.tape is not None and double.tape.unmatched for double in self.doubles):
            found.append(
                f"if the request is as it should be, record the test again: pytest '{self.node}' --record-mode all\n"
                "if a part of it changes with each run: recorded_llm(…, ignore=['metadata.run_id']) or normalise=function"
            )
        return found

    def log(self) -> str:
        """What the servers saw, for the report of a test that failed."""
        told = [double.log() for double in self.doubles]
        if any(double.chaos.seed is not None for double in self.doubles):
            seed = next(double.chaos.seed for double in self.doubles if double.chaos.seed is not None)
            told.append(f"the same faults again: pytest '{self.node}' --llm-chaos-seed {seed}")
        return "\n".join([*told, *self.problems()])

    def finish(self, *, passed: bool) -> None:
        """Stop the servers, and write what was recorded by a test that passed."""
        for double in self.doubles:
            double.stop()
        for double in self.doubles:
            if passed and double.tape is not None and double.tape.is_changed and not double.problems():
                double.tape.save()


class ScriptedLLM:
    """The fixture ``scripted_llm``: ``scripted_llm("cut")`` starts a server that plays scripts, as `scripted` does."""

    def __init__(self, doubles: TestDoubles) -> None:
        self._doubles = doubles

    def __call__(self, *scripts: Play, chaos: AnyChaos = None) -> Double:
        return self._doubles.add(Double(*scripts, chaos=as_chaos(chaos)))


class LiveLLM:
    """The fixture ``live_llm``: a proxy before an upstream that only breaks its answers, as `live` does."""

    def __init__(self, doubles: TestDoubles) -> None:
        self._doubles = doubles

    def __call__(self, upstream: str, *, chaos: AnyChaos = None) -> Double:
        return self._doubles.add(Double(upstream=LiveUpstream(upstream), chaos=as_chaos(chaos)))


class RecordedLLM:
    """The fixture ``recorded_llm``: ``recorded_llm("https://api.openai.com/v1")`` starts a server that replays what was
    recorded of this test, or records it."""

    def __init__(self, doubles: TestDoubles) -> None:
        self._doubles = doubles

    def __call__(
        self,
        upstream: str,
        *,
        name: str | None = None,
        chaos: AnyChaos = None,
        speed: float | None = None,
        ignore: str | Iterable[str] = (),
        normalise: Normalise | None = None,
        secret_fields: str | Iterable[str] = (),
        repeat: bool = False,
    ) -> Double:
        """Start the server. ``name``: of the recording, in place of the test's; the further arguments are those of `record`."""
        doubles = self._doubles
        path = doubles.path(name)
        if doubles.mode == "none" and not path.exists():
            raise MissingRecordingError(
                f"there is no recording {shown(path)}, and --record-mode none makes none.\n"
                f"record it where {upstream} can be reached, with a key, and commit the file:\n"
                f"  pytest '{doubles.node}' --record-mode once"
            )
        tape = Tape(
            path,
            upstream,
            mode=doubles.mode,
            speed=speed,
            ignore=ignore,
            normalise=normalise,
            secret_fields=secret_fields,
            repeat=repeat,
        )
        chosen: Chaos | None = as_chaos(chaos)
        return doubles.add(Double(tape=tape, chaos=chosen))
