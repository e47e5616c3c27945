"""Reads from the head of a GGUF file what its tokenizer is like. Knows the format; no engine, and nothing of ours."""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

MAGIC: Final = b"GGUF"

_TOKENS: Final = "tokenizer.ggml.tokens"
_TYPES: Final = "tokenizer.ggml.token_type"

#: The format's numbers for types of values, and for types of tokens.
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
_UNKNOWN_TOKEN, _CONTROL_TOKEN, _USER_DEFINED_TOKEN = 2, 3, 4

#: What ends a turn is sometimes declared as an ordinary added token, and treated as a control token all the same.
_LOOKS_LIKE_CONTROL: Final = re.compile(r"<[|｜].*[|｜]>")


class Tokenizer(NamedTuple):
    """``control``: the texts that become a control token wherever they stand, in the vocabulary's order. ``longest``: the bytes
    of the longest token, so that a text of n bytes is at least n / longest tokens."""

    control: list[str]
    longest: int


def read_tokenizer(path: Path) -> Tokenizer:
    """Return what the tokenizer of the model in *path* is like.

    Raises `ValueError` for a file whose head cannot be read, `OSError` for one that cannot be opened.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            fields = _Reader(data).fields(until=(_TOKENS, _TYPES))
        except (struct.error, KeyError) as error:
            raise ValueError(f"{path} is not a GGUF file that can be read ({error})") from None
    ends = {value for key, value in fields.items() if key.endswith("_token_id")}
    texts = fields.get(_TOKENS, ())
    tokens = zip(texts, fields.get(_TYPES, ()), strict=False)
    control = [text for index, (text, kind) in enumerate(tokens) if index in ends or _is_control(text, kind)]
    return Tokenizer(control, max((len(text.encode()) for text in texts), default=0))


def _is_control(text: str, kind: int) -> bool:
    if kind == _USER_DEFINED_TOKEN:
        return bool(_LOOKS_LIKE_CONTROL.fullmatch(text))
    return kind in (_UNKNOWN_TOKEN, _CONTROL_TOKEN)


class _Reader:
    """A place in the file's bytes. Numbers are little-endian; a string is its length and its UTF-8."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def fields(self, until: tuple[str, ...]) -> dict[str, Any]:
        """The metadata: up to the last of the keys *until*, since what follows these may be long."""
        if self.bytes(len(MAGIC)) != MAGIC:
            raise ValueError("not a GGUF file")
        self.number("I")
        self.number("Q")
        fields: dict[str, Any] = {}
        for _ in range(self.number("Q")):
            key = self.string()
            fields[key] = self.value(self.number("I"))
            if fields.keys() >= set(until):
                break
        return fields

    def bytes(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, format: str) -> Any:
        (value,) = struct.unpack_from(f"<{format}", self.data, self.at)
        self.at += struct.calcsize(f"<{format}")
        return value

    def string(self) -> str:
        return self.bytes(self.number("Q")).decode(errors="replace")

    def value(self, type: int) -> Any:
        if type == _STRING:
            return self.string()
        if type != _ARRAY:
            return self.number(_SCALARS[type])
        inner, count = self.number("I"), self.number("Q")
        if inner in (_STRING, _ARRAY):
            return [self.value(inner) for _ in range(count)]
        numbers = f"<{count}{_SCALARS[inner]}"
        values = struct.unpack_from(numbers, self.data, self.at)
        self.at += struct.calcsize(numbers)
        return values
