"""``/admin/keys``: keys are made, listed, changed, disabled, rotated and deleted. An admin key opens it; see `auth`.

A secret is in the answer that makes it, and nowhere else: not in the log, and not in the store.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..config_reading import TableReader
from ..errors import ConfigError, StatusError
from ..keys.checks import check_name, check_policy, read_labels, read_moment
from ..keys.directory import KeyDirectory
from ..keys.records import KeyRecord
from ..settings import KeyPolicy, Labels
from ..wires.registry import WIRES

#: Bytes of a body: a name, and what its holder may do.
_MAX_BODY: Final = 65_536

#: Seconds that an old secret may open beside the new one.
_LONGEST_KEEP_S: Final = 30 * 24 * 3600.0

_reader: Final = TableReader({dt.datetime: read_moment, Labels: read_labels})

_NO_STORE: Final = {"cache-control": "no-store"}


class AdminKeys:
    """The routes of keys, over *directory*."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = "/admin/keys/{name}"
        return [
            Route("/admin/keys", self._list, methods=["GET"], include_in_schema=False),
            Route("/admin/keys", self._create, methods=["POST"], include_in_schema=False),
            Route(one, self._show, methods=["GET"], include_in_schema=False),
            Route(one, self._change, methods=["POST"], include_in_schema=False),
            Route(one, self._delete, methods=["DELETE"], include_in_schema=False),
            Route(f"{one}/disable", self._disable, methods=["POST"], include_in_schema=False),
            Route(f"{one}/enable", self._enable, methods=["POST"], include_in_schema=False),
            Route(f"{one}/rotate", self._rotate, methods=["POST"], include_in_schema=False),
        ]

    async def _list(self, request: Request) -> Response:
        return _json({"object": "list", "data": [shown(record) for record in self._directory.records()]})

    async def _create(self, request: Request) -> Response:
        body = await _read_body(request)
        name = body.pop("name", None)
        with_name = name if isinstance(name, str) else ""
        try:
            check_name(with_name, "name")
        except ConfigError as error:
            raise _invalid(error) from None
        record, secret = await self._directory.create(with_name, _policy(body))
        return _json({**shown(record), "key": secret}, 201)

    async def _show(self, request: Request) -> Response:
        return _json(shown(self._directory.get(_name(request))))

    async def _change(self, request: Request) -> Response:
        body = await _read_body(request)
        before = self._directory.get(_name(request)).policy
        changed = {name: value for name, value in body.items() if value is not None}
        policy = _policy(changed)
        values = {name: getattr(policy, name) for name in changed}
        values |= {name: _default(name) for name, value in body.items() if value is None}
        return _json(shown(await self._directory.change(_name(request), msgspec.structs.replace(before, **values))))

    async def _disable(self, request: Request) -> Response:
        return await self._switch(request, disabled=True)

    async def _enable(self, request: Request) -> Response:
        return await self._switch(request, disabled=False)

    async def _switch(self, request: Request, *, disabled: bool) -> Response:
        policy = self._directory.get(_name(request)).policy
        changed = msgspec.structs.replace(policy, disabled=disabled)
        return _json(shown(await self._directory.change(_name(request), changed)))

    async def _rotate(self, request: Request) -> Response:
        body = await _read_body(request)
        keep_s = body.pop("keep_old_s", 0)
        if body or isinstance(keep_s, bool) or not isinstance(keep_s, int | float) or not 0 <= keep_s <= _LONGEST_KEEP_S:
            problem = f"keep_old_s: the seconds that the old key opens, from 0 to {_LONGEST_KEEP_S:.0f}, is all that is read"
            raise StatusError(problem, status=400, type="invalid_request_error", param="keep_old_s", code="invalid_value")
        record, secret = await self._directory.rotate(_name(request), keep_s)
        return _json({**shown(record), "key": secret})

    async def _delete(self, request: Request) -> Response:
        record = await self._directory.delete(_name(request))
        return _json({"id": record.id, "name": record.name, "object": "key", "deleted": True})


def shown(record: KeyRecord) -> dict[str, Any]:
    """Return what an administrator reads of a key; nothing of its secret but the last characters of one that was made."""
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


def _policy(table: dict[str, Any]) -> KeyPolicy:
    """Read what the holder of a key may do. Raises `StatusError` 400 that names the field."""
    try:
        policy = _reader.read("key", {name: value for name, value in table.items() if value is not None}, KeyPolicy)
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


def _default(name: str) -> Any:
    try:
        return getattr(KeyPolicy(), name)
    except AttributeError:
        raise _invalid(ConfigError("there is no such field", key=name)) from None


async def _read_body(request: Request) -> dict[str, Any]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise StatusError("the body is too large", status=413, type="invalid_request_error", code="body_too_large")
    try:
        document = msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict):
        raise StatusError("the body must be a JSON object", status=400, type="invalid_request_error", code="invalid_json")
    return document


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, headers=_NO_STORE, media_type="application/json")
