"""Recordings as files: TOML, with bodies as readable text, streams in the pieces in which they came, and binary in base64."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ..scripts import Script
from ..steps import Close, Hang, Head, Pause, Send, Step

VERSION: Final = 1
#: How a recorded answer ended: complete, broken off by the upstream, or left by the client, so that the rest is not known.
RecordedEnd = Literal["finished", "closed", "left"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
#: Quotes that would end a multi-line string.
_QUOTES = re.compile(r'""(?=")|"\Z')


def shown(path: Path) -> str:
    """A path as a reader wants it: from the working directory on, if it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


class RecordingError(ValueError):
    """A recording cannot be read: names the file, and what to do."""


@dataclass
class RecordedAnswer:
    """One request and its answer, without secrets. ``pieces``: milliseconds since the piece before, and bytes of the body."""

    method: str
    path: str
    request_headers: dict[str, str]
    request: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    end: RecordedEnd = "finished"

    def add(self, milliseconds: int, data: bytes) -> None:
        """Add a piece. A character that is cut at its end moves to the next one, so that both can be read."""
        if self.pieces:
            before, last = self.pieces[-1]
            if cut := _cut_character(last):
                self.pieces[-1] = before, last[:-cut]
                data = last[-cut:] + data
        self.pieces.append((milliseconds, data))

    def script(self, speed: float | None = None) -> Script:
        """The answer as a script. ``speed``: 1 for the recorded timing, 2 for twice as fast, None for at once."""
        headers = {name: value for name, value in self.headers.items() if name != "content-type"}
        kind = self.headers.get("content-type")
        streamed = len(self.pieces) > 1 or "event-stream" in (kind or "") or self.end != "finished"
        length = None if streamed else sum(len(data) for _, data in self.pieces)
        steps: list[Step] = []
        for milliseconds, data in self.pieces:
            if speed and milliseconds:
                steps.append(Pause(seconds=milliseconds / 1000 / speed))
            steps.append(Send(data))
        head: list[Step] = [Head(self.status, kind, headers, length)]
        if speed and len(steps) > 1 and isinstance(steps[0], Pause):
            head.insert(0, steps.pop(0))
        after: dict[RecordedEnd, list[Step]] = {"finished": [], "closed": [Close()], "left": [Hang()]}
        bodiless = self.method == "HEAD" or self.status in (204, 304)
        return Script(*head, *([] if bodiless else steps), *after[self.end])


@dataclass
class Recording:
    """What was recorded of one upstream, in order."""

    upstream: str
    answers: list[RecordedAnswer] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a file. Raises `RecordingError`."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordingError(f"{path} is no recording that can be read ({error}): record it again") from None
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> Recording:
        """Read what a file at *path* holds. Raises `RecordingError`."""
        try:
            document = tomllib.loads(text)
            if document.get("version") != VERSION:
                raise RecordingError(
                    f"{path} is a recording of version {document.get('version')!r}, not {VERSION}: record it again"
                )
            return cls(document["upstream"], [_answer(table) for table in document.get("answer", [])])
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"{path} is no recording that can be read ({error!r}): repair it, or record it again"
            ) from None

    def save(self, path: Path) -> None:
        """Write the file, at once and complete: another process never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.text().encode())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def text(self) -> str:
        """The file's text."""
        head = [
            "# Recorded by autonomousai.testing, without secrets. A body is text, or pieces of it: [milliseconds, text].",
            f"version = {VERSION}",
            f"upstream = {_string(self.upstream)}",
        ]
        return "\n".join([*head, *(line for answer in self.answers for line in _answer_lines(answer)), ""])


# Writing: TOML 1.0, https://toml.io/en/v1.0.0


def _answer_lines(answer: RecordedAnswer) -> list[str]:
    lines = ["", "[[answer]]", f"request = {_string(f'{answer.method} {answer.path}')}"]
    if answer.request_headers:
        lines.append(f"request_headers = {_table(answer.request_headers)}")
    if answer.request:
        lines.append(f"request_body = {_bytes(_pretty(answer.request))}")
    lines.append(f"status = {answer.status}")
    lines += [f"headers = {_table(answer.headers)}", f"end = {_string(answer.end)}"]
    pieces = [f"  [{after}, {_bytes(data)}]," for after, data in answer.pieces]
    return [*lines, "body = [", *pieces, "]"]


def _pretty(body: bytes) -> bytes:
    """A JSON document with a line for each member; any other body as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()
    except ValueError:
        return body


def _bytes(data: bytes) -> str:
    try:
        return _text(data.decode())
    except UnicodeDecodeError:
        return f'{{ base64 = "{base64.b64encode(data).decode()}" }}'


def _text(text: str) -> str:
    """A TOML string of any number of lines: literal where that can hold it, so that JSON needs no escapes."""
    if "\n" not in text:
        return _string(text)
    if "'''" not in text and not text.endswith("'") and not _CONTROL.search(text):
        return f"'''\n{text}'''"
    return '"""\n' + _QUOTES.sub(lambda match: match[0].replace('"', '\\"'), _escaped(text)) + '"""'


def _string(text: str) -> str:
    """A TOML string of one line, which may be a key."""
    if "'" not in text and "\n" not in text and not _CONTROL.search(text):
        return f"'{text}'"
    return '"' + _escaped(text).replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\r", "\\r")
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _table(values: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{_string(name)} = {_string(value)}" for name, value in values.items()) + " }" if values else "{}"


# Reading


def _answer(table: Mapping[str, Any]) -> RecordedAnswer:
    method, _, path = table["request"].partition(" ")
    end = table.get("end", "finished")
    if end not in ("finished", "closed", "left"):
        raise KeyError(f"end = {end!r}")
    body = table.get("body", [])
    pieces = [(int(after), _data(data)) for after, data in body] if isinstance(body, list) else [(0, _data(body))]
    return RecordedAnswer(
        method,
        path,
        dict(table.get("request_headers", {})),
        _data(table.get("request_body", "")),
        int(table["status"]),
        {name.lower(): value for name, value in table.get("headers", {}).items()},
        pieces,
        end,
    )


def _data(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def _cut_character(data: bytes) -> int:
    """How many bytes at the end of *data* are the beginning of a character (RFC 3629 section 3), 0 where none is cut."""
    for size in range(1, min(4, len(data) + 1)):
        byte = data[-size]
        if byte & 0xC0 == 0x80:
            continue
        length = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
        return size if length > size else 0
    return 0
