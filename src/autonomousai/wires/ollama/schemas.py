"""The schemas of answers of Ollama's API."""

from __future__ import annotations

from typing import Any, Final

from ..shapes import Schema

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}


def _answer(description: str, said: Schema, further: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {
            "model": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
            **said,
            "done": {"type": "boolean"},
            "done_reason": {"type": "string"},
            "logprobs": {"type": "array"},
            **dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), _COUNT),
            "prompt_eval_count": _COUNT,
            "eval_count": _COUNT,
            **(further or {}),
            "x_autonomousai": {"type": "object"},
        },
        "required": ["model", "created_at", *said, "done"],
    }


_MESSAGE: Final[Schema] = {
    "type": "object",
    "properties": {
        "role": {"const": "assistant"},
        "content": {"type": "string"},
        "thinking": {"type": "string"},
        "tool_calls": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["role", "content"],
}

_SAYS: Final = "A complete answer, or a piece of one, of which the last alone is `done`; then it says why it ended."

#: By name.
ANSWER_SCHEMAS: Final[dict[str, Any]] = {
    "OllamaAnswer": _answer(_SAYS, {"message": _MESSAGE}),
    "OllamaGenerated": _answer(_SAYS, {"response": {"type": "string"}}, {"context": {"type": "array", "items": _COUNT}}),
    "OllamaError": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
}
