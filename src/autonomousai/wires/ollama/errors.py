"""Errors as Ollama's clients read them: an object with a text (Ollama API reference, "Errors")."""

from __future__ import annotations

import msgspec

from ..errors import headers_of, tell


def encode_ollama_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the extra headers and the body of the response that reports *error*."""
    status, told = tell(error)
    return status, headers_of(error, status), msgspec.json.encode({"error": told["message"]})


def error_line(error: BaseException) -> bytes:
    """Return the last line of a stream that broke."""
    return msgspec.json.encode({"error": tell(error)[1]["message"]}) + b"\n"
