"""What a model's file says of itself: heads made here, and the real one. And how much memory a model takes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from autonomousai.engine import weights
from autonomousai.engine.gguf import read_head
from autonomousai.engine.memory import fitting_context, memory_limit, memory_needed, read_size
from autonomousai.engine.model_file import is_model, read_model_file, stem_of
from autonomousai.errors import ConfigError
from autonomousai.models import DEFAULT_WEIGHTS, WEIGHTS
from tests.support.gguf import LLAMA, gguf, write_gguf


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    """Name, quantisation, context, licence and size; a token takes a key and a value of two bytes a number in each layer."""
    path = write_gguf(tmp_path / "tiny.gguf")

    model = read_model_file(path)

    assert ("Tiny", "llama", "Q8_0", 1000, "mit") == (
        model.name,
        model.architecture,
        model.quantisation,
        model.context,
        model.licence,
    )
    assert (64, 3, path.stat().st_size, (path,)) == (model.parameters, model.vocabulary, model.size, model.parts)
    assert 2 * 1 * (8 + 8) * 2 == model.cached
    assert [] == model.abilities


def test_the_real_weights_say_what_they_are() -> None:
    """The file that the engine has by default ends where its head says."""
    path = weights.pull(DEFAULT_WEIGHTS)

    model = read_model_file(path)

    assert WEIGHTS[DEFAULT_WEIGHTS].size == read_head(path).end == model.size
    assert ("llama", "Q4_1", 8192, "apache-2.0", 134_515_008) == (
        model.architecture,
        model.quantisation,
        model.context,
        model.licence,
        model.parameters,
    )
    assert 30 * 3 * 128 * 2 == model.cached


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tokenizer__chat_template": "{% if tools %}{% endif %}"}, ["tools"]),
        ({"tokenizer__chat_template": "<think>{{ tools }}"}, ["tools", "reasoning"]),
        ({"tokenizer__ggml__tokens": ("a", "<|fim_prefix|>")}, ["fill-in"]),
        ({"tokenizer__ggml__fim_pre_token_id": 7}, ["fill-in"]),
        ({"general__architecture": "bert"}, ["embeddings"]),
        ({"llama__pooling_type": 1}, ["embeddings"]),
        ({"llama__pooling_type": 0}, []),
    ],
)
def test_abilities_are_read_from_the_head(changes: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    """The template, the vocabulary, the architecture and the pooling tell."""
    assert expected == read_model_file(write_gguf(tmp_path / "tiny.gguf", **changes)).abilities


def test_heads_that_differ_by_layer_are_counted_by_layer(tmp_path: Path) -> None:
    """Some layers have no cache at all."""
    path = write_gguf(tmp_path / "tiny.gguf", llama__attention__head_count_kv=(1, 0, 2), llama__attention__key_length=4)

    assert 3 * (4 + 8) * 2 == read_model_file(path).cached


@pytest.mark.parametrize("missing", [1, 255])
def test_a_file_that_was_cut_is_refused(missing: int, tmp_path: Path) -> None:
    """Its head says how long it is; the message says both."""
    path = tmp_path / "cut.gguf"
    whole = gguf(LLAMA)
    path.write_bytes(whole[:-missing])

    with pytest.raises(ConfigError, match=rf"cut\.gguf is cut: it has {len(whole) - missing:,} bytes of {len(whole):,}"):
        read_model_file(path)


@pytest.mark.parametrize("length", [*range(0, 400, 23), 5000])
def test_a_head_that_was_cut_is_refused(length: int, tmp_path: Path) -> None:
    """Wherever it ends."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(gguf(LLAMA)[:length])

    with pytest.raises(ConfigError, match="is not a GGUF file that can be read"):
        read_model_file(path)


@pytest.mark.parametrize(
    "broken",
    [
        gguf({"general.alignment": 0}),
        gguf({"general.alignment": "x"}),
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", 1)
        + b"k"
        + struct.pack("<I", 9)
        + struct.pack("<IQ", 9, 1) * 9999,
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63),
    ],
    ids=["no alignment", "alignment in words", "nested", "endless list", "endless text"],
)
def test_a_head_that_makes_no_sense_is_refused(broken: bytes, tmp_path: Path) -> None:
    """It is an error of the file, never of ours."""
    path = tmp_path / "broken.gguf"
    path.write_bytes(broken)

    with pytest.raises(ConfigError, match=r"broken\.gguf is not a GGUF file that can be read"):
        read_model_file(path)


