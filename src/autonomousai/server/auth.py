"""Who may enter, and how much: the Host header, the keys, how many at once, and no one once the server is closing.

Knows nothing of routes and answers. Everything refused is a `StatusError`, which the caller gets in OpenAI's shape.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final

from ..errors import StatusError
from ..http.server.exchange import Exchange
from ..limiter import shutting_down
from ..settings import ServerConfig, is_loopback

#: Paths of probes: an orchestrator asks by an address of its own, and has no key.
PROBE_PATHS: Final = frozenset({"/health", "/healthz", "/readyz"})

#: Paths that need no key: monitors have none, and the page and the API's description reveal nothing, not even the
#: names of the models; a caller without a key reads there how one is sent.
OPEN_PATHS: Final = PROBE_PATHS | {"/", "/docs", "/openapi.json"}

#: Paths that are answered while closing.
WATCHED_PATHS: Final = OPEN_PATHS | {"/metrics"}

#: Under it lie the page's files, which are as open as the page.
PAGE_PATH: Final = "/page/"

#: Under it lie the streams that can be resumed: what was begun continues while closing.
STREAMS_PATH: Final = "/v1/streams/"

#: Under it lie the responses that are kept: these too.
RESPONSES_PATH: Final = "/v1/responses/"

#: What begins the paths that are answered while closing, as those above are.
_LASTING: Final = (STREAMS_PATH, RESPONSES_PATH, RESPONSES_PATH.removeprefix("/v1"), PAGE_PATH)

#: Values of the Host header that are remembered to be allowed, and bytes of the longest.
_KNOWN: Final = 1_000
_LONGEST_KNOWN: Final = 100

_HOST = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class AccessControl:
    """The checks on one request's head, before anything of its body is read. ``key_headers``: those that may carry a key where
    there is no ``authorization``."""

    def __init__(self, config: ServerConfig, key_headers: Iterable[str] = ()) -> None:
        self.draining = False
        #: The monotonic time when the drain is over.
        self.drained_by = 0.0
        self._keys = [_digest(key.encode()) for key in config.api_keys]
        self._key_headers = [name.encode() for name in key_headers]
        self._hosts = frozenset(host.lower().rstrip(".") for host in config.allowed_hosts)
        self._checks_host = is_loopback(config.host) or bool(self._hosts)
        self._known: set[bytes] = set()

    def check(self, exchange: Exchange) -> None:
        """Raises `StatusError` 403, 401 or 503 for a request that may not enter."""
        head, path = exchange.head, exchange.path
        if path in PROBE_PATHS:
            return
        if self._checks_host and (host := head.get(b"host", b"")) not in self._known:
            self._check_host(host)
        if self._keys and path not in OPEN_PATHS and not path.startswith(PAGE_PATH):
            self._check_key(_key(head, self._key_headers))
        if self.draining and path not in WATCHED_PATHS and not path.startswith(_LASTING):
            raise shutting_down(self.drained_by - monotonic())

    def key_of(self, exchange: Exchange) -> bytes:
        """What tells callers apart: the hash of a caller's key; where none is asked for, everyone is the same."""
        return _digest(_key(exchange.head, self._key_headers)) if self._keys else b""

    def _check_host(self, value: bytes) -> None:
        """A page of the web whose name was made to point at this machine (DNS rebinding) still bears its own name here."""
        if self._may_bear(value):
            if len(self._known) < _KNOWN and len(value) <= _LONGEST_KNOWN:
                self._known.add(value)
            return
        raise StatusError(
            "the Host header must be this machine's own (localhost, 127.0.0.1 or [::1]) and stand there once; "
            "for another name, such as a reverse proxy's, add it to server.allowed_hosts",
            status=403,
            type="invalid_request_error",
            code="host_not_allowed",
        )

    def _may_bear(self, value: bytes) -> bool:
        match = _HOST.fullmatch(value)
        if match is None:
            return False
        name = match["name"].decode("latin-1").lower().rstrip(".")
        if name in self._hosts or name.strip("[]") in self._hosts or name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False

    def _check_key(self, key: bytes) -> None:
        """All keys are compared, by their hashes and each in constant time: how long it takes says nothing about them."""
        digest = _digest(key)
        found = False
        for known in self._keys:
            found |= hmac.compare_digest(digest, known)
        if not found:
            raise StatusError(
                "the API key is missing or wrong; send it with the header authorization: Bearer KEY",
                status=401,
                type="invalid_request_error",
                code="invalid_api_key",
            )


def _key(head: Mapping[bytes, bytes], others: Iterable[bytes]) -> bytes:
    """The key in an authorization header, or without one in the first of the *others*; b"" where there is none, or more than
    one."""
    if (value := head.get(b"authorization")) is None:
        bare = next((head[name] for name in others if name in head), b"")
        return b"" if b"\n" in bare else bare.strip()
    scheme, _, rest = value.partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" and b"\n" not in value else b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
