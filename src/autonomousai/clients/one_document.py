"""An answer that comes in one document, as it does where it is not streamed: read completely, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import IncompleteStreamError, StreamError
from ..errors import TimeoutError as ClockError
from ..events import Batch, FinishReason
from ..http.decoding import in_utf8
from ..http.transport import Response
from ..wires.base import Wire
from ..wires.json import decode
from ..wires.provenance import check_provenance, provenance_of_document

#: Bytes of an answer in one document.
_DOCUMENT: Final = 64 * 1024 * 1024


async def read_document(response: Response, head: bytes, wire: Wire, asked: bytes) -> Batch:
    """Return all events of the document that *response* brings. *head*: what of it was read before; *asked*: the body of the
    request, in *wire* as the document is."""
    parts = [head]
    size = len(head)
    response.progress()
    try:
        while data := await response.read_some():
            response.progress()
            parts.append(data)
            size += len(data)
            if size > _DOCUMENT:
                raise StreamError(f"the answer is larger than {_DOCUMENT} bytes", status=200, code="answer_too_large")
    except (IncompleteStreamError, ClockError):
        if not _is_complete(parts):
            raise
    return decode_document(b"".join(parts), response.headers, wire, asked)


def _is_complete(parts: list[bytes]) -> bool:
    """Return whether a document has come to its last bracket: no part of an object is one. What is wrong then is what its head
    says of its length, or the end of its chunks."""
    try:
        return isinstance(decode(b"".join(parts)), dict)
    except (ValueError, RecursionError):
        return False


def decode_document(body: bytes, headers: Mapping[str, str], wire: Wire, asked: bytes) -> Batch:
    """Return all events of a document, the *body* of a response with these *headers*."""
    batch = wire.decode_answer(body)
    if type(end := batch[-1]) is FinishReason and end.notes:  # some of it may be no UTF-8
        body = in_utf8(body, headers.get("Content-Type"))
        batch = wire.decode_answer(body)
    wire.check_answer(batch, asked)
    check_text(provenance_of_document(body), "".join([event for event in batch if type(event) is str]))
    return batch


def check_text(provenance: Mapping[str, Any] | None, text: str) -> None:
    """Raise an error where *text* is not the one of which the server says how it came about."""
    if provenance is not None and (mismatch := check_provenance(provenance, text)):
        raise mismatch
