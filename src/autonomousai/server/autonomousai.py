"""The AutonomousAI wire, served: its endpoints, plain ASGI. The path says which model is meant where the body does not."""

from __future__ import annotations

from functools import partial

from ..models import DEFAULT_MODEL, MODELS
from ..wire.autonomousai import read_request
from .answer import ChatRoute, Service


def chat_routes(service: Service) -> dict[str, ChatRoute]:
    """The hot routes, by their paths. Two models share one: there the default model is meant, unless the body names another."""
    models: dict[str, str] = {}
    for name, row in MODELS.items():
        if models.get(row.path) != DEFAULT_MODEL:
            models[row.path] = name
    return {
        path: ChatRoute(service, partial(read_request, path_model=model), both_places=True) for path, model in models.items()
    }
