"""The models that other programs keep on this machine: Ollama's store and LM Studio's. They are read, never changed.

Ollama: ``manifests/HOST/NAMESPACE/MODEL/TAG`` is an OCI image manifest; the layer of the type ``…image.model`` names the blob
that is the GGUF file, ``blobs/sha256-…``. LM Studio: ``PUBLISHER/REPOSITORY/FILE.gguf``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from .model_file import is_model, stem_of

_MODEL_LAYER: Final = "application/vnd.ollama.image.model"
#: The host and the namespace that Ollama leaves out of a model's name, and the tag.
_LIBRARY: Final = ("registry.ollama.ai", "library")
_LATEST: Final = "latest"
_DIGEST: Final = "sha256:"


class StoredModel(NamedTuple):
    """A model in another program's store. ``name``: with the store before it, as in ``ollama:llama3.2:1b``."""

    name: str
    path: Path
    store: str


class _Layer(msgspec.Struct):
    mediaType: str = ""  # noqa: N815  the manifest's own name
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def stored_models() -> list[StoredModel]:
    """Return the models of the other programs' stores, as far as these can be read."""
    return [*_ollama(), *_lm_studio()]


def _ollama() -> Iterator[StoredModel]:
    """Ollama's models, whose place ``OLLAMA_MODELS`` can change. Those whose weights are not on this machine are left out."""
    try:
        roots = [Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]  # the user's, and its service's
    except RuntimeError:  # there is no home directory
        return
    if own := os.environ.get("OLLAMA_MODELS"):
        roots = [Path(own)]
    for root in roots:
        for manifest in _files(root / "manifests", "*"):
            if (blob := _blob_of(manifest)) is not None and (path := root / "blobs" / blob.replace(":", "-")).is_file():
                yield StoredModel(f"ollama:{_ollama_name(manifest.relative_to(root / 'manifests').parts)}", path, "Ollama")


def _blob_of(manifest: Path) -> str | None:
    """Return the digest of the model's layer. It becomes a part of a path: what is no digest is none."""
    try:
        layers = msgspec.json.decode(manifest.read_bytes(), type=_Manifest).layers
    except (OSError, ValueError):
        return None
    digest = next((layer.digest for layer in layers if layer.mediaType == _MODEL_LAYER), "")
    return digest if digest.startswith(_DIGEST) and digest.removeprefix(_DIGEST).isalnum() else None


def _ollama_name(parts: tuple[str, ...]) -> str:
    """Return the name that Ollama shows for the manifest at the path of these *parts*."""
    *above, model, tag = parts
    kept = [part for part, usual in zip(above, _LIBRARY, strict=False) if part != usual] if len(above) == 2 else above
    return "/".join([*kept, model]) + ("" if tag == _LATEST else f":{tag}")


def _lm_studio() -> Iterator[StoredModel]:
    try:
        roots = [Path.home() / place for place in (".lmstudio/models", ".cache/lm-studio/models")]
    except RuntimeError:
        return
    seen: set[Path] = set()
    for root in roots:
        for path in _files(root, "*.gguf"):
            if is_model(path) and (real := path.resolve()) not in seen:
                seen.add(real)
                yield StoredModel(f"lmstudio:{stem_of(path)}", path, "LM Studio")


def _files(root: Path, pattern: str) -> list[Path]:
    """Return the files under *root* in order; none where it is not there or cannot be read."""
    try:
        return sorted(path for path in root.rglob(pattern) if path.is_file() and not path.name.startswith("."))
    except OSError:
        return []
