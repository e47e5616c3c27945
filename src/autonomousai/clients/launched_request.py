"""A request that was sent at once, without a task, and its answer: complete where it is the first that comes, else as a stream.

Knows no endpoint. What sends it is `AsyncGeneratorProvider.launch` of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ..answer import Answer
from ..batches import BatchStream
from ..events import Batch
from ..http.pool import HttpPool
from ..report import Report
from ..timeouts import Clocks
from ..wires.base import Wire
from .learnt_forms import Adaptations
from .prepared_request import PreparedRequest

if TYPE_CHECKING:
    from ..http.connection import ClientConnection

#: Makes the stream of an answer whose request was sent.
Reader: TypeAlias = "Callable[[HttpPool, PreparedRequest, Answer, ClientConnection], BatchStream]"

#: How an answer came about that a client asked for itself.
_NOTHING: Final = Report()


class LaunchTemplate(msgspec.Struct, frozen=True):
    """What all requests have that a client sends at once. ``patient``: its clocks where no other upstream can be asked.
    ``reader``: makes the stream of its answer."""

    reader: Reader
    url: str
    headers: Mapping[str, str]
    clocks: Clocks
    patient: Clocks
    wire: Wire
    streams_url: str | None

    @classmethod
    def of(
        cls, reader: Reader, url: str, headers: Mapping[str, str], clocks: Clocks, wire: Wire, streams_url: str | None
    ) -> LaunchTemplate:
        """Return the template of requests of *wire* to *url*; *streams_url*: where a stream that broke can be resumed."""
        return cls(reader, url, headers, clocks, clocks.patient(), wire, streams_url)


class RemoteRequest(msgspec.Struct, eq=False):
    """A `SentRequest`: a request with the *body*, sent over a *connection* of the *pool*. The other members are those of
    `PreparedRequest`, which only an answer needs that is read as a stream."""

    template: LaunchTemplate
    pool: HttpPool
    connection: ClientConnection
    body: bytes
    clocks: Clocks
    deadline: float
    others: bool
    model: str
    adaptations: Adaptations

    def whole(self) -> tuple[Batch, Report] | None:
        """See `SentRequest.whole`."""
        connection = self.connection
        if connection.status != 200 or (data := connection.whole()) is None:
            return None
        if (batch := self.template.wire.decode_short(data)) is None:
            return None
        connection.release()
        return batch, _NOTHING

    def batches(self, answer: Answer, *, whole: bool = False) -> BatchStream:
        """See `SentRequest.batches`."""
        template = self.template
        request = PreparedRequest(
            template.url,
            template.headers,
            self.body,
            self.clocks,
            stream=True,
            wire=template.wire,
            retries=0,
            streams_url=template.streams_url,
            deadline=self.deadline,
            others=self.others,
            model=self.model,
            adaptations=self.adaptations,
        )
        return template.reader(self.pool, request, answer, self.connection)


def send_now(
    template: LaunchTemplate,
    pool: HttpPool,
    body: bytes,
    model: str,
    adaptations: Adaptations,
    on_news: Callable[[], None],
    deadline: float,
    others: bool,
) -> RemoteRequest | None:
    """Send the request of a stream with this *body*, for *model*. None where that needs waiting, and nothing is sent.
    *deadline* and *others*: as in `CallOptions`; *on_news*: see `AsyncGeneratorProvider.launch`."""
    clocks = template.clocks if others else template.patient
    connection = pool.try_post(template.url, template.headers, body, clocks, deadline, on_news)
    if connection is None:
        return None
    return RemoteRequest(template, pool, connection, body, clocks, deadline, others, model, adaptations)
