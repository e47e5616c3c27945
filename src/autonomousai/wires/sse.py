"""Server-sent events by the WHATWG standard, bytes <-> events. Knows nothing of what the events carry: no models. One liberty
is taken: a line that begins as JSON does is one of data, and so is JSON in a field that is nearly called so.

What came since the last blank line is kept as it is, but for comments, and only whole events are parsed: so no state of a
half-read line exists, and the work is linear in the input however it is chopped. Line ends become LF on arrival, before
anything else.

Most streams hold events of one `data` line alone, or of an `id` line and a `data` line. Such a batch is proven to be one by
looking at each of its lines, and is read at once; every other batch is read line by line, as the standard says it.
"""

from __future__ import annotations

from io import BytesIO

import msgspec

from ..errors import StreamError

DEFAULT_MAX_EVENT = 64 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LONGEST_RETRY = 15  # digits; more of them are no time to wait
_VALUE = slice(len(b"data: "), -1)  # of a data line with its end

#: The fields of the standard; a comment's is the empty one.
_FIELDS = frozenset({b"", b"data", b"event", b"id", b"retry"})
#: What servers write around a field's name that is no part of it, beside byte order marks, and how JSON begins.
_NOISE = b" \t\0"
_JSON = (b"{", b"[")
_SHOWN = 200  # bytes that are kept of a line that is none of them

#: Types of events that have none of their own.
_UNTYPED = ("", "message")

