"""What is refused before it is a request, and the bounds that are refused by. Knows no parser and no connection."""

from __future__ import annotations

import re
from time import time
from typing import Final

from ...errors import ProviderError, StatusError
from .exchange import Application, new_request_id
from .head_lines import STATUS_LINES, date_line

#: Bytes of a request's line and headers.
MAX_HEAD: Final = 64 * 1024

#: Bytes of a request's target; RFC 9112 section 3 asks for 8,000 at least.
MAX_TARGET: Final = 16 * 1024

#: Headers of a request: a short one takes thirty times its bytes in memory.
MAX_HEADERS: Final = 256

_REFUSALS: Final = {
    400: ("the request is not valid HTTP/1.1", "invalid_http"),
    408: ("the request did not come in time; send it at once", "request_timeout"),
    414: (f"the request's target is longer than {MAX_TARGET} bytes; send less", "uri_too_long"),
    431: (
        f"the request line and headers are larger than {MAX_HEAD} bytes, or more than {MAX_HEADERS}; send less",
        "headers_too_large",
    ),
    501: (
        "the request's method or transfer coding is not known here; bodies may be chunked, and nothing else",
        "not_implemented",
    ),
    505: ("the request's version of HTTP is not spoken here; send HTTP/1.1", "http_version_not_supported"),
}

#: A request's line that is one (RFC 9112 section 3), whatever its method and version are.
_REQUEST_LINE = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) \S+ HTTP/([0-9])\.[0-9]\r\n")


class RefusedError(Exception):
    """Raised inside a parser's callback: the parser stops, and the connection is refused with ``status``."""

    def __init__(self, status: int = 400) -> None:
        self.status = status


def refusal(status: int) -> StatusError:
    """Return the error that the sender gets."""
    problem, code = _REFUSALS[status]
    return StatusError(problem, status=status, type="invalid_request_error", code=code)


def status_of(data: bytes, *, is_method: bool) -> int:
    """Return the status for *data*, at whose beginning no request could be read. *is_method*: because of its method."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        return 400
    if line[2] != b"1":
        return 505
    return 501 if is_method else 400


def raw_response(application: Application, error: ProviderError) -> bytes:
    """Return all of a response to what never became a request."""
    status, _, body = application.encode_error(error)
    head = (
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {new_request_id()}\r\n"
        "connection: close\r\n\r\n"
    )
    return STATUS_LINES[status] + date_line(int(time())) + head.encode() + body
