"""Breakers of several servers, by way of Redis: each says there what became of its breakers, and looks there for what others
said. Off the way of requests: what is said, and what is read, is a second old at most.

A key an upstream has the last change, and expires with the cool-down that it tells of. Redis that is away is no failure: each
server finds out for itself, as without it, and the log says so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from ..gateway.breaker import BreakerChange
from ..gateway.gateway import Gateway
from ..http.server.exchange import log_bug
from ..outage import Outage
from ..provider import AsyncGeneratorProvider

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds between two looks.
POLL_S: Final = 1.0

#: An upstream is the same for all servers that have it under the same name at the same place.
_KEY: Final = "autonomousai:breaker:1:%s:%s"

#: Milliseconds that a change is to be read, at least: long enough for every server to have looked.
_LEAST_MS: Final = 5000

#: Seconds that a connection may take, and that a reply may.
_TIMEOUT_S: Final = 2.0


class _Notice(msgspec.Struct, frozen=True, array_like=True):
    """A change as it stands in Redis. ``id``: of this change alone, so that each server takes it over once."""

    id: str
    is_open: bool
    cooldown: float


class SharedBreakers:
    """What one server says of its breakers, and learns of others'. Nothing at all where the *state* is not in Redis.
    ``outage``: whether that is away."""

    def __init__(self, state: str, provider: AsyncGeneratorProvider) -> None:
        shared = state.startswith(("redis://", "rediss://", "unix://")) and isinstance(provider, Gateway)
        self._state = state
        self._gateway = provider if shared and isinstance(provider, Gateway) else None
        self.outage = Outage("breakers are not shared with other servers", "breakers are shared again")
        self._told: dict[str, BreakerChange] = {}
        self._known: dict[str, str] = {}  # by key, the change that was taken over or told last
        self._woken = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def is_shared(self) -> bool:
        """Return whether anything is shared."""
        return self._gateway is not None

    def start(self) -> None:
        """Begin to share, in the running event loop. Safe to call twice."""
        if self._gateway is not None and self._running is None:
            self._gateway.breaker_watchers.append(self._tell)
            self._running = asyncio.create_task(self._run(self._gateway))

    async def aclose(self) -> None:
        """Stop sharing. Safe to call twice."""
        running, self._running = self._running, None
        if running is not None and self._gateway is not None:
            self._gateway.breaker_watchers.remove(self._tell)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _tell(self, change: BreakerChange) -> None:
        self._told[change.upstream] = change
        self._woken.set()

    async def _run(self, gateway: Gateway) -> None:
        from redis.asyncio import Redis  # noqa: PLC0415  an optional extra, needed by this state alone
        from redis.exceptions import RedisError  # noqa: PLC0415  an optional extra, needed by this state alone

        redis: Redis = Redis.from_url(self._state, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        try:
            while True:
                try:
                    await self.exchange(redis, gateway)
                    self.outage.end()
                except (RedisError, OSError, TimeoutError) as error:
                    self.outage.begin(error)
                except Exception as error:  # a bug, which must not keep all later changes away
                    if not self.outage.is_on:
                        log_bug(None, error)
                    self.outage.begin(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            await redis.aclose()

    async def exchange(self, redis: Redis, gateway: Gateway) -> None:
        """Say what has changed here, and take over what has changed elsewhere. What cannot be said is said the next time."""
        keys = {_KEY % (name, upstream.machine or ""): name for name, upstream in gateway.upstreams.items()}
        batch = redis.pipeline(transaction=False)
        told = {key: self._told[name] for key, name in keys.items() if name in self._told}
        ids = {key: secrets.token_hex(8) for key in told}
        for key, change in told.items():
            notice = msgspec.json.encode(_Notice(ids[key], change.is_open, change.cooldown))
            batch.set(key, notice, px=max(_LEAST_MS, round(change.cooldown * 1000)))
        for key in keys:
            batch.get(key)
            batch.pttl(key)
        said = (await batch.execute())[len(told) :]
        self._known |= ids
        self._told = {name: change for name, change in self._told.items() if change not in told.values()}
        for key, data, left in zip(keys, said[::2], said[1::2], strict=True):
            self._take_over(gateway, key, keys[key], data, left / 1000)

    def _take_over(self, gateway: Gateway, key: str, upstream: str, data: bytes | None, left: float) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # of another version
            notice = None if data is None else msgspec.json.decode(data, type=_Notice)
            if notice is not None and notice.id != self._known.get(key):
                self._known[key] = notice.id
                gateway.learn(BreakerChange(upstream, notice.is_open, max(0.0, min(left, notice.cooldown))))
