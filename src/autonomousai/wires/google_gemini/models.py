"""Lists of models as Google's clients read them (Gemini API reference, "Models")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..base import ListedModel
from ..shapes import Schema

#: What may be asked of a model, and of one that may make embeddings besides.
_ANSWERS: Final = ["generateContent", "streamGenerateContent", "countTokens"]
_EMBEDDINGS: Final = ["embedContent", "batchEmbedContents"]

_TOKENS: Final[Schema] = {"type": "integer", "minimum": 0}

#: By name.
MODEL_SCHEMAS: Final[dict[str, Schema]] = {
    "GeminiModel": {
        "type": "object",
        "description": "A model; `inputTokenLimit` counts prompt and answer together, and is absent where it is not known.",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "displayName": {"type": "string"},
            "description": {"type": "string"},
            "inputTokenLimit": _TOKENS,
            "outputTokenLimit": _TOKENS,
            "supportedGenerationMethods": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "version", "displayName", "supportedGenerationMethods"],
    },
    "GeminiModelList": {
        "type": "object",
        "description": "All models, on one page.",
        "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/GeminiModel"}}},
        "required": ["models"],
    },
}


def model_info(model: ListedModel) -> dict[str, Any]:
    """Return *model* as an object of the list."""
    limits = {} if model.context is None else {"inputTokenLimit": model.context, "outputTokenLimit": model.context}
    return {
        "name": f"models/{model.id}",
        "version": "",
        "displayName": model.id,
        "description": f"also known as {', '.join(model.aliases)}" if model.aliases else "",
        **limits,
        "supportedGenerationMethods": [*_ANSWERS, *(_EMBEDDINGS if model.embeds else ())],
    }


def list_of_models(models: Sequence[ListedModel]) -> dict[str, Any]:
    """Return the list of *models*."""
    return {"models": [model_info(model) for model in models]}
