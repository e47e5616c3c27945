"""Answers of upstreams over the Responses wire: the events of a stream -> events of an answer. Does no I/O.

OpenAI API reference, "Responses", "Streaming events". An answer has ended with ``response.completed`` or
``response.incomplete``, and has failed with ``response.failed`` or ``error``. A stream without any of these is broken, whatever
came before: no text, no finished item and no ``[DONE]`` proves an end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ...errors import StreamError
from ...events import Batch, Extra, FinishReason, ForeignEvent, Started, Usage
from ..event_stream import EventStreamDecoder
from ..foreign_errors import error_in_event
from ..json import keep_texts, load_leniently
from ..openai_chat import tool_calls
from ..openai_chat.chunks import UNREADABLE
from ..openai_chat.usage import COMPLETION, PROMPT, TOTAL, cached_count, named_count, thought_count
from ..provenance import KEY
from ..redaction import one_line
from ..sse import DEFAULT_MAX_EVENT
from ..unreadable import SHOWN, first_foreign, notes_on, unreadable, without_end
from .items import WIRE_NAME, Json, OutputItems

_DONE: Final = b"[DONE]"

#: Codes of a failed response that the same request would meet again (API reference, ``ResponseError.code``).
_FINAL_CODES: Final = frozenset(
    {"invalid_prompt", "bio_policy", "misalignment_policy_violation", "data_residency_mismatch", "unsupported_image_media_type"}
)
_ABOUT_IMAGES: Final = ("invalid_image", "invalid_base64_image", "image_", "empty_image")

#: The code of a failure of which the server does not say why.
_UNSAID: Final = "broken_off"

#: Statuses of a response that continues: where one stands in the event that ends it, the event counts.
_UNENDED: Final = ("", "queued", "in_progress")

#: Why an answer is incomplete, in the words of chat completions; another word stays.
_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}

#: Members of a response that events hold, that every encoder writes by itself, or that repeat the request.
_KNOWN_RESPONSE: Final = frozenset(
    {
        *("id", "object", "created_at", "completed_at", "status", "model", "output", "output_text", "usage", "error"),
        *("incomplete_details", "x_autonomousai", "background", "input", "instructions", "metadata", "previous_response_id"),
        *("store", "text", "tools"),
    }
)


class ResponsesStreamDecoder(EventStreamDecoder):
    """One streamed answer, bytes in and events out: see `StreamDecoder`."""

    __slots__ = (
        "_foreign",
        "_items",
        "_model",
        "_notes",
        "_reason",
        "_started",
        "_unsaid",
        "_usage",
    )

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        super().__init__(max_event=max_event)
        self._items = OutputItems(tool_calls.new_call_id)
        self._started = False
        self._foreign: Batch = []  # events that came before the answer began
        self._model: str | None = None
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._notes: tuple[str, ...] = ()
        self._unsaid: StreamError | None = None  # the response has failed, and the event that says why may follow

    @property
    def ending(self) -> bool:
        """Whether the response has failed, and only the event that says why can follow. What proves the end of an answer is
        the last that comes."""
        return self._unsaid is not None

    @property
    def is_proven(self) -> bool:
        """Whether no more need come: see `StreamDecoder`, or the response has failed."""
        return self.complete or self._unsaid is not None

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`."""
        if self.failure is not None:
            raise self.failure
        if self._unsaid is not None:
            raise self._unsaid
        if not self.complete:
            raise without_end(self._sse.stray() or first_foreign(self._foreign))
        return FinishReason(self._reason, "finish_reason", self._usage, self._model, None, self._notes)

    # ---- events

    def _is_object(self, data: bytes) -> bool:
        return isinstance(self.load(data), dict)

    def _read(self, data: bytes, event: str, batch: Batch) -> None:
        stripped = data.strip()
        if not stripped or stripped == _DONE:
            return
        obj = self.load(data)
        if not isinstance(obj, dict):
            if event in ("message", "error") or event in EVENTS:
                self.failure = unreadable("an event of the stream", data)
            else:
                self._pass_on(ForeignEvent(event, data, WIRE_NAME), batch)
            return
        said = obj.get("type")
        kind = said if isinstance(said, str) and said else event
        if obj.get("object") == "response" and "response" not in obj:
            obj = {"response": obj}  # some servers send it bare
        self._take_extension(obj)
        if (handle := EVENTS.get(kind)) is not None:
            self.begin(obj.get("response"), batch)
            handle(self, obj, batch)
        elif not kind.startswith("response.") and (error := error_in_event(obj, event=kind)) is not None:
            self._fail(error)
        elif obj.keys() - {"x_autonomousai", "type", "sequence_number"}:
            self._pass_on(ForeignEvent(kind, data, WIRE_NAME), batch)

    def load(self, data: bytes) -> Any:
        """Return the value in *data*, read leniently; None where it is none."""
        try:
            return msgspec.json.decode(data)
        except UNREADABLE:
            pass
        try:
            value = load_leniently(data, _keep_halves)
        except UNREADABLE:
            return None
        self._notes = self._notes or notes_on(data)
        return value

    def _pass_on(self, event: ForeignEvent, batch: Batch) -> None:
        """Pass an event on that is no part of an answer; it is held back until one has begun."""
        (batch if self._started else self._foreign).append(event)

    def begin(self, response: Any, batch: Batch) -> None:
        """Begin the answer, if it had not begun; *response* may name the model."""
        if isinstance(response, dict) and isinstance(model := response.get("model"), str) and model:
            self._model = model
        if not self._started:
            self._started = True
            batch += [Started(self._model), *self._foreign]
            self._foreign = []

    def _take_extension(self, obj: Json) -> None:
        response = obj.get("response")
        for said in (obj.get("x_autonomousai"), response.get("x_autonomousai") if isinstance(response, dict) else None):
            if isinstance(said, dict):
                self.extension = said

    # ---- the end

    def take_response(self, response: Any, batch: Batch, status: str) -> None:
        """Take the whole response, as the last event and a document have it. *status*: what it is where it does not say so."""
        response = response if isinstance(response, dict) else {}
        said = response.get("status")
        status = said if isinstance(said, str) and said not in _UNENDED else status
        if status not in ("completed", "incomplete"):
            self._fail(failure_of(response, status))
            return
        self._items.complete_all(response.get("output"), batch)
        self._usage = usage_of(response.get("usage"))
        self._reason = _reason_of(response) if status == "incomplete" else "tool_calls" if self._items.asks else "stop"
        members = {name: value for name, value in response.items() if name not in _KNOWN_RESPONSE}
        if status == "incomplete" and self._reason not in _REASONS.values():
            members |= {"status": status, "incomplete_details": response.get("incomplete_details")}
        if members:
            batch.append(Extra({"response": members}, 0, WIRE_NAME))
        self.complete = True

    def _fail(self, error: StreamError) -> None:
        if error.code is not None and (error.code in _FINAL_CODES or error.code.startswith(_ABOUT_IMAGES)):
            error.retryable = False
        self.failure = error

    # ---- one method for each type of event

    def _on_item_added(self, obj: Json, batch: Batch) -> None:
        self._items.add(obj, batch)

    def _on_item_done(self, obj: Json, batch: Batch) -> None:
        self._items.complete(obj, batch)

    def _on_part_added(self, obj: Json, batch: Batch) -> None:
        self._items.add_part(obj, batch)

    def _on_part_done(self, obj: Json, batch: Batch) -> None:
        self._items.complete_part(obj, batch)

    def _on_annotation(self, obj: Json, batch: Batch) -> None:
        self._items.annotate(obj, batch)

    def _on_arguments(self, obj: Json, batch: Batch) -> None:
        self._items.argue(obj, batch, whole=False)

    def _on_arguments_done(self, obj: Json, batch: Batch) -> None:
        self._items.argue(obj, batch, whole=True)

    def _on_completed(self, obj: Json, batch: Batch) -> None:
        self.take_response(obj.get("response"), batch, "completed")

    def _on_incomplete(self, obj: Json, batch: Batch) -> None:
        self.take_response(obj.get("response"), batch, "incomplete")

    def _on_failed(self, obj: Json, batch: Batch) -> None:
        response = obj.get("response")
        error = failure_of(response if isinstance(response, dict) else obj, "failed")
        if error.code == _UNSAID:  # Azure says why in an event of its own behind this one
            self._unsaid = error
        else:
            self._fail(error)

    def _on_cancelled(self, obj: Json, batch: Batch) -> None:
        self.take_response(obj.get("response"), batch, "cancelled")

    def _on_nothing(self, obj: Json, batch: Batch) -> None:
        """The answer has begun, or a part of it has, which is said with the first piece."""


