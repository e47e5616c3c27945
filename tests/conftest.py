"""What all tests may share: one server on the real engine, started for the first test that wants it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.serving import serving

# Random examples take the time that they take: on a busy machine a slow one is no failure.
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

# A shell without job control starts what runs in its background with Ctrl-C ignored, and the programs under test inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The root URL of `autonomousai serve`, with the embedded engine behind the five models."""
    with serving() as running:
        yield running.url
