"""Answers that are kept for their callers: what one is now.

A kept response is a stream (see `streams`) with its request: nothing else is stored. Its id is ``resp_`` and the stream's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import StatusError
from ..events import Batch
from ..streams.contexts import Turns
from ..streams.errors import CANCELLED
from ..streams.records import Record, RecordedRequest
from ..streams.stores import StreamInfo
from ..wires.base import AnswerHead
from ..wires.openai_responses.errors import failure_of
from ..wires.openai_responses.kept import input_list, kept_response, response_not_found
from ..wires.openai_responses.wire import OPENAI_RESPONSES

if TYPE_CHECKING:
    from ..streams.broker import StreamBroker

_PREFIX: Final = "resp_"

#: Statuses of an error that mean to a caller that there is nothing, whether or not there was something once.
_NOTHING: Final = (404, 410)


class KeptResponse:
    """A kept response that was found. ``stream``: its stream's id; ``found``: what was known of that; ``recorded``: its
    request."""

    def __init__(self, streams: StreamBroker, stream: str, found: StreamInfo, recorded: RecordedRequest, name: str) -> None:
        self.stream = stream
        self.found = found
        self.recorded = recorded
        self._streams = streams
        self._name = name

    @property
    def own_input(self) -> Any:
        """Return the input of its request."""
        origin = self.recorded.request.origin
        return None if origin is None else origin.document.get("input")

    async def turns(self) -> Turns:
        """Return what its request continued from. Raises as `response` does."""
        try:
            return await self._streams.kept.turns(self.recorded)
        except StatusError as error:
            raise (response_not_found(_PREFIX + self.stream) if error.status in _NOTHING else error) from None

    async def input(self) -> Any:
        """Return the whole input of its request, that of earlier responses included. Raises as `response` does."""
        if not self.recorded.context:
            return self.own_input
        return [*(await self.turns()).items, *input_list(self.own_input)]

    async def response(self) -> dict[str, Any]:
        """Return the response object as it is now. Raises `StatusError` 404 where it was dropped just now, 503 where the store
        cannot be reached."""
        try:
            records = await self._streams.records(self.stream, self.found, self._name)
        except StatusError as error:
            raise (response_not_found(_PREFIX + self.stream) if error.status in _NOTHING else error) from None
        return response_of_records(self.recorded, records)


async def find_kept(streams: StreamBroker, key: bytes, id: str, name: str) -> KeptResponse:
    """Return the kept response of that id. Raises `StatusError` 404 where the caller with this *key* has none, 503 where the
    store cannot be reached. *name*: the id of the request that asks for it."""
    stream = id.removeprefix(_PREFIX)
    try:
        if stream == id:
            raise response_not_found(id)
        found = await streams.find(stream, key)
        recorded = await streams.kept.find(stream)
    except StatusError as error:
        raise (response_not_found(id) if error.status in _NOTHING else error) from None
    return KeptResponse(streams, stream, found, recorded, name)


def response_of_records(recorded: RecordedRequest, records: list[Record]) -> dict[str, Any]:
    """Return the response object that *records* are, as far as they have come."""
    header = records[0].header if records else None
    created, model = (recorded.created, recorded.request.model) if header is None else (header.created, header.model)
    head = AnswerHead(OPENAI_RESPONSES.answer_id(recorded.id), created, model, echo=recorded.request.echo)
    events: Batch = [event for record in records for event in record.events]
    last = records[-1] if records else Record()
    status, failure = "in_progress" if records or recorded.kept != "background" else "queued", {}
    if last.error is not None:
        cancelled = last.error.code == CANCELLED
        status = "cancelled" if cancelled else "failed"
        failure = {} if cancelled else failure_of(last.error.as_error())
    return kept_response(events, head, status=status, failure=failure, extension=last.provenance)
