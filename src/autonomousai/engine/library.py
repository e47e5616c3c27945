"""The models that are on this machine, by name: rows of `models.WEIGHTS` that were fetched, files that were registered, a
folder of files, and what other programs' stores hold, which is offered and used when it is named.

A registered model is a small file of JSON, ``models/NAME.json`` in the cache; a model that is the library's own has a folder
beside it, ``models/NAME/``, which `remove` deletes with it. Knows the disk; no network and no engine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..errors import ConfigError
from ..models import MODEL_ALIASES, MODELS, WEIGHTS
from ..suggestions import did_you_mean
from . import weights
from .model_file import ModelFile, check_projector, is_model, projector_beside, read_model_file, stem_of
from .stores import stored_models

#: What a copy of a projector is called, in its model's folder.
_EYES: Final = "mmproj.gguf"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


class InstalledModel(msgspec.Struct, frozen=True):
    """A model by its name. ``source``: where it is from, for people. ``licence``: as far as it is known. ``offered``: it is in
    another program's store, and used only when it is named. ``own``: its files are the library's, which may delete them.
    ``projector``: the file with which it sees, where that is not beside it."""

    name: str
    path: Path
    source: str
    licence: str = ""
    offered: bool = False
    own: bool = False
    sha256: str = ""
    projector: Path | None = None

    def read(self) -> ModelFile:
        """Return what its file says. Raises `ConfigError`, which names the file."""
        return read_model_file(self.path)


class _Registered(msgspec.Struct):
    """What is kept of a registered model. ``own``: see `InstalledModel`."""

    path: str
    source: str
    licence: str = ""
    own: bool = False
    sha256: str = ""
    projector: str = ""


def library_directory() -> Path:
    """Return where registered models are kept. Raises `ConfigError` where there is no home directory."""
    return weights.cache_directory() / "models"


def installed_models(models_dir: str | None = None) -> dict[str, InstalledModel]:
    """Return the models that are served by their names: fetched weights, registered files, the folder *models_dir*. Where a
    name is taken, the later one is left out. Raises `ConfigError` where *models_dir* is no folder."""
    found: dict[str, InstalledModel] = {}
    for model in (*_fetched(), *_registered(), *_in_folder(models_dir)):
        found.setdefault(model.name, model)
    return found


def installed_state(models_dir: str | None = None) -> frozenset[tuple[str, int, int]]:
    """Return what changes whenever a model is installed, replaced or removed: the files that say so, with times and sizes."""
    folder = None if models_dir is None else Path(models_dir).expanduser()
    registered = sorted(library_directory().glob("*.json"))
    models = [model.path for path in registered if (model := _read_entry(path)) is not None]
    fetched = [weights.weights_path(name) for name in WEIGHTS]
    found = set()
    for path in (*registered, *models, *fetched, *(() if folder is None else folder.rglob("*.gguf"))):
        with contextlib.suppress(OSError):  # it is not there
            status = path.stat()
            found.add((str(path), status.st_mtime_ns, status.st_size))
    return frozenset(found)


def offered_models() -> dict[str, InstalledModel]:
    """Return the models of other programs' stores, by names that begin with the store's."""
    found: dict[str, InstalledModel] = {}
    for name, path, store, projector in stored_models():
        found.setdefault(name, InstalledModel(name, path, store, offered=True, projector=projector))
    return found


def find_model_file(name: str, models_dir: str | None = None) -> InstalledModel:
    """Return the model of that name, installed or offered. Raises `ConfigError` that names those there are."""
    known = installed_models(models_dir)
    if name in known:
        return known[name]
    known |= offered_models()
    if name in known:
        return known[name]
    raise unknown_model(name, known)


def unknown_model(name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a *name* that no model on this machine has."""
    names = tuple(known)
    there = f"there are: {', '.join(names)}" if names else "there is none yet; `autonomousai pull` fetches one"
    return ConfigError(f"there is no model {name[:200]!r} on this machine; {there}{did_you_mean(name, names)}")


def find_weights(given: str) -> Path:
    """Return the file that *given* means: a name of `models.WEIGHTS`, of a registered or an offered model, or a path.

    Raises `ConfigError` for anything else.
    """
    if given not in WEIGHTS and (model := _named(given)) is not None:
        return model.path
    return weights.resolve(given)


def find_projector(given: str, mmproj: str = "auto") -> Path | None:
    """Return the file with which the weights see that *given* means: the path *mmproj*; with "auto" what lies beside them, or
    what their store says; with "none" none. Raises `ConfigError` where *mmproj* is a path of no such file."""
    if mmproj == "none" or (mmproj == "auto" and given in WEIGHTS):
        return None
    if mmproj != "auto":
        return check_projector(Path(mmproj).expanduser())
    model = _named(given)
    if model is not None and model.projector is not None:
        return model.projector
    return projector_beside(model.path if model is not None else Path(given).expanduser())


def is_named(given: str) -> bool:
    """Return whether *given* is the name of a registered or an offered model."""
    return _named(given) is not None


def _named(given: str) -> InstalledModel | None:
    if _NAME.fullmatch(given) and (model := _read_entry(library_directory() / f"{given}.json")) is not None:
        return model
    return offered_models().get(given) if given.startswith(("ollama:", "lmstudio:")) else None


def name_of(given: str) -> str:
    """Return what weights are called in answers: their name, or that of their file."""
    return given if given in WEIGHTS or is_named(given) else stem_of(Path(given))


# ---- registering and removing


