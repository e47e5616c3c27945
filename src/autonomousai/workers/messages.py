"""What the parent of several workers and each of them say to each other: a line of JSON a word, over a pair of sockets.

The pair is private: it has no name, and no other process has an end of it. It breaks when one of the two dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from ..engine.handle import EngineCondition
from ..engine.ipc import EngineSettings
from ..gateway.breaker import BreakerChange
from ..settings import Reloaded, Secret

T = TypeVar("T")

#: The control tokens of a large vocabulary are on one line.
_LINE: Final = 1 << 24


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


# The parent's


class Begin(_Message, frozen=True):
    """The first word: the config, `packed`, and the engines that there are, by upstream. ``reloads``: whether there is a file
    that can be loaded again."""

    config: msgspec.Raw
    engines: dict[str, EngineSettings]
    reloads: bool = False


class EngineState(_Message, frozen=True):
    """What became of an engine."""

    engine: str
    condition: EngineCondition


class Granted(_Message, frozen=True):
    """The slot that was asked for is yours."""

    id: int


class Refused(_Message, frozen=True):
    """It is not: the server is busy. ``retry_after`` in seconds."""

    id: int
    message: str
    retry_after: float | None


class Count(_Message, frozen=True):
    """Say what you counted."""


class Gathered(_Message, frozen=True):
    """What the others counted, and by engine how many stand in line for a slot."""

    id: int
    snapshots: list[bytes]
    waiting: dict[str, int]


class Drain(_Message, frozen=True):
    """Take no more work, finish what was begun, end."""


class Leave(_Message, frozen=True):
    """End now. ``signal``: because of which."""

    signal: int


class ReloadConfig(_Message, frozen=True):
    """Serve by this config, `packed`, and with these engines from now on."""

    config: msgspec.Raw
    engines: dict[str, EngineSettings]


class ReloadEnded(_Message, frozen=True):
    """What came of the reload that was asked for: what it changed, or the ``problem``."""

    id: int
    reloaded: Reloaded | None
    problem: str = ""


# Either's


class BreakerNews(_Message, frozen=True):
    """The breaker of an upstream has changed: at the worker that says so, or, said by the parent, at another one."""

    change: BreakerChange


# A worker's


class Listening(_Message, frozen=True):
    """It takes requests."""


class Failed(_Message, frozen=True):
    """It cannot start. ``setup``: whether that is for the operator to mend."""

    message: str
    setup: bool


class AcquireSlot(_Message, frozen=True):
    """A slot of an engine is asked for, within ``patience`` seconds."""

    id: int
    engine: str
    patience: float


class ReleaseSlot(_Message, frozen=True):
    """It is not needed any more, whether it was granted yet or not. ``asked``: its holder left in mid-answer."""

    id: int
    asked: bool = False


class Completed(_Message, frozen=True):
    """An answer of an engine came whole."""

    engine: str


class Counted(_Message, frozen=True):
    """What it counted."""

    snapshot: bytes


class Gather(_Message, frozen=True):
    """What the others counted is asked for."""

    id: int


class ReloadAsked(_Message, frozen=True):
    """An admin asks for the config's file to be loaded again. ``installed``: no, but what is served is to follow what is
    installed."""

    id: int
    installed: bool = False


class ReloadDone(_Message, frozen=True):
    """What came of `ReloadConfig` here."""

    reloaded: Reloaded | None
    problem: str = ""


ParentMessage: TypeAlias = (
    Begin | EngineState | Granted | Refused | Count | Gathered | Drain | Leave | ReloadConfig | ReloadEnded | BreakerNews
)
WorkerMessage: TypeAlias = (
    Listening | Failed | AcquireSlot | ReleaseSlot | Completed | Counted | Gather | ReloadAsked | ReloadDone | BreakerNews
)


class Channel(Generic[T]):
    """One end. ``T``: the words of the other side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(words)

    @classmethod
    async def open(cls, end: socket.socket, words: Any) -> Channel[T]:
        """``words``: the type of the other side's words."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LINE), words)

    def say(self, word: ParentMessage | WorkerMessage) -> None:
        """They are few and small: neither end waits for the other to take them."""
        self._writer.write(self._encoder.encode(word) + b"\n")

    async def words(self) -> AsyncIterator[T]:
        """What the other says, until it is gone."""
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                yield self._decoder.decode(line)

    async def aclose(self) -> None:
        """After what was said has gone out."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def packed(config: msgspec.Struct) -> msgspec.Raw:
    """Return *config* as a word carries it. The words need not know what a config is: the workers do."""
    return msgspec.Raw(msgspec.json.encode(config, enc_hook=str))


def unpacked(config: msgspec.Raw, type: type[T]) -> T:
    """Return the config of that *type* that was `packed`."""
    return msgspec.json.decode(config, type=type, dec_hook=_secret)


def _secret(type: Any, value: Any) -> Any:
    assert type is Secret
    return Secret(value)
