"""What a wire is: one dialect that requests and answers are spoken in, both ways. Does no I/O.

A further dialect is one module that implements `Wire`, and one row in `registry`; docs/guides/add-a-wire.md shows it.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import msgspec

from ..errors import HTTPError, StatusError
from ..events import Batch, FinishReason
from ..request import ChatRequest
from .fields import FieldTable
from .foreign_errors import read_error
from .sse import encode_comment

#: What stands in a path of `Wire.paths` for the name of a model.
MODEL_IN_PATH: Final = "{model}"


class StreamDecoder(Protocol):
    """One streamed answer, bytes in and events out. `feed` never raises; however the bytes are split, the events are the same.

    ``failure``: what the caller raises after yielding the batch. ``complete``: nothing more need be read. ``ending``: a finish
    reason came, and only what may follow one can come. ``is_proven``: the answer is complete even where the connection breaks
    now. ``extension``: the ``x_autonomousai`` object of a server of this package; ``progress``: the number in it that grows
    while the server repairs a broken answer, 0 where there is none. ``pings``: how many events have come by which an API says
    that it is at work, and which are none of an answer. ``last_event_id``: to resume after.
    """

    failure: HTTPError | None
    complete: bool
    extension: dict[str, Any] | None

    @property
    def ending(self) -> bool: ...
    @property
    def is_proven(self) -> bool: ...
    @property
    def progress(self) -> int: ...
    @property
    def pings(self) -> int: ...
    @property
    def last_event_id(self) -> str: ...

    def feed(self, data: bytes) -> Batch:
        """Return the events that *data* brought. What came before a failure is among them."""

    def next_text(self, data: bytes) -> str | None:
        """Return the text that *data* brought, where that is all of it, and is soon proven to be; it is read then. None for
        anything else, of which nothing was read: it is for `feed`."""

    def end(self) -> Batch:
        """Return the events of a last event that lacks the blank line, where its data is complete otherwise. Called when the
        body has ended without an error, and `finish` after it."""

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """Return the end of the answer, when no more is to come. *in_good_order*: the body came completely, by its own framing.

        Raises ``failure``, or `IncompleteStreamError` where nothing that came proves the end.
        """

    def reopen(self) -> None:
        """Continue with the bytes of another connection, from the event after the last complete one."""


class AnswerHead(msgspec.Struct, frozen=True):
    """What an answer is called, and what all its events repeat. ``created``: seconds since the epoch. ``include_usage`` and
    ``echo``: see `ChatRequest`. ``durations``: returns how long the answer took so far, and how much of that was before its
    first event, in nanoseconds; None where its wire says neither."""

    id: str
    created: int
    model: str
    include_usage: bool = False
    echo: dict[str, Any] | None = None
    durations: Callable[[], tuple[int, int]] | None = None


class StreamEncoder(Protocol):
    """Events become the bytes of one streamed answer. A batch becomes one bytes object, to be sent in one write."""

    def write(self, batch: Batch) -> bytes:
        """Return what *batch* is; its `FinishReason` is for `end`."""

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """Return the end of the answer; *extension* is its ``x_autonomousai`` object."""

    def sign(self, progress: int) -> bytes:
        """Return an event without an id that says that a broken answer is being repaired; *progress* is higher each time."""

    def fail(self, error: BaseException) -> bytes:
        """Return the one event, without an id, that reports *error* and ends the stream."""


class Operation(msgspec.Struct, frozen=True):
    """What the published description (OpenAPI 3.1) says of ``POST`` to one path. ``id``: unique among all; ``request``,
    ``answer``, ``event`` (of a streamed answer, ``""`` where none is streamed) and ``error``: the names of schemas;
    ``example``: a request; ``query``: what the query may say, in words by name."""

    id: str
    summary: str
    request: str
    answer: str
    event: str
    example: Any
    error: str = "Error"
    query: Mapping[str, str] = {}


class ListedModel(msgspec.Struct, frozen=True):
    """A model as a list of models shows it: its name, its other names, and whether it sees images. ``context``: tokens of
    prompt and answer together, where that is known. ``created``: seconds since the epoch. ``details``: what is known of its
    weights. ``embeds``: whether it may make embeddings."""

    id: str
    aliases: list[str]
    vision: bool
    context: int | None = None
    created: int = 0
    details: Mapping[str, Any] = {}
    embeds: bool = False


class Wire(ABC):
    """One dialect.

    ``name``: its key in the registry. ``title``: its name for people, as in "over the OpenAI wire". ``root``: what a client's
    base URL has after the server's address. ``paths``: where a server speaks it, for POST requests; no two wires share one.
    `MODEL_IN_PATH` in one stands for the model's name.
    ``fields``: the table of its requests, where it has one; ``further_fields``: those of paths that take other ones.
    ``streams``: whether its answers can be streamed; of one that has whole documents alone, see `openai_documents`.
    ``has_events``: whether a stream is server-sent events, which can be resumed; of others each piece is a line of JSON, unless
    ``stream_type`` says otherwise. ``has_comments``: whether readers of its events skip comments, as the standard wants.
    ``tells_durations``: whether an answer says how long it took.
    ``takes_any_type``: whether programs may send a request without saying that it is JSON.

    ``key_header``: a header that carries the bare API key, where the dialect's clients send one beside, or in place of,
    ``Authorization: Bearer``; ``key_query``: a member of the query that carries one. ``id_header``: a header of responses that
    carries the request's id beside ``x-request-id``.
    ``passed_headers``: headers of a request that an upstream of the same wire gets too, see `OriginalRequest`.
    ``keeps_order``: whether a document has its parts in the order in which they were said; in others all text is one.
    ``count_path``: where a server counts the tokens of its requests, by POST requests of the table ``count_fields``.
    ``further_paths``: where its clients ask for something else than an answer, and read errors in its shape.
    ``models_path``: where its clients list the models in a shape of its own, which is the schema ``models_schema``, and find
    one below it, where there is a ``model_schema``; without one they do so at ``/v1/models``, in OpenAI's, or in the same
    shapes where they send the header ``models_header``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    root: ClassVar[str] = ""
    paths: ClassVar[tuple[str, ...]]
    fields: ClassVar[FieldTable | None] = None
    streams: ClassVar[bool] = True
    has_events: ClassVar[bool] = True
    tells_durations: ClassVar[bool] = False
    takes_any_type: ClassVar[bool] = False
    has_comments: ClassVar[bool] = True
    stream_type: ClassVar[bytes] = b"application/x-ndjson"
    key_header: ClassVar[str | None] = None
    key_query: ClassVar[str | None] = None
    id_header: ClassVar[str | None] = None
    passed_headers: ClassVar[tuple[str, ...]] = ()
    keeps_order: ClassVar[bool] = False
    count_path: ClassVar[str | None] = None
    count_fields: ClassVar[FieldTable | None] = None
    further_fields: ClassVar[tuple[FieldTable, ...]] = ()
    further_paths: ClassVar[tuple[str, ...]] = ()
    models_path: ClassVar[str | None] = None
    models_schema: ClassVar[str] = ""
    models_header: ClassVar[str | None] = None
    model_schema: ClassVar[str] = ""

    #: What the whole streams end with that `decode_short` reads; without it, it reads none.
    short_end: ClassVar[bytes] = b""

    #: What bridges a silence: a comment, or an event without an id, or a line, that says nothing.
    ping: ClassVar[bytes] = encode_comment("keep-alive")

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Return the name that the wire has in its module. So a copy, by `copy` or by `pickle`, is the same wire, which is
        known by its identity."""
        names = vars(sys.modules[type(self).__module__]).items()
        return next((name for name, value in names if value is self), None) or super().__reduce__()

    # ---- for the server

    def in_form(self, query: bytes) -> Wire:
        """Return the wire in the form that a request's *query* asks for: its streams may have several."""
        return self

    @abstractmethod
    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """Return the request in *body*, which was sent to *path*. Raises `StatusError` 400 that names the field, or
        `InvalidMessagesError`."""

    def decode_usual(self, body: bytes) -> ChatRequest | None:
        """Return what `decode_request` returns, where one typed decode has proven that the request is usual: a conversation of
        text alone, with known fields. None elsewhere."""
        return None

    def end_at_once(self, request: ChatRequest) -> FinishReason | None:
        """Return the end of the answer to a *request* that asks nothing of an upstream; None where it asks something."""
        return None

    @abstractmethod
    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """Return an encoder for one streamed answer. *ids*: each event gets the next of them as its ``id``, to be resumed
        after. *begun*: its beginning was written before.

        Resumed streams are encoded again: the same batches give the same bytes, and a `copy.deepcopy` of the encoder (with the
        *ids* in it) continues as the encoder does."""

    def encode_stream(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """Return a complete answer as a stream. Its last event is the `FinishReason`."""
        encoder = self.encoder(head)
        return encoder.write(events) + encoder.end(events[-1], extension=extension)  # type: ignore[arg-type]

    @abstractmethod
    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """Return a complete answer as one document. Its last event is the `FinishReason`."""

    @abstractmethod
    def operation(self, path: str) -> Operation:
        """Return the description of POST requests to *path*, one of its paths."""

    def schemas(self) -> Mapping[str, Any]:
        """Return the schemas (JSON Schema 2020-12) that its operations name and no other wire has, by name."""
        return {}

    def encode_count(self, tokens: int) -> bytes:
        """Return the answer of ``count_path``."""
        raise NotImplementedError(f"the wire {self.name} counts no tokens")

    def encode_models(self, models: Sequence[ListedModel]) -> bytes:
        """Return the list of models as ``models_path`` answers it, or ``/v1/models`` to a caller with ``models_header``."""
        raise NotImplementedError(f"the wire {self.name} has no list of models of its own")

    def encode_model(self, model: ListedModel) -> bytes:
        """Return one model, as ``/v1/models/{id}`` answers a caller with ``models_header``."""
        raise NotImplementedError(f"the wire {self.name} has no list of models of its own")

    # ---- for clients; a wire that is only served has none of these

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """Return the body that asks an upstream's *model*; its messages are checked ones. Raises `ValueError` that names the
        field where it cannot be written."""
        raise self._is_only_served()

    def decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed answer."""
        raise self._is_only_served()

    def decode_short(self, data: bytes) -> Batch | None:
        """Return a whole streamed answer that is *data*, with its `FinishReason`, where it is soon proven to be one; None where
        it is anything else, for a `decoder` to read. Both read the same."""
        return None

    def decode_answer(self, body: bytes) -> Batch:
        """Return an answer that came as one document. Raises `StreamError` where it cannot be read, or is an error."""
        raise self._is_only_served()

    def check_answer(self, batch: Batch, asked: bytes) -> None:  # noqa: B027  most have nothing to check
        """Check an answer that came as one document against the body of its request. Raises `StreamError` where it is none to
        that one."""

    def _is_only_served(self) -> NotImplementedError:
        return NotImplementedError(f"no upstream is asked over the wire {self.name}")

    # ---- OpenAI's, where a dialect has no other

    def answer_id(self, request_id: str) -> str:
        """Return the id of the answer to the request of that id: as hard to guess, and drawn once."""
        return "chatcmpl-" + request_id.removeprefix("req_")

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """Return the status, the extra headers and the body of the response that reports *error* of the request of that id."""
        from .errors import encode_error  # noqa: PLC0415  a client writes no errors, and most answers are none

        return encode_error(error)

    def encode_error_event(self, error: BaseException) -> bytes:
        """Return the event that reports *error* inside a stream of which nothing was encoded, and ends it."""
        from .errors import error_event  # noqa: PLC0415  a client writes no errors, and most answers are none

        return error_event(error)

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """Return the error that a response of *status* is, whatever its body looks like; *secrets* do not appear in it."""
        return read_error(status, body, headers, secrets=secrets)
