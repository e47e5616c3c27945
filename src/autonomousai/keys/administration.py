"""What an administrator does with keys, as documents: what the HTTP API answers, and what the command line shows.

A secret is in the document that makes it, and nowhere else: not in the log, and not in the store.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from ..config_reading import TableReader
from ..errors import ConfigError, StatusError
from ..settings import KeyPolicy, Labels
from ..wires.registry import WIRES
from .checks import LONGEST_KEEP_S, check_name, check_policy, read_labels, read_moment
from .directory import KeyDirectory
from .records import KeyRecord

_reader: Final = TableReader({dt.datetime: read_moment, Labels: read_labels})


class KeyAdministration:
    """The keys of *directory*. *used*: returns what a key has used; see `spending`. Each method raises `StatusError`: 400 that
    names a field, 404, 409 and 503."""

    def __init__(self, directory: KeyDirectory, used: Callable[[KeyRecord], Awaitable[dict[str, Any]]]) -> None:
        self._directory = directory
        self._used = used

    async def list(self) -> dict[str, Any]:
        """Return all keys."""
        return {"object": "list", "data": [shown(record) for record in self._directory.records()]}

    async def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a key of a ``name`` and the fields of a policy."""
        name = document.get("name")
        name = name if isinstance(name, str) else ""
        try:
            check_name(name, "name")
        except ConfigError as error:
            raise _invalid(error) from None
        policy = read_policy({field: value for field, value in document.items() if field != "name"})
        record, secret = await self._directory.create(name, policy)
        return {**shown(record), "key": secret}

    async def show(self, name: str) -> dict[str, Any]:
        """Return one key, and as ``usage`` what it has used in its budget's period, and what is left."""
        record = self._directory.get(name)
        return {**shown(record), "usage": await self._used(record)}

    async def change(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Change fields of a key's policy; null takes a limit away."""
        changed = read_policy(document)
        values = {field: getattr(changed, field) for field in document}
        return shown(await self._directory.change(name, lambda policy: msgspec.structs.replace(policy, **values)))

    async def rotate(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Give a key another secret; ``keep_old_s``: the seconds that the old one opens."""
        keep_s = document.get("keep_old_s", 0)
        others = [field for field in document if field != "keep_old_s"]
        if others or isinstance(keep_s, bool) or not isinstance(keep_s, int | float) or not 0 <= keep_s <= LONGEST_KEEP_S:
            field = others[0] if others else "keep_old_s"
            advice = f"keep_old_s is all that is read: seconds that the old key opens, up to {LONGEST_KEEP_S:.0f}"
            raise _invalid(ConfigError("is not valid", key=field[:80], advice=advice))
        record, secret = await self._directory.rotate(name, float(keep_s))
        return {**shown(record), "key": secret}

    async def delete(self, name: str) -> dict[str, Any]:
        """Delete a key."""
        record = await self._directory.delete(name)
        return {"id": record.id, "object": "key", "name": record.name, "deleted": True}


def shown(record: KeyRecord) -> dict[str, Any]:
    """Return what an administrator reads of a key; of its secret, the last characters of one that was made."""
    policy = {name: value for name, value in msgspec.to_builtins(record.policy).items() if value not in (None, (), [], {})}
    return {
        "object": "key",
        "id": record.id,
        "name": record.name,
        "source": "config" if record.is_configured else "made",
        **({"hint": f"…{record.hint}"} if record.hint else {}),
        **({"created": int(record.created)} if record.created else {}),
        **({"old_key_until": int(record.previous_until)} if record.previous_until else {}),
        **policy,
    }


def read_policy(document: dict[str, Any]) -> KeyPolicy:
    """Read what the holder of a key may do. Raises `StatusError` 400 that names the field."""
    try:
        policy = _reader.read("key", {field: value for field, value in document.items() if value is not None}, KeyPolicy)
        for field in document:
            if field not in KeyPolicy.__struct_fields__:
                raise ConfigError("there is no such field", key=field[:80])
        check_policy(policy, WIRES, "key")
    except ConfigError as error:
        raise _invalid(error) from None
    return policy


def _invalid(error: ConfigError) -> StatusError:
    field = error.key.removeprefix("key.")
    return StatusError(
        f"{field}: {error.problem}",
        status=400,
        type="invalid_request_error",
        param=field,
        code="invalid_value",
        advice=error.advice,
    )
