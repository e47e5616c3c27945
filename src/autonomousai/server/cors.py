"""Web pages of other origins: which may ask, and how they learn it (Fetch standard, section 3.3; Private Network Access)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import StatusError
from ..http.server.exchange import Exchange, Headers

_METHODS: Final = (b"GET", b"POST", b"DELETE", b"HEAD")

#: Headers of answers that a page may read.
_EXPOSED: Final = b", ".join(
    [
        b"x-request-id, x-client-request-id, x-stream-id, retry-after",
        *(
            b"x-ratelimit-%b-%b" % (what, name)
            for name in (b"requests", b"tokens")
            for what in (b"limit", b"remaining", b"reset")
        ),
    ]
)

_VARY: Final = (b"vary", b"origin")
_PREFLIGHT_VARY: Final = (
    b"vary",
    b"origin, access-control-request-method, access-control-request-headers, access-control-request-private-network",
)


class CrossOrigin:
    """The rules for pages. *origins*: those that may ask, or ``*``."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = "*" in origins

    def admit(self, exchange: Exchange) -> bool:
        """Give the answer the headers that its page needs; answer a preflight, and return True for that.

        Raises `StatusError` 403 for a preflight that is not granted.
        """
        head = exchange.head
        allowed = self._allowed(head.get(b"origin"))
        method = head.get(b"access-control-request-method")
        if exchange.method != "OPTIONS" or method is None or b"origin" not in head:
            exchange.extra = allowed
            return False
        exchange.extra = [_PREFLIGHT_VARY, *(each for each in allowed if each != _VARY)]
        if len(allowed) == 1 or method not in _METHODS:
            raise _not_granted("its origin" if len(allowed) == 1 else "the method")
        granted = [
            (b"access-control-allow-methods", b", ".join(_METHODS)),
            (b"access-control-allow-headers", head.get(b"access-control-request-headers", b"*").replace(b"\n", b",")),
            (b"access-control-max-age", b"600"),
            (b"content-length", b"0"),
            (b"x-request-id", exchange.request_id.encode()),
        ]
        if head.get(b"access-control-request-private-network") == b"true":
            granted.append((b"access-control-allow-private-network", b"true"))
        exchange.start(200, granted)
        exchange.end()
        return True

    def _allowed(self, origin: bytes | None) -> Headers:
        """Return the headers of an answer to a page of that origin; what depends on the origin says so to caches."""
        if origin is None or not (self._any or origin in self._origins):
            return [_VARY]
        allowed = b"*" if self._any else origin
        return [_VARY, (b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED)]


def _not_granted(what: str) -> StatusError:
    return StatusError(
        f"pages may not call this way: {what} is not allowed; origins are listed in server.cors_origins",
        status=403,
        type="invalid_request_error",
        code="cors_not_allowed",
    )
