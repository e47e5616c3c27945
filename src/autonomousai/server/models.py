"""``GET /v1/models``: the list of models (OpenAI API reference, "Models"), and the lists of wires that have their own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ModelNotFoundError
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..wires.base import ListedModel, Wire
from ..wires.registry import models_paths


def model_routes(provider: AsyncGeneratorProvider, prefix: str) -> list[Route]:
    """``GET /models`` and ``GET /models/{id}`` under *prefix*: the provider's models, their aliases, and whether they see
    images."""
    created = int(time.time())

    def entry(name: str, aliases: list[str]) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "autonomousai",
            "aliases": aliases,
            "vision": provider.capabilities_of(name).vision,
        }

    async def listing(request: Request) -> Response:
        return _json({"object": "list", "data": [entry(name, aliases) for name, aliases in _models(provider).items()]})

    async def one(request: Request) -> Response:
        wanted = request.path_params["id"]
        models = _models(provider)
        for name, aliases in models.items():
            if wanted == name or wanted in aliases:
                return _json(entry(name, aliases))
        raise ModelNotFoundError(wanted, models)

    path = prefix + "/models"
    return [
        Route(path, listing, methods=["GET"], include_in_schema=bool(prefix)),
        Route(path + "/{id:path}", one, methods=["GET"], include_in_schema=bool(prefix)),
    ]


def wire_routes(provider: AsyncGeneratorProvider) -> list[Route]:
    """Return the lists of models of the wires that have their own."""
    return [Route(path, _listing_of(wire, provider), methods=["GET"]) for path, wire in models_paths().items()]


def _listing_of(wire: Wire, provider: AsyncGeneratorProvider) -> Callable[[Request], Awaitable[Response]]:
    async def listing(request: Request) -> Response:
        models = [
            ListedModel(name, aliases, provider.capabilities_of(name).vision) for name, aliases in _models(provider).items()
        ]
        return Response(wire.encode_models(models), media_type="application/json")

    return listing


def _models(provider: AsyncGeneratorProvider) -> Mapping[str, list[str]]:
    if not isinstance(provider, ProviderModelMixin):
        return {}
    models: dict[str, list[str]] = {name: [] for name in provider.get_models()}
    for alias, name in provider.model_aliases.items():
        if name in models:
            models[name].append(alias)
    return models


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
