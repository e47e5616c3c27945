"""The head of a response, read by httptools' parser, which calls what is here (RFC 9112).

One that is only written oddly is read again in strict form; whatever two readers could understand in two ways is refused. What
is usual is remembered, so that it need not be read when it comes again. Knows no socket and no clocks.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools

from .decoding import BodyDecoder, CodingError, response_decoder
from .headers import Headers
from .strict_heads import MAX_HEAD, TOO_LARGE, is_http, split_head

#: What most heads begin with.
_VERSION: Final = b"HTTP/1.1 2"

#: The end of a head, and bytes of the longest that is known again.
_END: Final = b"\r\n\r\n"
_LONGEST_KNOWN: Final = 4096


class HeadReader(asyncio.Protocol):
    """``status``: the response's, 0 until its head has come; ``headers``: likewise."""

    __slots__ = (
        "_begun",
        "_decoder",
        "_feed",
        "_fields",
        "_is_complete",
        "_is_interim",
        "_keeps",
        "_known",
        "_known_status",
        "_oddity",
        "_parser",
        "_silent",
        "_wants_head",
        "headers",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers
        self._parser: Any
        self._feed: Any
        self._renew_parser()
        self._known = b""  # the head of the response before, with its status: `headers` are still of it
        self._known_status = 0
        self._begun = b""  # what has come of the response's head
        self._oddity: BaseException | None = None  # what the parser said of it, which may be read again when it is complete
        self._fields: list[tuple[bytes, bytes]] = []
        self._wants_head = False  # the reader waits for the head alone
        self._keeps = False  # the response allows that the connection is kept
        self._decoder: BodyDecoder | None = None
        self._is_interim = self._is_complete = False
        self._silent = 0  # bytes since the last piece of a body

    def _wake(self) -> None:
        """Let the reader see what has come."""
        raise NotImplementedError

    def _renew_parser(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._feed = self._parser.feed_data

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        fields, self._fields = self._fields, []
        if self._silent > MAX_HEAD and sum(len(name) + len(value) for name, value in fields) > MAX_HEAD:
            raise httptools.HttpParserError(TOO_LARGE)
        status = self._parser.get_status_code()
        headers = Headers(fields)
        self._known = b""
        if not (status >= 200 and self._begun.startswith(_VERSION) and headers.is_usual()):
            self._check_head(status, headers)
            if self._is_interim:
                return
        elif (end := self._begun.find(_END, 0, _LONGEST_KNOWN)) > 0:
            self._known = self._begun[: end + len(_END)]
            self._known_status = status
        self._begun = b""
        self.headers = headers
        self.status = status
        if self._wants_head:
            self._wake()

    def _check_head(self, status: int, headers: Headers) -> None:
        """Refuse a head that can be read and must not be, note an interim one, and prepare for a body that is encoded."""
        if problem := headers.framing_problem(status, self._parser.get_http_version()):
            raise httptools.HttpParserError(problem)
        if status < 200 and status != 101:
            self._is_interim = True
        elif codings := headers.values_of("content-encoding"):
            try:
                self._decoder = response_decoder(status, codings)
            except CodingError as error:
                raise httptools.HttpParserError(str(error)) from None

    def _on_refused(self, error: Exception) -> BaseException | None:
        """The parser refuses what came: return why, unless it is a head that may be read in strict form when it is complete."""
        refused = _reason_of(error)
        if self.status or self._is_complete or not is_http(self._begun):
            self._keeps = False  # if the response is complete, more came than was asked for
            return refused
        self._oddity = refused
        return self._parse_strictly()

    def _parse_strictly(self) -> BaseException | None:
        if (parts := split_head(self._begun)) is None:
            return None
        oddity, self._oddity = self._oddity, None
        strict = b"".join(parts)
        if strict == self._begun:
            return oddity
        self._begun = b""
        self._fields = []
        self._renew_parser()
        try:
            self._feed(strict)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps = False
            return _reason_of(error)
        return None


def _reason_of(error: BaseException) -> BaseException:
    """Return why the parser refuses what came: what a callback raised, behind the errors that only say that one did."""
    while isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
        error = error.__context__
    return error
