"""One line a request, on stderr: as text for people, or as JSON. Never a prompt or a key, and no caller's word as it came.

The event loop is not to wait for the reader of stderr. Lines are gathered, and written a moment later in pieces that a pipe
takes whole or not at all, each only when there is room for it. A reader who is slower than the requests loses lines, and
reads how many; the memory for those that wait is bounded.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections import deque
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from ..http.server.exchange import CLIENT_ID, Exchange
from .metrics import AnswerMeter

LogFormat = Literal["text", "json", "off"]

#: Seconds that a line may wait for others to be written with it.
GATHER_S: Final = 0.1

#: Bytes that a pipe takes at once without making us wait, and without another process's lines in between: POSIX's least.
_PIECE: Final = getattr(select, "PIPE_BUF", 512)

#: Bytes that may wait for the reader of stderr.
MAX_WAITING: Final = 1_000_000

#: Seconds that the last lines may take at the end.
_FAREWELL_S: Final = 1.0

#: Characters of a caller's path that are written.
_LONGEST_PATH: Final = 200

#: What of a caller's words needs no percent in front.
_PLAIN: Final = "/:,;=@+$!*()~"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class AccessLogEntry(msgspec.Struct, omit_defaults=True):
    """What is said of a request. Absent: what it never came to."""

    time: str
    method: str
    path: str
    status: int
    total_ms: int
    request_id: str
    model: str | None = None
    upstream: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: int | None = None
    outcome: str | None = None
    upstream_status: int | None = None
    key: str | None = None
    client_request_id: str | None = None

    def text(self) -> str:
        """The same for people: ``key=value``, after what every request has."""
        line = f"{self.time} {self.method} {self.path} {self.status} {self.total_ms}ms "
        if self.key is not None:
            line += f"key={_word(self.key)} "
        if self.model is not None:
            line += f"model={_word(self.model)} upstream={_word(self.upstream or '-')} outcome={self.outcome} "
        if self.upstream_status is not None:
            line += f"upstream_status={self.upstream_status} "
        if self.completion_tokens is not None:
            line += f"tokens={self.prompt_tokens}+{self.completion_tokens} "
        if self.first_token_ms is not None:
            line += f"first={self.first_token_ms}ms "
        if self.client_request_id is not None:
            line += f"client_request_id={quote(self.client_request_id, safe=_PLAIN)} "
        return line + self.request_id


class AccessLog:
    """``fd``: where lines go; it stays as it is, for others may write there too."""

    def __init__(self, format: Literal["text", "json"], fd: int = 2) -> None:
        self._json = format == "json"
        self._lines = LineWriter(fd)
        self._second = 0
        self._stamp = ""

    def note(self, exchange: Exchange, path: str, *, known: bool, seconds: float) -> None:
        """A request has ended. ``known``: *path* is a known route; otherwise it is a caller's."""
        entry = AccessLogEntry(
            self._now(),
            exchange.method if exchange.method in _METHODS else "?",
            path if known else quote(path[:_LONGEST_PATH], safe=_PLAIN),
            exchange.status,
            round(seconds * 1000),
            exchange.request_id,
        )
        if exchange.key:
            entry.key = exchange.key
        for header, value in exchange.extra:
            if header == CLIENT_ID:
                entry.client_request_id = value.decode("ascii")
        meter: AnswerMeter | None = exchange.meter
        if meter is not None:
            _add_answer(entry, meter)
        self._lines.write(msgspec.json.encode(entry) if self._json else entry.text().encode())

    def close(self) -> None:
        """Write what is left, if its reader takes it soon."""
        self._lines.close()

    def _now(self) -> str:
        """The time to the second, which is written anew once a second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return self._stamp


def _add_answer(entry: AccessLogEntry, watch: AnswerMeter) -> None:
    entry.model = watch.model
    entry.upstream = watch.upstream
    finish = watch.answer.finish
    # A caller may have the last byte, and be gone, before the answer is put away.
    entry.outcome = watch.outcome or ("running" if finish is None else "ok")
    # The caller's status is our own word for it; that the upstream wants another key, say, is for the operator to know.
    if entry.outcome == "status" and (report := watch.answer.report) is not None and report.attempts:
        entry.upstream_status = report.attempts[-1].status
    if watch.first:
        entry.first_token_ms = round((watch.first - watch.began) * 1000)
    if finish is not None and finish.usage is not None:
        entry.prompt_tokens, entry.completion_tokens = finish.usage.prompt_tokens, finish.usage.completion_tokens


@lru_cache(1024)
def _word(name: str) -> str:
    """A name of the config as one word: it may hold anything that an operator may write."""
    return name if name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum() else quote(name)


class LineWriter:
    """Lines on their way to a descriptor that may be slow to take them."""

    def __init__(self, fd: int, *, max_waiting: int = MAX_WAITING) -> None:
        self._fd = fd
        self._max_waiting = max_waiting
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def write(self, line: bytes) -> None:
        """Write *line* soon, or never."""
        if self._bytes + len(line) > self._max_waiting:
            self._lost += 1
            return
        self._append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._on_timer)

    def _append(self, line: bytes) -> None:
        self._lines.append(line + b"\n")
        self._bytes += len(line) + 1

    def flush(self) -> None:
        """Write as much as is taken without waiting."""
        while self._lines and self._has_room(0):
            self._write_piece()
        if not self._lines and self._lost:
            self._append(b"(%d lines of this log were lost: it was not read in time)" % self._lost)
            self._lost = 0

    def close(self) -> None:
        """Write what is left, within a second."""
        if self._timer is not None:
            self._timer.cancel()
        until = time.monotonic() + _FAREWELL_S
        while self._lines and (left := until - time.monotonic()) > 0 and self._has_room(left):
            self._write_piece()

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()
        if self._lines:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._on_timer)

    def _has_room(self, seconds: float) -> bool:
        """Whether the descriptor takes a piece now, or within *seconds*. A regular file always does."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _write_piece(self) -> None:
        """Whole lines, as many as make a piece. A descriptor that is not read any more loses them."""
        piece = bytearray()
        while self._lines and (not piece or len(piece) + len(self._lines[0]) <= _PIECE):
            piece += self._lines.popleft()
        written = 0
        try:
            written = os.write(self._fd, piece)
        except BlockingIOError:  # another process has made it non-blocking
            pass
        except OSError:
            written = len(piece)
        self._bytes -= written
        if written < len(piece):
            self._lines.appendleft(bytes(piece[written:]))


def open_log(format: LogFormat) -> AccessLog | None:
    """The log that is configured, if there is to be one."""
    return None if format == "off" else AccessLog(format)
