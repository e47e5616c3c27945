"""What an answer can be checked against, written and checked."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from autonomousai.report import Attempt, Report, Splice
from autonomousai.wires.provenance import check_provenance, make_provenance, provenance_of_document

REPORT = Report("b", [Attempt("a", "cut", 200, 3), Attempt("b", "ok", 200, 5)], [Splice(4, "a", "b")])


def test_it_has_the_contracts_shape() -> None:
    """upstream, attempts, splices, length in characters, sha256 in hex over the UTF-8."""
    written = msgspec.json.decode(msgspec.json.encode(make_provenance(REPORT, "héllo 👋")))

    assert written == {
        "upstream": "b",
        "attempts": [
            {"upstream": "a", "outcome": "cut", "status": 200, "ms": 3},
            {"upstream": "b", "outcome": "ok", "status": 200, "ms": 5},
        ],
        "splices": [{"offset": 4, "from": "a", "to": "b"}],
        "length": 7,
        "sha256": "241bff4036211b66e25dc44c43c7305feb99e7a62b953f03c3597ad0593c508f",
    }


@pytest.mark.parametrize("text", ["", "Hello", "héllo 👋", "a\r\n\x00b"])
def test_what_was_written_is_believed(text: str) -> None:
    """The same text passes, any other one does not."""
    evidence = make_provenance(REPORT, text)

    assert check_provenance(evidence, text) is None
    mismatch = check_provenance(evidence, text + "x")
    assert mismatch is not None
    assert mismatch.code == "checksum_mismatch"


@pytest.mark.parametrize("evidence", [{}, {"sha256": None}, {"sha256": 3, "length": "x"}, {"length": 99}])
def test_what_is_not_said_is_not_checked(evidence: dict[str, Any]) -> None:
    """Another server's object of the same name breaks nothing."""
    assert check_provenance(evidence, "Hello") is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps({"x_autonomousai": {"length": 3}}), {"length": 3}),
        (json.dumps({"choices": []}), None),
        ('{"x_autonomousai": 3}', None),
        ('{"x_autonomousai"', None),
    ],
)
def test_a_document_carries_it_too(body: str, expected: dict[str, Any] | None) -> None:
    """It is found in a document, and what is no object is none."""
    assert expected == provenance_of_document(body.encode())
