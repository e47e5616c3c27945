"""A request that was sent at once, without a task, and its answer: complete where it is the first that comes, else as a stream.

Knows no endpoint. What sends it is `AsyncGeneratorProvider.launch` of a client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from ..answer import Answer
from ..events import Batch
from ..report import Report
from ..result import BatchStream
from ..wires.base import Wire

if TYPE_CHECKING:
    from ..http.connection import ClientConnection

#: How an answer came about that a client asked for itself.
_NOTHING: Final = Report()


class RemoteRequest(msgspec.Struct, eq=False):
    """A `SentRequest`, sent over a *connection*, in a *wire*. ``stream``: makes the stream of its answer."""

    connection: ClientConnection
    wire: Wire
    stream: Callable[[Answer], BatchStream]

    def whole(self) -> tuple[Batch, Report] | None:
        """See `SentRequest.whole`."""
        connection = self.connection
        if connection.status != 200 or (data := connection.whole()) is None:
            return None
        if (batch := self.wire.decode_short(data)) is None:
            return None
        connection.release()
        return batch, _NOTHING

    def batches(self, answer: Answer) -> BatchStream:
        """See `SentRequest.batches`."""
        self.connection.unlisten()
        return self.stream(answer)
