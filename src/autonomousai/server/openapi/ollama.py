"""What the description says of the paths of Ollama's clients beside answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...wires.ollama.request import SHOW_FIELDS
from ...wires.ollama.wire import OLLAMA
from ...wires.shapes import Schema
from ..route_names import OLLAMA_SHOW_PATH, OLLAMA_VERSION_PATH
from .parts import get_operation, json_of

_ERROR: Final = "OllamaError"


def ollama_paths(tag: str, guarded: Iterable[str]) -> dict[str, Schema]:
    """Return the version, and the details of a model. *guarded*: the statuses of who may not enter."""
    version = get_operation(
        f"The version of {OLLAMA.title} that is served", "ollamaVersion", tag, json_of("OllamaVersion"), guarded, _ERROR
    )
    show = get_operation(
        f"What a model is, over {OLLAMA.title}",
        "ollamaShow",
        tag,
        json_of("OllamaModel"),
        ("400", "404", "413", "503", *guarded),
        _ERROR,
    )
    content = json_of(SHOW_FIELDS.name)["application/json"]
    body = {"required": True, "content": {"application/json": {**content, "example": {"model": "llama"}}}}
    return {OLLAMA_VERSION_PATH: {"get": version}, OLLAMA_SHOW_PATH: {"post": {**show, "requestBody": body}}}
