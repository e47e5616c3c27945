"""A plugin of pytest, ``-p tests.support.no_sockets``: a test that binds or connects a socket fails, whoever handles the error.

`make quick` runs with it. An event loop's own pair of sockets is neither bound nor connected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

_opened: list[str] = []


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.bind", "socket.connect"):
        _opened.append(f"{event} {arguments[1]!r}")
        raise RuntimeError(f"{_opened[-1]}: tests of `make quick` use no sockets")


def pytest_configure() -> None:
    """Watch, from here to the end of the process."""
    sys.addaudithook(_on_event)


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    """Fail the test that has used one, also where the error above was handled."""
    _opened.clear()
    yield
    assert [] == _opened
