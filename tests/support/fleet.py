"""Servers in processes of their own, what they share, and a balancer before them; each can be killed and started again."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.program import PATIENCE, environment, start
from tests.support.redis import binary
from tests.support.relay import Relay, carry

#: A server that crashed leaves the last line in its log.
_TAIL = 4000


class DurableRedis:
    """A Redis on a socket that has each command on disk before it answers: what it was told outlives it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self.url = f"unix://{directory / 'redis.sock'}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        directory = self._directory
        options = ["--port", "0", "--unixsocket", str(directory / "redis.sock"), "--save", "", "--dir", str(directory)]
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = process = subprocess.Popen([binary(), *options], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "ready to accept connections" in line:
                return
        raise AssertionError("".join(said))

    def kill(self) -> None:
        """Stop it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


class FleetServer:
    """`autonomousai serve` with one config, on a port that it keeps over restarts. ``log``: what it wrote to stderr."""

    def __init__(self, name: str, directory: Path, config: Path) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_up = False
        self._config = config
        self._directory = directory
        self._log = directory / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    async def start(self) -> None:
        """Start it, and wait until it takes requests."""
        env = environment(self._directory)
        with self._log.open("a") as log:
            self.process = await start("serve", "--config", str(self._config), "--port", str(self.port), env=env, stderr=log)
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line.startswith(b"listening on "), self.log[-_TAIL:]
        self.is_up = True

    async def end(self, number: int) -> int:
        """Send that signal, wait for the end, and return the exit code."""
        assert self.process is not None
        self.is_up = False
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        self.process = None
        return code

    def reload(self) -> None:
        """Have the config read again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    async def call(self, path: str, key: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
        """Return the status and the document of an answer."""
        return await asyncio.to_thread(self._call, path, key, body, method)

    def _call(self, path: str, key: str, body: Any, method: str | None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                said = response.read()
                return response.status, json.loads(said) if said[:1] in b"{[" else said.decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


class Balancer(Relay):
    """A TCP balancer over *servers*: each connection to the next that is up, and to another where that refuses."""

    def __init__(self, servers: list[FleetServer]) -> None:
        super().__init__()
        self._servers = servers
        self._next = 0

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._next += 1
        turn = self._next % len(self._servers)
        for server in sorted(self._servers[turn:] + self._servers[:turn], key=lambda server: not server.is_up):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", server.port)
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (connection := await self._connect()) is None:
            return
        answers, questions = connection
        asking = asyncio.create_task(_copy(reader, questions))
        try:
            await _copy(answers, writer)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            questions.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # ENOTCONN too, where the other side is gone
        await carry(reader, writer)
        if writer.can_write_eof():
            writer.write_eof()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def fleet(directory: Path, config: Path, count: int = 2) -> AsyncIterator[list[FleetServer]]:
    """Serve *config* by so many servers."""
    servers = [FleetServer(f"server-{number}", directory, config) for number in range(count)]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
    finally:
        for server in servers:
            if server.process is not None:
                await server.end(signal.SIGKILL)
