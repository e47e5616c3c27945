"""The cold routes: Starlette's router, and errors on them in the shape of the path's wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from ..errors import ProviderError, StatusError
from ..http.server.asgi import OUTER
from ..http.server.exchange import Exchange, internal_error
from ..suggestions import nearest
from ..wires.base import Wire
from ..wires.registry import COUNTED, SERVED, models_wire, wire_of
from .auth import RESPONSES_PATH
from .route_names import STREAM_ROUTE, V1


def cold_app(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the ASGI application of *routes*."""
    handlers = {HTTPException: _on_http_exception, ProviderError: _on_provider_error, Exception: _on_bug}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def wire_of_request(exchange: Exchange) -> Wire:
    """Return the wire that a request is answered in where something is wrong with it."""
    return models_wire(exchange.path, exchange.head) or wire_of(exchange.path)


#: What Ollama's clients ask of its store of models.
_OLLAMA: Final = "models are managed by the server's operator, with `autonomousai models` and its config"

#: Where Google's clients keep files.
_FILES: Final = "files are not kept here; send them with the request, in inlineData"

#: Paths of the vendor's that are not served, by how they begin, and what to do instead.
_ELSEWHERE: Final = {
    "/v1beta/models/": "of what may be asked of a model, there are generateContent, streamGenerateContent, countTokens, "
    "embedContent and batchEmbedContents",
    "/v1beta/cachedContents": "conversations are not kept here; send the complete conversation",
    **dict.fromkeys(("/v1beta/files", "/upload/v1beta/files"), _FILES),
    **dict.fromkeys([f"/api/{name}" for name in ("push", "create", "copy", "delete", "blobs")], _OLLAMA),
    "/responses/compact": "conversations are not compacted here; ask the model for a summary, and continue with that",
    "/conversations": "conversations are not kept here; send previous_response_id, or all items of the conversation",
}


async def _elsewhere(request: Request) -> Response:
    """Stand for a route that `RequestRouter._enter` serves."""
    raise AssertionError(request.url.path)


def _wrong_method(method: str, allowed: str) -> StatusError:
    return StatusError(
        f"the method {method[:20]} is not allowed here; allowed: {allowed}",
        status=405,
        type="invalid_request_error",
        code="method_not_allowed",
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette's router says, in the shape of the path's wire."""
    assert isinstance(error, HTTPException)
    instead = None if request.method == "OPTIONS" else _instead_of(request.scope["path"])
    if error.status_code == 405 and instead is None:
        # The router names the methods of the first route of that path alone.
        here = [
            route for route in request.app.routes if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE
        ]
        here = [route for route in here if route.path == request.scope["path"]] or here  # the path itself goes before a pattern
        allow = {"allow": ", ".join(sorted({"OPTIONS"}.union(*(route.methods or () for route in here))))}
        return (
            Response(status_code=204, headers=allow)
            if request.method == "OPTIONS"
            else _error(request, _wrong_method(request.method, allow["allow"]), allow)
        )
    path = request.url.path[:200]
    # A base URL may have one /v1 too few or too many, or be of an older or a newer API.
    known = (*SERVED, *COUNTED, "/v1/models")
    meant = next((each for each in known if path.endswith(each.removeprefix("/v1"))), None)
    near = nearest(path, known, likeness=0.8)
    says = f"{meant} is here" if meant else f"did you mean {near}?" if near else "GET /docs lists what there is"
    return _error(
        request,
        StatusError(
            f"there is nothing at {path!r}; {instead or says}",
            status=404,
            type="invalid_request_error",
            code="unsupported_endpoint" if instead else "not_found",
        ),
    )


def _instead_of(path: str) -> str | None:
    """Return what to do in place of asking for *path*; None where nothing is known of it."""
    paths = (path, path.removeprefix(V1))
    return next((says for start, says in _ELSEWHERE.items() if any(each.startswith(start) for each in paths)), None)


async def _on_provider_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProviderError)
    return _error(request, error)


async def _on_bug(request: Request, error: Exception) -> Response:
    return _error(request, internal_error())


def _error(request: Request, error: ProviderError, more: Mapping[str, str] | None = None) -> Response:
    exchange = request.scope[OUTER]
    status, headers, body = wire_of_request(exchange).encode_error(error, exchange.request_id)
    return Response(body, status, headers={**headers, **(more or {})}, media_type="application/json")


def routes_elsewhere(hot: Iterable[str]) -> list[Route]:
    """Return the routes that `RequestRouter._enter` serves, for other methods than those that it takes: the
    *hot* paths, streams and kept responses."""
    return [
        *(Route(path, _elsewhere, methods=["POST"], include_in_schema=path in SERVED or path in COUNTED) for path in hot),
        Route(STREAM_ROUTE, _elsewhere, methods=["GET", "DELETE"]),
        *_kept_routes(RESPONSES_PATH, described=True),
        *_kept_routes(RESPONSES_PATH.removeprefix(V1), described=False),
    ]


def _kept_routes(root: str, *, described: bool) -> list[Route]:
    """*described*: whether the API's description has them."""
    paths = {"{id}": ["GET", "DELETE"], "{id}/cancel": ["POST"], "{id}/input_items": ["GET"]}
    return [Route(root + path, _elsewhere, methods=methods, include_in_schema=described) for path, methods in paths.items()]
