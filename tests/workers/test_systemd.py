"""`autonomousai serve` under a service manager: what it says over a real datagram socket (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autonomousai.workers import systemd
from autonomousai.workers.systemd import ServiceManager
from tests.support.program import PATIENCE, environment, finish, start

CONFIG = """
[server]
state = "sqlite:{state}"
[upstreams.far]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
[models.llama]
route = ["far"]
"""


class Manager:
    """The side of systemd."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)
        self._socket.setblocking(False)

    async def hears(self) -> dict[str, str]:
        """The next message, by its names."""
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return dict(line.split("=", 1) for line in data.decode().split("\n"))

    def heard_nothing(self) -> bool:
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@asynccontextmanager
async def server(directory: Path, *arguments: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    config = directory / "config.toml"
    config.write_text(CONFIG.format(state=directory / "state.db"))
    process = await start("serve", "--config", str(config), "--port", "0", *arguments, env=environment(directory, **env))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await finish(process)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_says_when_it_is_ready_reloads_and_stops(tmp_path: Path, manager: Manager, workers: str) -> None:
    """In this order, with what `systemctl status` shows; the time of the reload is the system's monotonic one."""
    async with server(tmp_path, "--workers", workers, NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
        ready = await manager.hears()
        before = time.monotonic_ns() // 1000
        process.send_signal(signal.SIGHUP)
        reloading = await manager.hears()
        again = await manager.hears()
        process.send_signal(signal.SIGTERM)
        stopping = await manager.hears()
        ended = await finish(process)

    assert "1" == ready["READY"]
    assert ready["STATUS"] == ended.out.strip()
    assert {"RELOADING", "MONOTONIC_USEC"} == set(reloading)
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert ready == again
    assert {"STOPPING": "1", "STATUS": "draining for up to 30 s"} == stopping
    assert (0, True) == (ended.code, manager.heard_nothing())


async def test_a_config_that_cannot_be_served_is_the_end_of_the_reload_too(tmp_path: Path, manager: Manager) -> None:
    """The service is ready as before, with its old config."""
    async with server(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
        ready = await manager.hears()
        (tmp_path / "config.toml").write_text("nonsense")
        process.send_signal(signal.SIGHUP)

        assert "RELOADING" in await manager.hears()
        assert ready == await manager.hears()


async def test_it_beats_where_it_is_watched(tmp_path: Path, manager: Manager) -> None:
    """Before it is ready, and again and again."""
    async with server(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000") as process:
        heard: list[dict[str, str]] = [await manager.hears()]
        while {"READY"} - set(heard[-1]):
            heard.append(await manager.hears())
        later = [await manager.hears() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        await finish(process)

    assert {"WATCHDOG": "1"} == heard[0]
    assert [{"WATCHDOG": "1"}] * 3 == later


async def test_an_abstract_socket() -> None:
    """A name that begins with @ is in no file system."""
    name = f"autonomousai-{os.getpid()}"
    manager = Manager(f"\0{name}")
    try:
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready("listening")
        assert {"READY": "1", "STATUS": "listening"} == await manager.hears()
    finally:
        manager.close()


@pytest.mark.parametrize(
    "env", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}], ids=str
)
async def test_no_process_is_watched_that_the_manager_does_not_watch(
    env: dict[str, str], manager: Manager, tmp_path: Path
) -> None:
    """Nor one whose number is another's: variables are inherited."""
    async with ServiceManager({**env, "NOTIFY_SOCKET": str(tmp_path / "notify")}).watchdog():
        await asyncio.sleep(0)
        assert manager.heard_nothing()


def test_a_manager_that_is_gone_costs_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[Any]) -> None:
    """The server runs all the same."""
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nothing")})
    manager.ready("listening")
    manager.stopping("draining")

    assert ["the service manager cannot be notified (No such file or directory); the server runs all the same"] == (
        capsys.readouterr().err.splitlines()
    )


def test_an_address_that_is_too_long_is_told_of(capsys: pytest.CaptureFixture[Any]) -> None:
    """Python says so in an error without a number."""
    ServiceManager({"NOTIFY_SOCKET": "/" + "x" * 200}).ready("listening")

    assert "AF_UNIX path too long" in capsys.readouterr().err


async def test_a_manager_that_is_busy_is_told_the_next_time(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    """It reads nothing for a while: the service must not be ended later for want of a sign of life."""
    monkeypatch.setattr(systemd, "PATIENCE_S", 0.001)
    under_test = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(100_000):
        under_test.ready("listening")
        if told := capsys.readouterr().err:
            break
    assert "does not read" in told

    while not manager.heard_nothing():
        pass
    under_test.stopping("draining")
    assert {"STOPPING": "1", "STATUS": "draining"} == await manager.hears()


async def test_an_end_during_a_reload_stays_an_end(manager: Manager, tmp_path: Path) -> None:
    """The service is not called ready again."""
    under_test = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    under_test.ready("listening")

    async def reload() -> str:
        under_test.stopping("draining")
        return "reloaded"

    assert "reloaded" == await under_test.reload(reload)
    assert [{"READY"}, {"RELOADING"}, {"STOPPING"}] == [
        {name for name in await manager.hears() if name in ("READY", "RELOADING", "STOPPING")} for _ in range(3)
    ]
    assert manager.heard_nothing()
