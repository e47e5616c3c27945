"""The AutonomousAI wire, served: its endpoints, plain ASGI. The path says which model is meant where the body does not."""

from __future__ import annotations

from functools import partial

from ..models import DEFAULT_MODEL, MODELS
from ..wires.autonomousai import read_request
from .endpoint import Endpoint, EndpointContext


def chat_routes(service: EndpointContext) -> dict[str, Endpoint]:
    """The hot routes, by their paths. Two models share one: there the default model is meant, unless the body names another."""
    models: dict[str, str] = {}
    for name, row in MODELS.items():
        if models.get(row.path) != DEFAULT_MODEL:
            models[row.path] = name
    return {
        path: Endpoint(service, partial(read_request, path_model=model), finish_reason_at_top=True)
        for path, model in models.items()
    }
