"""Whether a request is one that was recorded: by method, path and normalised body. Does no I/O."""

from __future__ import annotations

import base64
import difflib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .scrubbing import Scrubber, names_of

#: Changes the JSON value of a request's body before it is compared: ``lambda body: {**body, "user": None}``.
Normalise: TypeAlias = Callable[[Any], Any]

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_MOST_LINES = 40
#: Characters of a line of a diff, and of what is shown before a difference in it.
_LONGEST_LINE, _AROUND = 240, 40


@dataclass(frozen=True)
class NormalRequest:
    """What of a request is compared, and written down. ``body``: a JSON value, or the text or base64 of anything else."""

    method: str
    path: str
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class RequestNormaliser:
    """Makes requests comparable. ``ignore``: members of JSON bodies that do not count, dotted where they lie deeper
    (``"metadata.run_id"``; a text is one name); ``normalise``: a function for whatever else changes from run to run."""

    def __init__(self, scrubber: Scrubber, ignore: str | Iterable[str] = (), normalise: Normalise | None = None) -> None:
        self._scrubber = scrubber
        self._ignore = names_of(ignore)
        self._normalise = normalise

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> NormalRequest:
        """A request as it came."""
        secrets = self._scrubber.secrets(target, headers)
        coding = headers.get("content-encoding", "").lower()
        if coding in ("gzip", "deflate"):
            body = zlib.decompress(body, zlib.MAX_WBITS | 32)
        if boundary := _BOUNDARY.search(headers.get("content-type", "")):
            body = body.replace(boundary[1].encode(), b"boundary")
        return NormalRequest(method, self._scrubber.path(target), self._body(self._scrubber.body(body, secrets)))

    def recorded(self, method: str, path: str, body: bytes) -> NormalRequest:
        """A request as it stands in a recording: normalised as it was then, and now as is wanted today."""
        return NormalRequest(method, path, self._body(body))

    def _body(self, body: bytes) -> Any:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return base64.b64encode(body).decode()
        try:
            value = self._scrubber.json(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else text
        except ValueError:
            return text
        if not isinstance(value, str):
            for name in self._ignore:
                value = _without(value, name.split("."))
            if self._normalise is not None:
                value = self._normalise(value)
        return value


def _without(value: Any, path: Sequence[str]) -> Any:
    """A JSON value without the member at *path*; in a list, without that of each of its items."""
    if isinstance(value, list):
        return [_without(each, path) for each in value]
    if not isinstance(value, dict):
        return value
    name, *deeper = path
    if not deeper:
        return {key: held for key, held in value.items() if key != name}
    return {key: _without(held, deeper) if key == name else held for key, held in value.items()}


def difference(wanted: NormalRequest, recorded: Sequence[NormalRequest]) -> str:
    """Say how *wanted* differs from that of *recorded* that is most like it, as a unified diff."""
    if not recorded:
        return "nothing was recorded."
    lines = _lines(wanted)
    nearest = max(recorded, key=lambda one: (one.line == wanted.line, _likeness(_lines(one), lines)))
    diff = list(difflib.unified_diff(_lines(nearest), lines, "recorded", "asked now", lineterm="", n=2))
    diff = _shortened(diff)
    if len(diff) > _MOST_LINES:
        diff = [*diff[:_MOST_LINES], f"… and {len(diff) - _MOST_LINES} more lines"]
    return "\n".join(diff)


def _shortened(diff: Sequence[str]) -> list[str]:
    """A diff without the long parts of its lines, such as a prompt or a picture is, but for where they begin to differ."""
    removed = [line for line in diff if line.startswith("-")]
    added = [line for line in diff if line.startswith("+")]
    starts = {}
    for one, other in zip(removed, added, strict=False):
        pairs = enumerate(zip(one[1:], other[1:], strict=False), 1)
        common = next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))
        starts[one] = starts[other] = max(1, common - _AROUND)
    return [_part(line, starts.get(line, 1)) for line in diff]


def _part(line: str, start: int) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    rest = line[start : start + _LONGEST_LINE - _AROUND]
    return f"{line[0]}{'…' * (start > 1)}{rest}{'…' * (start + len(rest) < len(line))} ({len(line) - 1} characters)"


def _likeness(one: Sequence[str], other: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _lines(request: NormalRequest) -> list[str]:
    """A request as lines, JSON with its members sorted: their order means nothing."""
    body = (
        request.body
        if isinstance(request.body, str)
        else json.dumps(request.body, indent=2, ensure_ascii=False, sort_keys=True)
    )
    return [request.line, *body.splitlines()]
