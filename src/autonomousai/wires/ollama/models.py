"""Lists and details of models as Ollama's clients read them (Ollama API reference, "List models", "Show model details")."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ...capabilities import Capabilities
from ..base import ListedModel
from ..raw import COMPLETIONS_WIRE, EMBEDDINGS_WIRE
from ..shapes import Schema

#: The version of the API that is spoken: clients look whether it is new enough for what they need.
VERSION: Final = "0.13.0"

_DETAILS: Final[Schema] = {
    "type": "object",
    "properties": {
        "parent_model": {"type": "string"},
        "format": {"type": "string"},
        "family": {"type": "string"},
        "families": {"type": "array", "items": {"type": "string"}},
        "parameter_size": {"type": "string"},
        "quantization_level": {"type": "string"},
    },
}

#: By name.
MODEL_SCHEMAS: Final[dict[str, Schema]] = {
    "OllamaModelList": {
        "type": "object",
        "description": "All models that can be called; what is not known of one is empty.",
        "properties": {
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "model": {"type": "string"},
                        "modified_at": {"type": "string", "format": "date-time"},
                        "size": {"type": "integer", "minimum": 0},
                        "digest": {"type": "string"},
                        "details": _DETAILS,
                    },
                    "required": ["name", "model", "modified_at", "size", "digest", "details"],
                },
            }
        },
        "required": ["models"],
    },
    "OllamaModel": {
        "type": "object",
        "description": "What is known of a model; what is not, is empty or absent.",
        "properties": {
            "modelfile": {"type": "string"},
            "parameters": {"type": "string"},
            "template": {"type": "string"},
            "license": {"type": "string"},
            "modified_at": {"type": "string", "format": "date-time"},
            "details": _DETAILS,
            "model_info": {"type": "object"},
            "capabilities": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["modified_at", "details", "model_info", "capabilities"],
    },
    "OllamaLoaded": {
        "type": "object",
        "description": "The models whose weights this server has.",
        "properties": {"models": {"type": "array", "items": {"type": "object"}}},
        "required": ["models"],
    },
    "OllamaPulled": {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]},
    "OllamaVersion": {"type": "object", "properties": {"version": {"type": "string"}}, "required": ["version"]},
}


def list_of_models(models: Sequence[ListedModel]) -> dict[str, Any]:
    """Return the list of *models*."""
    return {
        "models": [
            {**_entry(model), "modified_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
            for model in models
        ]
    }


#: Until when a model stays loaded that stays for as long as the server lives: Ollama has such a time for these too.
_FOR_EVER: Final = "2318-01-01T00:00:00Z"


def loaded_models(models: Sequence[ListedModel]) -> dict[str, Any]:
    """Return the answer of ``/api/ps``: those of *models* whose weights this server has. They are in its own memory, and none
    in a graphics card's that is known."""
    return {
        "models": [
            {
                **_entry(model),
                "expires_at": _FOR_EVER,
                "size_vram": 0,
                **({} if model.context is None else {"context_length": model.context}),
            }
            for model in models
            if model.details
        ]
    }


def _entry(model: ListedModel) -> dict[str, Any]:
    return {
        "name": _tagged(model.id),
        "model": _tagged(model.id),
        "size": model.details.get("size", 0),
        # Of the name: what is called by it is not known to the byte.
        "digest": hashlib.sha256(model.id.encode()).hexdigest(),
        "details": _details(model.details),
    }


def show_model(name: str, able: Capabilities, details: Mapping[str, Any], created: int) -> dict[str, Any]:
    """Return the answer of ``/api/show``: what is known of a model that is *able* to do that. Clients look for the context
    under the name of the architecture, which is there for that. ``template``
    is the server's own business, and empty."""
    family = details.get("architecture", "unknown")
    info: dict[str, Any] = {"general.architecture": family, "general.basename": name}
    if (count := details.get("n_params")) is not None:
        info["general.parameter_count"] = count
    if able.context is not None:
        info[f"{family}.context_length"] = able.context
    return {
        "modelfile": "",
        "parameters": "" if able.context is None else f"num_ctx                        {able.context}",
        "template": "",
        **({"license": details["license"]} if "license" in details else {}),
        "modified_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "details": _details(details),
        "model_info": info,
        "capabilities": _capabilities(able),
    }


def _tagged(name: str) -> str:
    """Return a name as Ollama lists it, with a tag: there are clients that add the usual one to each name that has none."""
    return name if ":" in name else f"{name}:latest"


def _capabilities(able: Capabilities) -> list[str]:
    """Return what a model can do, in Ollama's words. Where it is not known whether it calls tools, it is said to: clients offer
    none otherwise."""
    embeds = able.embeddings or EMBEDDINGS_WIRE in able.wires
    if able.embeddings and COMPLETIONS_WIRE not in able.wires:  # and nothing else: clients offer it no chats then
        return ["embedding"]
    told = ["completion"]
    told += ["vision"] if able.vision else []
    told += ["tools"] if able.tools is not False else []
    told += ["thinking"] if able.reasoning else []
    return told + (["embedding"] if embeds else [])


def _details(details: Mapping[str, Any]) -> dict[str, Any]:
    family = details.get("architecture", "")
    count = details.get("n_params")
    return {
        "parent_model": "",
        "format": "gguf" if family else "",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": "" if count is None else _size(count),
        "quantization_level": details.get("quantization", ""),
    }


def _size(count: int) -> str:
    """Return a number of parameters as Ollama writes it: ``134.5M``, ``7.6B``."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.2f}M"
