"""A tokenizer of our own, to check the engine's counting by: byte-level BPE, read from the GGUF file, slow and plain."""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import regex

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

#: How SmolLM cuts a text before merging: each digit by itself, then GPT-2's words.
_DIGITS = regex.compile(r"\p{N}")
_WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def metadata(path: Path) -> dict[str, Any]:
    """What a GGUF file says of itself before its tensors."""
    with path.open("rb") as file:
        assert file.read(4) == b"GGUF"
        _version, _tensors, count = struct.unpack("<IQQ", file.read(20))
        found = {}
        for _ in range(count):
            key = _value(file, _STRING)
            found[key] = _value(file, struct.unpack("<I", file.read(4))[0])
        return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        (length,) = struct.unpack("<Q", file.read(8))
        return file.read(length).decode("utf-8", "replace")
    if kind == _ARRAY:
        inner, length = struct.unpack("<IQ", file.read(12))
        return [_value(file, inner) for _ in range(length)]
    form = _SCALARS[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


class Tokenizer:
    """Counts tokens of texts and of conversations, as SmolLM2's own tokenizer and template make them."""

    def __init__(self, path: Path) -> None:
        said = metadata(path)
        assert ("gpt2", "smollm") == (said["tokenizer.ggml.model"], said["tokenizer.ggml.pre"])
        self.vocabulary = set(said["tokenizer.ggml.tokens"])
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(said["tokenizer.ggml.merges"])}

    def count(self, text: str) -> int:
        return sum(self._merged(word) for piece in _split(text, _DIGITS) for word in _split(piece, _WORDS))

    def count_messages(self, messages: list[dict[str, str]]) -> int:
        """The whole prompt: each turn between its two control tokens, and the beginning of the answer's."""
        turns = sum(2 + self.count(f"{turn['role']}\n{turn['content']}") + self.count("\n") for turn in messages)
        return turns + 1 + self.count("assistant\n")

    def _merged(self, word: str) -> int:
        parts = [_letters()[byte] for byte in word.encode()]
        while len(parts) > 1:
            pairs = [(self.ranks.get(pair, 1 << 30), at) for at, pair in enumerate(pairwise(parts))]
            rank, at = min(pairs)
            if rank == 1 << 30:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return len(parts)


def _split(text: str, cut: regex.Pattern[str]) -> list[str]:
    """The pattern's matches, and what is between them."""
    parts, start = [], 0
    for match in cut.finditer(text):
        parts += [text[start : match.start()], match[0]]
        start = match.end()
    return [part for part in [*parts, text[start:]] if part]


@cache
def _letters() -> list[str]:
    """GPT-2's letter for each byte: itself where it can be seen, one above 255 where it cannot."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + unseen.index(byte)) for byte in range(256)]
