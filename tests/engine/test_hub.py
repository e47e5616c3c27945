"""Models from a hub: a stand-in that speaks Hugging Face's API over loopback, asked by the real library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autonomousai.engine import library
from autonomousai.engine.hub import HubModel, fetch_hub_model, find_hub_model
from autonomousai.errors import ConfigError
from tests.support.gguf import LLAMA, gguf
from tests.support.hub import REVISION, Hub, hub_standing_in

REPO = "someone/Tiny-GGUF"
TINY = gguf(LLAMA, elements=100_000)
SMALLER = gguf(LLAMA, elements=50_000)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository, and an empty cache."""
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with hub_standing_in() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
        hub.files[REPO] = {"README.md": b"# Tiny", "tiny-Q8_0.gguf": TINY}
        hub.cards[REPO] = {"license": "apache-2.0"}
        yield hub


def fetch(reference: str, *, told: list[tuple[int, int]] | None = None) -> library.InstalledModel:
    found = find_hub_model(reference)
    return fetch_hub_model(found, progress=lambda done, total: None if told is None else told.append((done, total)))


def files_asked(hub: Hub) -> list[tuple[str, str | None]]:
    """The files that were fetched, and from where on."""
    return [(path.rpartition("/")[2], wanted) for method, path, wanted in hub.asked if method == "GET" and "/resolve/" in path]


def test_the_only_model_of_a_repository_is_fetched(hub: Hub) -> None:
    """Checked, registered by its file's name, with the licence of its card; progress ends at its size."""
    told: list[tuple[int, int]] = []
    found = find_hub_model(f"hf:{REPO}")
    model = fetch(f"hf:{REPO}", told=told)

    assert (REPO, REVISION, "apache-2.0", len(TINY)) == (found.repo, found.revision, found.licence, found.size)
    assert ("tiny-Q8_0", TINY, "apache-2.0", f"hf:{REPO}/tiny-Q8_0.gguf", True) == (
        model.name,
        model.path.read_bytes(),
        model.licence,
        model.source,
        model.own,
    )
    assert {"tiny-Q8_0": model} == library.installed_models()
    assert (len(TINY), len(TINY)) == told[-1]
    assert sorted(told) == told
    assert [model.path] == library.remove("tiny-Q8_0")
    assert not model.path.parent.exists()


def test_a_licence_may_stand_in_the_tags_or_have_a_name_of_its_own(hub: Hub) -> None:
    """A card that says no licence; one that says another than the known ones."""
    hub.cards[REPO] = {"tags": ["gguf", "license:mit"]}
    tagged = find_hub_model(f"hf:{REPO}").licence
    hub.cards[REPO] = {"license": "other", "license_name": "tiny-community"}
    named = find_hub_model(f"hf:{REPO}").licence
    hub.cards[REPO] = {}

    assert ("mit", "tiny-community", "") == (tagged, named, find_hub_model(f"hf:{REPO}").licence)


@pytest.fixture
def several(hub: Hub) -> Hub:
    """A repository with several quantisations, one of them split, a projector and a part without its others."""
    hub.files[REPO] = {
        "tiny-Q8_0.gguf": TINY,
        "tiny-Q4_K_M.gguf": SMALLER,
        "BF16/tiny-BF16-00001-of-00002.gguf": TINY,
        "BF16/tiny-BF16-00002-of-00002.gguf": SMALLER,
        "tiny-Q2_K-00001-of-00003.gguf": TINY,
        "mmproj-tiny-F16.gguf": SMALLER,
    }
    return hub


def test_several_models_are_listed_the_smallest_first(several: Hub) -> None:
    """As they can be asked for, with their sizes; what is no whole model is not among them."""
    with pytest.raises(ConfigError) as caught:
        find_hub_model(f"hf:{REPO}")

    assert str(caught.value).splitlines() == [
        f"{REPO} has several models; choose one of:",
        f"  hf:{REPO}:Q4_K_M  (0 MB)",
        f"  hf:{REPO}:Q8_0  (0 MB)",
        f"  hf:{REPO}:BF16  (1 MB)",
    ]


@pytest.mark.parametrize(
    ("reference", "paths"),
    [
        (":q4_k_m", ["tiny-Q4_K_M.gguf", "mmproj-tiny-F16.gguf"]),
        ("/tiny-Q8_0.gguf", ["tiny-Q8_0.gguf", "mmproj-tiny-F16.gguf"]),
        (":BF16", ["BF16/tiny-BF16-00001-of-00002.gguf", "BF16/tiny-BF16-00002-of-00002.gguf"]),
        ("/BF16/tiny-BF16-00001-of-00002.gguf", ["BF16/tiny-BF16-00001-of-00002.gguf", "BF16/tiny-BF16-00002-of-00002.gguf"]),
    ],
)
def test_one_is_chosen_by_quantisation_or_file(reference: str, paths: list[str], several: Hub) -> None:
    """Its parts come along, and what it sees with."""
    assert paths == [file.path for file in find_hub_model(f"hf:{REPO}{reference}").files]


@pytest.mark.parametrize("reference", [":Q5_0", "/tiny-Q8.gguf"])
def test_what_a_repository_does_not_have_is_an_error_that_lists_what_it_has(reference: str, several: Hub) -> None:
    """A quantisation, a file."""
    with pytest.raises(ConfigError, match=rf"has no model (of the quantisation )?'.*'.* it has:\n  hf:{REPO}:Q4_K_M"):
        find_hub_model(f"hf:{REPO}{reference}")


