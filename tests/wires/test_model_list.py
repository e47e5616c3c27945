"""Lists of models in every shape that servers send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import StreamError
from autonomousai.wires.model_list import read_model_list

ENTRIES: list[Any] = [{"id": "a"}, {"id": "b", "aliases": ["c", 1], "owned_by": "vllm"}]


@pytest.mark.parametrize(
    "document",
    [
        {"object": "list", "data": ENTRIES},
        {"data": ENTRIES, "models": [{"name": "other"}]},
        {"models": ENTRIES},
        {"data": None, "models": ENTRIES},
        ENTRIES,
        {"models": [{"name": "a"}, {"model": "b"}]},
        {"models": {"a": {"size": 1}, "b": None}},
        ["a", "b"],
        {"data": ["a", {"id": "b"}]},
        [{"id": None, "name": "a"}, {"id": "", "model": "b"}],
        [{"id": "a"}, {}, None, 7, [], {"id": 1}, {"name": " "}, {"id": "b"}, {"id": "a"}],
    ],
    ids=repr,
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \n"])
def test_a_list_is_read(document: Any, mark: bytes) -> None:
    """An object or a bare array, names under any key, odd entries left out, each model once."""
    models = read_model_list(mark + json.dumps(document).encode())

    assert ["a", "b"] == [model.id for model in models]


def test_what_is_said_of_a_model_is_kept() -> None:
    """Its aliases and its owner, as far as they are such, and all that is not known."""
    (model,) = read_model_list(json.dumps([{"id": "b", "aliases": ["c", 1], "owned_by": "vllm", "x": 1}]).encode())

    assert (["c"], "vllm", 1) == (model.aliases, model.owned_by, model.fields["x"])


@pytest.mark.parametrize("document", [{"data": []}, {"models": []}, {"data": None}, {"models": {}}, []], ids=repr)
def test_an_empty_list_is_one(document: Any) -> None:
    """A server may have no models."""
    assert [] == read_model_list(json.dumps(document).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"7", b"{}", b'{"error": "no"}', b"\xff\xfe[\0]\0", b"[" * 9999])
def test_what_is_no_list_is_said(body: bytes) -> None:
    """A StreamError that says what cannot be read."""
    with pytest.raises(StreamError, match="list of models cannot be read"):
        read_model_list(body)
