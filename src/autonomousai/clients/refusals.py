"""What a server answered in place of an answer, as an error: its status is known, its words are read as far as they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn

from ..errors import ANSWERED, USE_PARTIAL, HTTPError, IncompleteStreamError, StatusError, StreamError
from ..events import Batch, FinishReason, Started
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


#: What OpenAI says, with the status 400, of an answer for which its length left no room: a model thought as long.
_NO_ROOM: Final = "Could not finish the message because max_tokens or model output limit was reached"

#: The note of such an answer.
NO_ROOM: Final = "the answer has no word: the model thought for as long as the answer might be"


def answer_without_room(error: HTTPError) -> Batch | None:
    """Return the answer that *error* stands for, one of nothing that was cut at its greatest length; None where it is another.

    Other servers answer so, and agents that try a model with one token take a refusal for its absence.
    """
    if not isinstance(error, StatusError) or error.status != 400 or _NO_ROOM not in error.problem:
        return None
    return [Started(), FinishReason("length", "finish_reason", notes=(NO_ROOM,))]


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
