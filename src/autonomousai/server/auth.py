"""Who may enter, and how much: the Host header, the keys, how many at once, and no one once the server is closing.

Knows nothing of routes and answers. Everything refused is a `StatusError`, which the caller gets in OpenAI's shape.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final
from urllib.parse import parse_qs

from ..errors import StatusError
from ..http.server.exchange import Exchange
from ..keys.records import digest_of
from ..keys.ring import KeyRing
from ..limiter import shutting_down
from ..settings import ServerConfig, is_loopback

#: Paths of probes: an orchestrator asks by an address of its own, and has no key.
PROBE_PATHS: Final = frozenset({"/health", "/healthz", "/readyz"})

#: Paths that need no key: monitors have none, and the page and the API's description reveal nothing, not even the
#: names of the models; a caller without a key reads there how one is sent.
OPEN_PATHS: Final = PROBE_PATHS | {"/", "/docs", "/openapi.json", "/usage", "/admin"}

METRICS_PATH: Final = "/metrics"

#: Paths that are answered while closing.
WATCHED_PATHS: Final = OPEN_PATHS | {METRICS_PATH}

#: Under it lie the page's files, which are as open as the page.
PAGE_PATH: Final = "/page/"

#: Under it lie the streams that can be resumed: what was begun continues while closing.
STREAMS_PATH: Final = "/v1/streams/"

#: Under it lie the responses that are kept: these too.
RESPONSES_PATH: Final = "/v1/responses/"

#: What begins the paths that are answered while closing, as those above are.
_LASTING: Final = (STREAMS_PATH, RESPONSES_PATH, RESPONSES_PATH.removeprefix("/v1"), PAGE_PATH)

#: Under it lies what an admin key opens, and no other.
ADMIN_PATH: Final = "/admin/"

#: Values of the Host header that are remembered to be allowed, and bytes of the longest.
_KNOWN: Final = 1_000
_LONGEST_KNOWN: Final = 100

_HOST = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class AccessControl:
    """The checks on one request's head, before anything of its body is read. ``key_headers``: those that may carry a key where
    there is no ``authorization``. ``ring``: the keys that have names. ``key_queries``: members of the query that may carry a
    key where no header does; none is logged."""

    def __init__(
        self,
        config: ServerConfig,
        key_headers: Iterable[str] = (),
        ring: KeyRing | None = None,
        key_queries: Iterable[str] = (),
    ) -> None:
        self.draining = False
        #: The monotonic time when the drain is over.
        self.drained_by = 0.0
        self._keys = [digest_of(key.encode()) for key in config.api_keys]
        self._admins = [digest_of(key.encode()) for key in config.admin_keys]
        self._ring = KeyRing({}) if ring is None else ring
        self._ring.asks = self._ring.asks or bool(self._keys or self._admins)
        self._key_headers = [name.encode() for name in key_headers]
        self._key_queries = list(key_queries)
        self._hosts = frozenset(host.lower().rstrip(".") for host in config.allowed_hosts)
        self._checks_host = is_loopback(config.host) or bool(self._hosts)
        self._known: set[bytes] = set()

    def check(self, exchange: Exchange) -> None:
        """Note whose a request is. Raises `StatusError` 403, 401, 404 or 503 for one that may not enter."""
        head, path = exchange.head, exchange.path
        if path in PROBE_PATHS:
            return
        if self._checks_host and (host := head.get(b"host", b"")) not in self._known:
            self._check_host(host)
        if path.startswith(ADMIN_PATH):
            self._check_admin(_key(head, self._key_headers))
        elif self._ring.asks and path not in OPEN_PATHS and not path.startswith(PAGE_PATH):
            self._check_key(exchange)
        if self.draining and path not in WATCHED_PATHS and not path.startswith(_LASTING):
            raise shutting_down(self.drained_by - monotonic())

    def remember(self, exchange: Exchange) -> None:
        """Remember whose a request is that was checked, for others with the same head."""
        if exchange.known is not None and (header := exchange.head.get(b"authorization")) is not None:
            self._ring.remember_head(exchange.known, header)

    def recall(self, exchange: Exchange) -> bool:
        """Note whose a request is, where its head was checked before; False where its key has to be checked again."""
        if not self._ring.asks:
            return True
        record = self._ring.remembered.get(exchange.known)
        if record is None:
            return False
        exchange.key, exchange.caller = record.name, record
        return True

    def key_of(self, exchange: Exchange) -> bytes:
        """What tells callers apart: the id of a caller's key, whose secret may change, or the hash of one without a name; where
        none is asked for, everyone is the same."""
        if exchange.caller is not None:
            owner: bytes = exchange.caller.owner
            return owner
        return digest_of(self._key(exchange)) if self._ring.asks else b""

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

    def _check_key(self, exchange: Exchange) -> None:
        """Find the caller's key among those with names, by its hash, or compare it with all others, each in constant time: how
        long it takes says nothing about them."""
        header = exchange.head.get(b"authorization")
        record = self._ring.remembered.get(header)
        if record is not None and exchange.path != METRICS_PATH:
            exchange.key, exchange.caller = record.name, record
            return
        digest = digest_of(self._key(exchange))
        if (record := self._ring.find(digest)) is not None:
            if exchange.path == METRICS_PATH:
                raise _forbidden("the metrics show all keys: send a key of server.api_keys or server.admin_keys")
            exchange.key, exchange.caller = record.name, record
            if header is not None and _bearer(header):  # else another header has the key
                self._ring.remember(header, digest, record)
        elif not _is_among(digest, self._keys) and not (exchange.path == METRICS_PATH and _is_among(digest, self._admins)):
            raise _unknown("API key")

    def _key(self, exchange: Exchange) -> bytes:
        """Return the key of a request; b"" where it has none."""
        key = _key(exchange.head, self._key_headers)
        if key or not exchange.query:
            return key
        query = parse_qs(exchange.query.decode("latin-1"))
        return next((query[name][0].encode() for name in self._key_queries if name in query), b"")

    def _check_admin(self, key: bytes) -> None:
        if not self._admins:
            raise _forbidden('no admin key is configured: write admin_keys = ["env:AUTONOMOUSAI_ADMIN_KEY"] under [server]')
        if not _is_among(digest_of(key), self._admins):
            raise _unknown("admin key")


def _is_among(digest: bytes, known: Iterable[bytes]) -> bool:
    found = False
    for each in known:
        found |= hmac.compare_digest(digest, each)
    return found


def _unknown(what: str) -> StatusError:
    return StatusError(
        f"the {what} is missing or wrong; send it with the header authorization: Bearer KEY",
        status=401,
        type="invalid_request_error",
        code="invalid_api_key",
    )


def _forbidden(why: str) -> StatusError:
    return StatusError(why, status=403, type="permission_error", code="key_not_allowed")


def _key(head: Mapping[bytes, bytes], others: Iterable[bytes]) -> bytes:
    """The key in an authorization header. Where that has none, as one of a proxy's own or of a client without a key, it is the
    one in the first of the *others*; b"" where there is none, or more than one."""
    value = head.get(b"authorization", b"")
    if (key := _bearer(value)) or b"\n" in value:
        return key
    bare = next((head[name] for name in others if name in head), b"")
    return b"" if b"\n" in bare else bare.strip()


def _bearer(value: bytes) -> bytes:
    """The key in an authorization header of that *value*; b"" where there is none, or more than one."""
    scheme, _, rest = value.partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" and b"\n" not in value else b""
