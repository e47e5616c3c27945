"""Errors as Ollama's clients read them: an object with a text (Ollama API reference, "Errors")."""

from __future__ import annotations

import msgspec

from ...errors import ModelNotFoundError
from ..errors import headers_of, tell


def encode_ollama_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the extra headers and the body of the response that reports *error*."""
    status, _ = tell(error)
    return status, headers_of(error, status), msgspec.json.encode({"error": _text(error)})


def error_line(error: BaseException) -> bytes:
    """Return the last line of a stream that broke; a model that is not here is reported before one begins."""
    return msgspec.json.encode({"error": tell(error)[1]["message"]}) + b"\n"


def _text(error: BaseException) -> str:
    """Return what is wrong; of a model that is not here in the words by which clients know that."""
    if isinstance(error, ModelNotFoundError):
        known = ", ".join(error.known) or "none"
        return f"model {error.model[:200]!r} not found; the models here are: {known}; `autonomousai pull` gets others"
    return tell(error)[1]["message"] or ""
