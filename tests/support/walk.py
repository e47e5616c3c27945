"""A reader with a shell, who follows a page of the documentation as it stands: its files, its commands, its servers.

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

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ELSEWHERE = ("make ", "pip install ", ". .venv/")


class Walk:
    """A folder, exported variables, at most one server. ``said``: what each command printed."""

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
        (programs / "pytest").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest -q -p no:cacheprovider "$@"\n')
        (programs / "autonomousai").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m autonomousai "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTONOMOUSAI_")}
        self.env = {**clean, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "AUTONOMOUSAI_HISTORY": "off"}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._here(text), encoding="utf-8")

    def change(self, name: str, diff: str) -> None:
        """Apply a unified diff whose parts, separated by ``@@``, name lines by their surroundings alone."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        for part in diff.split("@@\n"):
            lines = [(line[:1] or " ", line[1:] + "\n") for line in part.splitlines()]
            before = "".join(line for sign, line in lines if sign in " -")
            assert 1 == text.count(before), f"{name} has this {text.count(before)} times:\n{before}"
            text = text.replace(before, "".join(line for sign, line in lines if sign in " +"))
        path.write_text(text, encoding="utf-8")

    def run(self, command: str) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.env[name] = value
        elif command.startswith("autonomousai serve"):
            self._serve(command)
        elif not f"{command} ".startswith(ELSEWHERE):
            done = subprocess.run(
                ["sh", "-c", self._here(command)],
                cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=5 * PATIENCE,
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


def follow(walk: Walk, text: str) -> None:
    """Do what each block of a page says, in its order: with a title it is a file, or a change of one; ``sh`` is commands."""
    for language, title, block in BLOCK.findall(text):
        if language == "diff":
            walk.change(title, block)
        elif title:
            walk.write(title, block)
        elif language == "sh":
            for command in block.splitlines():
                walk.run(command)
        else:
            raise AssertionError(f"nobody knows what to do with this: {language}\n{block}")


@contextmanager
def walking(folder: Path) -> Iterator[Walk]:
    walk = Walk(folder)
    try:
        yield walk
    finally:
        walk.stop()
