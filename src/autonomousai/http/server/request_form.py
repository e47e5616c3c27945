"""The form of a request's head beyond its syntax: its target, its version, its host (RFC 9112 sections 2.3, 3.2, 6.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import httptools

from .exchange import Headers
from .refusals import RefusedError

#: Headers that say something about the request's own form.
FORMAL: Final = frozenset({b"expect", b"host", b"transfer-encoding"})

#: Bytes of a target up to which it is remembered how to read it.
_SHORT: Final = 128


def read_target(target: bytes) -> tuple[str, bytes, bytes, bytes | None]:
    """Return a target's path, as text and as it came, its query, and the host that it names.

    Raises `HttpParserInvalidURLError`, and `RefusedError` where it has another form than a server is asked in.
    """
    return _remembered(target) if len(target) <= _SHORT else _read(target)


def _read(target: bytes) -> tuple[str, bytes, bytes, bytes | None]:
    if target == b"*":
        return "*", target, b"", None
    url: Any = httptools.parse_url(target)
    path = url.path or b"/"  # http://host alone has none
    host = None
    if url.schema is not None:
        if url.schema.lower() not in (b"http", b"https") or url.userinfo is not None:
            raise RefusedError
        host = target.split(b"/", 3)[2].partition(b"?")[0]
    return unquote(path.decode("ascii")), path, url.query or b"", host


_remembered = lru_cache(maxsize=256)(_read)


def check_form(version: str, method: str, path: str, headers: Headers, hosts: int) -> None:
    """Raise `RefusedError` for a head that can be read, and must not be. *hosts*: how many ``Host`` headers it has."""
    if version == "1.1":
        if hosts != 1:
            raise RefusedError
    elif version != "1.0":
        raise RefusedError(505)
    elif hosts > 1 or any(name == b"transfer-encoding" for name, _ in headers):
        raise RefusedError
    if path == "*" and method != "OPTIONS":
        raise RefusedError
