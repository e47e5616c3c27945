"""A recording that requests are answered from, or written into: one `Tape` is what a `ScriptedServer` plays."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from ..scripts import Script
from ..server import Request
from ..steps import Line
from .forward import Forward, LiveUpstream
from .matching import Normalise, NormalRequest, RequestNormaliser, difference
from .recording import RecordedAnswer, Recording, shown
from .scrubbing import Scrubber

#: ``once``: record where there is no file yet; ``none``: replay, or fail; ``all`` and ``rewrite``: record anew;
#: ``new_episodes``: replay what is there, record what is not.
RecordMode = Literal["once", "none", "all", "rewrite", "new_episodes"]
MODES: tuple[RecordMode, ...] = get_args(RecordMode)


class MissingRecordingError(AssertionError):
    """There is no recording, and none may be made."""


class Tape:
    """Answers requests from the recording at *path*, or from *upstream*, and then writes it down.

    ``speed``: that of a replay: 1 for the recorded timing, 2 for twice as fast, None for at once. ``ignore``, ``normalise``:
    what of a request's body does not count, see `RequestNormaliser`. ``secret_fields``: further members that are not written
    down. ``repeat``: answers may be replayed more than once.
    """

    def __init__(
        self,
        path: Path,
        upstream: str | None = None,
        *,
        mode: RecordMode = "once",
        speed: float | None = None,
        ignore: str | Iterable[str] = (),
        normalise: Normalise | None = None,
        secret_fields: str | Iterable[str] = (),
        repeat: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"no record mode is called {mode!r}; there are: {', '.join(MODES)}")
        if speed is not None and speed <= 0:
            raise ValueError(f"speed is {speed}, but must be above 0: 1 is the recorded timing, None is at once")
        exists = path.exists()
        if not exists and (mode == "none" or upstream is None):
            raise MissingRecordingError(f"there is no recording {shown(path)}")
        self.path = path
        self._scrubber = Scrubber(secret_fields)
        self._requests = RequestNormaliser(self._scrubber, ignore, normalise)
        self._speed = speed
        self._repeat = repeat
        self._keeps = exists and mode in ("once", "none", "new_episodes")
        self.records = not exists or mode in ("all", "rewrite", "new_episodes")
        self.recording = Recording.load(path) if self._keeps else Recording(upstream or "")
        self.upstream = LiveUpstream(upstream or self.recording.upstream)
        self.recording.upstream = self.recording.upstream or self.upstream.origin + self.upstream.path
        #: What was asked and not found, with what differs.
        self.unmatched: list[str] = []
        self._kept = len(self.recording.answers)
        self._normal = [self._requests.recorded(one.method, one.path, one.request) for one in self.recording.answers]
        self._unused = list(range(len(self._normal)))
        self._url = ""

    @property
    def is_changed(self) -> bool:
        """Whether something new was recorded."""
        return len(self.recording.answers) > self._kept

    def serve_at(self, url: str) -> None:
        """Note the address of the server that plays this."""
        self._url = url

    def answer(self, request: Request, *, keep: bool = False) -> Script:
        """The script of *request*'s answer. ``keep``: the answer will be broken, so that the same one is there for a retry."""
        normal = self._requests.request(request.method, request.path, request.headers, request.body)
        number = next((each for each in self._unused if self._normal[each] == normal), None)
        if number is None and self._repeat and normal in self._normal:
            number = len(self._normal) - 1 - self._normal[::-1].index(normal)
        if number is not None:
            if not keep and number in self._unused:
                self._unused.remove(number)
            return self.recording.answers[number].script(self._speed)
        if not self.records:
            return self._refused(normal)
        return Script(_Take(self, request, normal, keep=keep))

    def save(self) -> None:
        """Write the recording."""
        self.recording.answers = [answer for answer in self.recording.answers if answer.status]
        self.recording.save(self.path)

    def take(self, request: Request, normal: NormalRequest, *, keep: bool) -> tuple[RecordedAnswer, Forward]:
        """A new entry of the recording, and the step that fills it."""
        body = normal.body if isinstance(normal.body, str) else json.dumps(normal.body, ensure_ascii=False)
        headers = self._scrubber.request_headers(request.headers)
        answer = RecordedAnswer(normal.method, normal.path, headers, body.encode())
        self.recording.answers.append(answer)
        self._normal.append(normal)
        if keep:
            self._unused.append(len(self._normal) - 1)
        return answer, Forward(self.upstream, request, self._url, answer, self._scrubber)

    def _refused(self, normal: NormalRequest) -> Script:
        used = sum(one == normal for one in self._normal)
        if used:
            why = f"it was recorded {used} time{'s' * (used > 1)}, and each answer was replayed already."
        else:
            unused = [self._normal[number] for number in self._unused] or self._normal
            why = f"what differs from the nearest that was recorded:\n{difference(normal, unused)}"
        text = f"{normal.line} is not in the recording {shown(self.path)}: {why}"
        self.unmatched.append(text)
        error = {"type": "unmatched_request", "message": f"autonomousai.testing: {text}", "param": None, "code": None}
        return Script.status(400, {"type": "error", "error": error}, headers={"x-should-retry": "false"})


class _Take:
    """Records an answer: as it passes, or, where it is to be broken on its way, all of it before that."""

    def __init__(self, tape: Tape, request: Request, normal: NormalRequest, *, keep: bool) -> None:
        self._tape = tape
        self._request = request
        self._normal = normal
        self._keep = keep

    async def play(self, line: Line) -> None:
        answer, forward = self._tape.take(self._request, self._normal, keep=self._keep)
        if not self._keep:
            await forward.play(line)
            return
        await forward.play(_NowhereLine())
        for step in answer.script().steps if answer.status else Script.status(502).steps:
            await step.play(line)


class _NowhereLine:
    """Takes an answer that goes to no client."""

    framing = ""

    async def write(self, data: bytes) -> None:
        """Nothing."""

    async def write_body(self, data: bytes) -> None:
        """Nothing."""

    async def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def reset(self) -> None:
        """Nothing."""
