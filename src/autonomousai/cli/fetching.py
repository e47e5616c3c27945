"""What must be here before the engine can answer: models of the table, weights that are fetched, the engine itself."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ..engine.library import is_named
from ..engine.weights import present, pull, weights_path
from ..errors import ConfigError, ModelNotFoundError
from ..models import DEFAULT_MODEL, MODEL_ALIASES, MODELS, WEIGHTS
from .terminal import Terminal

if TYPE_CHECKING:
    from ..config import Config


def weights_for(model: str) -> str:
    """The weights that answer as *model* on this machine: the best that are here; where none is, the smallest there are."""
    row = MODELS[model]
    return next((name for name in row.weights if present(name)), row.weights[-1])


def find_model(model: str) -> str:
    """The model of the table that *model* names, or an installed one. Raises `ModelNotFoundError`."""
    name = MODEL_ALIASES.get(model, model) or DEFAULT_MODEL
    if name not in MODELS and name not in WEIGHTS and not is_named(name):
        raise ModelNotFoundError(model, MODELS)
    return name


def require_engine() -> None:
    """Raises `ConfigError` where the embedded engine is not installed: better before a hundred megabytes than after."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(
            "the embedded engine is not installed; run: pip install 'autonomousai[local]', or name a server with --base-url"
        )


def fetch(weights: str, terminal: Terminal) -> str:
    """Fetch *weights* with a sign of progress, where they are missing. Returns the path of the file."""
    if present(weights):
        return str(weights_path(weights))
    row = WEIGHTS[weights]
    terminal.note(f"{row.name}: {row.description} (licence: {row.licence})")
    if row.notice:
        terminal.note(row.notice)
    with terminal.progress(f"fetching {row.name}", row.size) as progress:
        path = pull(weights, progress=progress)
    terminal.note(f"fetched {row.name}")
    return str(path)


def fetch_missing(config: Config, terminal: Terminal) -> None:
    """Fetch the weights of the engines that *config* names, where they are missing."""
    upstreams = config.upstreams.values()
    if any(upstream.runs_engine for upstream in upstreams):
        require_engine()
    for weights in dict.fromkeys(name for upstream in upstreams for name in upstream.weights_needed):
        if not present(weights):
            fetch(weights, terminal)
