"""What a model's file is, as far as its head tells: size, quantisation, context, and what the model can do.

Knows the metadata's keys (ggml's "GGUF" specification, "Standardized key-value pairs"); no engine. Nothing is loaded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from .gguf import GGUFHead, read_head

#: The format's numbers for the kinds of quantisation of a whole file.
_QUANTISATIONS: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip

#: Architectures that make embeddings and nothing else.
_ENCODERS: Final = frozenset(
    {"bert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "nomic-bert", "nomic-bert-moe"}
)

#: The way of making one number of all tokens, by which a file says that it ranks documents.
_RANKS: Final = 4

#: The architecture of a file that holds no model but its eyes or ears, and the types of files that hold no whole model.
_PROJECTOR: Final = "clip"
_NO_MODEL: Final = frozenset({"mmproj", "adapter", "lora", "vocab", "imatrix"})

#: Bytes of one number in the cache of keys and values.
_CACHED: Final = 2

#: How the parts of a file are named that was split; the first of them stands for all.
SPLIT: Final = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf", re.IGNORECASE)


class ModelFile(msgspec.Struct, frozen=True):
    """A GGUF file, and what it says of itself. ``parts``: all files of the model, the named one first. ``size``: their bytes.
    ``cached``: bytes that a token takes in the cache of keys and values. ``context``, ``vocabulary``: in tokens. ``context``,
    ``licence`` and ``quantisation`` may not be known: 0 or "". ``projector``: the file beside it with which it sees."""

    path: Path
    parts: tuple[Path, ...]
    size: int
    name: str
    architecture: str
    parameters: int
    quantisation: str
    context: int
    licence: str
    vocabulary: int
    cached: int
    tools: bool
    reasoning: bool
    embeds: bool
    fills_in: bool
    projector: Path | None = None
    ranks: bool = False

    @property
    def abilities(self) -> list[str]:
        """Return what it can do beside chatting, in words for people."""
        told = {
            "tools": self.tools,
            "reasoning": self.reasoning,
            "fill-in": self.fills_in,
            "embeddings": self.embeds,
            "images": self.projector is not None,
        }
        return [ability for ability, has in told.items() if has]


def read_model_file(path: Path) -> ModelFile:
    """Return what the file at *path* says of itself. Raises `ConfigError` for one that cannot be read, that is cut, or that
    is no model."""
    head, size = _read_whole(path)
    fields = head.fields
    architecture = str(fields.get("general.architecture", ""))
    if architecture == _PROJECTOR or fields.get("general.type") in _NO_MODEL:
        raise ConfigError(
            f"{path} holds no complete model, but a part that goes beside one", advice="give the model's own file"
        )
    parts = parts_of(path)
    for part in parts[1:]:
        size += _read_whole(part)[1]
    count = fields.get(f"{architecture}.context_length", 0)
    template = str(fields.get("tokenizer.chat_template", ""))
    return ModelFile(
        path=path,
        parts=parts,
        size=size,
        name=str(fields.get("general.name", "")),
        architecture=architecture,
        parameters=head.parameters,
        quantisation=_QUANTISATIONS.get(fields.get("general.file_type", -1), ""),
        context=count if isinstance(count, int) else 0,
        licence=str(fields.get("general.license", "")),
        vocabulary=head.vocabulary,
        cached=_cached(fields, architecture),
        tools="tools" in template,
        reasoning="<think>" in template or "enable_thinking" in template,
        embeds=architecture in _ENCODERS or bool(fields.get(f"{architecture}.pooling_type")),
        fills_in=head.fills_in or any(f"tokenizer.ggml.{name}_token_id" in fields for name in ("fim_pre", "prefix")),
        projector=projector_beside(path),
        ranks=fields.get(f"{architecture}.pooling_type") == _RANKS,
    )


def check_projector(path: Path) -> Path:
    """Return *path*. Raises `ConfigError` where it is no file of eyes for a model."""
    head, _ = _read_whole(path)
    if head.fields.get("general.architecture") != _PROJECTOR:
        raise ConfigError(f"{path} is no projector (mmproj) for images", advice='give one, or "none"')
    return path


def is_model(path: Path) -> bool:
    """Return whether a GGUF file may be listed as a model by its name: no projector, and no later part of a split one."""
    split = SPLIT.fullmatch(path.name)
    return not is_projector(path) and (split is None or int(split["part"]) == 1)


def is_projector(path: Path) -> bool:
    """Return whether a GGUF file is named as the eyes of a model are."""
    return path.suffix.casefold() == ".gguf" and "mmproj" in path.name.casefold()


def stem_of(path: Path) -> str:
    """Return the name of a model's file without what says that it is one, or the first part of one."""
    split = SPLIT.fullmatch(path.name)
    return split["stem"] if split else path.stem


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return the files of the model in *path*. Raises `ConfigError` where *path* is a later part of a split one."""
    split = SPLIT.fullmatch(path.name)
    if split is None:
        return (path,)
    if int(split["part"]) != 1:
        raise ConfigError(f"{path} is not the first part of its model", advice=f"give the part 00001 of {split['parts']}")
    names = (f"{split['stem']}-{number:05}-of-{split['parts']}.gguf" for number in range(1, int(split["parts"]) + 1))
    return tuple(path.with_name(name) for name in names)


@lru_cache(maxsize=256)
def _read_once(path: Path, _changed: int, _size: int) -> GGUFHead:
    """Read a head once, as long as its file does not change: a large vocabulary takes a tenth of a second."""
    return read_head(path)


def _read_whole(path: Path) -> tuple[GGUFHead, int]:
    """Return the head of a file, and its bytes. Raises `ConfigError` where it is no GGUF file, or ends too soon."""
    try:
        status = path.stat()
        size = status.st_size
        head = _read_once(path, status.st_mtime_ns, size)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", advice="give the path of a GGUF file") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not a GGUF file that can be read ({error})", advice="fetch it again") from None
    if size < head.end:
        raise ConfigError(f"{path} is cut: it has {size:,} bytes of {head.end:,}", advice="fetch it again")
    return head, size


def _cached(fields: dict[str, Any], architecture: str) -> int:
    """Return the bytes that a token takes in the cache: a key and a value in each layer. At most: a model whose attention
    slides or is compressed takes fewer."""

    def field(name: str, default: Any = 0) -> Any:
        return fields.get(f"{architecture}.{name}", default)

    layers, heads = field("block_count"), field("attention.head_count")
    shared = field("attention.head_count_kv", heads)
    try:
        widest = max(heads) if isinstance(heads, tuple) else heads
        width = field("embedding_length") // widest if widest else 0
        wide = field("attention.key_length", width) + field("attention.value_length", width)
        all_heads = sum(shared) if isinstance(shared, tuple) else layers * shared
        return int(all_heads * wide * _CACHED)
    except (TypeError, ValueError):  # numbers that are none: the engine will say what is wrong with the file
        return 0


def projector_beside(path: Path) -> Path | None:
    """Return the projector beside a model: the only one in a folder of one model, or the one that bears the model's name."""
    try:
        beside = sorted(each for each in path.parent.glob("*.gguf") if each != path)
    except OSError:
        return None
    projectors = [each for each in beside if is_projector(each)]
    alone = not any(is_model(each) for each in beside)
    stem = stem_of(path).casefold()
    named = [each for each in projectors if stem in each.name.casefold()]
    return next(iter(projectors if alone else named), None)
