"""What Ollama's clients ask for beside answers: the version of its API, and what a model is (Ollama API reference, "Version",
"Show model details")."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ModelNotFoundError
from ..http.server.asgi import OUTER
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..wires.fields import missing
from ..wires.ollama.models import VERSION, show_model
from ..wires.ollama.request import SHOW_FIELDS
from .admission import Admission
from .documents import read_document
from .route_names import OLLAMA_SHOW_PATH, OLLAMA_VERSION_PATH

#: Bytes of a body: the name of a model.
_MAX_BODY: Final = 65_536


def ollama_routes(
    provider: AsyncGeneratorProvider, admission: Admission, look_again: Callable[[], Awaitable[None]]
) -> list[Route]:
    """``GET /api/version``, and ``POST /api/show`` of a model that the caller may use. *look_again*: has the provider follow
    what is installed."""
    created = int(time.time())

    async def version(request: Request) -> Response:
        return _json({"version": VERSION})

    async def show(request: Request) -> Response:
        name = _name_in(await read_document(request, _MAX_BODY))
        await look_again()
        caller = request.scope[OUTER].caller
        models = provider.get_models() if isinstance(provider, ProviderModelMixin) else []
        allowed = [model for model in models if admission.may_use(caller, model)]
        model = provider.get_model(name) if isinstance(provider, ProviderModelMixin) else name
        if model not in allowed:
            raise ModelNotFoundError(name, allowed)
        return _json(show_model(provider.capabilities_of(model), provider.details_of(model), created))

    return [Route(OLLAMA_VERSION_PATH, version, methods=["GET"]), Route(OLLAMA_SHOW_PATH, show, methods=["POST"])]


def _name_in(document: dict[str, Any]) -> str:
    """Return the model that a request names, by the newer or the older name of the member. Raises `StatusError` 400."""
    name: str | None = SHOW_FIELDS.take({"model": document.get("model") or document.get("name")}, "model")
    if name is None:
        raise missing("model", "send the name of a model", document)
    return name


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
