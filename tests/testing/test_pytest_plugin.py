"""The fixtures in pytest's own hands: in a project of their own, with no other plugin unless it is named."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autonomousai.testing import Double, Script, scripted

ROOT = Path(__file__).parents[2]
PLUGIN = "pytest_autonomousai"

HEAD = """
import asyncio
import json
import urllib.request

import pytest

UPSTREAM = {url!r}

def ask(url, text="Hello"):
    body = {{"stream": True, "messages": [{{"role": "user", "content": text}}]}}
    headers = {{"Authorization": "Bearer sk-not-to-be-written-down", "Content-Type": "application/json", "Connection": "close"}}
    request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return "world" if b" world" in answer.read() else ""
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def upstream() -> Iterator[Double]:
    """What is recorded."""
    with scripted(Script.stream("Hello", " world")) as double:
        yield double


@pytest.fixture
def run(tmp_path: Path, upstream: Double) -> Run:
    """Write a test file, run pytest over it, and return its exit code and what it printed."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    def run(text: str, *options: str, plugin: str = PLUGIN, **more: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(HEAD.format(url=f"{upstream.url}/v1") + text)
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", **more}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", plugin, *options]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


RECORDED = """
def test_hello(recorded_llm):
    assert "world" == ask(recorded_llm(UPSTREAM).url)
"""


def test_a_test_is_recorded_once_and_replayed_from_then_on(run: Run, upstream: Double, tmp_path: Path) -> None:
    """Into a folder beside its file, without the key; a flag records it again."""
    results = [run(RECORDED, *options) for options in ((), (), ("--record-mode", "none"), ("--record-mode", "all"))]
    path = tmp_path / "recordings/test_it/test_hello.toml"

    assert [0] * 4 == [code for code, _ in results], results
    assert 2 == len(upstream.requests)
    assert "not-to-be-written" not in path.read_text(encoding="utf-8")


def test_a_missing_recording_says_how_to_record_it(run: Run, upstream: Double) -> None:
    """Where none may be made, as in CI."""
    code, printed = run(RECORDED, "--record-mode", "none")

    assert 1 == code
    assert "there is no recording recordings/test_it/test_hello.toml, and --record-mode none makes none" in printed
    assert "pytest 'test_it.py::test_hello' --record-mode once" in printed
    assert [] == upstream.requests


def test_a_test_that_fails_records_nothing(run: Run, tmp_path: Path) -> None:
    """Else its failure would be replayed; the report shows what the server saw."""
    code, printed = run(RECORDED.replace("world", "else"))

    assert 1 == code
    assert "0. POST /v1/chat/completions -> 200" in printed
    assert not (tmp_path / "recordings").exists()


def test_a_request_that_was_not_recorded_fails_the_test(run: Run) -> None:
    """Even if the code under test swallowed the error: with what differs, and what to do."""
    run(RECORDED)
    code, printed = run(
        """
def test_hello(recorded_llm):
    try:
        ask(recorded_llm(UPSTREAM).url, "Goodbye")
    except Exception:
        pass
"""
    )

    assert 1 == code
    assert '-      "content": "Hello",\n+      "content": "Goodbye",' in printed
    assert "record the test again: pytest 'test_it.py::test_hello' --record-mode all" in printed


def test_the_seed_is_shown_on_failure_and_can_be_given(run: Run) -> None:
    """The same seed has the same faults."""
    text = """
from autonomousai.testing import Chaos

def test_it(scripted_llm):
    llm = scripted_llm(chaos=Chaos(rate=1, among=["cut", "half_event", "cut_in_order"]))
    try:
        ask(llm.url)
    except Exception:
        pass
    assert False, [str(strike) for strike in llm.chaos.strikes]
"""
    code, printed = run(text)
    seed = printed.partition("--llm-chaos-seed ")[2].split()[0]
    again = [run(text, "--llm-chaos-seed", seed)[1] for _ in range(2)]

    assert 1 == code
    assert f"drawn by the seed {seed}" in printed
    told = [[line for line in shown.splitlines() if line.startswith("E       Assert")] for shown in (printed, *again)]
    assert told == [told[0]] * 3
    assert told[0]


def test_sync_async_and_distributed_tests(run: Run, upstream: Double, tmp_path: Path) -> None:
    """Under xdist each test has its own servers and files, whatever its parameters; asyncio needs no plugin of its own here."""
    text = """

@pytest.mark.parametrize("text", ["a", "b", "a/b", "a b", "ü" * 90])
def test_many(recorded_llm, text):
    assert "world" == ask(recorded_llm(UPSTREAM).url, text)

