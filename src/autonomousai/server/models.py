"""``GET /v1/models``: the list of models (OpenAI API reference, "Models"), and the lists of wires that have their own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ModelNotFoundError
from ..http.server.asgi import OUTER
from ..models import MODEL_ALIASES, other_spellings, shown_weights
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..wires.base import ListedModel, Wire
from ..wires.raw import COMPLETIONS_WIRE, EMBEDDINGS_WIRE
from ..wires.registry import models_paths, models_wire
from .admission import Admission

#: What a model can do, by names of `Capabilities`; what is not known is left out.
_ABLE: Final = ("vision", "tools", "schema", "reasoning", "prefill", "embeddings")


def model_routes(
    provider: AsyncGeneratorProvider, prefix: str, admission: Admission, look_again: Callable[[], Awaitable[None]]
) -> list[Route]:
    """``GET /models`` and ``GET /models/{id}`` under *prefix*: the provider's models, their aliases, and what they can do. A
    caller of another wire, by its header, gets them in that wire's shape; one with a key's name those that it may use.
    *look_again*: has the provider follow what is installed."""
    created = int(time.time())

    async def listing(request: Request) -> Response:
        await look_again()
        models = _models(provider, request, admission)
        if (wire := _wire_of(request)) is not None:
            return Response(wire.encode_models(_all_listed(provider, models, created)), media_type="application/json")
        data = [_entry(provider, name, aliases, created) for name, aliases in models.items()]
        named = [_entry(provider, name, [], created) | {"id": alias, "root": name} for alias, name in _named(models)]
        return _json({"object": "list", "data": data + named})

    async def one(request: Request) -> Response:
        await look_again()
        name, aliases = _wanted(_models(provider, request, admission), request)
        if (wire := _wire_of(request)) is not None:
            return Response(wire.encode_model(_listed(provider, name, aliases, created)), media_type="application/json")
        return _json(_entry(provider, name, aliases, created))

    path = prefix + "/models"
    return [
        Route(path, listing, methods=["GET"], include_in_schema=bool(prefix)),
        Route(path + "/{id:path}", one, methods=["GET"], include_in_schema=bool(prefix)),
    ]


def wire_routes(
    provider: AsyncGeneratorProvider, admission: Admission, look_again: Callable[[], Awaitable[None]]
) -> list[Route]:
    """Return the lists of models of the wires that have their own, and each model below them; see `model_routes`."""
    created = int(time.time())
    routes = []
    for path, wire in models_paths().items():
        routes.append(Route(path, _listing_of(wire, provider, admission, look_again, created), methods=["GET"]))
        if wire.model_schema:
            one = _model_of(wire, provider, admission, look_again, created)
            routes.append(Route(path + "/{id:path}", one, methods=["GET"]))
    return routes


def _wire_of(request: Request) -> Wire | None:
    exchange = request.scope[OUTER]
    return models_wire(exchange.path, exchange.head)


def _entry(provider: AsyncGeneratorProvider, name: str, aliases: list[str], created: int) -> dict[str, Any]:
    """Return a model in OpenAI's shape. The context has the names under which clients look for it: OpenRouter's and vLLM's."""
    able = provider.capabilities_of(name)
    told = {what: value for what in _ABLE if (value := getattr(able, what)) is not None}
    details = provider.details_of(name)
    context = {} if able.context is None else {"context_length": able.context, "max_model_len": able.context}
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "autonomousai",
        "aliases": aliases,
        "vision": able.vision,
        **context,
        **_stand_in(name, able.weights),
        "capabilities": {**told, "completions": COMPLETIONS_WIRE in able.wires},
        **({"meta": details} if details else {}),
    }


def _stand_in(name: str, weights: str | None) -> dict[str, str]:
    """Return what answers in the place of the model *name*, if other weights do."""
    if weights is None:
        return {}
    if weights == name:
        return {"description": shown_weights(weights)}
    return {"answered_by": weights, "description": f"{name} · {shown_weights(weights)}"}


def _listed(provider: AsyncGeneratorProvider, name: str, aliases: list[str], created: int = 0) -> ListedModel:
    able = provider.capabilities_of(name)
    embeds = able.embeddings or EMBEDDINGS_WIRE in able.wires
    return ListedModel(name, aliases, able.vision, able.context, created, provider.details_of(name), embeds)


def _named(models: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Return the aliases that the operator wrote, and their models: programs offer what is listed. Those of the five models are
    known without being listed."""
    return [(alias, name) for name, aliases in models.items() for alias in aliases if alias not in MODEL_ALIASES]


def _all_listed(provider: AsyncGeneratorProvider, models: Mapping[str, list[str]], created: int) -> list[ListedModel]:
    listed = [_listed(provider, name, aliases, created) for name, aliases in models.items()]
    named = [msgspec.structs.replace(_listed(provider, name, [], created), id=alias) for alias, name in _named(models)]
    return listed + named


def _listing_of(
    wire: Wire,
    provider: AsyncGeneratorProvider,
    admission: Admission,
    look_again: Callable[[], Awaitable[None]],
    created: int,
) -> Callable[[Request], Awaitable[Response]]:
    async def listing(request: Request) -> Response:
        await look_again()
        return Response(wire.encode_models(listed_models(provider, request, admission, created)), media_type="application/json")

    return listing


def listed_models(provider: AsyncGeneratorProvider, request: Request, admission: Admission, created: int) -> list[ListedModel]:
    """Return the models that the caller of *request* may use."""
    return _all_listed(provider, _models(provider, request, admission), created)


def _model_of(
    wire: Wire,
    provider: AsyncGeneratorProvider,
    admission: Admission,
    look_again: Callable[[], Awaitable[None]],
    created: int,
) -> Callable[[Request], Awaitable[Response]]:
    async def one(request: Request) -> Response:
        await look_again()
        name, aliases = _wanted(_models(provider, request, admission), request)
        return Response(wire.encode_model(_listed(provider, name, aliases, created)), media_type="application/json")

    return one


def _wanted(models: Mapping[str, list[str]], request: Request) -> tuple[str, list[str]]:
    """Return the model that the path names, and its aliases. Raises `ModelNotFoundError`."""
    wanted = request.path_params["id"]
    for spelled in (wanted, *other_spellings(wanted)):
        for name, aliases in models.items():
            if spelled == name or spelled in aliases:
                return name, aliases
    raise ModelNotFoundError(wanted, models)


def _models(provider: AsyncGeneratorProvider, request: Request, admission: Admission) -> Mapping[str, list[str]]:
    if not isinstance(provider, ProviderModelMixin):
        return {}
    caller = request.scope[OUTER].caller
    models: dict[str, list[str]] = {name: [] for name in provider.get_models() if admission.may_use(caller, name)}
    for alias, name in provider.model_aliases.items():
        if name in models:
            models[name].append(alias)
    return models


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
