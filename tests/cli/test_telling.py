"""A failed request is told to who typed it in words for them: no Python, and a next step."""

from __future__ import annotations

import re

import pytest

from autonomousai.cli.errors import in_words
from autonomousai.errors import (
    ConnectError,
    IncompleteStreamError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.wires.foreign_errors import read_error

ERRORS: list[tuple[ProviderError, str]] = [
    (TimeoutError("idle", 30), "no further event within 30 s; the server is slow, or hangs; try again"),
    (
        IncompleteStreamError(),
        "the stream ended without a finish reason or other proof of its end: the answer may be cut; try again",
    ),
    (StreamError("the server sent an error inside the stream: full"), "the server sent an error inside the stream: full"),
    (read_error(503, b"", {}), "the server answered 503 Service Unavailable; the fault is the server's: try again later"),
    (StatusError("nothing more to say", status=500), "nothing more to say"),
    (ConnectError("cannot connect to http://x; check it"), "cannot connect to http://x; check it"),
    (ModelNotFoundError("x", ["llama"]), "model 'x' is not supported; the models are: llama"),
]


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_words(error: ProviderError, words: str) -> None:
    """What happened and what to do, and neither attributes nor keyword arguments."""
    assert words == in_words(error)
    assert not re.search(r"\.partial|timeout=|\{", in_words(error))