# Single bytes as numbers: looking for one so costs a tenth of looking for a bytes object.
_CR, _NUL = 0x0D, 0x00


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of a type of its own. ``id`` is the last event id as of this event."""

    data: bytes
    event: str = "message"
    id: str = ""


class SSEDecoder:
    """Bytes in, events out: `feed` may be given any chopping of the stream, and the events are the same.

    An event of the default type comes as its data alone (an object each would cost as much as decoding it), one of another
    type as a `ServerSentEvent`. What the end of the stream leaves without a final blank line is not an event. Invalid UTF-8
    in data is left to its reader; in types and ids it becomes U+FFFD.

    ``max_event`` bounds an event's lines together, in bytes. Past it, `failure` is set, the events before it are returned, and
    from then on `feed` raises it.
    """

    __slots__ = (
        "_after_cr",
        "_id",
        "_line",
        "_max",
        "_pending",
        "_retry",
        "_start",
        "_stray",
        "failure",
        "is_between",
        "is_plain",
    )

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        self.failure: StreamError | None = None
        #: Whether the next byte begins an event, and nothing that came before has any part in how it is read.
        self.is_between = False
        #: Whether all events of the last `feed` were of the default type.
        self.is_plain = True
        self._max = max_event
        self._line = 0  # where the line that has not ended begins in what is pending
        self._pending = bytearray()  # the lines since the last blank line; never begins with a line end
        self._start: bytes | None = b""  # the stream's first bytes, while they may yet become a byte order mark
        self._after_cr = False
        self._id = b""
        self._retry: int | None = None
        self._stray = b""  # the first line that is no field

    @property
    def last_event_id(self) -> str:
        """The id to resume after, as of the last blank line: also that of an event without data, which is not returned."""
        return self._id.decode("utf-8", "replace")

    def unfinished_data(self) -> bytes:
        """Return the data of the event that a blank line would complete now; ``b""`` where there is none."""
        fields = map(_field, bytes(self._pending).split(b"\n"))
        return b"\n".join(value for name, value in fields if name == b"data")

    def stray(self) -> bytes:
        """Return the beginning of the first line that is none of an event stream, which may be one of another kind of answer;
        ``b""`` where there is none."""
        if self._stray:
            return self._stray
        lines = bytes(self._pending[: 4 * _SHOWN]).split(b"\n")
        return next((line[:_SHOWN] for line in lines if _field(line)[0] not in _FIELDS), b"")

    @property
    def retry_ms(self) -> int | None:
        """The last valid ``retry:``. It counts as soon as its line is whole, without waiting for the event's end."""
        for line in reversed(self._pending.split(b"\n")[:-1]):
            name, value = _field(bytes(line))
            if name == b"retry" and (retry := _milliseconds(value)) is not None:
                return retry
        return self._retry

    def feed(self, data: bytes) -> list[bytes | ServerSentEvent]:
        """The events that *data* completes, in order.

        Raises `StreamError` (code ``event_too_large``) when an event past the bound is next.
        """
        if self.failure is not None:
            raise self.failure
        if self._start is not None:
            data = self._without_bom(data)
        if self._after_cr or _CR in data:
            data = self._with_line_feeds(data)
        pending = self._pending
        if pending or data[-2:] != b"\n\n":
            batch = self._whole_events(data)
            self.is_between = not (pending or self._after_cr or self._start)
            if len(pending) > self._max:
                self._fail()
        else:
            batch = data
            self.is_between = not self._after_cr
        if len(batch) > self._max:
            batch = self._within_bound(batch)
        if batch and (events := self._parse(batch)):
            return events
        if self.failure is not None:
            raise self.failure
        return []

    def reopen(self) -> None:
        """Another connection brings the rest of the stream: what was begun of an event is forgotten, the last id is kept."""
        self._retry = self.retry_ms
        self._pending.clear()
        self._line = 0
        self._start = b""
        self._after_cr = self.is_between = False

    def _without_bom(self, data: bytes) -> bytes:
        if not self._start and data[:1] == b"d":  # as usual
            self._start = None
            return data
        data = (self._start or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """CRLF and CR become LF. A CR ends its line at once: the LF that may follow in the next read is then dropped."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return _line_feeds(data)

    def _whole_events(self, data: bytes) -> bytes:
        """All up to the last blank line, which is ``b""`` or ends in two line feeds; the rest stays pending."""
        pending = self._pending
        if not pending:
            data = data.lstrip(b"\n")
        end = data.rfind(b"\n\n") + 2
        # end is 1 where there is no blank line within data. There may be one that ends with its first byte.
        if end == 1 and not (data.startswith(b"\n") and pending.endswith(b"\n")):
            self._keep(data)
            return b""
        if pending:
            batch = b"".join((pending, data[:end]))
            pending.clear()
        else:
            batch = data[:end]
        self._line = 0
        self._keep(data[end:])
        return batch

    def _keep(self, data: bytes) -> None:
        """Keep *data*, which ends no event, but none of its comments: they may come without end."""
        pending = self._pending
        is_comment = pending[self._line : self._line + 1] == b":"
        if not is_comment and data[:1] != b":" and b"\n:" not in data:
            pending += data
            if (end := data.rfind(b"\n")) >= 0:
                self._line = len(pending) - (len(data) - end - 1)
            return
        first, *lines = data.split(b"\n")
        if not lines:
            if not is_comment:
                pending += first[:1] if len(pending) == self._line else first
            return
        *lines, rest = (bytes(pending[self._line :]) + first, *lines)
        del pending[self._line :]
        pending += b"".join(line + b"\n" for line in lines if line[:1] != b":")
        self._line = len(pending)
        pending += b":" if rest[:1] == b":" else rest

    def _within_bound(self, batch: bytes) -> bytes:
        """The events before the first that is too large, which sets the failure."""
        end = 0
        for event in batch.split(b"\n\n")[:-1]:
            if len(_without_comments(event.lstrip(b"\n"))) >= self._max:
                self._fail()
                return batch[:end]
            end += len(event) + 2
        return batch

    def _fail(self) -> None:
        self._pending.clear()
        self._line = 0
        self.failure = StreamError(
            f"an event of the stream is larger than {self._max:,} bytes; raise max_event if such events are meant",
            status=200,
            code="event_too_large",
        )

    def _parse(self, batch: bytes) -> list[bytes | ServerSentEvent]:
        self.is_plain = True
        if batch[:6] == b"data: " and batch.find(b"\n") == len(batch) - 2:
            return [batch[6:-2]]
        if batch[:7] == b"event: ":
            end = batch.find(b"\n")
            if batch[end + 1 : end + 7] == b"data: " and batch.find(b"\n", end + 1) == len(batch) - 2:
                self.is_plain = False
                name, data = batch[7:end].decode("utf-8", "replace"), batch[end + 7 : -2]
                return [data if name in _UNTYPED else ServerSentEvent(data, name, self.last_event_id)]
        if batch[:6] == b"data: ":
            # Looks for line ends as memchr does; `split` looks at each byte.
            payloads: list[bytes | ServerSentEvent] = [line[_VALUE] for line in BytesIO(batch).readlines()[::2]]
            # Put together again, the events are the batch: that proves each of their lines.
            if b"data: %b\n\n" % b"\n\ndata: ".join(payloads) == batch:  # type: ignore[arg-type]
                return payloads
        lines = batch.split(b"\n")
        lines.pop()  # what follows the last line end: nothing
        if lines[0][:4] == b"id: " and (with_ids := self._with_ids(lines, batch)) is not None:
            return with_ids
        if lines[0][:7] == b"event: " and (with_types := self._with_types(lines)) is not None:
            return with_types
        return self._any_lines(lines)

    def _with_types(self, lines: list[bytes]) -> list[bytes | ServerSentEvent] | None:
        """The events that are ``event: …`` and ``data: …``; None when a single line is anything else."""
        if len(lines) % 3 or any(lines[2::3]):
            return None
        events: list[bytes | ServerSentEvent] = []
        last_id = self.last_event_id
        line, name = b"", ""
        for typed, data in zip(lines[::3], lines[1::3], strict=True):
            if typed != line:
                if typed[:7] != b"event: ":
                    return None
                line, name = typed, typed[7:].decode("utf-8", "replace")
            if data[:6] != b"data: ":
                return None
            events.append(ServerSentEvent(data[6:], name, last_id) if name not in _UNTYPED else data[6:])
        self.is_plain = False
        return events

    def _with_ids(self, lines: list[bytes], batch: bytes) -> list[bytes | ServerSentEvent] | None:
        """The data of events that are ``id: …`` and ``data: …``; None when a single line is anything else."""
        payloads: list[bytes | ServerSentEvent] = [line[6:] for line in lines[1::3] if line[:6] == b"data: "]
        ids = [line for line in lines[::3] if line[:4] == b"id: "]
        if len(payloads) * 3 != len(lines) or any(lines[2::3]) or len(ids) != len(payloads) or _NUL in batch:
            return None
        self._id = ids[-1][4:]
        return payloads

    def _any_lines(self, lines: list[bytes]) -> list[bytes | ServerSentEvent]:
        """The standard, line by line. The last line is blank."""
        self.is_plain = False
        events: list[bytes | ServerSentEvent] = []
        data: list[bytes] = []
        event_type = b""
        for line in lines:
            if not line:
                if data:
                    payload = b"\n".join(data)
                    plain = event_type in (b"", b"message")
                    events.append(payload if plain else self._typed(payload, event_type))
                data, event_type = [], b""
                continue
            name, value = _field(line)
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event_type = value
            elif name == b"id" and b"\0" not in value:
                self._id = value
            elif name == b"retry" and (retry := _milliseconds(value)) is not None:
                self._retry = retry
            elif not self._stray and name not in _FIELDS:
                self._stray = line[:_SHOWN]
        return events

    def _typed(self, payload: bytes, event_type: bytes) -> ServerSentEvent:
        return ServerSentEvent(payload, event_type.decode("utf-8", "replace"), self.last_event_id)


def _line_feeds(data: bytes) -> bytes:
    """CRLF and CR become LF. (Splitting and joining is three times faster than replacing.)"""
    if b"\r" not in data:
        return data
    return b"\n".join(data.splitlines()) + (b"\n" if data.endswith((b"\n", b"\r")) else b"")


def _without_comments(event: bytes) -> bytes:
    if event[:1] != b":" and b"\n:" not in event:
        return event
    return b"\n".join(line for line in event.split(b"\n") if line[:1] != b":")


def _field(line: bytes) -> tuple[bytes, bytes]:
    """A line's field and value. A comment's field is ``b""``. JSON without a field is data, and that of a field ``error``
    (llama.cpp until 2025, which sends ``[DONE]`` behind it): so some servers report an error. So is JSON of a field ``data`` in
    other letters, or behind white space, a byte order mark or zeros."""
    if line[:1] == b"{" or line[:2] == b"[{":
        return b"data", line
    name, _, value = line.partition(b":")
    value = value.removeprefix(b" ")
    if name not in _FIELDS and value[:1] in _JSON:
        meant = name.replace(_BOM, b"").strip(_NOISE).lower()
        if meant == b"data" or (meant == b"error" and value[:1] == b"{"):
            return b"data", value
    return name, value


def _milliseconds(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= _LONGEST_RETRY else None


def encode_event(data: bytes | str, *, event: str | None = None, id: str | None = None) -> bytes:
    """One event. Each line of *data* becomes a ``data`` line: CR, LF and CRLF in it all arrive as LF.

    Raises ValueError for an *event* or an *id* that no reader could receive.
    """
    payload = _line_feeds(data.encode() if isinstance(data, str) else data)
    head = b""
    if id is not None:
        head += b"id: %b\n" % _one_line("id", id)
    if event is not None:
        head += b"event: %b\n" % _one_line("event", event)
    return b"%bdata: %b\n\n" % (head, payload.replace(b"\n", b"\ndata: "))


def encode_comment(text: str) -> bytes:
    """A comment: bytes on the wire, and no event to any reader. The blank line keeps it apart from the next event."""
    return b": %b\n\n" % _line_feeds(text.encode()).replace(b"\n", b"\n: ")


def _one_line(field: str, value: str) -> bytes:
    if any(char in value for char in "\r\n\0"):
        raise ValueError(f"{field} must not hold a line end or NUL: {value[:100]!r}")
    return value.encode()
