"""How an error is reported to the caller of an endpoint: by a status while there is none yet, else in the stream, and in the
shape of the wire that was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from ..errors import ProviderError, StatusError
from ..http.server.exchange import JSON, Exchange, Headers
from ..request import ChatRequest
from ..wires.base import Wire

if TYPE_CHECKING:
    from .sse_response import SSEResponse

#: What would have been taken (RFC 9110 section 15.5.16), by the code of a refusal.
_WANTED: Final[dict[str | None, Headers]] = {
    "unsupported_content_encoding": [(b"accept-encoding", b"gzip, deflate")],
    "unsupported_media_type": [(b"accept", JSON)],
}


async def fail(error: ProviderError, response: SSEResponse | None, exchange: Exchange, wire: Wire) -> None:
    """Report *error*: by a status while there is none yet, else in the stream."""
    if response is not None and response.started:
        if not response.ended:
            await response.fail(error)
    elif not exchange.status:  # not answered yet
        if response is not None:
            response.close()
        await refuse(exchange, error, wire)


async def refuse(
    exchange: Exchange, error: ProviderError, wire: Wire, *, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with an error, in the shape of *wire*."""
    status, extra, body = wire.encode_error(error, exchange.request_id)
    more = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    more += _WANTED.get(getattr(error, "code", None), ())
    if exchange.http_version == "1.1" and b"expect" in exchange.head:
        # The caller waits for 100 Continue, and may send the body or not: where the next request begins is not known.
        more.append((b"connection", b"close"))
    exchange.respond(status, body, [*more, *headers])
    await exchange.drain()


def refuse_image(request: ChatRequest, index: int) -> NoReturn:
    """Raise `StatusError` 400 for the image of message *index*: no upstream of the model can see."""
    param = f"messages[{index}].content"
    # Over another wire the conversation is counted, and called, otherwise.
    what = f"{param}:" if request.origin is None else "the request"
    raise StatusError(
        f"{what} carries an image, and no upstream of {request.model!r} can see; "
        "send text, or configure an upstream with vision = true",
        status=400,
        type="invalid_request_error",
        param=param,
        code="images_not_supported",
    )
