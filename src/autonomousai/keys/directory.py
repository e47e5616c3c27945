"""Keys that are made, changed and deleted while servers run. Every server reads changes within `POLL_S`, off requests' way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

import msgspec

from ..errors import StatusError
from ..http.server.exchange import log_bug
from ..late import late_decoder
from ..outage import Outage
from ..settings import KeyPolicy
from ..wires.redaction import redact
from .documents import DocumentChangedError, DocumentStore, DocumentStoreError, NameTakenError
from .records import HINT, KeyRecord, digest_of, new_secret
from .ring import KeyRing

#: Seconds between two looks whether keys have changed.
POLL_S: Final = 1.0

#: How often a change is made again that another server's came before.
_TRIES: Final = 10

_encode: Final = msgspec.json.Encoder().encode
_RECORD: Final = late_decoder(KeyRecord)

_log = logging.getLogger("autonomousai.server")


class KeyDirectory:
    """The keys of *store*, which *ring* finds. ``on_change``: called with those that were made or changed, before they
    are found. ``outage``: whether the store is away."""

    def __init__(
        self,
        ring: KeyRing,
        store: DocumentStore,
        *,
        on_change: Callable[[Iterable[KeyRecord]], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._store = store
        self._on_change = on_change
        self._now = now
        self._version = -1
        self.outage = Outage("changes of keys cannot be read", "changes of keys are read again")
        self._polling: asyncio.Task[None] | None = None
        #: By ids, the documents as they were read: a change replaces what its author has seen, and nothing newer.
        self._documents: dict[str, bytes] = {}
        #: Those that were reported as unreadable.
        self._unreadable: set[bytes] = set()
        self._reading = asyncio.Lock()
        self._changing = asyncio.Lock()

    # ---- its life

    async def open(self) -> None:
        """Open the store and read the keys. Raises what the store raises that cannot be used at all."""
        await self._store.open()
        await self.refresh()
        if self._store.shared:
            self._polling = asyncio.create_task(self._poll())

    async def aclose(self) -> None:
        """Read no changes any more."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self._store.aclose()

    async def refresh(self) -> None:
        """Read the keys, if they have changed. While the store cannot be reached, those that are known hold."""
        try:
            async with self._reading:
                await self._read()
            self.outage.end()
        except DocumentStoreError as error:
            self.outage.begin(error)

    async def _read(self) -> None:
        version = await self._store.version()
        if version == self._version:
            return
        read = [(record, document) for document in await self._store.load() if (record := self._decoded(document)) is not None]
        if self._on_change is not None:
            await self._on_change([record for record, document in read if self._documents.get(record.id) != document])
        self._version = version
        self._documents = {record.id: document for record, document in read}
        self._ring.replace_made(record for record, _ in read)

    def _decoded(self, document: bytes) -> KeyRecord | None:
        """Return the key that a *document* is; None for one that cannot be read: it opens nothing, and the others do."""
        try:
            return _RECORD.decode(document)
        except msgspec.DecodeError as error:
            if document not in self._unreadable:
                _log.error("a key in the ledger's database cannot be read, and opens nothing: %s", redact(str(error)))
                self._unreadable.add(document)
            return None

    async def _poll(self) -> None:
        is_broken = False
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
                is_broken = False
            except Exception as error:  # a bug, which must not hide all later changes
                if not is_broken:
                    log_bug(None, error)
                is_broken = True

    # ---- for administrators; each raises `StatusError` 404, 409 and 503

    async def create(self, name: str, policy: KeyPolicy) -> tuple[KeyRecord, str]:
        """Make a key. Returns it, and its secret, which is kept nowhere."""
        if (other := self._ring.get(name)) is not None and other.is_configured:
            raise _in_config(name)
        secret = new_secret()
        record = KeyRecord(
            id=f"key_{secrets.token_hex(12)}",
            name=name,
            digest=digest_of(secret.encode()),
            policy=policy,
            hint=secret[-HINT:],
            created=self._now(),
        )
        with _translated():
            await self._store.add(record.id, record.name, _encode(record))
            await self.refresh()
        return record, secret

    async def change(self, name: str, revised: Callable[[KeyPolicy], KeyPolicy]) -> KeyRecord:
        """Give a key the policy that *revised* makes of its own."""
        return await self._revise(name, lambda old: msgspec.structs.replace(old, policy=revised(old.policy)))

    async def rotate(self, name: str, keep_s: float = 0.0) -> tuple[KeyRecord, str]:
        """Give a key another secret; the old one opens for *keep_s* more seconds. What is bound to the key stays so."""
        secret = new_secret()
        until = self._now() + keep_s if keep_s else 0.0

        def rotated(old: KeyRecord) -> KeyRecord:
            return msgspec.structs.replace(
                old,
                digest=digest_of(secret.encode()),
                hint=secret[-HINT:],
                previous=old.digest if keep_s else b"",
                previous_until=until,
            )

        return await self._revise(name, rotated), secret

    async def delete(self, name: str) -> KeyRecord:
        """Delete a key."""
        async with self._changing:
            await self.refresh()
            record = self._made(name)
            with _translated():
                await self._store.delete(record.id)
                await self.refresh()
        return record

    def get(self, name: str) -> KeyRecord:
        """Return the key of that name, of the config or not. Raises `StatusError` 404."""
        record = self._ring.get(name)
        if record is None:
            raise _not_found(name)
        return record

    def records(self) -> list[KeyRecord]:
        """Return all keys, those of the config too."""
        return self._ring.records()

    def _made(self, name: str) -> KeyRecord:
        record = self.get(name)
        if record.is_configured:
            raise _in_config(name)
        return record

    async def _revise(self, name: str, revised: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        """Replace a key by what *revised* makes of it. What other servers did to it is read before, and never undone."""
        async with self._changing:
            for _ in range(_TRIES):
                await self.refresh()
                old = self._made(name)
                record = revised(old)
                try:
                    with _translated():
                        await self._store.replace(old.id, self._documents[old.id], _encode(record))
                except DocumentChangedError:
                    continue
                await self.refresh()
                return record
        raise _refused(503, f"the key {name!r} is being changed by other servers", "try again")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NameTakenError as error:
        raise _refused(409, f"there is a key {str(error)!r} already", "choose another name, or rotate it") from None
    except DocumentStoreError as error:
        _log.warning("a key cannot be changed: %s", redact(str(error)))
        raise _refused(503, "the keys' database cannot be reached", "try again later") from None


def _not_found(name: str) -> StatusError:
    return _refused(404, f"there is no key {name[:80]!r}", "list them with GET /admin/keys, or autonomousai keys list")


def _in_config(name: str) -> StatusError:
    return _refused(409, f"the key {name!r} stands in the config as [keys.{name}]", "change it there")


def _refused(status: int, problem: str, advice: str) -> StatusError:
    types = {404: ("invalid_request_error", "key_not_found"), 409: ("invalid_request_error", "key_conflict")}
    kind, code = types.get(status, ("server_error", "keys_unavailable"))
    return StatusError(problem, status=status, type=kind, code=code, advice=advice)
