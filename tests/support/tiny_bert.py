"""A model that makes embeddings, as small as can be: a BERT with random weights, in a GGUF file. What it says means nothing;
its shapes are those of real ones."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

from .gguf import ALIGNMENT, F32, _text

WIDTH, INNER, HEADS, CONTEXT = 32, 64, 2, 128
#: "▁" begins a word.
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁paris", "▁rome", "▁is", "▁in", "▁france", "▁what", "▁a", "▁.", "s")
POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value[0], int):
        return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    if isinstance(value[0], float):
        return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))


def _shapes(pooling: str) -> dict[str, tuple[int, ...]]:
    """The tensors, innermost dimension first."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (WIDTH, len(WORDS)),
        "position_embd.weight": (WIDTH, CONTEXT),
        "token_types.weight": (WIDTH, 2),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes |= {f"blk.0.{name}.weight": (WIDTH, WIDTH), f"blk.0.{name}.bias": (WIDTH,)}
    for name in ("attn_output_norm", "layer_output_norm"):
        shapes |= {f"blk.0.{name}.weight": (WIDTH,), f"blk.0.{name}.bias": (WIDTH,)}
    shapes |= {"blk.0.ffn_up.weight": (WIDTH, INNER), "blk.0.ffn_up.bias": (INNER,)}
    shapes |= {"blk.0.ffn_down.weight": (INNER, WIDTH), "blk.0.ffn_down.bias": (WIDTH,)}
    if pooling == "rank":
        shapes |= {"cls.weight": (WIDTH, WIDTH), "cls.bias": (WIDTH,), "cls.output.weight": (WIDTH, 1), "cls.output.bias": (1,)}
    return shapes


def write_bert(path: Path, *, pooling: str = "mean", seed: int = 1) -> Path:
    """Write one whose embeddings are made by that *pooling*, or that ranks."""
    fields: dict[str, Any] = {
        "general.architecture": "bert",
        "general.name": "tiny",
        "bert.context_length": CONTEXT,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": INNER,
        "bert.block_count": 1,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": POOLING[pooling],
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": WORDS,
        "tokenizer.ggml.token_type": tuple(3 if word.startswith("[") else 1 for word in WORDS),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.mask_token_id": 4,
    }
    rng = random.Random(seed)
    shapes = _shapes(pooling)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(fields))
    head += b"".join(_text(key) + _value(value) for key, value in fields.items())
    data = b""
    for name, shape in shapes.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, F32, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = [1.0] * count if name.endswith("norm.weight") else [rng.gauss(0, 0.3) for _ in range(count)]
        block = struct.pack(f"<{count}f", *numbers)
        data += block + bytes(-len(block) % ALIGNMENT)
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)
    return path