_Handler = Callable[[ResponsesStreamDecoder, Json, Batch], None]


def _says(part: str, *, whole: bool) -> _Handler:
    return lambda decoder, obj, batch: decoder._items.say(obj, part, batch, whole=whole)


#: By the type of the event. ``response.reasoning.*`` and ``response.reasoning_summary.*`` are older names, still in use.
EVENTS: Final[dict[str, _Handler]] = {
    "response.created": ResponsesStreamDecoder._on_nothing,
    "response.queued": ResponsesStreamDecoder._on_nothing,
    "response.in_progress": ResponsesStreamDecoder._on_nothing,
    "response.output_item.added": ResponsesStreamDecoder._on_item_added,
    "response.content_part.added": ResponsesStreamDecoder._on_part_added,
    "response.output_text.delta": _says("output_text", whole=False),
    "response.output_text.done": _says("output_text", whole=True),
    "response.output_text.annotation.added": ResponsesStreamDecoder._on_annotation,
    "response.refusal.delta": _says("refusal", whole=False),
    "response.refusal.done": _says("refusal", whole=True),
    "response.content_part.done": ResponsesStreamDecoder._on_part_done,
    "response.reasoning_text.delta": _says("reasoning_text", whole=False),
    "response.reasoning_text.done": _says("reasoning_text", whole=True),
    "response.reasoning.delta": _says("reasoning_text", whole=False),
    "response.reasoning.done": _says("reasoning_text", whole=True),
    "response.reasoning_summary_part.added": ResponsesStreamDecoder._on_part_added,
    "response.reasoning_summary_text.delta": _says("summary_text", whole=False),
    "response.reasoning_summary_text.done": _says("summary_text", whole=True),
    "response.reasoning_summary.delta": _says("summary_text", whole=False),
    "response.reasoning_summary.done": _says("summary_text", whole=True),
    "response.reasoning_summary_part.done": ResponsesStreamDecoder._on_part_done,
    "response.function_call_arguments.delta": ResponsesStreamDecoder._on_arguments,
    "response.function_call_arguments.done": ResponsesStreamDecoder._on_arguments_done,
    # A call of a custom tool comes whole, with its item.
    "response.custom_tool_call_input.delta": ResponsesStreamDecoder._on_nothing,
    "response.custom_tool_call_input.done": ResponsesStreamDecoder._on_nothing,
    "response.output_item.done": ResponsesStreamDecoder._on_item_done,
    "response.completed": ResponsesStreamDecoder._on_completed,
    "response.done": ResponsesStreamDecoder._on_completed,  # as of the Realtime API
    "response.incomplete": ResponsesStreamDecoder._on_incomplete,
    "response.failed": ResponsesStreamDecoder._on_failed,
    "response.cancelled": ResponsesStreamDecoder._on_cancelled,
}


