"""Embeddings: vectors of numbers, as lists, and as base64 of little-endian floats of 32 bits (OpenAI API reference, "Create
embeddings", ``encoding_format``). Does no I/O.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from .errors import StreamError
from .events import Extra, FinishReason, Usage

#: A text, several, or tokens in place of text.
EmbeddingInput: TypeAlias = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]

_FLOAT_BYTES: Final = 4

_decode_vector: Final = msgspec.json.Decoder(list[float], strict=False).decode  # some servers write numbers as text


class Embeddings(msgspec.Struct, frozen=True):
    """The vectors of one or several inputs, in their order; iterating gives them. ``model``: who made them. ``usage``: the
    tokens of the inputs, where they were counted.

    Example::

        vectors = Embeddings([[0.5, 1.0]], "m")
        assert vectors.vectors[0] == list(vectors)[0] == [0.5, 1.0]
    """

    vectors: list[list[float]]
    model: str | None = None
    usage: Usage | None = None

    def __iter__(self) -> Iterator[list[float]]:
        return iter(self.vectors)

    def __len__(self) -> int:
        return len(self.vectors)


def pack_vector(vector: Sequence[float]) -> str:
    """Return *vector* as base64.

    Example::

        assert pack_vector([1.0, -2.5]) == "AACAPwAAIMA="
        assert unpack_vector("AACAPwAAIMA=") == [1.0, -2.5]
    """
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


def unpack_vector(text: str) -> list[float]:
    """Return the vector that is *text* in base64. Raises `ValueError` where it is none."""
    data = b64decode(text, validate=True)
    if len(data) % _FLOAT_BYTES:
        raise ValueError(f"{len(data)} bytes are no floats of {_FLOAT_BYTES} bytes")
    floats = array("f")
    floats.frombytes(data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def as_vector(value: Any) -> list[float]:
    """Return the vector that *value* is: a list of numbers, base64, or the JSON text of either. Raises `StreamError` where it
    is none."""
    try:
        if isinstance(value, bytes | msgspec.Raw):
            value = bytes(value).strip()
            value = msgspec.json.decode(value, type=str) if value[:1] == b'"' else _decode_vector(_inner(value))
        vector = unpack_vector(value) if isinstance(value, str) else [float(number) for number in value]
        if not vector:
            raise ValueError("it is empty")
        return vector
    except (msgspec.DecodeError, binascii.Error, ValueError, TypeError) as error:
        raise StreamError(f"an embedding of the answer cannot be read: {error}", status=200, retryable=True) from None


def _inner(text: bytes) -> bytes:
    """A vector alone in a list is meant, where a server gives one for each of its tokens and has pooled them to one."""
    if text[:2] != b"[[" or text[-2:] != b"]]" or text.count(b"[") > 2:
        return text
    return text[1:-1]


def read_embeddings(events: Sequence[Any]) -> Embeddings:
    """Return the embeddings that an answer's *events* are. Raises `StreamError` where there are none."""
    finish = next((event for event in events if isinstance(event, FinishReason)), None)
    entries: list[Mapping[str, Any]] = next(
        (event.members["data"] for event in events if isinstance(event, Extra) and "data" in event.members), []
    )
    if not entries:
        raise StreamError("the answer holds no embeddings", status=200)
    vectors = [as_vector(entry["embedding"]) for entry in entries]
    return Embeddings(vectors) if finish is None else Embeddings(vectors, finish.model, finish.usage)
