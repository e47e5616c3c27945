"""The tutorial, walked through as it stands: its files are written, its commands run by a shell, its servers started.

Left out: `make` and `pip` (other tests install), and activating an environment (the tests' is active). The port is a free one.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import PATIENCE

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs/tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ELSEWHERE = ("make ", "pip install ", ". .venv/")


class Walk:
    """A newcomer with a shell: an empty folder, exported variables, at most one server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self._server: subprocess.Popen[str] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        programs = folder / "bin"
        programs.mkdir()
        (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (programs / "autonomousai").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m autonomousai "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTONOMOUSAI_")}
        self.env = {**clean, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "AUTONOMOUSAI_HISTORY": "off"}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._here(text), encoding="utf-8")

    def run(self, command: str) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.env[name] = value
        elif command.startswith("autonomousai serve"):
            self._serve(command)
        elif not f"{command} ".startswith(ELSEWHERE):
            done = subprocess.run(
                ["sh", "-c", self._here(command)],
                cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
            assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
            self.said.append(done.stdout)

    def _serve(self, command: str) -> None:
        self.stop()
        words = [*command.split(), "--port", self._port]
        self._server = subprocess.Popen(
            words, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            executable=self.folder / "bin/autonomousai",
        )  # fmt: skip
        assert self._server.stdout is not None
        assert select.select([self._server.stdout], [], [], PATIENCE)[0], "the server does not say that it listens"
        assert self._server.stdout.readline().startswith("listening on http://")

    def stop(self) -> None:
        """Ctrl-C: the server lets running answers end, and ends well."""
        if self._server is not None:
            server, self._server = self._server, None
            server.send_signal(signal.SIGINT)
            try:
                assert server.wait(PATIENCE) in (0, 130)
            finally:
                server.kill()
                assert server.stdout is not None
                server.stdout.close()

    def _here(self, text: str) -> str:
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")


@contextmanager
def walking(folder: Path) -> Iterator[Walk]:
    walk = Walk(folder)
    try:
        yield walk
    finally:
        walk.stop()


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    """Every file and command in its order; and it shows what it says that it shows."""
    with walking(tmp_path) as walk:
        for language, title, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
            if title:
                walk.write(title, text)
            else:
                assert "sh" == language
                for command in text.splitlines():
                    walk.run(command)
        said = "\n".join(walk.said)

    assert '"reason":"length"' in said
    assert "whole: " in said
    assert re.search(r"'upstream': 'better', 'outcome': 'connect_error'.*'upstream': 'embedded', 'outcome': 'ok'", said)
