"""What the description says of the paths of Ollama's clients beside answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...wires.ollama.request import PULL_FIELDS, SHOW_FIELDS
from ...wires.ollama.wire import OLLAMA
from ...wires.shapes import Schema
from ..route_names import OLLAMA_PS_PATH, OLLAMA_PULL_PATH, OLLAMA_SHOW_PATH, OLLAMA_VERSION_PATH
from .parts import get_operation, json_of, lines_of

_ERROR: Final = "OllamaError"


def ollama_paths(tag: str, guarded: Iterable[str]) -> dict[str, Schema]:
    """Return the version, and the details of a model. *guarded*: the statuses of who may not enter."""
    version = get_operation(
        f"The version of {OLLAMA.title} that is served", "ollamaVersion", tag, json_of("OllamaVersion"), guarded, _ERROR
    )
    loaded = get_operation(
        f"The models that are loaded, over {OLLAMA.title}", "ollamaLoaded", tag, json_of("OllamaLoaded"), guarded, _ERROR
    )
    failures = ("400", "404", "413", "503", *guarded)
    show = get_operation(f"What a model is, over {OLLAMA.title}", "ollamaShow", tag, json_of("OllamaModel"), failures, _ERROR)
    pulled = {**json_of("OllamaPulled"), **lines_of(["OllamaPulled"])}
    pull = get_operation(f"Whether a model is here, over {OLLAMA.title}", "ollamaPull", tag, pulled, failures, _ERROR)
    return {
        OLLAMA_VERSION_PATH: {"get": version},
        OLLAMA_PS_PATH: {"get": loaded},
        OLLAMA_SHOW_PATH: {"post": {**show, "requestBody": _body(SHOW_FIELDS.name)}},
        OLLAMA_PULL_PATH: {"post": {**pull, "requestBody": _body(PULL_FIELDS.name)}},
    }


def _body(schema: str) -> Schema:
    content = json_of(schema)["application/json"]
    return {"required": True, "content": {"application/json": {**content, "example": {"model": "llama"}}}}
