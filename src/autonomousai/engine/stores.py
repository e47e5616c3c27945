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
_PROJECTOR_LAYER: Final = "application/vnd.ollama.image.projector"
#: The host and the namespace that Ollama leaves out of a model's name, and the tag.
_LIBRARY: Final = ("registry.ollama.ai", "library")
_LATEST: Final = "latest"
_DIGEST: Final = "sha256:"


class StoredModel(NamedTuple):
    """A model in another program's store. ``name``: with the store before it, as in ``ollama:llama3.2:1b``. ``projector``: the
    file with which it sees, where the store says it."""

    name: str
    path: Path
    store: str
    projector: Path | None = None


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
            layers = _layers_of(manifest)
            if (path := _blob_of(layers, _MODEL_LAYER, root)) is not None:
                name = f"ollama:{_ollama_name(manifest.relative_to(root / 'manifests').parts)}"
                yield StoredModel(name, path, "Ollama", _blob_of(layers, _PROJECTOR_LAYER, root))


def _layers_of(manifest: Path) -> list[_Layer]:
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=_Manifest).layers
    except (OSError, ValueError):
        return []


def _blob_of(layers: list[_Layer], kind: str, root: Path) -> Path | None:
    """Return the file of the first layer of that *kind*, where it is there. Its digest becomes a part of a path: what is no
    digest is none."""
    digest = next((layer.digest for layer in layers if layer.mediaType == kind), "")
    if not (digest.startswith(_DIGEST) and digest.removeprefix(_DIGEST).isalnum()):
        return None
    path = root / "blobs" / digest.replace(":", "-")
    return path if path.is_file() else None


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
