"""What an engine's users see of it: its condition, its socket, its slots. They need not be its owner, who is a `Supervisor`: in
another process a `RemoteEngine` stands for it, and gets each condition.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final, Literal, Protocol

import msgspec

from ..errors import ConfigError, ConnectError, StatusError
from .chat_template import ThoughtStyle
from .ipc import EngineSettings

#: The code of the error for who cannot wait for a slot. The engine is well: it is no reason to ask it again, or to let it rest.
BUSY: Final = "engine_busy"

#: Seconds after a child's connections broke within which its death is noticed.
_NOTICED: Final = 1.0

#: Seconds after which who found no memory for a model may ask again.
_RETRY_AFTER: Final = 5.0

State = Literal["stopped", "unloaded", "starting", "ready", "failed"]


class EngineSlots(Protocol):
    """The engine's slots: `Seats`, here or in another process. ``waiting``: how many stand in line."""

    @property
    def waiting(self) -> int: ...

    async def acquire(self, patience: float) -> None: ...

    def release(self) -> None: ...


class EngineCondition(msgspec.Struct, frozen=True):
    """All that is known of an engine. ``control``, ``longest``: see `gguf.Tokenizer`. ``failure``: why it failed; ``setup``:
    if that is for the operator to mend (`ConfigError`), ``busy``: if it passes by itself. ``crashes``: unexpected ends of a
    child; ``restarts``: children that were started after one. ``loads``, ``evictions``: how often a model was loaded because
    it was asked for, and unloaded because another needed its memory. ``tools``, ``thoughts``: how its template writes calls
    and begins thoughts, see `chat_template`."""

    state: State = "stopped"
    pid: int | None = None
    control: tuple[str, ...] = ()
    failure: str = ""
    setup: bool = False
    crashes: int = 0
    restarts: int = 0
    longest: int = 0
    busy: bool = False
    loads: int = 0
    evictions: int = 0
    tools: str = ""
    thoughts: ThoughtStyle = ""

    @property
    def is_pending(self) -> bool:
        """Whether it will be another soon, as the engine is wanted."""
        return self.state == "starting" or (self.state == "unloaded" and not self.failure)


class EngineHandle:
    """What an engine's users see of it. ``slots``: to be taken before it is asked."""

    def __init__(self, settings: EngineSettings, slots: EngineSlots) -> None:
        self.settings = settings
        self.slots = slots
        self.condition = EngineCondition()
        #: Answers that are being asked for now.
        self.asking = 0
        #: Whether it keeps to grammars that were tried, by their digests.
        self.grammars: dict[bytes, bool] = {}
        #: Set when the present child has died; the next one has another.
        self.death = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def state(self) -> State:
        return self.condition.state

    @property
    def pid(self) -> int | None:
        """The child that answers, while there is one."""
        return self.condition.pid

    async def lifetime(self) -> AsyncGenerator[None]:
        """Holds the engine from the first step until it is closed: the loop's own end closes it, and so does dropping it."""
        yield

    async def ready(self) -> None:
        """Wait until the engine answers. Raises `ConfigError`, `ConnectError` or `StatusError` that says why it does not."""
        while self.condition.is_pending:
            await self._settled.wait()
        if failure := self.condition.failure:
            if self.condition.busy:
                raise StatusError(failure, status=503, type="server_error", code=BUSY, retry_after=_RETRY_AFTER)
            raise ConfigError(failure) if self.condition.setup else ConnectError(failure, retryable=False)
        if self.state == "stopped":
            raise ConnectError("the embedded engine was stopped; try again")

    async def has_died(self, death: asyncio.Event) -> bool:
        """Whether the child is dead whose `death` that was. Its connections break a moment before that is noticed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTICED):
                await death.wait()
        return death.is_set()

    def completed(self) -> None:
        """An answer came whole: whatever crashes later is not the same trouble."""
        raise NotImplementedError

    def suspect(self) -> None:
        """Note that the child could not be reached: its owner looks whether it answers."""

    def let_go(self) -> None:
        """Give a slot back whose holder left in mid-answer, as soon as the engine has noticed. That may take it a second, and
        others who were asked for meanwhile would heap up inside, where a caller who leaves cannot leave the queue."""
        raise NotImplementedError

    def _enter(self, condition: EngineCondition) -> None:
        before, self.condition = self.condition, condition
        if condition.is_pending:
            self._settled.clear()
        else:
            self._settled.set()
        if before.pid is not None:
            self.death.set()
        if condition.pid is not None:
            self.death = asyncio.Event()


class RemoteEngine(EngineHandle):
    """Stands for the engine of another process. ``completed`` and ``let_go``: what is to be done with these words."""

    def __init__(
        self, settings: EngineSettings, slots: EngineSlots, *, completed: Callable[[], None], let_go: Callable[[], None]
    ) -> None:
        super().__init__(settings, slots)
        self._completed = completed
        self._let_go = let_go
        self._enter(EngineCondition("starting"))

    async def lifetime(self) -> AsyncGenerator[None]:
        """The engine is its owner's, and outlives this."""
        yield

    def completed(self) -> None:
        self._completed()

    def let_go(self) -> None:
        self._let_go()

    def learn(self, condition: EngineCondition) -> None:
        """The engine's condition is now this. Each is to be reported, in order."""
        self._enter(condition)
