"""Wires whose answers are one JSON document and are never streamed. What they say has no events: it travels as one `Extra` with
the document's members, as they came, between `Started` and `FinishReason`. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ...errors import HTTPError, IncompleteStreamError, StreamError
from ...events import Batch, Extra, FinishReason, Started, Usage
from ..base import AnswerHead, StreamEncoder, Wire
from ..foreign_errors import error_in_event
from ..json import BOM
from ..openai_chat.chunks import UNREADABLE, load
from ..openai_chat.usage import usage_of

#: A document, of which only the outermost members are read.
Members = dict[str, Any]

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class DocumentAlone:
    """A `StreamDecoder` for answers that are no stream: whatever is one, or is no JSON object, fails."""

    complete = ending = is_proven = False
    extension: dict[str, Any] | None = None
    progress = pings = 0
    last_event_id = ""

    def __init__(self) -> None:
        self.failure: HTTPError | None = None

    def next_text(self, data: bytes) -> str | None:
        """See `StreamDecoder.next_text`."""
        return None

    def feed(self, data: bytes) -> Batch:
        """See `StreamDecoder.feed`."""
        self.failure = self.failure or StreamError(
            "the server sent a stream, or something else, where a JSON object should be", status=200, retryable=True
        )
        return []

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        return []

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`."""
        raise self.failure or IncompleteStreamError("the answer is empty")

    def reopen(self) -> None:
        """See `StreamDecoder.reopen`; nothing is resumed."""


class DocumentWire(Wire):
    """A wire without streams. ``holds``: the member of an answer that has what was asked for."""

    streams = False
    holds: ClassVar[str]

    def decoder(self) -> DocumentAlone:
        """See `Wire.decoder`."""
        return DocumentAlone()

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """See `Wire.encoder`; there is none."""
        raise NotImplementedError(f"the wire {self.name} streams nothing")

    def decode_answer(self, body: bytes) -> Batch:
        """See `Wire.decode_answer`. The values of the members are `msgspec.Raw`: a vector may have thousands of numbers, and is
        most often only handed on."""
        body = body.removeprefix(BOM).strip()
        if body.startswith(b"[") and not _is_error(body):  # what it holds, without the object around it
            body = b'{"%b":%b}' % (self.holds.encode(), body)
        try:
            members = _decode_members(body)
        except UNREADABLE:
            members = {}
        members = self._unwrapped(members)
        if self.holds not in members:
            raise self._no_answer(body)
        model = _text_of(members.get("model"))
        usage = None
        if (raw := members.get("usage")) is not None:
            counted = msgspec.json.decode(raw)
            usage = _of_prompt_alone(usage_of(counted)) if isinstance(counted, dict) else None
        return [Started(model), Extra(self.read_members(members), 0, self.name), FinishReason(None, "body", usage, model)]

    def _unwrapped(self, members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """Return the members of the answer that some gateways wrap in an object of their own; *members*, where it is none."""
        for name in ("data", "result", "response", "output"):
            if (raw := members.get(name)) is not None and bytes(raw)[:1] == b"{":
                inner = _decode_members(raw)
                if self.holds in inner:
                    return inner
        return members

    def read_members(self, members: dict[str, msgspec.Raw]) -> Members:
        """Return the members of an answer as they travel. Raises `StreamError` where they are none."""
        return dict(members)

    def members_of(self, events: Batch) -> Members:
        """Return the members of the answer that *events* are. Raises `StreamError` where they are another wire's."""
        for event in events:
            if isinstance(event, Extra) and event.wire == self.name:
                return dict(event.members)
        raise StreamError(f"the provider's answer is none of {self.title}", status=200)

    def _no_answer(self, body: bytes) -> StreamError:
        """Return the error that *body* is, which has a status of success."""
        try:
            document = load(body)
        except UNREADABLE:
            document = None
        if isinstance(document, list) and document:
            document = document[0]
        error = error_in_event(document) if isinstance(document, dict) else None
        has_it = isinstance(document, dict) and self.holds in document  # read leniently alone: a number that JSON has not, …
        problem = "it is no valid JSON" if document is None or has_it else f"it has no {self.holds!r}"
        return error or StreamError(
            f"the answer cannot be read: {problem}", status=200, retryable=True, code="unreadable_event"
        )


def _of_prompt_alone(usage: Usage | None) -> Usage | None:
    """Return *usage* with all of its tokens as the prompt's, where a server names their total alone: there are no others."""
    if usage is None or usage.prompt_tokens or usage.completion_tokens:
        return usage
    return msgspec.structs.replace(usage, prompt_tokens=usage.total_tokens)


def _is_error(body: bytes) -> bool:
    return body[1:].lstrip()[:8] == b'{"error"'


def _text_of(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=str) or None
    except msgspec.DecodeError:
        return None


def route_of(extension: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return of an answer's ``x_autonomousai`` object what it says of the way that it came: there is no text to count."""
    return extension and {name: extension[name] for name in ("upstream", "attempts") if name in extension}
