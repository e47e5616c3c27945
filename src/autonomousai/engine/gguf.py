"""Reads the head of a GGUF file: what its tokenizer is like, and what it says of itself. Knows the format (GGUF, version 3, of
the ggml project); no engine, and nothing of the package."""

from __future__ import annotations

import math
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
_LENGTH: Final = struct.Struct("<Q")
_UNKNOWN_TOKEN, _CONTROL_TOKEN, _USER_DEFINED_TOKEN = 2, 3, 4

#: Lists of more numbers than this, and all lists of texts, are the vocabulary's, and left out of `read_head`.
_SHORT: Final = 4096

#: The parts of the file begin at multiples of so many bytes, unless ``general.alignment`` says otherwise.
_ALIGNMENT: Final = 32

#: ggml's number for a type of tensors -> elements of a block, and bytes that they take. Of a type that is not here, no size is
#: known.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66),
    39: (32, 17),
}  # fmt: skip

#: Tokens before what is to be filled in, as llama.cpp knows them by their texts.
_PREFIX_TOKENS: Final = (b"<|fim_prefix|>", b"<fim-prefix>", b"<fim_prefix>", b"<|code_prefix|>", "<｜fim▁begin｜>".encode())

#: What ends a turn is sometimes declared as an ordinary added token, and treated as a control token all the same.
_LOOKS_LIKE_CONTROL: Final = re.compile(r"<[|｜].*[|｜]>")


class Tokenizer(NamedTuple):
    """``control``: the texts that become a control token wherever they stand, in the vocabulary's order. ``longest``: the bytes
    of the longest token, so that a text of n bytes is at least n / longest tokens."""

    control: list[str]
    longest: int


class GGUFHead(NamedTuple):
    """``fields``: the metadata, without the vocabulary. ``vocabulary``: how many tokens that has. ``parameters``: the elements
    of all tensors. ``end``: the bytes that the file has at least, if it is whole. ``fills_in``: whether it has a token
    with which models are asked to fill in."""

    fields: dict[str, Any]
    vocabulary: int
    parameters: int
    end: int
    fills_in: bool


def read_head(path: Path) -> GGUFHead:
    """Return what the file says of itself. Raises as `read_tokenizer` does."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return GGUFReader(data).head()
        except struct.error:
            raise ValueError("it ends within its head") from None
        except (KeyError, MemoryError, OverflowError, RecursionError) as error:
            raise ValueError(f"its head cannot be read: {type(error).__name__} {error}".strip()) from None


def read_tokenizer(path: Path) -> Tokenizer:
    """Return what the tokenizer of the model in *path* is like.

    Raises `ValueError` for a file whose head cannot be read, `OSError` for one that cannot be opened.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            fields = GGUFReader(data).fields(until=(_TOKENS, _TYPES))
        except (struct.error, KeyError, MemoryError, OverflowError, RecursionError) as error:
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


class GGUFReader:
    """A place in the file's bytes. Numbers are little-endian; a string is its length and its UTF-8."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def fields(self, until: tuple[str, ...]) -> dict[str, Any]:
        """The metadata: up to the last of the keys *until*, since what follows these may be long."""
        fields: dict[str, Any] = {}
        _, count = self.begin()
        for _ in range(count):
            key = self.string()
            fields[key] = self.value(self.number("I"))
            if fields.keys() >= set(until):
                break
        return fields

    def begin(self) -> tuple[int, int]:
        """Read what stands before the metadata: return how many tensors and how many fields there are."""
        if self.bytes(len(MAGIC)) != MAGIC:
            raise ValueError("not a GGUF file")
        self.number("I")  # the format's version
        return self.number("Q"), self.number("Q")

    def head(self) -> GGUFHead:
        """See `read_head`."""
        tensors, count = self.begin()
        fields: dict[str, Any] = {}
        vocabulary = 0
        for _ in range(count):
            key, kind = self.string(), self.number("I")
            if kind != _ARRAY:
                fields[key] = self.value(kind)
                continue
            length, numbers = self.short_list()
            if numbers is not None:
                fields[key] = numbers
            if key == _TOKENS:
                vocabulary = length
        parameters, end = self.tensors(tensors)
        alignment = fields.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError("not a GGUF file: its alignment is no number")
        if self.at > len(self.data):
            raise ValueError("it ends within its head")
        whole = -(-self.at // alignment) * alignment + end if tensors else self.at
        fills_in = any(self.data.find(token, 0, self.at) >= 0 for token in _PREFIX_TOKENS)
        return GGUFHead(fields, vocabulary, parameters, whole, fills_in)

    def short_list(self) -> tuple[int, tuple[Any, ...] | None]:
        """Read a list: return its length and, if they are few, its numbers."""
        inner, count = self.number("I"), self.number("Q")
        if inner in _SCALARS and count <= _SHORT:
            return count, struct.unpack(f"<{count}{_SCALARS[inner]}", self.bytes(count * struct.calcsize(_SCALARS[inner])))
        if inner in _SCALARS:
            self.bytes(count * struct.calcsize(_SCALARS[inner]))
            return count, None
        if inner == _ARRAY:
            for _ in range(count):
                self.short_list()
        else:
            self.skip_strings(count)
        return count, None

    def skip_strings(self, count: int) -> None:
        """Pass over texts. A vocabulary has some hundred thousand."""
        data, at, read = self.data, self.at, _LENGTH.unpack_from
        for _ in range(count):
            at += read(data, at)[0] + 8
        self.at = at

    def tensors(self, count: int) -> tuple[int, int]:
        """Read what the file says of its tensors: return how many elements they have, and where the last of them ends."""
        elements = end = 0
        for _ in range(count):
            self.skip_strings(1)
            size = math.prod(self.number("Q") for _ in range(self.number("I")))
            block, width = _BLOCKS.get(self.number("I"), (1, 0))
            end = max(end, self.number("Q") + size // block * width)
            elements += size
        return elements, end

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
