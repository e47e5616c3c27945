"""What systemd learns from a service of ``Type=notify`` (sd_notify(3)): that it is ready, reloads, stops, and is alive.

Nothing is sent where there is no ``NOTIFY_SOCKET``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

from .shutdown import say

T = TypeVar("T")

#: Seconds to wait for a manager that has much to read: answers wait too.
PATIENCE_S = 0.1


class ServiceManager:
    """The manager that *env* names: what it gives a process is read from there."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        #: A name that begins with @ is in no file system.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_s = _watchdog_s(env)
        self._ready: tuple[str, ...] = ()

    def ready(self, status: str) -> None:
        """Say that the service takes requests, and what ``systemctl status`` is to show."""
        self._ready = ("READY=1", f"STATUS={status}")
        self._send(*self._ready)

    def stopping(self, status: str) -> None:
        """Say that the service ends."""
        self._ready = ()
        self._send("STOPPING=1", f"STATUS={status}")

    async def reload(self, reload: Callable[[], Awaitable[T]]) -> T:
        """Say that the config is being reloaded, do it, and say when that is done."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            return await reload()
        finally:
            if self._ready:  # the end may have begun meanwhile
                self._send(*self._ready)

    @contextlib.asynccontextmanager
    async def watchdog(self) -> AsyncIterator[None]:
        """Say within the block that the event loop runs, twice in the time after which the manager would end the service."""
        if self._watchdog_s is None:
            yield
            return
        beating = asyncio.create_task(self._beat(self._watchdog_s / 2))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, seconds: float) -> None:
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(seconds)

    def _send(self, *states: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(PATIENCE_S)
                out.sendto("\n".join(states).encode(), self._address)
        except TimeoutError:  # its queue is full: what is said next may be heard
            say(f"the service manager does not read what it is notified of ({states[0]})\n")
        except OSError as error:
            self._address = ""  # once is enough
            say(f"the service manager cannot be notified ({error.strerror or error}); the server runs all the same\n")


def _watchdog_s(env: Mapping[str, str]) -> float | None:
    """Return the seconds after which the manager would restart this process; None where it watches none, or another."""
    period, process = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not period.isdecimal() or not int(period) or process not in ("", str(os.getpid())):
        return None
    return int(period) / 1e6
