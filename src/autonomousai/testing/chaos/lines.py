"""What a fault does to an answer on its way: lines that hand on to another line what is written to them, and break it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Literal

from ..completions import event
from ..steps import Line
from ..texts import EVENT_END, LAST_EVENT

#: An event that holds a piece of an answer, whatever the API: text, arguments, thoughts.
_TELLS = re.compile(rb'"(?:content|text|delta|partial_json|arguments|thinking|reasoning_content)"\s*:\s*"[^"]')
_CONTENT_LENGTH = re.compile(rb"^content-length: *(\d+)\r\n", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding: *chunked\r\n", re.IGNORECASE | re.MULTILINE)

How = Literal["fin", "rst", "in_order"]


class FaultLine:
    """Hands on all as it comes. ``struck``: whether the fault has happened; ``over``: whether nothing more may be sent.
    ``missed``: why it has not happened, where the answer had an end."""

    missed = "the answer ended before"

    def __init__(self, line: Line) -> None:
        self.line = line
        self.struck = False
        self.over = False

    @property
    def framing(self) -> str:
        return self.line.framing

    @framing.setter
    def framing(self, framing: str) -> None:
        self.line.framing = framing

    async def write(self, data: bytes) -> None:
        """See `Line.write`."""
        if not self.over:
            await self.line.write(data)

    async def write_body(self, data: bytes) -> None:
        """See `Line.write_body`."""
        if not self.over:
            await self.line.write_body(data)

    async def end(self) -> None:
        """See `Line.end`."""
        if not self.over:
            self.over = True
            await self.line.end()

    def close(self) -> None:
        """See `Line.close`."""
        self.over = True
        self.line.close()

    def reset(self) -> None:
        """See `Line.reset`."""
        self.over = True
        self.line.reset()

    async def leave(self, how: How) -> None:
        """End the answer here: by closing the connection, by a reset, or as if it were complete."""
        self.struck = True
        if how == "rst":
            self.reset()
        elif how == "fin" or self.framing == "length":
            self.close()
        else:
            await self.end()


class PlacedLine(FaultLine):
    """Strikes at one place of the body: behind *at* bytes, or else behind its first *after* events that hold a piece of an
    answer. A body that is no stream of events is struck in its middle."""

    #: Whether a document can be struck.
    documents = True

    def __init__(self, line: Line, at: int | None = None, after: int = 1) -> None:
        super().__init__(line)
        self._at = at
        self._after = after
        self._passed = 0
        self._held = b""
        self._streamed = False

    async def write_body(self, data: bytes) -> None:
        """Hand on what comes before the place; the rest is `behind`'s."""
        if self.struck or self.over:
            await self.behind(data)
        elif self._at is not None:
            before, rest = data[: self._at - self._passed], data[self._at - self._passed :]
            self._passed += len(before)
            await self.line.write_body(before)
            if self._passed == self._at:
                await self._strike(rest)
        else:
            self._held += data
            await self._events()

    async def end(self) -> None:
        """What was held back, struck in its middle if it is a document."""
        held, self._held = self._held, b""
        if held and self.documents and not (self.over or self.struck or self._streamed):
            await self.line.write_body(held[: len(held) // 2])
            await self._strike(held[len(held) // 2 :])
        elif held and not self.over:
            if not (self.documents or self._streamed):
                self.missed = "the answer is no stream of events"
            await self.line.write_body(held)
        await super().end()

    async def _events(self) -> None:
        """Hand on each event that is complete, until the place is reached."""
        while not self.struck and (found := EVENT_END.search(self._held)):
            one, self._held = self._held[: found.end()], self._held[found.end() :]
            self._streamed = True
            self.seen(one)
            await self.line.write_body(one)
            self._after -= _TELLS.search(one) is not None
            if self._after <= 0:
                rest, self._held = self._held, b""
                await self._strike(rest)

    async def _strike(self, rest: bytes) -> None:
        self.struck = True
        await self.strike()
        if rest:
            await self.behind(rest)

    def seen(self, one: bytes) -> None:
        """Note an event that is handed on."""

    async def strike(self) -> None:
        """Do what is to be done at the place."""

    async def behind(self, data: bytes) -> None:
        """What comes after the place."""
        await super().write_body(data)


class CutLine(PlacedLine):
    """Ends the answer at the place."""

    def __init__(self, line: Line, how: How, at: int | None, after: int) -> None:
        super().__init__(line, at, after)
        self._how: How = how

    async def strike(self) -> None:
        """See `PlacedLine.strike`."""
        await self.leave(self._how)


class StallLine(PlacedLine):
    """Sends nothing more at the place, for *seconds* or for ever."""

    def __init__(self, line: Line, seconds: float | None, at: int | None, after: int) -> None:
        super().__init__(line, at, after)
        self._seconds = seconds

    async def strike(self) -> None:
        """See `PlacedLine.strike`."""
        if self._seconds is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(self._seconds)


class HalfEventLine(PlacedLine):
    """Sends half of the event behind the place, and then the end of the body, in good order."""

    _rest = b""

    async def behind(self, data: bytes) -> None:
        """Half of what is the next event."""
        if self.over:
            return
        self._rest += data
        if found := EVENT_END.search(self._rest):
            half, self._rest = self._rest[: found.start() // 2 + 1], b""
            await self.line.write_body(half)
            await self.leave("in_order")

    async def end(self) -> None:
        """A body without a further event is one that ends in its middle."""
        rest = self._held or self._rest
        self._held = self._rest = b""
        if rest and not self.over:
            await self.line.write_body(rest[: len(rest) // 2 + 1])
            await self.leave("in_order")
        await super().end()


class GarbledEventLine(PlacedLine):
    """Leaves out the second half of the event behind the place; what follows it comes as it is."""

    documents = False
    _rest: bytes | None = b""

    async def behind(self, data: bytes) -> None:
        """The first half of one event, and all that follows."""
        if self._rest is None:
            await super().behind(data)
            return
        self._rest += data
        if found := EVENT_END.search(self._rest):
            half, follows, self._rest = self._rest[: found.start() // 2 + 1], self._rest[found.start() :], None
            await super().behind(half + follows)

    async def end(self) -> None:
        """What came without a further event."""
        rest, self._rest = self._rest, None
        if rest and not self.over:
            await self.line.write_body(rest)
        await super().end()


class ErrorEventLine(PlacedLine):
    """Sends an error, in the form of the API that the answer is of, and then the end of the body. Then nothing more."""

    documents = False
    _kind = ""

    def seen(self, one: bytes) -> None:
        """Find out the API."""
        if b'"message_start"' in one:
            self._kind = "messages"
        elif b'"response.created"' in one:
            self._kind = "responses"

    async def strike(self) -> None:
        """See `PlacedLine.strike`."""
        message = "the server had an error while it answered (chaos)"
        error: dict[str, Any]
        if self._kind == "messages":
            error = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        elif self._kind == "responses":
            error = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 99}
        else:
            error = {"error": {"message": message, "type": "server_error", "param": None, "code": "server_error"}}
        named = f"event: error\ndata: {json.dumps(error)}\n\n".encode() if self._kind else event(error)
        await self.line.write_body(named)
        await self.leave("in_order")


class MissingDoneLine(FaultLine):
    """Leaves out the event that says that the answer is complete."""

    missed = "the answer has no such event"
    _held = b""

    async def write_body(self, data: bytes) -> None:
        """All events but the last."""
        self._held += data
        while found := EVENT_END.search(self._held):
            one, self._held = self._held[: found.end()], self._held[found.end() :]
            if LAST_EVENT.search(one):
                self.struck = True
            else:
                await super().write_body(one)

    async def end(self) -> None:
        """What follows the last event, which is a document where there is none."""
        held, self._held = self._held, b""
        if held:
            await super().write_body(held)
        await super().end()


class SplitLine(FaultLine):
    """Sends each byte by itself; ``characters``: cuts no more than each character of several bytes, behind its first one."""

    def __init__(self, line: Line, *, characters: bool) -> None:
        super().__init__(line)
        self._characters = characters
        self._pauses = 50
        if characters:  # "\\u00fc" in JSON is none: six bytes of ASCII
            self.missed = "no character of the answer is sent as several bytes"

    async def write_body(self, data: bytes) -> None:
        """See `SplitLine`."""
        if not self._characters:
            self.struck = self.struck or bool(data)
            for byte in data:
                await super().write_body(bytes((byte,)))
            return
        start = 0
        for at in range(1, len(data)):
            if data[at - 1] >= 0xC0:
                await super().write_body(data[start:at])
                start = at
                self.struck = True
                if self._pauses > 0:  # so that both halves are read apart, whatever lies between
                    self._pauses -= 1
                    await asyncio.sleep(0.002)
        await super().write_body(data[start:])


class SlowLine(FaultLine):
    """Waits before the first byte of the body; the head is there at once."""

    def __init__(self, line: Line, seconds: float) -> None:
        super().__init__(line)
        self._seconds = seconds

    async def write_body(self, data: bytes) -> None:
        """See `SlowLine`."""
        if not self.struck:
            self.struck = True
            await asyncio.sleep(self._seconds)
        await super().write_body(data)


class WrongLengthLine(FaultLine):
    """Says a Content-Length that is *by* more than the body has, and closes behind the body; less, where *by* is below 0."""

    def __init__(self, line: Line, by: int) -> None:
        super().__init__(line)
        self._by = by

    async def write(self, data: bytes) -> None:
        """The head, with another length."""
        if self.struck:
            await super().write(data)
            return
        self.struck = True
        if found := _CONTENT_LENGTH.search(data):
            length = max(0, int(found[1]) + self._by)
            data = _CONTENT_LENGTH.sub(b"Content-Length: %d\r\n" % length, data)
        else:  # of a stream no length is known: one that is reached never, or at once
            data = _CHUNKED.sub(b"Content-Length: %d\r\n" % (1_000_000 if self._by > 0 else 10), data)
        self.framing = "length"
        await super().write(data)

    async def end(self) -> None:
        """The end of the connection, at a length that is none."""
        self.close()
