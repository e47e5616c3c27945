"""What Ollama's clients ask for beside answers: the version of its API, what a model is, which are loaded, and that one be here
(Ollama API reference, "Version", "Show model details", "List running models", "Pull a model")."""

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
from ..wires.ollama.models import VERSION, loaded_models, show_model
from ..wires.ollama.request import PULL_FIELDS, SHOW_FIELDS
from .admission import Admission
from .documents import read_document
from .models import listed_models
from .route_names import OLLAMA_PS_PATH, OLLAMA_PULL_PATH, OLLAMA_SHOW_PATH, OLLAMA_VERSION_PATH

#: Bytes of a body: the name of a model.
_MAX_BODY: Final = 65_536

#: What is said of a model that is here, in the words by which clients know the end of a download.
_PULLED: Final = b'{"status":"pulling manifest"}\n{"status":"success"}\n'


def ollama_routes(
    provider: AsyncGeneratorProvider, admission: Admission, look_again: Callable[[], Awaitable[None]]
) -> list[Route]:
    """``GET /api/version`` and ``GET /api/ps``, and ``POST /api/show`` and ``POST /api/pull`` of a model that the caller may
    use. *look_again*: has the provider follow what is installed."""
    created = int(time.time())

    async def version(request: Request) -> Response:
        return _json({"version": VERSION})

    async def loaded(request: Request) -> Response:
        await look_again()
        return _json(loaded_models(listed_models(provider, request, admission, created)))

    async def show(request: Request) -> Response:
        model = await named(request, await read_document(request, _MAX_BODY))
        return _json(show_model(model, provider.capabilities_of(model), provider.details_of(model), created))

    async def pull(request: Request) -> Response:
        document = await read_document(request, _MAX_BODY)
        streams = PULL_FIELDS.take(dict(document), "stream") is not False
        await named(request, document)
        return Response(_PULLED, media_type="application/x-ndjson") if streams else _json({"status": "success"})

    async def named(request: Request, document: dict[str, Any]) -> str:
        """Return the model that *document* names. Raises `ModelNotFoundError` for one that the caller may not use."""
        name = _name_in(document)
        await look_again()
        caller = request.scope[OUTER].caller
        models = provider.get_models() if isinstance(provider, ProviderModelMixin) else []
        allowed = [model for model in models if admission.may_use(caller, model)]
        model = provider.get_model(name) if isinstance(provider, ProviderModelMixin) else name
        if model not in allowed:
            raise ModelNotFoundError(name, allowed)
        return model

    return [
        Route(OLLAMA_VERSION_PATH, version, methods=["GET"]),
        Route(OLLAMA_PS_PATH, loaded, methods=["GET"]),
        Route(OLLAMA_SHOW_PATH, show, methods=["POST"]),
        Route(OLLAMA_PULL_PATH, pull, methods=["POST"]),
    ]


def _name_in(document: dict[str, Any]) -> str:
    """Return the model that a request names, by the newer or the older name of the member. Raises `StatusError` 400."""
    name: str | None = SHOW_FIELDS.take({"model": document.get("model") or document.get("name")}, "model")
    if name is None:
        raise missing("model", "send the name of a model", document)
    return name


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
