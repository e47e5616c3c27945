"""The list of models as Anthropic's clients read it (Anthropic API reference, "List Models", "Get a Model")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..base import ListedModel
from ..shapes import Schema

_MODEL: Final[Schema] = {
    "type": "object",
    "description": "A model that can be called. `max_input_tokens`: null where it is not known.",
    "properties": {
        "type": {"const": "model"},
        "id": {"type": "string"},
        "display_name": {"type": "string"},
        "created_at": {"type": "string", "format": "date-time"},
        "lifecycle": {"const": "active"},
        "max_input_tokens": {"type": ["integer", "null"]},
    },
    "required": ["type", "id", "display_name", "created_at", "lifecycle", "max_input_tokens"],
}

#: By name.
MODEL_SCHEMAS: Final[dict[str, Schema]] = {
    "MessagesModel": _MODEL,
    "MessagesModelList": {
        "type": "object",
        "description": "All models, on one page.",
        "properties": {
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/MessagesModel"}},
            "has_more": {"const": False},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
        },
        "required": ["data", "has_more", "first_id", "last_id"],
    },
}


def model_info(model: ListedModel) -> dict[str, Any]:
    """Return *model* as an object of the list."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context,
    }


def list_of_models(models: Sequence[ListedModel]) -> dict[str, Any]:
    """Return the list of *models*."""
    data = [model_info(model) for model in models]
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
