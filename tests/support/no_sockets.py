"""A plugin of pytest, ``-p tests.support.no_sockets``: tests that need sockets are left out, and no other opens one.

`make quick` runs with it. A test needs sockets that asks for a server's fixture, or whose module names what makes servers. Any
other that opens one fails, whoever handles the error. An event loop's own pair of sockets is neither bound nor connected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

#: Fixtures of tests/conftest.py, and names in a module.
FIXTURES: Final = {"port", "real_server", "serve", "transport"}
NAMES: Final = {"ChaosProxy", "ScriptedServer", "listening", "serving"}

_opened: list[str] = []


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.bind", "socket.connect"):
        _opened.append(f"{event} {arguments[1]!r}")
        raise RuntimeError(f"{_opened[-1]}: tests of `make quick` use no sockets; see tests/support/no_sockets.py")


def pytest_configure() -> None:
    """Watch, from here to the end of the process."""
    sys.addaudithook(_on_event)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs sockets."""
    config.hook.pytest_deselected(items=[item for item in items if needs_sockets(item)])
    items[:] = [item for item in items if not needs_sockets(item)]


def needs_sockets(item: pytest.Item) -> bool:
    """Return whether a test says that it does."""
    return bool(isinstance(item, pytest.Function) and (FIXTURES & set(item.fixturenames) or NAMES & vars(item.module).keys()))


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    """Fail the test that has used one, also where the error above was handled."""
    _opened.clear()
    yield
    assert [] == _opened
