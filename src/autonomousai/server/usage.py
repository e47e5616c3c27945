"""``GET /v1/usage``: what a caller's key used; ``GET /admin/usage``: what all did, for an admin and for the page ``/usage``, to
which ``/admin`` leads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..errors import StatusError
from ..http.server.asgi import OUTER
from ..ledger.summary import Group, UsageQuestion, document_of, moment_of, zone_of
from ..ledger.writer import LedgerWriter
from ..wires.shapes import refusal
from .route_names import ADMIN_PAGE, ADMIN_USAGE_PATH, USAGE_PAGE, USAGE_PATH

_OWN: Final = ("by", "since", "until", "timezone")


def usage_routes(ledger: LedgerWriter | None, ready: Callable[[], Awaitable[None]]) -> list[Route]:
    """Return the routes. ``ready``: starts the server."""

    async def answer(question: UsageQuestion) -> Response:
        if ledger is None:
            problem = "this server keeps no ledger; its operator can, with a table [ledger] in the config"
            raise StatusError(problem, status=404, type="not_found_error", code="no_ledger")
        await ready()
        report = await asyncio.to_thread(ledger.usage, question)
        if report is None:
            raise StatusError("the ledger cannot be read now", status=503, type="server_error", code="ledger_unavailable")
        body = msgspec.json.encode(document_of(question, report))
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    async def own(request: Request) -> Response:
        question, exchange = _question(request.query_params, _OWN), request.scope[OUTER]
        since = question.since
        if exchange.caller is not None and exchange.caller.created:  # a deleted key may have had its name before
            since = max(since or 0.0, exchange.caller.created)
        return await answer(msgspec.structs.replace(question, key=exchange.key, since=since))

    async def everyones(request: Request) -> Response:
        question = _question(request.query_params, (*_OWN, "key"))
        return await answer(msgspec.structs.replace(question, key=request.query_params.get("key")))

    async def page(request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "") + USAGE_PAGE, status_code=303)

    return [
        Route(ADMIN_PAGE, page, methods=["GET"], include_in_schema=False),
        Route(USAGE_PATH, own, methods=["GET"]),
        Route(ADMIN_USAGE_PATH, everyones, methods=["GET"]),
    ]


def _question(query: Mapping[str, str], known: tuple[str, ...]) -> UsageQuestion:
    """Return what the parameters of a request ask. Raises `StatusError` 400 that names the one that is wrong."""
    for name in query:
        if name not in known:
            raise refusal(name, f"is unknown; known are {', '.join(known)}")
    query = {name: value for name, value in query.items() if value}  # an empty one says nothing
    by = query.get("by", "day")
    if by not in get_args(Group):
        raise refusal("by", f"must be one of {', '.join(get_args(Group))}")
    try:
        zone = zone_of(query.get("timezone", "UTC"))
    except ValueError as error:
        raise refusal("timezone", str(error)) from None
    now = datetime.now(UTC).astimezone(zone)
    moments = {}
    for name in ("since", "until"):
        try:
            moments[name] = moment_of(query[name], now) if name in query else None
        except ValueError as error:
            raise refusal(name, str(error)) from None
    return UsageQuestion(by, moments["since"], moments["until"], None, zone)  # type: ignore[arg-type]  # it is one of them
