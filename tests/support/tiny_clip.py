"""Eyes for a model, as small as can be: a CLIP with random weights and the projector of LLaVA, in a GGUF file ("mmproj").

What is seen with it means nothing; the road of an image is that of real ones.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

from .gguf import ALIGNMENT, F32, _text
from .tiny_bert import _value

WIDTH, INNER, HEADS, BLOCKS = 32, 64, 2, 2
#: Pixels of a side, and of a patch of it; each patch becomes a token.
SIDE, PATCH = 28, 14
TOKENS = (SIDE // PATCH) ** 2


def _shapes(width: int) -> dict[str, tuple[int, ...]]:
    """The tensors, innermost dimension first."""
    shapes: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (PATCH, PATCH, 3, WIDTH),
        "v.class_embd": (WIDTH,),
        "v.position_embd.weight": (WIDTH, TOKENS + 1),
        "v.pre_ln.weight": (WIDTH,),
        "v.pre_ln.bias": (WIDTH,),
        "mm.0.weight": (WIDTH, width),
        "mm.0.bias": (width,),
        "mm.2.weight": (width, width),
        "mm.2.bias": (width,),
    }
    for block in range(BLOCKS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= {f"v.blk.{block}.{name}.weight": (WIDTH, WIDTH), f"v.blk.{block}.{name}.bias": (WIDTH,)}
        for name in ("ln1", "ln2"):
            shapes |= {f"v.blk.{block}.{name}.weight": (WIDTH,), f"v.blk.{block}.{name}.bias": (WIDTH,)}
        shapes |= {f"v.blk.{block}.ffn_down.weight": (WIDTH, INNER), f"v.blk.{block}.ffn_down.bias": (INNER,)}
        shapes |= {f"v.blk.{block}.ffn_up.weight": (INNER, WIDTH), f"v.blk.{block}.ffn_up.bias": (WIDTH,)}
    return shapes


def write_projector(path: Path, *, width: int, seed: int = 1) -> Path:
    """Write one for a model whose embeddings have so many numbers."""
    fields: dict[str, Any] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": "tiny",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp",
        "clip.use_gelu": True,
        "clip.vision.image_size": SIDE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": WIDTH,
        "clip.vision.feed_forward_length": INNER,
        "clip.vision.projection_dim": width,
        "clip.vision.block_count": BLOCKS,
        "clip.vision.attention.head_count": HEADS,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": (0.5, 0.5, 0.5),
        "clip.vision.image_std": (0.5, 0.5, 0.5),
    }
    rng = random.Random(seed)
    shapes = _shapes(width)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(fields))
    head += b"".join(_text(key) + _value(value) for key, value in fields.items())
    data = b""
    for name, shape in shapes.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, F32, len(data))
        count = 1
        for size in shape:
            count *= size
        numbers = (
            [1.0] * count
            if name.endswith(("ln1.weight", "ln2.weight", "ln.weight"))
            else [rng.gauss(0, 0.1) for _ in range(count)]
        )
        block = struct.pack(f"<{count}f", *numbers)
        data += block + bytes(-len(block) % ALIGNMENT)
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)
    return path
