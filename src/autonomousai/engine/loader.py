"""Models that are loaded when they are asked for: one child process each, unloaded when nothing is asked of it for a while, or
when another model needs its memory.

A model that answers is never unloaded. Of those that do not, the one that was used longest ago goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigError, StatusError
from ..limiter import Limiter, busy
from .handle import BUSY, EngineCondition
from .ipc import EngineSettings
from .library import find_weights
from .memory import LEAST_CONTEXT, USUAL_CONTEXT, fitting_context, memory_limit, memory_needed
from .model_file import read_model_file
from .process import EngineLog
from .supervisor import Supervisor, make_private


class ModelPool:
    """The memory that models share. ``limit``: bytes that all may take together; ``memory``: what of that is left for those
    that are loaded when they are asked for; ``idle_s``: seconds that a model stays after its last answer; ``patience``: seconds
    that a load waits for memory which models that answer hold."""

    def __init__(
        self, *, memory: int, idle_s: float = 300, patience: float = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = self.memory = memory
        self.idle_s = idle_s
        self.clock = clock
        self._patience = patience
        self._held: dict[OnDemandEngine, int] = {}
        self._changed = asyncio.Event()

    def set_aside(self, size: int) -> None:
        """Leave *size* bytes of the limit to models that are loaded at the start and stay."""
        self.memory = max(0, self.limit - size)

    async def acquire(self, engine: OnDemandEngine) -> bool:
        """Make room for *engine*, and return whether there is: there is none where its callers have all left meanwhile. Raises
        `ConfigError` where it could never fit, and `StatusError` 503 where the others answer for too long."""
        if engine.needs > self.memory:
            raise ConfigError(
                f"{engine.file} needs {_megabytes(engine.needs)} of memory, "
                f"and models may take {_megabytes(self.memory)} together{self._beside()}",
                advice="allow more with memory in [engine], or choose a smaller model or context",
            )
        try:
            async with asyncio.timeout(self._patience):
                return await self._make_room(engine)
        except TimeoutError:
            others = ", ".join(sorted(each.settings.name for each in self._held))
            problem = f"there is no memory for {engine.settings.name} while others answer ({others})"
            raise busy(problem, None, code=BUSY) from None

    def _beside(self) -> str:
        return f" beside those that stay loaded, {_megabytes(self.limit - self.memory)}" if self.memory < self.limit else ""

    def release(self, engine: OnDemandEngine) -> None:
        """Give back what *engine* holds; its child is gone."""
        self._held.pop(engine, None)
        self.notice()

    def notice(self) -> None:
        """Look again whether there is room: something was given back."""
        self._changed.set()

    async def _make_room(self, engine: OnDemandEngine) -> bool:
        while engine.in_use and sum(self._held.values()) + engine.needs > self.memory:
            self._changed.clear()
            idle = [each for each in self._held if not each.in_use]
            if idle:
                min(idle, key=lambda each: each.used_at).unload(evicted=True)
            await self._changed.wait()
        if engine.in_use:
            self._held[engine] = engine.needs
        return engine.in_use


class OnDemandEngine(Supervisor):
    """An engine whose child is there only while it is wanted. ``needs``: bytes of memory that it takes. After a failure it is
    unloaded again, and those who waited get the reason; the next request has it loaded again."""

    def __init__(
        self,
        settings: EngineSettings,
        log: EngineLog,
        *,
        pool: ModelPool,
        needs: int,
        check: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(settings, log, lazy=True, check=check)
        self.slots: _CountedSlots = _CountedSlots(settings.slots, self._on_change)
        self.needs = needs
        self.used_at = pool.clock()
        self._pool = pool
        self._loads = self._evictions = 0
        self._leaving = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def file(self) -> str:
        """The name of the model's file."""
        return self.settings.weights.rpartition("/")[2]

    @property
    def in_use(self) -> bool:
        """Whether anything is asked of it, or waits for it."""
        return self.slots.taken > 0

    def want(self) -> None:
        if self.state == "unloaded":
            self._enter(EngineCondition("starting"))
        super().want()

    def unload(self, *, evicted: bool = False) -> None:
        """End the child, of which nothing is asked. From now on who asks waits for the next one."""
        assert not self.in_use
        if self._leaving.is_set():
            return
        self._evictions += evicted
        self._wanted.clear()
        self._enter(EngineCondition("starting"))
        self._leaving.set()

    def _on_change(self) -> None:
        self.used_at = self._pool.clock()
        self._changed.set()
        self._pool.notice()

    def _enter(self, condition: EngineCondition) -> None:
        super()._enter(msgspec.structs.replace(condition, loads=self._loads, evictions=self._evictions))

    async def _keep(self) -> None:
        self._enter(EngineCondition("unloaded"))
        try:
            while True:
                await self._wanted.wait()
                condition = await self._load()
                self._pool.release(self)
                if condition.failure:
                    self._wanted.clear()
                if not self._wanted.is_set():  # else a request came while it was unloaded
                    self._enter(condition)
        finally:
            self._pool.release(self)
            self._enter(EngineCondition("stopped"))

    async def _load(self) -> EngineCondition:
        """Load the model, and keep it until it is unloaded. Returns the condition in which it then is."""
        self._leaving.clear()
        self._crashes = 0
        self._enter(EngineCondition("starting"))
        try:
            if not await self._pool.acquire(self):
                self._wanted.clear()
                return EngineCondition("unloaded")
            make_private(self.directory)
            self._loads += 1
            self._enter(EngineCondition("starting"))  # and the load is counted
            return await self._serve()
        except ConfigError as error:
            return EngineCondition("unloaded", failure=str(error), setup=True)
        except StatusError as error:
            return EngineCondition("unloaded", failure=str(error), busy=True)

    async def _serve(self) -> EngineCondition:
        running = asyncio.create_task(self._run_children(), name="autonomousai-engine-run")
        leaving = asyncio.create_task(self._leave_when_idle())
        try:
            await asyncio.wait([running, leaving], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return EngineCondition("unloaded", failure=running.result())
            return EngineCondition("unloaded")
        finally:
            for task in (running, leaving):
                task.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)

    async def _leave_when_idle(self) -> None:
        """Return when it is to be unloaded: because the pool says so, or nothing was asked of it for so long."""
        while not self._leaving.is_set():
            if self.in_use:
                self._changed.clear()
                await self._changed.wait()
            elif (left := self.used_at + self._pool.idle_s - self._pool.clock()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._leaving.wait()
            else:
                self.unload()


class _CountedSlots(Limiter):
    """Slots that say when one was taken or given back."""

    def __init__(self, seats: int, on_change: Callable[[], None]) -> None:
        super().__init__(seats, code=BUSY)
        self._seats = seats
        self._on_change = on_change

    @property
    def taken(self) -> int:
        """How many are held."""
        return self._seats - self._free

    def release(self) -> None:
        super().release()
        self._on_change()

    def _pass_on(self) -> None:
        super()._pass_on()
        self._on_change()


def context_for(weights: str, *, slots: int, memory: int | None, pool: ModelPool | None) -> int:
    """Return the tokens a slot that the weights and the memory allow: that of the pool, *memory* bytes, or a share of what is
    free. Raises `ConfigError` where they do not fit at all, but for a pool's, which says so when they are asked for. So does
    loading a file that cannot be read."""
    try:
        model = read_model_file(find_weights(weights))
    except ConfigError:
        return USUAL_CONTEXT
    limit = pool.memory if pool is not None else memory_limit("auto") if memory is None else memory
    try:
        return fitting_context(model, slots=slots, memory=limit)
    except ConfigError:
        if pool is None:
            raise
        return LEAST_CONTEXT


def details_for(weights: str) -> dict[str, Any]:
    """Return what the file of a model says of it, by the names that llama.cpp's own server uses where it has some."""
    try:
        model = read_model_file(find_weights(weights))
    except ConfigError:
        return {}
    told = {
        "architecture": model.architecture,
        "n_params": model.parameters,
        "size": model.size,
        "n_ctx_train": model.context,
        "n_vocab": model.vocabulary,
        "quantization": model.quantisation,
        "license": model.licence,
    }
    return {name: value for name, value in told.items() if value}


def memory_for(path: Path, *, slots: int, context: int) -> int:
    """Return the bytes that a model takes; where its file cannot be read, those of the file: loading it says what is wrong."""
    try:
        return memory_needed(read_model_file(path), slots=slots, context=context)
    except ConfigError:
        return path.stat().st_size if path.exists() else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
