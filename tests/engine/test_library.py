"""The models of this machine: registered, in a folder, in the stores of Ollama and LM Studio. No network and no engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autonomousai.engine import library
from autonomousai.errors import ConfigError
from autonomousai.models import DEFAULT_WEIGHTS, WEIGHTS
from tests.support.gguf import write_gguf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with nothing in it, and a cache."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def in_ollama(root: Path, manifest: str, digest: str = "ab12", *, layer: str = "application/vnd.ollama.image.model") -> Path:
    """Put a model into an Ollama store; return its blob."""
    blob = write_gguf(root / "blobs" / f"sha256-{digest}")
    path = root / "manifests" / manifest
    path.parent.mkdir(parents=True, exist_ok=True)
    other = {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:00", "size": 1}
    path.write_text(json.dumps({"schemaVersion": 2, "layers": [other, {"mediaType": layer, "digest": f"sha256:{digest}"}]}))
    return blob


def test_nothing_is_installed_at_first() -> None:
    """And that is no error."""
    assert {} == library.installed_models()


def test_fetched_weights_are_installed(tmp_path: Path) -> None:
    """By their row's name, with its licence."""
    row = WEIGHTS[DEFAULT_WEIGHTS]
    path = tmp_path / "cache/weights" / row.file
    path.parent.mkdir(parents=True)
    path.touch()
    os.truncate(path, row.size)

    (model,) = library.installed_models().values()

    assert (row.name, path, "Apache-2.0", True) == (model.name, model.path, model.licence, model.own)
    assert ([path], False) == (library.remove(row.name), path.exists())
    assert {} == library.installed_models()


def test_a_file_is_registered_where_it_is(tmp_path: Path) -> None:
    """It is not copied, is found by its name, and outlives its removal."""
    path = write_gguf(tmp_path / "My Model-Q8_0.gguf")
    model = library.add_file(path)
    found = library.installed_models()

    assert ({"My-Model-Q8_0": model}, path, "mit") == (found, model.path, model.licence)
    assert (path, "My-Model-Q8_0") == (library.find_weights("My-Model-Q8_0"), library.name_of("My-Model-Q8_0"))
    assert ([], True) == (library.remove("My-Model-Q8_0"), path.exists())
    assert {} == library.installed_models()


def test_a_copy_is_the_librarys_own(tmp_path: Path) -> None:
    """All its parts are copied, and are deleted with it; what was copied stays."""
    parts = [write_gguf(tmp_path / f"big-{number:05}-of-00002.gguf") for number in (1, 2)]
    model = library.add_file(parts[0], name="mine", copy=True)
    read = model.read()
    deleted = library.remove("mine")

    assert ("mine", True, tmp_path / "cache/models/mine/big-00001-of-00002.gguf") == (model.name, model.own, model.path)
    assert list(read.parts) == deleted
    assert not model.path.exists()
    assert all(part.exists() for part in parts)


def test_a_name_is_one_models(tmp_path: Path) -> None:
    """The same file may be registered again; another may not take its name, nor one of the package's own."""
    first, second = write_gguf(tmp_path / "a/m.gguf"), write_gguf(tmp_path / "b/m.gguf")
    library.add_file(first)
    library.add_file(first)

    with pytest.raises(
        ConfigError, match=r"there is a model 'm' already, from .*a/m\.gguf; give this one another name with --name"
    ):
        library.add_file(second)
    for taken in ("llama", "hermes-3", "smollm2-135m"):
        with pytest.raises(ConfigError, match="is the name of another model"):
            library.add_file(second, name=taken)
    with pytest.raises(ConfigError, match="can be no name"):
        library.add_file(second, name="../..")
    assert "n" == library.add_file(second, name="n").name


def test_what_is_no_model_is_not_registered(tmp_path: Path) -> None:
    """Its head is looked at first."""
    path = tmp_path / "text.gguf"
    path.write_text("hello")

    with pytest.raises(ConfigError, match=r"text\.gguf is not a GGUF file"):
        library.add_file(path)
    assert {} == library.installed_models()


def test_a_folder_of_files_is_served_by_their_names(tmp_path: Path) -> None:
    """And of the folders in it; no projectors, one name for the parts of a split one, a path where two share a name."""
    for name in (
        "a.gguf",
        "sub/b.gguf",
        "sub/a.gguf",
        "c-00001-of-00002.gguf",
        "c-00002-of-00002.gguf",
        "mmproj-a.gguf",
        "x.txt",
    ):
        write_gguf(tmp_path / "dir" / name)

    found = library.installed_models(str(tmp_path / "dir"))

    assert ["a", "c", "b", "sub/a"] == list(found) or {"a", "b", "c", "sub/a"} == set(found)
    assert tmp_path / "dir/sub/a.gguf" == found["sub/a"].path
    with pytest.raises(ConfigError, match=r"'a' is not the library's own: it is in .*dir; delete .*dir/a\.gguf"):
        library.remove("a", str(tmp_path / "dir"))


@pytest.mark.parametrize(("made", "problem"), [(False, "is not there"), (True, "is no folder")])
def test_a_folder_that_is_none_is_an_error(made: bool, problem: str, tmp_path: Path) -> None:
    """The key is named."""
    if made:
        (tmp_path / "dir").touch()

    with pytest.raises(ConfigError, match=rf"engine\.models_dir: .*{problem}"):
        library.installed_models(str(tmp_path / "dir"))