def free_name(wanted: str, source: str) -> str:
    """Return *wanted* as a name for a model from *source*. Raises `ConfigError` where it is no name, or another's."""
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", wanted).strip("-.")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{wanted!r} can be no name", advice="give another with --name: letters, digits, '.', '_', '+', '-'")
    if name in WEIGHTS or name in MODELS or name in MODEL_ALIASES:
        raise ConfigError(f"{name!r} is the name of another model", advice="give this one another with --name")
    entry = _read_entry(library_directory() / f"{name}.json")
    if entry is not None and entry.source != source:
        raise ConfigError(
            f"there is a model {name!r} already, from {entry.source}",
            advice=f"give this one another name with --name, or: autonomousai models remove {name}",
        )
    return name


def register(
    name: str,
    path: Path,
    source: str,
    *,
    licence: str = "",
    own: bool = False,
    sha256: str = "",
    projector: Path | None = None,
) -> InstalledModel:
    """Keep the model of the file at *path* under *name*, which must be free. Raises `ConfigError`."""
    entry = _Registered(str(path.absolute()), source, licence, own, sha256, str(projector or ""))
    with writing_to(library_directory()) as directory:
        temporary = directory / f"{name}.json.tmp"
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(entry)) + b"\n")
        temporary.replace(directory / f"{name}.json")
    return InstalledModel(name, path.absolute(), source, licence, own=own, sha256=sha256, projector=projector)


def add_file(path: Path, *, name: str | None = None, copy: bool = False, projector: Path | None = None) -> InstalledModel:
    """Register the GGUF file at *path*: where it is, or with *copy* a copy of it. *projector*: with what it sees, where that is
    not beside it. Raises `ConfigError`."""
    path = path.expanduser().absolute()
    model = read_model_file(path)
    source = str(path)
    taken = free_name(name or stem_of(path), source)
    if not copy:
        return register(taken, path, source, licence=model.licence, projector=projector)
    with writing_to(library_directory()) as directory:
        room = shutil.disk_usage(directory).free
        if room < model.size:
            raise ConfigError(
                f"not enough room for a copy in {directory}: {model.size / 1e6:,.0f} MB of {room / 1e6:,.0f} free"
            )
        folder, temporary = directory / taken, directory / f"{taken}.tmp"
        for old in (folder, temporary):
            shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir()
        for part in model.parts:
            shutil.copyfile(part, temporary / part.name)
        if (eyes := projector or model.projector) is not None:
            shutil.copyfile(eyes, temporary / _EYES)
        temporary.replace(folder)
    return register(taken, folder / path.name, source, licence=model.licence, own=True)


def remove(name: str, models_dir: str | None = None) -> list[Path]:
    """Take the model *name* off this machine, as far as it is the library's, and return the files that were deleted. A file
    that was only registered stays where it is. Raises `ConfigError` for what the library does not own."""
    if name not in WEIGHTS and (model := _named(name)) is not None and not model.offered:
        with writing_to(library_directory()) as directory:
            folder = directory / name
            deleted = sorted(path for path in folder.rglob("*.gguf")) if model.own else []
            (directory / f"{name}.json").unlink()
            if model.own:
                shutil.rmtree(folder, ignore_errors=True)
        return deleted
    if name in WEIGHTS and weights.present(name):
        path = weights.weights_path(name)
        with writing_to(path.parent):
            path.unlink()
        return [path]
    model = find_model_file(name, models_dir)
    advice = "remove it with that program" if model.offered else f"delete {model.path}"
    raise ConfigError(f"{name!r} is not the library's own: it is in {model.source}", advice=advice)


@contextlib.contextmanager
def writing_to(directory: Path) -> Iterator[Path]:
    """Return *directory*, made where it is not there. What the disk says meanwhile becomes a `ConfigError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
    except OSError as error:
        raise ConfigError(
            f"cannot write to {directory}: {error.strerror or error}",
            advice="make room there or make it writable, or set AUTONOMOUSAI_CACHE to another directory",
        ) from None


# ---- where models are


def _fetched() -> Iterator[InstalledModel]:
    for name, row in WEIGHTS.items():
        if weights.present(name):
            yield InstalledModel(
                name, weights.weights_path(name), "the package index", row.licence, own=True, sha256=row.sha256
            )


def _registered() -> Iterator[InstalledModel]:
    for path in sorted(library_directory().glob("*.json")):
        if (model := _read_entry(path)) is not None:
            yield model


def _read_entry(path: Path) -> InstalledModel | None:
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=_Registered)
    except (OSError, ValueError):
        return None
    projector = Path(entry.projector) if entry.projector else None
    return InstalledModel(
        path.stem, Path(entry.path), entry.source, entry.licence, own=entry.own, sha256=entry.sha256, projector=projector
    )


def _in_folder(models_dir: str | None) -> Iterator[InstalledModel]:
    """The models of a folder and the folders in it, by the names of their files; where two share one, by their paths."""
    if models_dir is None:
        return
    root = Path(models_dir).expanduser()
    if not root.is_dir():
        problem = "is no folder that can be read" if root.exists() else "is not there"
        raise ConfigError(f"{str(root)!r} {problem}", key="engine.models_dir", advice="give a folder of GGUF files")
    taken: set[str] = set()
    for path in sorted(root.rglob("*.gguf"), key=lambda path: (len(path.parts), path)):
        if not (path.is_file() and is_model(path)):
            continue
        name = stem_of(path)
        if name in taken:
            name = str(path.relative_to(root).with_name(name)).replace(os.sep, "/")
        taken.add(name)
        yield InstalledModel(name, path, str(root))
