"""The control tokens that a GGUF file's head declares: files made here, and the real one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from autonomousai.engine import weights
from autonomousai.engine.gguf import read_tokenizer
from autonomousai.models import DEFAULT_WEIGHTS


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def field(key: str, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def strings(*texts: str) -> bytes:
    return struct.pack("<IQ", 8, len(texts)) + b"".join(map(string, texts))


def numbers(*values: int) -> bytes:
    return struct.pack(f"<IQ{len(values)}i", 5, len(values), *values)


def gguf(*fields: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields)) + b"".join(fields)


VOCABULARY = ("a", "<|end|>", "<s>", "<b>", "<|user|>", "<unk>", "\n\n", "<eot>", "<｜fin｜>")
TYPES = (1, 3, 3, 4, 4, 2, 4, 4, 4)
METADATA = (
    field("general.name", 8, string("tiny")),
    field("general.tags", 9, strings("x", "y")),
    field("some.flag", 7, b"\x01"),
    field("some.pairs", 9, struct.pack("<IQ", 9, 1) + numbers(1, 2)),
    field("tokenizer.ggml.eot_token_id", 4, struct.pack("<I", 7)),
    field("tokenizer.ggml.tokens", 9, strings(*VOCABULARY)),
    field("tokenizer.ggml.token_type", 9, numbers(*TYPES)),
)


def test_control_tokens_are_told_from_others(tmp_path: Path) -> None:
    """Those declared as such, those that end a turn, and added ones that look the part; no words, no markup."""
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(*METADATA))

    assert ["<|end|>", "<s>", "<|user|>", "<unk>", "<eot>", "<｜fin｜>"] == read_tokenizer(path).control


def test_a_file_without_a_vocabulary_has_none(tmp_path: Path) -> None:
    """It is the engine that will complain."""
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(METADATA[0]))

    assert [] == read_tokenizer(path).control


@pytest.mark.parametrize("length", [*range(4, 120, 7), 200, 300])
def test_a_file_that_is_cut_is_an_error(length: int, tmp_path: Path) -> None:
    """Wherever it ends."""
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(*METADATA)[:length])

    with pytest.raises(ValueError, match="GGUF"):
        read_tokenizer(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(100)])
def test_another_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    """The first bytes tell."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"GGUF|empty"):
        read_tokenizer(path)


def test_the_real_weights_have_seventeen() -> None:
    """Those of the template, and those of the repositories that the model was trained on."""
    found = read_tokenizer(weights.pull(DEFAULT_WEIGHTS)).control

    assert 17 == len(found)
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<filename>"} <= set(found)
