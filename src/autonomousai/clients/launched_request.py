"""A request that was sent at once, without a task, and its answer: complete where it is the first that comes, else as a stream.

Knows no endpoint. What sends it is `AsyncGeneratorProvider.launch` of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ..answer import Answer
from ..batches import BatchStream
from ..events import Batch
from ..http.pool import HttpPool
from ..report import Report
from .prepared_request import PreparedRequest

if TYPE_CHECKING:
    from ..http.connection import ClientConnection

#: Makes the stream of an answer whose request was sent.
Reader: TypeAlias = "Callable[[HttpPool, PreparedRequest, Answer, ClientConnection], BatchStream]"

#: How an answer came about that a client asked for itself.
_NOTHING: Final = Report()


class RemoteRequest(msgspec.Struct, eq=False):
    """A `SentRequest`: the *request*, sent over a *connection* of the *pool*. ``reader``: makes the stream of its answer."""

    reader: Reader
    pool: HttpPool
    connection: ClientConnection
    request: PreparedRequest

    def whole(self) -> tuple[Batch, Report] | None:
        """See `SentRequest.whole`."""
        connection = self.connection
        if connection.status != 200 or (data := connection.whole()) is None:
            return None
        if (batch := self.request.wire.decode_short(data)) is None:
            return None
        connection.release()
        return batch, _NOTHING

    def batches(self, answer: Answer, *, whole: bool = False) -> BatchStream:
        """See `SentRequest.batches`."""
        return self.reader(self.pool, self.request, answer, self.connection)


def send_now(
    reader: Reader, pool: HttpPool, request: PreparedRequest, headers: Mapping[str, str], on_news: Callable[[], None]
) -> RemoteRequest | None:
    """Send the *request* of a stream with these *headers*; those of its own are for further tries. None where that needs
    waiting, and nothing is sent."""
    deadline = inf if request.deadline is None else request.deadline
    connection = pool.try_post(request.url, headers, request.body, request.clocks, deadline, on_news)
    return None if connection is None else RemoteRequest(reader, pool, connection, request)
