"""Models from a hub that speaks Hugging Face's API, by its own library (the extra ``hf``), which reads its own environment:
``HF_ENDPOINT`` for a mirror, ``HF_TOKEN``, ``HF_HUB_OFFLINE`` and more.

A model is one GGUF file of a repository, or the parts of one. A fetch that was cut continues where it was; each file is checked
against the SHA-256 that the hub states, and the model gets its name when all of it is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, NamedTuple, cast

from .._version import __version__
from ..errors import ConfigError
from ..suggestions import did_you_mean
from .library import InstalledModel, free_name, library_directory, register, writing_to
from .model_file import SPLIT, is_model, is_projector, read_model_file, stem_of
from .weights import DownloadProgress, locked

#: What a reference to a model of the hub begins with.
HUB: Final = "hf:"

_REFERENCE: Final = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(?::(?P<quantisation>[\w.-]+)|/(?P<file>.+\.gguf))?", re.ASCII)

#: How a quantisation is written at the end of a file's name.
_QUANTISATION: Final = re.compile(
    r"(?:^|[-._])(?P<name>(?:UD-)?(?:I?Q\d\w*|TQ\d\w*|BF16|F16|F32|FP16|FP32|MXFP4\w*))$", re.IGNORECASE
)


class HubFile(NamedTuple):
    """A file of a repository. ``sha256``: "" where the hub states none."""

    path: str
    size: int
    sha256: str


class HubModel(NamedTuple):
    """A model of a repository, at a revision: its files, the first part first. ``licence``: "" where the card has none."""

    repo: str
    revision: str
    files: tuple[HubFile, ...]
    licence: str

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def name(self) -> str:
        return stem_of(Path(self.files[0].path))

    @property
    def source(self) -> str:
        return f"{HUB}{self.repo}/{self.files[0].path}"


def find_hub_model(reference: str) -> HubModel:
    """Return the model that ``hf:OWNER/REPO``, with ``:QUANT`` or ``/FILE`` behind it, means. Raises `ConfigError` for one that
    there is not, for one of several, with the list of them, and where the hub cannot be asked."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError(
            f"{reference[:200]!r} is no model of a hub; write hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE"
        )
    repo = match["repo"]
    hub = _library()
    with _translated(repo):
        info = hub.HfApi(library_name="autonomousai", library_version=__version__).model_info(repo, files_metadata=True)
    files = [_file_of(sibling) for sibling in info.siblings or ()]
    models = [HubModel(repo, str(info.sha), parts, _licence_of(info)) for parts in _models_of(files)]
    if not models:
        raise ConfigError(
            f"{repo} has no GGUF file", advice="look for a repository of the model in this format, often named …-GGUF"
        )
    return _with_projector(_chosen(models, match["quantisation"], match["file"]), files)


def fetch_hub_model(model: HubModel, *, name: str | None = None, progress: DownloadProgress) -> InstalledModel:
    """Fetch *model*, check it, and register it under *name*, by default that of its file. Blocking. Raises `ConfigError`."""
    taken = free_name(name or model.name, model.source)
    folder = library_directory() / taken
    with writing_to(folder):
        _check_room(folder, model)
        done = 0
        for file in model.files:
            path = folder / file.path
            if not _is_right(path, file):
                path.parent.mkdir(parents=True, exist_ok=True)
                with locked(path.with_name(f"{path.name}.lock")):
                    _fetch(model, file, path, partial(_tell, progress, done, model.size))
            done += file.size
            progress(done, model.size)
    first = folder / model.files[0].path
    stated = read_model_file(first).licence
    licence = model.licence or stated
    return register(taken, first, model.source, licence=licence, own=True, sha256=model.files[0].sha256)


def _tell(progress: DownloadProgress, before: int, total: int, came: int) -> None:
    progress(before + came, total)


# ---- which files


def _file_of(sibling: Any) -> HubFile:
    stated = sibling.lfs.sha256 if sibling.lfs is not None else ""
    return HubFile(sibling.rfilename, sibling.size or 0, stated or "")


def _models_of(files: list[HubFile]) -> Iterator[tuple[HubFile, ...]]:
    """The GGUF files that are models, each with its other parts; a part that is missing leaves its model out, and so does a
    path that leads out of the model's folder."""
    by_path = {file.path: file for file in files}
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix.casefold() != ".gguf" or not is_model(Path(path.name)) or path.is_absolute() or ".." in path.parts:
            continue
        if split := SPLIT.fullmatch(path.name):
            names = (f"{split['stem']}-{number:05}-of-{split['parts']}.gguf" for number in range(1, int(split["parts"]) + 1))
            parts = [by_path.get(str(path.with_name(name))) for name in names]
            if all(part is not None for part in parts):
                yield tuple(part for part in parts if part is not None)
        else:
            yield (file,)


