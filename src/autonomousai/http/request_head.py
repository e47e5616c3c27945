"""The head of a request, as bytes. Pure; refuses whatever would say more than one request to the server."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import msgspec

from ..errors import ConfigError
from .proxies import Proxy
from .urls import fault_in_url, without_credentials

#: Bytes of a request's body up to which it is sent in one piece with its head.
ONE_PIECE: Final = 64 * 1024

#: What a header's name may be made of (RFC 9110, a token), and what its value may not hold.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: How a body is framed is the transport's to say.
_FRAMING = frozenset({"content-length", "transfer-encoding", "trailer", "te", "upgrade"})

#: What stays as it is in a path or a query: all that a URL may hold, and ``%`` of what is quoted already.
_QUOTED = "/%:@!$&'()*+,;=~-._?"


class Origin(NamedTuple):
    """Where a connection goes to. ``via``: the proxy that it goes through, if any."""

    tls: bool
    host: str
    port: int
    via: Proxy | None = None


class RequestHead(msgspec.Struct, frozen=True):
    """``start``: request line and headers, without a body's length and the empty line. ``closes``: whether the request asks for
    the end of its connection."""

    origin: Origin
    start: bytes
    closes: bool


def make_head(method: str, url: str, headers: Mapping[str, str], user_agent: str) -> RequestHead:
    """The head of a request for *url* with *headers*. Raises `ConfigError` where none can be made of them."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode()
    except ValueError as error:
        raise ConfigError(f"the URL of a request cannot be read: {fault_in_url(error)}; check base_url") from None
    tls = parts.scheme == "https"
    if not host or parts.scheme not in ("http", "https") or not re.fullmatch(r"[!-~]+", host):
        raise _no_url(url)
    standard = 443 if tls else 80
    origin = Origin(tls, host, standard if port is None else port)
    named = f"[{host.partition('%')[0]}]" if ":" in host else host  # a zone means something on this machine alone
    fields = {
        "host": f"Host: {named}" if origin.port == standard else f"Host: {named}:{origin.port}",
        "user-agent": f"User-Agent: {user_agent}",
        "accept-encoding": "Accept-Encoding: identity",
    }
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        fields["authorization"] = "Authorization: Basic " + base64.b64encode(login.encode()).decode()
    for name, value in headers.items():
        if is_sent(name, value):
            fields[name.lower()] = f"{name}: {value.strip()}"
    target = quote(parts.path or "/", safe=_QUOTED.replace("?", "")) + (
        "?" + quote(parts.query, safe=_QUOTED) if parts.query else ""
    )
    start = "\r\n".join([f"{method} {target} HTTP/1.1", *fields.values(), ""]).encode("utf-8")
    wishes = fields.get("connection", "").partition(":")[2].lower()
    return RequestHead(origin, start, "close" in wishes)


def is_sent(name: str, value: str) -> bool:
    """Return whether a header is a caller's to send. Raises `ConfigError` where it would not be one header."""
    if not _NAME.fullmatch(name) or _NO_VALUE.search(value):
        raise ConfigError(f"headers: {name[:100]!r} cannot be sent; a name is one word, and a value is text of one line")
    return name.lower() not in _FRAMING


def _no_url(url: str) -> ConfigError:
    return ConfigError(f"{without_credentials(url)!r} is not a URL that a request can be sent to")
