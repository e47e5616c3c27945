"""`autonomousai serve` as its users start it: a process of its own, on a port of its own, found by its `listening on` line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple


class Serving(NamedTuple):
    """A running server: its root URL, and its process."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def serving(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Serve until the block is left; then SIGTERM, and the exit code must be 0. What it said is shown when it fails."""
    command = [sys.executable, "-m", "autonomousai", "serve", "--port", "0", *arguments]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, **(env or {})}) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                process.wait(60)
                said.seek(0)
                raise AssertionError(f"the server did not start: {line}{said.read()}")
            yield Serving(line.removeprefix("listening on ").strip(), process)
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            said.seek(0)
            assert 0 == code, said.read()
        finally:
            process.kill()
