"""The schemas of answers of the Gemini API."""

from __future__ import annotations

from typing import Any, Final

from ..shapes import Schema

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}

_CANDIDATE: Final[Schema] = {
    "type": "object",
    "properties": {
        "content": {
            "type": "object",
            "properties": {"role": {"const": "model"}, "parts": {"type": "array", "items": {"type": "object"}}},
            "required": ["role", "parts"],
        },
        "finishReason": {"type": "string"},
        "finishMessage": {"type": "string"},
        "index": _COUNT,
        "logprobsResult": {"type": "object"},
        "citationMetadata": {"type": "object"},
    },
    "required": ["content", "index"],
}

#: By name.
ANSWER_SCHEMAS: Final[dict[str, Any]] = {
    "GeminiAnswer": {
        "type": "object",
        "description": "A complete answer, or a piece of one, of which the last alone has a `finishReason`.",
        "properties": {
            "candidates": {"type": "array", "items": _CANDIDATE},
            "usageMetadata": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(("promptTokenCount", "candidatesTokenCount", "totalTokenCount"), _COUNT),
                    **dict.fromkeys(("thoughtsTokenCount", "cachedContentTokenCount"), _COUNT),
                },
            },
            "modelVersion": {"type": "string"},
            "responseId": {"type": "string"},
            "x_autonomousai": {"type": "object"},
        },
        "required": ["candidates", "modelVersion", "responseId"],
    },
    "GeminiAnswers": {
        "type": "array",
        "description": "The pieces of a streamed answer, where events were not asked for; one that broke is not closed.",
        "items": {"$ref": "#/components/schemas/GeminiAnswer"},
    },
    "GeminiTokenCount": {"type": "object", "properties": {"totalTokens": _COUNT}, "required": ["totalTokens"]},
    "GeminiError": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "status": {"type": "string"},
                    "details": {"type": "array", "items": {"type": "object"}},
                },
                "required": ["code", "message", "status"],
            }
        },
        "required": ["error"],
    },
}
