"""``/admin/keys``: keys are made, listed, changed, disabled, rotated and deleted. An admin key opens it; see `auth`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..keys.administration import KeyAdministration
from .documents import read_document

#: Bytes of a body: a name, and what its holder may do.
_MAX_BODY: Final = 65_536

#: An answer may hold a secret.
_NO_STORE: Final = {"cache-control": "no-store"}

KEYS_PATH: Final = "/admin/keys"
KEY_PATH: Final = KEYS_PATH + "/{name}"


class AdminKeys:
    """The routes of keys."""

    def __init__(self, administration: KeyAdministration) -> None:
        self._administration = administration

    def routes(self) -> list[Route]:
        """Return the routes."""
        rows = (
            (KEYS_PATH, "GET", self._list),
            (KEYS_PATH, "POST", self._create),
            (KEY_PATH, "GET", self._show),
            (KEY_PATH, "POST", self._change),
            (KEY_PATH, "DELETE", self._delete),
            (KEY_PATH + "/disable", "POST", self._disable),
            (KEY_PATH + "/enable", "POST", self._enable),
            (KEY_PATH + "/rotate", "POST", self._rotate),
        )
        return [Route(path, answers, methods=[method]) for path, method, answers in rows]

    async def _list(self, request: Request) -> Response:
        return _json(await self._administration.list())

    async def _create(self, request: Request) -> Response:
        return _json(await self._administration.create(await read_document(request, _MAX_BODY)), 201)

    async def _show(self, request: Request) -> Response:
        return _json(await self._administration.show(_name(request)))

    async def _change(self, request: Request) -> Response:
        return _json(await self._administration.change(_name(request), await read_document(request, _MAX_BODY)))

    async def _disable(self, request: Request) -> Response:
        return _json(await self._administration.change(_name(request), {"disabled": True}))

    async def _enable(self, request: Request) -> Response:
        return _json(await self._administration.change(_name(request), {"disabled": False}))

    async def _rotate(self, request: Request) -> Response:
        return _json(await self._administration.rotate(_name(request), await read_document(request, _MAX_BODY)))

    async def _delete(self, request: Request) -> Response:
        return _json(await self._administration.delete(_name(request)))


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, headers=_NO_STORE, media_type="application/json")
