"""What a caller says of the request itself: its own name for it, and the trace that it belongs to. Upstreams learn it too.

The name is the caller's, so it need not be unique: it stands beside the server's own, `x-request-id`, and never in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..http.server.exchange import CLIENT_ID, Headers
from ..late import late_pattern

#: Headers in which callers and proxies before them have a name for a request; the first that is one counts.
_NAMES: Final = (CLIENT_ID, b"x-request-id")

#: What such a name may be: OpenAI's bound, and no character by which a line of a log could be forged.
_NAME: Final = late_pattern(rb"[!-~]{1,512}")

#: W3C Trace Context, sections 3.2 and 3.3: what does not take part in a trace hands both on as they are.
_TRACE: Final = {
    b"traceparent": late_pattern(rb"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,200})?"),
    b"tracestate": late_pattern(rb"[ -~]{1,512}"),
}

#: Headers that may say something of the request. A head whose note an endpoint has made has none of them.
CONTEXT_HEADERS: Final = frozenset({*_NAMES, *_TRACE})


def client_id_of(head: Mapping[bytes, bytes]) -> bytes | None:
    """Return the caller's name for its request; None where it has none that can be repeated."""
    return next((value for name in _NAMES if (value := head.get(name)) is not None and _NAME.fullmatch(value)), None)


def named_back(head: Mapping[bytes, bytes]) -> Headers:
    """Return the headers in which a response repeats the caller's name for its request."""
    client_id = client_id_of(head)
    return [] if client_id is None else [(CLIENT_ID, client_id)]


def context_of(head: Mapping[bytes, bytes], *, traces: bool) -> dict[str, str]:
    """Return the headers by which an upstream learns what the caller says. *traces*: the server has spans of its own, and
    names those."""
    found = {}
    if (client_id := client_id_of(head)) is not None:
        found[CLIENT_ID.decode()] = client_id.decode()
    if not traces and _is_valid(head, b"traceparent"):
        found["traceparent"] = head[b"traceparent"].decode()
        if _is_valid(head, b"tracestate"):
            found["tracestate"] = head[b"tracestate"].decode()
    return found


def _is_valid(head: Mapping[bytes, bytes], name: bytes) -> bool:
    value = head.get(name)
    return value is not None and _TRACE[name].fullmatch(value) is not None