def test_ollamas_models_are_offered(home: Path) -> None:
    """By the names that Ollama shows: without its own host, namespace and tag; they are not installed."""
    store = home / ".ollama/models"
    blob = in_ollama(store, "registry.ollama.ai/library/llama3.2/1b")
    in_ollama(store, "registry.ollama.ai/library/phi/latest", "cd34")
    in_ollama(store, "registry.ollama.ai/someone/tuned/q4", "ef56")
    in_ollama(store, "hf.co/someone/Model-GGUF/Q4_K_M", "ff01")

    offered = library.offered_models()

    assert {
        "ollama:llama3.2:1b",
        "ollama:phi",
        "ollama:someone/tuned:q4",
        "ollama:hf.co/someone/Model-GGUF:Q4_K_M",
    } == set(offered)
    assert (blob, "Ollama", True) == (
        offered["ollama:llama3.2:1b"].path,
        offered["ollama:llama3.2:1b"].source,
        offered["ollama:llama3.2:1b"].offered,
    )
    assert {} == library.installed_models()
    assert blob == library.find_weights("ollama:llama3.2:1b")
    with pytest.raises(ConfigError, match="remove it with that program"):
        library.remove("ollama:llama3.2:1b")


def test_ollamas_store_names_the_eyes_of_a_model(home: Path) -> None:
    """They stay its own when the model is registered under another name."""
    store = home / ".ollama/models"
    blob = in_ollama(store, "registry.ollama.ai/library/llava/latest")
    manifest = store / "manifests/registry.ollama.ai/library/llava/latest"
    document = json.loads(manifest.read_text())
    eyes = store / "blobs/sha256-ee01"
    document["layers"].append({"mediaType": "application/vnd.ollama.image.projector", "digest": "sha256:ee01"})
    manifest.write_text(json.dumps(document))
    without = library.find_projector("ollama:llava")  # the blob is not there
    eyes.write_bytes(b"eyes")
    library.register("mine", blob, "ollama:llava", projector=eyes)

    assert without is None
    assert eyes == library.find_projector("ollama:llava") == library.find_projector("mine")


def test_a_copy_has_its_eyes(tmp_path: Path) -> None:
    seeing = write_gguf(tmp_path / "m/seeing.gguf")
    seeing.with_name("mmproj.gguf").write_bytes(b"eyes")
    model = library.add_file(seeing, name="mine", copy=True)

    assert model.path.with_name("mmproj.gguf") == library.find_projector("mine")


def test_ollamas_store_may_be_elsewhere(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OLLAMA_MODELS says where."""
    in_ollama(home / ".ollama/models", "registry.ollama.ai/library/old/latest")
    in_ollama(tmp_path / "elsewhere", "registry.ollama.ai/library/new/latest")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "elsewhere"))

    assert ["ollama:new"] == list(library.offered_models())


@pytest.mark.parametrize(
    "manifest",
    [
        "no JSON",
        "[]",
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../secret"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:absent"}]}',
        '{"layers": []}',
    ],
)
def test_a_manifest_that_names_no_blob_offers_nothing(manifest: str, home: Path) -> None:
    """Broken, pointing outside, or of a model in the cloud."""
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/odd/latest"
    path.parent.mkdir(parents=True)
    path.write_text(manifest)
    write_gguf(home / ".ollama/secret")

    assert {} == library.offered_models()


def test_lm_studios_models_are_offered(home: Path) -> None:
    """From its folder of now and the one of before, each once."""
    new = write_gguf(home / ".lmstudio/models/someone/Repo-GGUF/model-Q4.gguf")
    write_gguf(home / ".cache/lm-studio/models/someone/Old-GGUF/old.gguf")
    (home / ".cache/lm-studio/models/someone/Old-GGUF/link.gguf").symlink_to(new)
    write_gguf(home / ".lmstudio/models/someone/Repo-GGUF/mmproj-model.gguf")

    offered = library.offered_models()

    assert {"lmstudio:model-Q4": new, "lmstudio:old": home / ".cache/lm-studio/models/someone/Old-GGUF/old.gguf"} == {
        name: model.path for name, model in offered.items()
    }


def test_an_unknown_model_names_those_there_are(tmp_path: Path) -> None:
    """And the one that was probably meant."""
    library.add_file(write_gguf(tmp_path / "tiny.gguf"))

    with pytest.raises(ConfigError, match=r"no model 'tinny' on this machine; there are: tiny; did you mean tiny\?"):
        library.find_model_file("tinny")


def test_an_entry_that_cannot_be_read_is_no_model(tmp_path: Path) -> None:
    """It may have been written by another version."""
    directory = tmp_path / "cache/models"
    directory.mkdir(parents=True)
    (directory / "odd.json").write_text("{}")
    (directory / "odder.json").write_text("nothing")

    assert {} == library.installed_models()


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file stands where the cache should be."""
    path = write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "cache").write_text("")

    with pytest.raises(ConfigError, match=r"cannot write to .*set AUTONOMOUSAI_CACHE to another directory"):
        library.add_file(path)
