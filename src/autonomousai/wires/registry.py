"""The only list of wires. Routes, the kinds of upstreams and the API's description are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .anthropic_messages.wire import ANTHROPIC_MESSAGES
from .autonomousai import AUTONOMOUSAI
from .base import Wire
from .google_gemini.embeddings import GOOGLE_GEMINI_EMBED
from .google_gemini.wire import GOOGLE_GEMINI
from .ollama.embeddings import OLLAMA_EMBED
from .ollama.wire import OLLAMA
from .openai_chat.wire import OPENAI_CHAT
from .openai_completions.wire import OPENAI_COMPLETIONS
from .openai_documents.embeddings import OPENAI_EMBEDDINGS
from .openai_documents.rerank import OPENAI_RERANK
from .openai_responses.wire import OPENAI_RESPONSES

__all__ = [
    "ANTHROPIC_MESSAGES",
    "AUTONOMOUSAI",
    "COUNTED",
    "GOOGLE_GEMINI",
    "OLLAMA",
    "OPENAI_CHAT",
    "OPENAI_COMPLETIONS",
    "OPENAI_RESPONSES",
    "SERVED",
    "WIRES",
    "key_headers",
    "key_queries",
    "models_paths",
    "models_wire",
    "resumed_wires",
    "streamed_wires",
    "wire_of",
]

_WIRES: Final[tuple[Wire, ...]] = (
    OPENAI_CHAT,
    AUTONOMOUSAI,
    ANTHROPIC_MESSAGES,
    OPENAI_COMPLETIONS,
    OPENAI_RESPONSES,
    OLLAMA,
    GOOGLE_GEMINI,
    OPENAI_EMBEDDINGS,
    OPENAI_RERANK,
    OLLAMA_EMBED,
    GOOGLE_GEMINI_EMBED,
)

#: By name.
WIRES: Final[dict[str, Wire]] = {wire.name: wire for wire in _WIRES}

#: By the path that a server speaks it at.
SERVED: Final[dict[str, Wire]] = {path: wire for wire in _WIRES for path in wire.paths}

#: By the path that a server counts tokens at.
COUNTED: Final[dict[str, Wire]] = {wire.count_path: wire for wire in _WIRES if wire.count_path}


def wire_of(path: str) -> Wire:
    """Return the wire that errors at *path* are written in: the one that is spoken there or above it, with or without ``/v1``;
    OpenAI's elsewhere."""
    further = ((path, wire) for wire in WIRES.values() for path in wire.further_paths)
    for known, wire in (*SERVED.items(), *models_paths().items(), *further):
        for root in (known, known.removeprefix("/v1")):
            if path == root or path.startswith(root + "/"):
                return wire
    return OPENAI_CHAT


def streamed_wires() -> dict[str, Wire]:
    """Return the wires whose answers can be streamed, by name."""
    return {name: wire for name, wire in WIRES.items() if wire.streams}


def resumed_wires() -> dict[str, Wire]:
    """Return the wires whose streams can be resumed, by name."""
    return {name: wire for name, wire in streamed_wires().items() if wire.has_events}


def key_headers() -> list[str]:
    """Return the headers that may carry an API key beside ``authorization``."""
    return list(dict.fromkeys(wire.key_header for wire in WIRES.values() if wire.key_header))


def key_queries() -> list[str]:
    """Return the members of a query that may carry an API key, where no header does."""
    return list(dict.fromkeys(wire.key_query for wire in WIRES.values() if wire.key_query))


def models_wire(path: str, head: Mapping[bytes, bytes]) -> Wire | None:
    """Return the wire in whose shape a request for the list of models, or for one of it, is answered; None for OpenAI's.
    *head*: the request's headers, by their names in lower case."""
    bare = path.removeprefix("/v1")
    if bare == "/models" or bare.startswith("/models/"):
        for wire in WIRES.values():
            if wire.models_header is not None and wire.models_header.encode() in head:
                return wire
    return None


def models_paths() -> dict[str, Wire]:
    """Return the wires whose clients list the models in a shape of their own, by the path where they do."""
    return {wire.models_path: wire for wire in WIRES.values() if wire.models_path}