class TestGroup:
    def test_async(self, recorded_llm):
        llm = recorded_llm(UPSTREAM)

        async def main():
            said = await asyncio.to_thread(ask, llm.url)
            await llm.aassert_nothing_open()
            return said

        assert "world" == asyncio.run(main())

    def test_two_upstreams(self, recorded_llm):
        first, second = recorded_llm(UPSTREAM), recorded_llm(UPSTREAM)
        assert ask(first.url, "1") == ask(second.url, "2")
        assert ask(recorded_llm(UPSTREAM, name="shared").url, "3")
"""
    results = [run(text, "-p", "xdist", "-n", "2", "--record-mode", mode) for mode in ("once", "none")]
    files = sorted(path.name for path in (tmp_path / "recordings/test_it").iterdir())

    assert [0, 0] == [code for code, _ in results], results
    assert 9 == len(upstream.requests)
    assert {"test_many-a.toml", "test_many-b.toml", "TestGroup.test_async.toml", "TestGroup.test_two_upstreams.2.toml"} < set(
        files
    )
    assert 9 == len(files)
    assert "shared.toml" in files


def test_it_works_beside_asyncio_in_auto_mode(run: Run) -> None:
    """An async test takes the same fixtures."""
    text = """
async def test_it(scripted_llm):
    llm = scripted_llm()
    assert "world" == await asyncio.to_thread(ask, llm.url)
    await llm.aassert_nothing_open()
    llm.assert_text("Hello world")
"""
    options = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    code, printed = run(text, *options)

    assert 0 == code, printed


def test_a_fault_that_never_happened_fails_the_test(run: Run) -> None:
    """It would prove nothing."""
    code, printed = run(
        """
from autonomousai.testing import Fault

def test_it(live_llm):
    assert ask(live_llm(UPSTREAM, chaos=Fault.cut(at=99_999)).url)
"""
    )

    assert 1 == code
    assert "chaos that never happened, request 0: cut, fin, at byte 99999" in printed


def test_it_is_not_loaded_twice(run: Run, tmp_path: Path) -> None:
    """By its entry point, by -p, and by a conftest: the entry point has the module's own name."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    (tmp_path / "conftest.py").write_text(f'pytest_plugins = ["{PLUGIN}"]\n')

    code, printed = run(RECORDED, "-p", PLUGIN)

    assert {PLUGIN: PLUGIN} == entries
    assert 0 == code, printed


def test_an_option_of_the_same_name_serves_both(run: Run, tmp_path: Path) -> None:
    """pytest-recording's, where that is loaded; it may be installed alone."""
    (tmp_path / "pytest_recording").mkdir()
    (tmp_path / "pytest_recording/__init__.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--record-mode', choices=['once', 'none'], default=None)\n"
    )

    results = [run(RECORDED, *loaded, "--record-mode", "none") for loaded in (("-p", "pytest_recording"), ())]

    assert [(1, True)] * 2 == [(code, "there is no recording" in printed) for code, printed in results], results


def test_a_proxy_of_the_environment_is_not_for_the_tests_servers(run: Run) -> None:
    """Clients would look for them there; what the environment says besides stays, and comes back."""
    text = """
import os

def test_it(scripted_llm):
    assert "world" == ask(scripted_llm().url)
    assert "internal,127.0.0.1" == os.environ["no_proxy"] == os.environ["NO_PROXY"]

def test_after():
    assert "internal" == os.environ["NO_PROXY"]
"""
    code, printed = run(text, http_proxy="http://127.0.0.1:9", NO_PROXY="internal", no_proxy="")

    assert 0 == code, printed


def test_the_settings_are_pytests(run: Run, tmp_path: Path) -> None:
    """The folder of recordings, the help."""
    code, printed = run(RECORDED, "-o", "llm_recordings=tapes")
    helped = run("", "--help")[1]

    assert 0 == code, printed
    assert (tmp_path / "tapes/test_it/test_hello.toml").exists()
    assert all(name in helped for name in ("--record-mode", "--llm-chaos-seed", "llm_recordings"))


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """Neither the package nor aiohttp nor a thread comes with it."""
    code = f"import pytest, sys\nbefore = set(sys.modules)\nimport {PLUGIN}\nprint(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)

    assert f"['{PLUGIN}']\n" == done.stdout


def test_a_plugin_that_blocks_sockets_is_heard_at_once(run: Run, tmp_path: Path) -> None:
    """As pytest-socket does, under which not even an event loop can be made: its own words fail the test."""
    (tmp_path / "blocking.py").write_text(
        "import socket\nclass Blocked(socket.socket):\n    def __new__(cls, *args, **kwargs):\n"
        "        raise RuntimeError('a test tried to use a socket')\n"
    )
    text = """
def test_hello(scripted_llm, monkeypatch):
    import socket
    import blocking
    monkeypatch.setattr(socket, "socket", blocking.Blocked)
    scripted_llm()
"""
    code, printed = run(text)

    assert (1, True) == (code, "RuntimeError: a test tried to use a socket" in printed), printed
    assert "1 failed" in printed
