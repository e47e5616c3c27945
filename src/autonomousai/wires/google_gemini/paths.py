"""Where the Gemini API is served (Gemini API reference, "models")."""

from __future__ import annotations

from typing import Final

from ..base import MODEL_IN_PATH

#: Where the models are listed, and below it one is.
MODELS: Final = "/v1beta/models"

_MODEL: Final = f"{MODELS}/{MODEL_IN_PATH}"

GENERATE: Final = f"{_MODEL}:generateContent"
STREAM: Final = f"{_MODEL}:streamGenerateContent"
COUNT: Final = f"{_MODEL}:countTokens"
EMBED: Final = f"{_MODEL}:embedContent"
EMBED_SEVERAL: Final = f"{_MODEL}:batchEmbedContents"
