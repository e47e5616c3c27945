"""Requests' bodies: which are taken, and how many bytes of them are held while they arrive.

A body that comes slowly holds no place, which others could have; only its bytes, of which there are so many for all. Where they
run out, the body that began first gives way: it has had the longest time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection
from typing import Final

from ..errors import StatusError
from ..http.decoding import BodyDecoder, CodingError, TooMuchError, make_decoder
from ..http.server.exchange import JSON, Exchange
from ..limiter import busy
from ..wires.json import has_more_values

#: Largest bodies that may be arriving at the same time; of smaller ones, as many more.
_LARGEST_AT_ONCE: Final = 4

#: Bytes of a body that is decoded at once. A larger one waits for its place as it came: decoded, it takes many times as much.
SMALL: Final = 64 * 1024

#: Values in a body: the smallest takes forty times its bytes in memory.
MAX_VALUES: Final = 250_000


class BodyReader:
    """Reads bodies of at most *limit* bytes. *lenient*: paths whose clients need not say that they send JSON."""

    def __init__(self, limit: int, lenient: Collection[str] = ()) -> None:
        self._lenient = frozenset(lenient)
        self._limit = limit
        #: Bytes of a body that needs no closer look.
        self.usual = min(limit, SMALL)
        self._left = _LARGEST_AT_ONCE * limit
        self._arriving: dict[_Arriving, None] = {}  # in the order of their beginnings

    def taken(self, exchange: Exchange, *, is_known: bool = False) -> bytes | None:
        """Return what `read` returns, with the same errors, where the body has come; None where it is still to come.
        *is_known*: `takes` was true of the same head, with a body of another length."""
        decoder = None if is_known else _check_head(exchange, self._limit, self._lenient)
        body = exchange.take_body()
        return body if body is None else self._checked(body, decoder)

    def takes(self, exchange: Exchange) -> bool:
        """Return whether a request's head is one whose body, of no more than `usual` bytes, `read` returns as it is."""
        try:
            return _check_head(exchange, self._limit, self._lenient) is None
        except StatusError:
            return False

    async def read(self, exchange: Exchange) -> bytes:
        """Return the body of a request, which must say that it is JSON: a foreign page may post anything else without asking.

        Raises `StatusError` 415, 413 (before anything is read, where the length is announced), 400 for one of too many values
        or that cannot be unpacked, and 503 where it gave way to others; and `ClientLeftError`.
        """
        decoder = _check_head(exchange, self._limit, self._lenient)
        body, more = await exchange.next_body()
        if more:
            body = await self._gather(exchange, body)
        return self._checked(body, decoder)

    def _checked(self, body: bytes, decoder: BodyDecoder | None) -> bytes:
        if decoder is not None:
            body = _unpacked(body, decoder, self._limit)
        if len(body) > self._limit:
            raise _too_large(self._limit)
        if len(body) > MAX_VALUES and has_more_values(body, MAX_VALUES):
            raise _too_many()
        return body

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


#: A type of JSON: no page of a foreign site can send it without asking first (Fetch, "CORS-safelisted request-header").
_JSON_TYPE: Final = re.compile(rb"(?:application|text)/(?:[a-z0-9!#$&^_.-]+\+)?json", re.IGNORECASE)


def _check_head(exchange: Exchange, limit: int, lenient: Collection[str]) -> BodyDecoder | None:
    """Return what unpacks the body that a request announces, None where it is not packed. Raises `StatusError`."""
    head = exchange.head
    if (length := head.get(b"content-length")) is not None:
        for each in (length,) if length.isdigit() else length.split(b"\n"):
            if each.isdigit() and int(each[:20]) > limit:
                raise _too_large(limit)
    kind = head.get(b"content-type", b"")
    if kind != JSON and not _is_json(kind) and not (exchange.path in lenient and _is_program(exchange)):
        raise StatusError(
            "the body must be JSON, and say so with the header content-type: application/json",
            status=415,
            type="invalid_request_error",
            code="unsupported_media_type",
        )
    encodings = head.get(b"content-encoding")
    if encodings is None:
        return None
    try:
        return make_decoder(encodings.decode("latin-1").split("\n"), limit + 1)
    except CodingError:
        raise StatusError(
            "the body is compressed in a way that is not undone here; send it as it is, or as gzip or deflate",
            status=415,
            type="invalid_request_error",
            code="unsupported_content_encoding",
        ) from None


def _is_program(exchange: Exchange) -> bool:
    """Return whether a request comes from no page: a browser names the page's origin with each POST (Fetch, section 3.1)."""
    return b"origin" not in exchange.head and b"sec-fetch-site" not in exchange.head


def _is_json(kind: bytes) -> bool:
    """Return whether a content type, maybe one that was sent twice, is JSON."""
    kinds = [each.split(b";", 1)[0].strip() for each in kind.replace(b"\n", b",").split(b",")]
    return all(_JSON_TYPE.fullmatch(each) for each in kinds)


def _unpacked(body: bytes, decoder: BodyDecoder, limit: int) -> bytes:
    """Return what a packed *body* holds, at most *limit* bytes. Raises `StatusError`."""
    try:
        unpacked = decoder.decode(body)
        decoder.finish()
    except TooMuchError:
        raise _too_large(limit) from None
    except zlib.error:
        raise StatusError(
            "the body cannot be unpacked: it is not what its content-encoding says",
            status=400,
            type="invalid_request_error",
            code="invalid_content_encoding",
        ) from None
    return unpacked


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
