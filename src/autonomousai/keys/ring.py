"""All keys of a server that have names, found by the hash of their secrets: those of the config, and those made since.

Knows no request. A secret is looked up by its SHA-256, so how long that takes says nothing about any secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from ..errors import StatusError
from ..settings import KeyConfig
from .records import KeyRecord, configured_key

#: Values of the authorization header that are remembered to open.
_REMEMBERED: Final = 1_000


class KeyRing:
    """The keys, by their digests and by their names. ``asks``: whether callers need a key: once they do, they always will.
    ``remembered``: by the value of a request's header, or by what is remembered of a head with it, keys that open until any key
    changes: read it, and add by `remember` and `remember_head`."""

    def __init__(
        self, configured: Mapping[str, KeyConfig], *, asks: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self.asks = asks
        self._now = now
        self._made: tuple[KeyRecord, ...] = ()
        self._configured: tuple[KeyRecord, ...] = ()
        self._by_digest: dict[bytes, KeyRecord] = {}
        self._by_name: dict[str, KeyRecord] = {}
        self.remembered: dict[object, KeyRecord] = {}
        self.replace_config(configured)

    def records(self) -> list[KeyRecord]:
        """Return all of them."""
        return list(self._by_name.values())

    def get(self, name: str) -> KeyRecord | None:
        """Return the key of that name."""
        return self._by_name.get(name)

    def find(self, digest: bytes) -> KeyRecord | None:
        """Return the key whose secret has this *digest*, None where there is none. Raises `StatusError` 401 for one that is
        disabled or has expired."""
        record = self._by_digest.get(digest)
        if record is None:
            return None
        if digest != record.digest and self._now() >= record.previous_until:
            raise _refused("was replaced by another; use that")
        policy = record.policy
        if policy.disabled:
            raise _refused("is disabled; ask this server's operator")
        if policy.expires is not None and datetime.fromtimestamp(self._now(), UTC) >= policy.expires:
            raise _refused(f"has expired on {policy.expires.date().isoformat()}; ask this server's operator for another")
        return record

    def remember(self, header: bytes, digest: bytes, record: KeyRecord) -> None:
        """Remember that a *header* bears the secret of *record*, whose *digest* was found: where that can end by a change of
        keys alone, and not with time."""
        if digest == record.digest and record.policy.expires is None:
            if len(self.remembered) >= _REMEMBERED:  # each key may be written in many ways
                self.remembered.clear()
            self.remembered[header] = record

    def remember_head(self, head: object, header: bytes) -> None:
        """Remember the same of a *head* that has the *header*, where that is remembered."""
        if (record := self.remembered.get(header)) is not None:
            if len(self.remembered) >= _REMEMBERED:
                self.remembered.clear()
            self.remembered[head] = record

    def labels_of(self, name: str) -> Mapping[str, str]:
        """Return what the operator says of the key of that name."""
        record = self._by_name.get(name)
        return {} if record is None else record.policy.labels

    def replace_config(self, configured: Mapping[str, KeyConfig]) -> None:
        """Take over the keys of another config. Where one that was made has the name of one in it, the config's holds."""
        self._configured = tuple(configured_key(name, config) for name, config in configured.items())
        self._index()

    def replace_made(self, records: Iterable[KeyRecord]) -> None:
        """Take over the keys that were made while servers ran: all that there are."""
        self._made = tuple(records)
        self._index()

    def _index(self) -> None:
        by_name = {record.name: record for record in (*self._made, *self._configured)}
        by_digest = {record.previous: record for record in by_name.values() if record.previous}
        by_digest |= {record.digest: record for record in by_name.values()}
        self._by_name, self._by_digest = by_name, by_digest
        self.remembered.clear()
        self.asks = self.asks or bool(by_name)


def _refused(why: str) -> StatusError:
    return StatusError(f"the API key {why}", status=401, type="invalid_request_error", code="invalid_api_key")