@pytest.mark.parametrize("path", ["../escaped-Q8_0.gguf", "a/../../escaped-Q8_0.gguf", "/tmp/escaped-Q8_0.gguf"])
def test_a_file_that_would_lie_elsewhere_is_no_model(hub: Hub, path: str) -> None:
    """A hub may not choose where on this machine its files are written."""
    hub.files[REPO] = {path: TINY}

    with pytest.raises(ConfigError, match="has no GGUF file"):
        find_hub_model(f"hf:{REPO}")


def test_eyes_come_along(hub: Hub) -> None:
    """The projector of 16 bits in the model's folder; they go with it."""
    files = hub.files[REPO]
    files["mmproj-tiny-Q8_0.gguf"], files["mmproj-tiny-BF16.gguf"], files["mmproj-tiny-f16.gguf"] = b"8", b"b16", b"f16"
    files["other/mmproj-F16.gguf"] = b"other"
    model = fetch(f"hf:{REPO}:Q8_0")
    eyes = model.path.with_name("mmproj-tiny-f16.gguf")

    assert b"f16" == eyes.read_bytes()
    assert eyes == model.read().projector == library.find_projector(model.name)
    assert ["mmproj-tiny-f16.gguf", "tiny-Q8_0.gguf"] == sorted(path.name for path in model.path.parent.glob("*.gguf"))
    assert {eyes, model.path} == set(library.remove(model.name))


def test_all_parts_of_a_split_model_are_fetched(several: Hub) -> None:
    """And are one model."""
    model = fetch(f"hf:{REPO}:BF16")

    assert (2, len(TINY) + len(SMALLER)) == (len(model.read().parts), model.read().size)


def test_a_fetch_that_was_cut_goes_on_where_it_was(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a range; a part that had come whole is not fetched again."""
    hub.files[REPO] = {"tiny-00001-of-00002.gguf": SMALLER, "tiny-00002-of-00002.gguf": TINY}
    found = find_hub_model(f"hf:{REPO}")

    def interrupt(done: int, total: int) -> None:
        if done > len(SMALLER):
            raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    with pytest.raises(KeyboardInterrupt):
        fetch_hub_model(found, progress=interrupt)
    before = library.installed_models()
    hub.asked.clear()
    model = fetch_hub_model(found, progress=lambda done, total: None)

    ((file, wanted),) = files_asked(hub)
    assert {} == before
    assert file == "tiny-00002-of-00002.gguf"
    assert wanted is not None
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) >= 100_000
    assert TINY == model.read().parts[1].read_bytes()


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the library itself, or by the next fetch."""
    hub.cut = 150_000
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    found = find_hub_model(f"hf:{REPO}")
    try:
        model = fetch_hub_model(found, progress=lambda done, total: None)
    except ConfigError:
        model = fetch_hub_model(found, progress=lambda done, total: None)

    assert TINY == model.path.read_bytes()
    assert [None, "bytes=150000-"] == [wanted for _, wanted in files_asked(hub)]


def test_a_file_that_is_not_what_the_hub_states_is_deleted(hub: Hub) -> None:
    """Its SHA-256 tells; nothing is registered."""
    hub.wrong = True

    with pytest.raises(
        ConfigError, match=r"tiny-Q8_0\.gguf that came .* has another SHA-256 than the hub states.*another mirror"
    ):
        fetch(f"hf:{REPO}")
    assert {} == library.installed_models()
    assert [] == list((library.library_directory() / "tiny-Q8_0").glob("*.gguf"))


def test_a_file_that_is_no_model_is_not_registered(hub: Hub) -> None:
    """Whatever its name."""
    hub.files[REPO] = {"tiny-Q8_0.gguf": b"PK\x03\x04"}

    with pytest.raises(ConfigError, match="is not a GGUF file"):
        fetch(f"hf:{REPO}")
    assert {} == library.installed_models()


def test_trouble_with_the_hub_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such repository; terms to be accepted; nothing to fetch; no hub; no wish to ask it."""
    hub.gated.add(REPO)
    found = find_hub_model(f"hf:{REPO}")
    with pytest.raises(ConfigError, match=rf"the terms of {REPO} must be accepted first.*set HF_TOKEN"):
        fetch_hub_model(found, progress=lambda done, total: None)
    with pytest.raises(ConfigError, match=r"there is no repository nobody/nothing.*set HF_TOKEN"):
        find_hub_model("hf:nobody/nothing")
    hub.files[REPO] = {"README.md": b""}
    with pytest.raises(ConfigError, match=r"has no GGUF file.*often named …-GGUF"):
        find_hub_model(f"hf:{REPO}")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=rf"the hub could not be asked for {REPO} .*name a mirror with HF_ENDPOINT"):
        find_hub_model(f"hf:{REPO}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        find_hub_model(f"hf:{REPO}")


@pytest.mark.parametrize("reference", ["hf:", "hf:one", "hf:a/b/c", "hf:a/b:", "hf:../../etc", "hf:a/b/x.txt"])
def test_what_names_no_model_shows_how_one_is_named(reference: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match="write hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE"):
        find_hub_model(reference)


def test_a_disk_too_small_is_told_before_anything_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is needed and what is free."""
    found = find_hub_model(f"hf:{REPO}")
    large = HubModel(found.repo, found.revision, (found.files[0]._replace(size=10**18),), "")
    hub.asked.clear()

    with pytest.raises(ConfigError, match=r"not enough room for tiny-Q8_0 .* needs 1,000,000,000,000 MB"):
        fetch_hub_model(large, progress=lambda done, total: None)
    assert [] == hub.asked
