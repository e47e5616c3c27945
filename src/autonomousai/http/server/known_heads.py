"""Heads of requests that the parser has read before: a caller sends the same head with each request, but for the length of its
body. One that is equal in all other bytes means the same, and need not be parsed again (RFC 9112 section 6.2). Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from .exchange import Headers

#: Heads that are remembered, and bytes of the longest.
_KNOWN: Final = 128
_LONGEST: Final = 4096

#: Bytes of a request that may be read so.
_LARGEST: Final = 64 * 1024

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length"
_DIGITS: Final = 9
_find_length = re.compile(rb"\r\ncontent-length: ([0-9]{1,%d})\r\n" % _DIGITS, re.IGNORECASE).search


class KnownHead:
    """What the parser read. ``length_at``: the index of the body's length among the headers, where a request has another;
    ``before`` and ``after``: the bytes around that, ``size`` of them.
    ``note``: what the application notes of requests with this head."""

    __slots__ = ("after", "before", "headers", "length_at", "method", "note", "path", "query", "raw_path", "size")

    def __init__(
        self,
        method: str,
        path: str,
        raw_path: bytes,
        query: bytes,
        headers: Headers,
        length_at: int,
        before: bytes,
        after: bytes,
    ) -> None:
        self.before = before
        self.after = after
        self.size = len(before) + len(after)
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.headers = headers
        self.length_at = length_at
        self.note: Any = None


class KnownHeads:
    """The heads that all connections of a server have in common."""

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self._last: KnownHead | None = None  # that was read, and how many digits the length of its body had
        self._digits = 0

    def read(self, data: bytes) -> tuple[KnownHead, bytes, bytes] | None:
        """Return the head, the length of the body in digits, and the body of the request that *data* is; None where it is not a
        whole one with a head that is known."""
        known, length, body = self._last, b"", b""
        if known is not None:
            # What the length must be, where this is a whole request with the same head, and a length of as many digits.
            length = str(len(data) - known.size - self._digits).encode()
            body = data.removeprefix(b"".join((known.before, length, known.after)))
        if known is None or len(data) - len(body) != known.size + self._digits or len(data) > _LARGEST:
            split = _split(data)
            if split is None or (known := self._heads.get(split[0])) is None:
                return None
            _, length, body = split
            self._last, self._digits = known, len(length)
        return known, length, body

    def learn(self, data: bytes, method: str, path: str, raw_path: bytes, query: bytes, headers: Headers) -> None:
        """Remember the head of the request that *data* is, and that was read as these. It is one of HTTP/1.1 that keeps its
        connection, and no byte of it was changed before it was read."""
        split = _split(data)
        names = [name for name, _ in headers]
        if split is None or names.count(_LENGTH) != 1 or b"transfer-encoding" in names or b"expect" in names:
            return
        if len(self._heads) >= _KNOWN:
            self._heads.clear()
        found = _find_length(data)
        assert found is not None
        before, after = data[: found.start(1)], data[found.end(1) : data.find(_END) + len(_END)]
        length_at = names.index(_LENGTH)
        self._heads[split[0]] = KnownHead(method, path, raw_path, query, headers, length_at, before, after)


def _split(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return a whole request's head without the length of its body, that length, and the body."""
    end = data.find(_END)
    if not 0 < end <= _LONGEST or len(data) > _LARGEST or (found := _find_length(data, 0, end + 2)) is None:
        return None
    length, body = found[1], data[end + len(_END) :]
    return (data[: found.start(1)] + data[found.end(1) : end], length, body) if len(body) == int(length) else None
