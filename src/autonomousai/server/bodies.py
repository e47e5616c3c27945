"""Requests' bodies: which are taken, and how many bytes of them are held while they arrive.

A body that comes slowly holds no place, which others could have; only its bytes, of which there are so many for all. Where they
run out, the body that began first gives way: it has had the longest time.
"""

from __future__ import annotations

from typing import Final

from ..errors import StatusError
from ..http.server.exchange import JSON, Exchange
from ..limiter import busy
from ..wires.json import has_more_values

#: Largest bodies that may be arriving at the same time; of smaller ones, as many more.
_LARGEST_AT_ONCE: Final = 4

#: Values in a body: the smallest takes forty times its bytes in memory.
MAX_VALUES: Final = 250_000


class BodyReader:
    """Reads bodies of at most *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = _LARGEST_AT_ONCE * limit
        self._arriving: dict[_Arriving, None] = {}  # in the order of their beginnings

    def taken(self, exchange: Exchange) -> bytes | None:
        """Return what `read` returns, with the same errors, where the body has come; None where it is still to come."""
        _check_head(exchange, self._limit)
        body = exchange.take_body()
        if body is not None:
            self._check(body)
        return body

    async def read(self, exchange: Exchange) -> bytes:
        """Return the body of a request, which must say that it is JSON: a foreign page may post anything else without asking.

        Raises `StatusError` 415, 413 (before anything is read, where the length is announced), 400 for one of too many values,
        and 503 where it gave way to others; and `ClientLeftError`.
        """
        _check_head(exchange, self._limit)
        body, more = await exchange.next_body()
        if more:
            body = await self._gather(exchange, body)
        self._check(body)
        return body

    def _check(self, body: bytes) -> None:
        if len(body) > self._limit:
            raise _too_large(self._limit)
        if len(body) > MAX_VALUES and has_more_values(body, MAX_VALUES):
            raise _too_many()

    async def _gather(self, exchange: Exchange, body: bytes) -> bytes:
        arriving = _Arriving()
        self._arriving[arriving] = None
        try:
            more = True
            self._add(arriving, body)
            while more:
                body, more = await exchange.next_body()
                self._add(arriving, body)
            return bytes(arriving.data)
        finally:
            self._drop(arriving)

    def _add(self, arriving: _Arriving, body: bytes) -> None:
        """Hold *body* too. Raises `StatusError`."""
        if arriving.size + len(body) > self._limit:
            raise _too_large(self._limit)
        if arriving in self._arriving:
            arriving.data += body
            arriving.size += len(body)
            self._left -= len(body)
            while self._left < 0:
                self._drop(next(iter(self._arriving)))
        if arriving not in self._arriving:
            raise busy("too many large bodies are arriving", None)

    def _drop(self, arriving: _Arriving) -> None:
        if arriving in self._arriving:
            del self._arriving[arriving]
            self._left += arriving.size
            arriving.data = bytearray()


class _Arriving:
    """What has come of one body, in one piece: callers choose how small the pieces are that it comes in."""

    __slots__ = ("data", "size")

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0


def _check_head(exchange: Exchange, limit: int) -> None:
    head = exchange.head
    if (length := head.get(b"content-length")) is not None:
        for each in (length,) if length.isdigit() else length.split(b"\n"):
            if each.isdigit() and int(each[:20]) > limit:
                raise _too_large(limit)
    encodings = head.get(b"content-encoding")
    if encodings is not None and any(encoding.lower() != b"identity" for encoding in encodings.split(b"\n")):
        raise StatusError(
            "the body is compressed; send it as it is, without content-encoding",
            status=415,
            type="invalid_request_error",
            code="unsupported_content_encoding",
        )
    kind = head.get(b"content-type", b"")
    if kind != JSON and kind.rpartition(b"\n")[2].split(b";", 1)[0].strip().lower() != JSON:
        raise StatusError(
            "the body must be JSON, and say so with the header content-type: application/json",
            status=415,
            type="invalid_request_error",
            code="unsupported_media_type",
        )


def _too_large(limit: int) -> StatusError:
    return StatusError(
        f"the body is larger than {limit} bytes; send less, or raise server.max_body",
        status=413,
        type="invalid_request_error",
        code="body_too_large",
    )


def _too_many() -> StatusError:
    return StatusError(
        f"the body holds more than {MAX_VALUES} values; send less",
        status=400,
        type="invalid_request_error",
        code="too_many_values",
    )
