"""What all tests may share: one server on the real engine, started for the first test that wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.serving import serving

# Random examples take the time that they take: on a busy machine a slow one is no failure.
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The root URL of `autonomousai serve`, with the embedded engine behind the five models."""
    with serving() as running:
        yield running.url
