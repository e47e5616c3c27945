"""What a server answered in place of an answer, as an error: its status is known, its words are read as far as they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn

from ..errors import ANSWERED, USE_PARTIAL, HTTPError, IncompleteStreamError, StreamError
from ..http.decoding import in_utf8
from ..http.transport import Response, read_body
from ..wires.base import Wire

#: Bytes of an error's body that are read.
_ERROR_BODY: Final = 64 * 1024

#: Seconds that the words of a refusal may take to come: its status is known.
_WORDS_S: Final = 5.0


async def refuse(response: Response, wire: Wire, secrets: Iterable[str]) -> NoReturn:
    """Raise what the server answered in place of an answer, without *secrets*, which it was sent."""
    try:
        raise await _refusal(response, wire, secrets)
    finally:
        await response.aclose()


async def _refusal(response: Response, wire: Wire, secrets: Iterable[str]) -> HTTPError:
    status, target = response.status, response.headers.get("Location")
    if status < 300 or (status < 400 and target is None):
        return HTTPError(f"{ANSWERED} {status} where an answer should be", advice="check base_url", status=status)
    if status < 400:
        advice = "use the address that it means as base_url"
        return HTTPError(f"{ANSWERED} {status} and redirects to {target:.200}", advice=advice, status=status)
    response.wait_no_longer_than(_WORDS_S)
    body = await read_body(response, _ERROR_BODY, as_far_as_it_comes=True)  # the status is known, whatever becomes of its words
    body = in_utf8(body, response.headers.get("Content-Type"))
    return wire.decode_error(response.status, body, response.headers, secrets=secrets)


def web_page() -> StreamError:
    """Return the error of a page for people where an answer should be."""
    return StreamError("the server answered with a web page instead of an answer; check base_url", status=200, retryable=False)


def empty_body(status: int) -> IncompleteStreamError:
    """Return the error of a body of nothing, or of white space alone, where an answer should be."""
    error = IncompleteStreamError(f"{ANSWERED} {status} with an empty body where an answer should be", status=status)
    error.advise("try again, and check base_url")
    return error


def too_large(characters: int) -> StreamError:
    """Return the error of an answer of more than so many *characters*."""
    problem = f"the answer is larger than {characters:,} characters"
    return StreamError(problem, advice=USE_PARTIAL, status=200, code="answer_too_large")
