"""What must be here before a server can be started with a config."""

from __future__ import annotations

from ..config import Config
from ..engine.weights import present
from .chat import fetch, require_engine
from .terminal import Terminal


def fetch_missing(config: Config, terminal: Terminal) -> None:
    """Fetch the weights of the engines that *config* names, where they are missing."""
    upstreams = config.upstreams.values()
    if any(upstream.runs_engine for upstream in upstreams):
        require_engine()
    for weights in dict.fromkeys(name for upstream in upstreams for name in upstream.weights_needed):
        if not present(weights):
            fetch(weights, terminal)
