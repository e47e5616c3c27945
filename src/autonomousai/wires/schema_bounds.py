"""How large a JSON schema in a request may be, and how deep: whatever is made of it has to be made before the answer begins."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .messages import problem_of
from .shapes import check_type, refusal

MAX_SCHEMA: Final = 64 * 1024  # bytes of JSON


def check_schema(schema: Any, param: str) -> None:
    """Raise `StatusError` 400 unless *schema* is an object that is bounded in depth and size."""
    check_type(param, schema, dict)
    if problem := problem_of(schema):
        raise refusal(param, problem)
    if (size := len(msgspec.json.encode(schema))) > MAX_SCHEMA:
        raise refusal(param, f"is {size} bytes of JSON; at most {MAX_SCHEMA} are accepted")