def _chosen(models: list[HubModel], quantisation: str | None, file: str | None) -> HubModel:
    repo = models[0].repo
    if file is not None:
        found = [model for model in models if file in {each.path for each in model.files}]
        paths = [model.files[0].path for model in models]
        if not found:
            raise ConfigError(f"{repo} has no model {file!r}{did_you_mean(file, paths)}; it has:\n{_list_of(models)}")
        return found[0]
    if quantisation is not None:
        found = [model for model in models if _quantisation_of(model).casefold() == quantisation.casefold()]
        if not found:
            raise ConfigError(f"{repo} has no model of the quantisation {quantisation!r}; it has:\n{_list_of(models)}")
        models = found
    if len(models) > 1:
        raise ConfigError(f"{repo} has several models; choose one of:\n{_list_of(models)}")
    return models[0]


def _with_projector(model: HubModel, files: list[HubFile]) -> HubModel:
    """Return *model* with the file with which it sees, where its folder has one: of several the one of 16 bits."""
    folder = PurePosixPath(model.files[0].path).parent
    beside = [file for file in files if PurePosixPath(file.path).parent == folder and is_projector(Path(file.path))]
    if not beside:
        return model
    chosen = min(beside, key=lambda file: ("f16" not in file.path.casefold().replace("bf16", ""), file.size))
    return model._replace(files=(*model.files, chosen))


def _quantisation_of(model: HubModel) -> str:
    """Return what the file's name, or else its folder's, says of the quantisation."""
    path = PurePosixPath(model.files[0].path)
    for text in (model.name, path.parent.name):
        if match := _QUANTISATION.search(text):
            return match["name"]
    return ""


def _list_of(models: list[HubModel]) -> str:
    """Return the models in lines, the smallest first: how each is asked for, and how large it is."""
    counts = [_quantisation_of(model).casefold() for model in models]
    lines = []
    for model in sorted(models, key=lambda model: model.size):
        quantisation = _quantisation_of(model)
        clear = quantisation and counts.count(quantisation.casefold()) == 1
        reference = f"{HUB}{model.repo}:{quantisation}" if clear else model.source
        lines.append(f"  {reference}  ({model.size / 1e6:,.0f} MB)")
    return "\n".join(lines)


def _licence_of(info: Any) -> str:
    """Return what the model's card says of its licence, or else the tags of the repository."""
    if info.card_data is not None and (licence := info.card_data.get("license")):
        named = info.card_data.get("license_name")
        return str(named if licence == "other" and named else licence)
    tags = (tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:"))
    return next(tags, "")


# ---- fetching


def _library() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError:
        raise ConfigError("models of a hub need its library; run: pip install 'autonomousai[hf]'") from None
    return huggingface_hub


def _check_room(folder: Path, model: HubModel) -> None:
    here = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < model.size - here:
        needed = f"{(model.size - here) / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free"
        raise ConfigError(f"not enough room for {model.name} in {folder}: it needs {needed}")


def _is_right(path: Path, file: HubFile) -> bool:
    """Return whether a file came whole in an earlier fetch."""
    try:
        if path.stat().st_size != file.size:
            return False
        return not file.sha256 or _digest(path) == file.sha256
    except OSError:
        return False


def _fetch(model: HubModel, file: HubFile, path: Path, on_bytes: Callable[[int], None]) -> None:
    """Fetch one file into a part beside it, from where an earlier fetch stopped; whole and checked it gets its name.

    The library's own download begins anew with each run, so its request for a file is used, which can go on."""
    if _is_right(path, file):  # another process fetched it meanwhile
        return
    hub = _library()
    from huggingface_hub.file_download import http_get  # noqa: PLC0415  an optional extra

    hub.utils.disable_progress_bars()  # the command line draws its own
    part = path.with_name(f"{path.name}.{file.sha256[:12] or model.revision[:12]}.part")
    with part.open("ab") as stream, _translated(model.repo):
        http_get(
            hub.hf_hub_url(model.repo, file.path, revision=model.revision),
            cast("BinaryIO", _ToldFile(stream, on_bytes)),
            resume_size=stream.tell(),
            headers=hub.utils.build_hf_headers(library_name="autonomousai", library_version=__version__),
            expected_size=file.size,
        )
    if not _is_right(part, file):
        size = part.stat().st_size
        part.unlink()
        raise ConfigError(
            f"{file.path} that came ({size:,} bytes) has another SHA-256 than the hub states; "
            "it was deleted. Try again, and if it stays so, use another mirror (HF_ENDPOINT)"
        )
    part.replace(path)


class _ToldFile:
    """A file that says how many bytes it has after each write: what the library needs of a file, and no more."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._on_bytes(self._file.tell())
        return written


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _translated(repo: str) -> Iterator[None]:
    """Make what the library raises a `ConfigError` that says what to do."""
    from huggingface_hub import errors  # noqa: PLC0415  an optional extra

    try:
        yield
    except errors.GatedRepoError:
        raise ConfigError(f"the terms of {repo} must be accepted first; do so on its page, and set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(f"there is no repository {repo}, or it is private; check its name, or set HF_TOKEN") from None
    except errors.OfflineModeIsEnabled:
        raise ConfigError(f"{repo} was not asked for: HF_HUB_OFFLINE is set; unset it to fetch models") from None
    except Exception as error:  # the library's HTTP client, and so its errors, are not the same in each version
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the hub could not be asked for {repo} ({said}); check the network, or name a mirror with HF_ENDPOINT, and try "
            "again: what had come is kept"
        ) from None
