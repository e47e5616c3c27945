"""`make quick`: its list names what there is, and a test that opens a socket does not pass in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

BIND = "import socket\n\n\ndef test_it():\n    socket.socket().bind(('127.0.0.1', 0))\n"
HANDLED = """import contextlib
import socket


def test_it():
    with contextlib.suppress(Exception):
        socket.create_connection(("127.0.0.1", 9))
"""
LOOP = "async def test_it():\n    pass\n"


def test_its_list_names_what_there_is() -> None:
    """And the command runs it without sockets."""
    paths = re.findall(r"^QUICK := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)[0].replace("\\\n", " ").split()

    assert [] == [path for path in paths if not (ROOT / path).exists()]
    assert "-p tests.support.no_sockets $(QUICK)" in MAKEFILE


@pytest.mark.parametrize(("text", "says"), [(BIND, "1 failed"), (HANDLED, "1 error"), (LOOP, "1 passed")])
def test_a_test_that_opens_a_socket_fails(text: str, says: str, tmp_path: Path) -> None:
    """Also where it handles the error; an event loop is none of it."""
    file = tmp_path / "test_it.py"
    file.write_text(text, encoding="utf-8")
    config = ("-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider", "-p", "tests.support.no_sockets")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *config, file], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert says in done.stdout
