"""The only list of wires. Routes, the kinds of upstreams and the API's description are made from it."""

from __future__ import annotations

from typing import Final

from .autonomousai import AUTONOMOUSAI
from .base import Wire
from .openai_chat.wire import OPENAI_CHAT

__all__ = ["AUTONOMOUSAI", "OPENAI_CHAT", "SERVED", "WIRES", "key_headers", "models_paths"]

_WIRES: Final[tuple[Wire, ...]] = (
    OPENAI_CHAT,
    AUTONOMOUSAI,
)

#: By name.
WIRES: Final[dict[str, Wire]] = {wire.name: wire for wire in _WIRES}

#: By the path that a server speaks it at.
SERVED: Final[dict[str, Wire]] = {path: wire for wire in _WIRES for path in wire.paths}


def key_headers() -> list[str]:
    """Return the headers that may carry an API key beside ``authorization``."""
    return [wire.key_header for wire in WIRES.values() if wire.key_header]


def models_paths() -> dict[str, Wire]:
    """Return the wires whose clients list the models in a shape of their own, by the path where they do."""
    return {wire.models_path: wire for wire in WIRES.values() if wire.models_path}
