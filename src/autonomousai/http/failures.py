"""What goes wrong on the way to a response, as errors: the words that all transports share. Knows no transport."""

from __future__ import annotations

import re

from ..errors import ConnectError, HTTPError, IncompleteStreamError
from .tls import tls_advice

#: Where a parser begins to quote what it read.
_QUOTE = re.compile(r"""[:\s]\s*(?:bytearray\()?b?['"].*""")

#: How parsers begin to say that what came is of another protocol.
_OTHER_PROTOCOL = ("Expected HTTP/", "a zero byte in a head")

#: Characters of a message.
_LONGEST = 500


def closed_before_answer(where: str) -> HTTPError:
    """Return the error for a connection that was closed before a response's head had come."""
    return HTTPError(f"the server at {where} closed the connection before it answered; try again", retryable=True)


def not_http(where: str, problem: str) -> HTTPError:
    """Return the error for what is no response of HTTP. *problem*: a parser's words; what it quotes of the response is left
    out. A server that speaks TLS answers so where it was not spoken to in TLS."""
    said = without_quotes(problem)
    is_tls = where.startswith("http://") and said.startswith(_OTHER_PROTOCOL)
    advice = "does https:// belong there?" if is_tls else ""
    return HTTPError(f"the server at {where} did not answer in HTTP: {said}"[:_LONGEST], advice=advice)


def request_failed(where: str, error: Exception) -> HTTPError:
    """Return the error for whatever else went wrong before a response's head had come."""
    said = " ".join(str(error).split())
    return HTTPError(f"the request to {where} failed: {type(error).__name__}: {said}"[:_LONGEST], retryable=True)


def host_not_found(where: str, reason: str) -> ConnectError:
    """Return the error for a name that does not resolve."""
    return ConnectError(f"cannot find the host of {where}: {reason}", advice="check the address and the network")


def not_connected(where: str, reason: str) -> ConnectError:
    """Return the error for an address where nothing listens. Without a *reason* the connection was closed while it was made,
    which only TLS does of its own accord."""
    if not reason:
        return ConnectError(
            f"cannot connect to {where}: it was closed before TLS began", advice="check that TLS is spoken there"
        )
    return ConnectError(f"cannot connect to {where}: {reason}", advice="check that the server runs there")


def tls_failed(where: str, error: Exception) -> ConnectError:
    """Return the error for a handshake that failed."""
    said = " ".join(str(error).split())
    return ConnectError(f"TLS with {where} failed: {said}"[:_LONGEST], advice=tls_advice(said), retryable=False)


def cut(reason: object) -> IncompleteStreamError:
    """Return the error for a body that broke off."""
    return IncompleteStreamError(f"the connection broke before the answer was complete: {' '.join(str(reason).split())}"[:300])


def without_quotes(problem: str) -> str:
    """Return a parser's words in one line, and without the bytes that they quote: those may be a caller's."""
    lines = [line.strip().rstrip(":") for line in problem.splitlines()]
    said = [line for line in lines if line and not line.startswith(("b'", 'b"', "^", "Bad status line"))] or lines[:1]
    return _QUOTE.sub("", ": ".join(said))