@pytest.mark.parametrize("changes", [{"general__architecture": "clip"}, {"general__type": "adapter"}])
def test_a_part_of_a_model_is_no_model(changes: dict[str, Any], tmp_path: Path) -> None:
    """A projector, an adapter."""
    with pytest.raises(ConfigError, match="holds no complete model"):
        read_model_file(write_gguf(tmp_path / "part.gguf", **changes))


def test_the_parts_of_a_split_model_are_one(tmp_path: Path) -> None:
    """The first stands for all; one that is missing is named."""
    paths = [write_gguf(tmp_path / f"big-{number:05}-of-00003.gguf") for number in (1, 2, 3)]

    model = read_model_file(paths[0])
    paths[2].unlink()

    assert (tuple(paths), 3 * paths[0].stat().st_size) == (model.parts, model.size)
    assert "big" == stem_of(paths[0])
    assert [True, False] == [is_model(path) for path in paths[:2]]
    with pytest.raises(ConfigError, match=r"big-00003-of-00003\.gguf cannot be read"):
        read_model_file(paths[0])
    with pytest.raises(ConfigError, match="is not the first part of its model"):
        read_model_file(paths[1])


def test_a_projector_belongs_to_the_model_beside_it(tmp_path: Path) -> None:
    """The only one in a model's folder; among several models the one that bears the name."""
    model = write_gguf(tmp_path / "sees.gguf")
    projector = write_gguf(tmp_path / "mmproj-F16.gguf", general__architecture="clip")
    alone = read_model_file(model).projector
    other = write_gguf(tmp_path / "blind.gguf")
    unclear = read_model_file(model).projector
    named = write_gguf(tmp_path / "mmproj-sees-F16.gguf", general__architecture="clip")

    assert (projector, None) == (alone, unclear)
    assert (named, None) == (read_model_file(model).projector, read_model_file(other).projector)
    assert not is_model(projector)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8 GB", 8 * 10**9), ("6GiB", 6 * 2**30), ("500m", 500 * 10**6), ("1.5 kB", 1500), ("12345", 12345), ("2 TiB", 2 * 2**40)],
)
def test_sizes_have_units(text: str, size: int) -> None:
    """Powers of ten, or of two with an i."""
    assert size == read_size(text) == memory_limit(text)


@pytest.mark.parametrize("text", ["", "much", "8 XB", "-1 GB", "0", "0 GB", "1e9", "i"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """The message shows how one is written."""
    with pytest.raises(ValueError, match="write bytes with a unit, such as '8 GB'"):
        read_size(text)


def test_a_model_has_the_context_that_it_was_trained_with(tmp_path: Path) -> None:
    """Where memory is plenty; more would be of no use to it."""
    model = read_model_file(write_gguf(tmp_path / "tiny.gguf"))

    assert 768 == fitting_context(model, slots=4, memory=10**9)


def test_a_context_fits_into_the_memory(tmp_path: Path) -> None:
    """Half of the memory is left to other models, unless too little would be left for this one; and the need says so."""
    path = write_gguf(tmp_path / "long.gguf", llama__context_length=10**6, llama__embedding_length=4096)
    model = read_model_file(path)
    bare = memory_needed(model, slots=2, context=0)
    contexts = [
        fitting_context(model, slots=2, memory=memory) for memory in (10**10, bare * 12, bare + 2 * model.cached * 1000)
    ]

    assert all(context % 256 == 0 for context in contexts)
    assert (
        memory_needed(model, slots=2, context=contexts[0])
        <= 5 * 10**9
        < memory_needed(model, slots=2, context=contexts[0] + 256)
    )
    assert 4096 <= contexts[1] < contexts[0] < 10**6
    assert 768 == contexts[2]


def test_a_model_that_does_not_fit_at_all_says_what_it_needs(tmp_path: Path) -> None:
    """In megabytes, with what may be changed."""
    model = read_model_file(write_gguf(tmp_path / "long.gguf"))

    with pytest.raises(ConfigError, match=r"long\.gguf needs at least 8\d MB of memory with 4 slots, and may take 50 MB"):
        fitting_context(model, slots=4, memory=50_000_000)
