"""The published description of the server: ``/openapi.json`` for programs, ``/docs`` for people. Serves nothing of it.

Made from tables and structs when it is first asked for, as is what makes it imported, and the same for every caller: it needs
no key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route


def description_routes(*, sees: Callable[[], bool], asks_key: bool) -> list[Route]:
    """*sees*: whether some model takes images. *asks_key*: whether callers need a key."""

    @cache
    def made() -> dict[str, Any]:
        from .document import make_document  # noqa: PLC0415  when the description is first asked for

        return make_document(vision=sees(), asks_key=asks_key)

    async def openapi(request: Request) -> Response:
        """Inside another application the paths lie under the one that we are mounted at."""
        servers = [{"url": request.scope.get("root_path") or "/"}]
        return Response(msgspec.json.encode({**made(), "servers": servers}), media_type="application/json")

    @cache
    def page() -> tuple[str, dict[str, str]]:
        from .page import page_headers, write_page  # noqa: PLC0415  when the description is first asked for

        return write_page(made()), page_headers()

    async def docs(request: Request) -> Response:
        text, headers = page()
        return HTMLResponse(text, headers=headers)

    return [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]
