"""Small JSON documents that are sent to cold routes."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from ..errors import StatusError


async def read_document(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in a body of at most *limit* bytes; an empty one for no body. Raises `StatusError` 400 and 413."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise StatusError(
                f"the body is larger than {limit} bytes", status=413, type="invalid_request_error", code="body_too_large"
            )
    try:
        document = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise StatusError("the body must be a JSON object", status=400, type="invalid_request_error", code="invalid_json")
    return document