def _keep_halves(obj: Any, mended: Any) -> None:
    """Leave halves of characters in a piece, as the next one may bring the rest."""
    keep_texts(obj, mended, ("delta",))


def failure_of(response: Json, status: str) -> StreamError:
    """Return the error of a *response* that ended with *status*; it may not say why."""
    details = response.get("status_details")
    said = response.get("error") or (details.get("error") if isinstance(details, dict) else None)
    error = error_in_event({"error": said}, event="error") if said else None
    if error is None:
        words = f"the server ended the response with the status {one_line(status, SHOWN)!r}, and does not say why"
        error = StreamError(words, status=200, retryable=True, code=_UNSAID)
    if isinstance(said := response.get(KEY), dict) and isinstance(code := said.get("code"), str) and code:
        error.code = code  # of a server of this package, which tells others one that they know
    return error


def _reason_of(response: Json) -> str:
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _REASONS.get(reason, reason) if isinstance(reason, str) and reason else "length"


def usage_of(usage: Any) -> Usage | None:
    """Return the tokens that a ``usage`` object counts; None where it counts none of the three that make one."""
    if not isinstance(usage, dict):
        return None
    read, written, total = (named_count(usage, names) for names in (PROMPT, COMPLETION, TOTAL))
    if read is None and written is None and total is None:
        return None
    extra = {name: value for name, value in usage.items() if name not in _NAMES and name not in _DETAILS}
    for group, known in _DETAILS.items():
        said = usage.get(group)
        if rest := {name: value for name, value in said.items() if name != known} if isinstance(said, dict) else None:
            extra[group] = rest
    return Usage(
        prompt_tokens=read or 0,
        completion_tokens=written or 0,
        total_tokens=(read or 0) + (written or 0) if total is None else total,
        cached_tokens=cached_count(usage),
        reasoning_tokens=thought_count(usage),
        extra=extra or None,
    )


_NAMES: Final = frozenset({*PROMPT, *COMPLETION, *TOTAL})

#: The groups of details, and the member of each that has a field of its own.
_DETAILS: Final = {"input_tokens_details": "cached_tokens", "output_tokens_details": "reasoning_tokens"}
