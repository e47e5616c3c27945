"""GGUF files for tests: a head that says what a test wants, and tensors of zeros."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ALIGNMENT = 32
F32 = 0


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    """A value with its type before it, by what it is in Python."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if all(isinstance(each, int) for each in value):
        return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))


def gguf(fields: Mapping[str, Any], *, elements: int = 64, kind: int = F32, data: int | None = None) -> bytes:
    """A file with these fields and one tensor of so many elements, which takes *data* bytes, by default those of its kind."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(fields))
    head += b"".join(_text(key) + _value(value) for key, value in fields.items())
    head += _text("weights") + struct.pack("<IQIQ", 1, elements, kind, 0)
    return head + bytes(-len(head) % ALIGNMENT) + bytes(elements * 4 if data is None else data)


#: A small llama: two layers, two heads of which keys and values share one, eight numbers a head.
LLAMA: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "mit",
    "general.file_type": 7,
    "llama.block_count": 2,
    "llama.context_length": 1000,
    "llama.embedding_length": 16,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "tokenizer.ggml.tokens": ("a", "b", "<|end|>"),
    "tokenizer.ggml.scores": tuple(range(5000)),
    "tokenizer.chat_template": "{{ messages }}",
}


def write_gguf(path: Path, **changes: Any) -> Path:
    """Write a small llama to *path*, with its fields changed: a dot in a key is written as two underscores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf({**LLAMA, **{key.replace("__", "."): value for key, value in changes.items()}}))
    return path
