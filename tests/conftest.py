"""What all tests may share: one server on the real engine, started for the first test that wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.serving import serving


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The root URL of `autonomousai serve`, with the embedded engine behind the five models."""
    with serving() as running:
        yield running.url
