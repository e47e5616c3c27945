"""What the chunks of one answer say, and what they prove: chunks -> events. Knows no bytes and no order of reading.

It takes what real servers send, and is lenient in all but one thing: the end of an answer must be proven.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import HTTPError, IncompleteStreamError, StreamError
from ...events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Evidence,
    Extra,
    FinishReason,
    ForeignEvent,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
)
from ..finish_reasons import STANDARD, broken_off, finish_reason_of
from ..foreign_errors import error_in_event
from ..json import Halves, mend
from ..unreadable import first_foreign, without_end
from .chunks import TRAILER, WIRE, CallPiece, Choice, Chunk, Delta, FunctionPiece, constant_of, unknown_members
from .tool_calls import ToolCallIndexer
from .usage import counted_more, counts_both, usage_of
from .usual import UsualChoice, UsualChunk, UsualDelta, widened_call

_TEXT, _THOUGHT = "text", "thought"  # what halves of characters are kept of, beside calls, by their index

_BOUND = (LogProbs, Annotations, Images)  # what belongs to the text that came with it


class ChunkInterpreter:
    """One answer, chunk by chunk, in the order of its stream.

    ``failure``: what the caller raises after yielding the batch. ``complete``: the answer has come whole, nothing more need be
    read. ``ending``: a finish reason came, and only usage and ``[DONE]`` can follow. ``extension``: the ``x_autonomousai``
    object of a server of this package. ``pings``: the API has none.
    """

    pings = 0

    __slots__ = (
        "_constant",
        "_done",
        "_finish_extra",
        "_foreign",
        "_halves",
        "_model",
        "_notes",
        "_open",
        "_others",
        "_places",
        "_reason",
        "_reason_ended",
        "_reason_is_doubtful",
        "_said",
        "_spoke",
        "_started",
        "_thinks",
        "_told",
        "_trailer",
        "_usage",
        "_usage_came_last",
        "_usual",
        "complete",
        "ending",
        "extension",
        "failure",
    )

    def __init__(self) -> None:
        self.failure: HTTPError | None = None
        self.complete = False
        self.ending = False
        self.extension: dict[str, Any] | None = None
        self._started = False
        self._spoke = False  # a chunk with choices has come
        self._told: str | None = None  # what messages in the place of deltas have said
        self._said = 0  # what the first choice has said: nothing, something without text (1), text (2)
        self._thinks = False  # reasoning has come as text
        self._usual = False  # a chunk by which the answer only continues need not pass `_take`
        self._model: str | None = None
        self._notes: tuple[str, ...] = ()
        self._usage: dict[str, Any] | None = None  # the last that was not empty
        self._places: ToolCallIndexer | None = None
        self._halves: Halves | None = None  # of characters, whose rest comes with the next piece of the text, thought or call
        # What proves the end, in this order.
        self._reason: str | None = None
        self._reason_ended = False  # it came in a chunk that said nothing else, and nothing was said since
        self._reason_is_doubtful = False  # text followed one: this server names one in every chunk
        self._done = False
        self._usage_came_last = False
        # What is unknown: members that every chunk repeats, of the chunk with the finish reason, and of that with the usage.
        self._constant: dict[str, Any] = {}
        self._finish_extra: dict[str, Any] | None = None
        self._trailer: dict[str, Any] | None = None
        self._foreign: Batch = []  # events that came before the answer began
        self._open: dict[int, None] = {}  # choices beside the first that have begun and not ended
        self._others: dict[int, tuple[Halves | None, ToolCallIndexer | None]] = {}  # by the choice: ``_halves``, ``_places``

    @property
    def is_proven(self) -> bool:
        """Whether the answer is complete, however its body may end: a reason without a word before it may be of a chunk that
        only begins, and usage may be counted in between."""
        return self.failure is None and (self._done or (self._reason_counts and bool(self._said)))

    @property
    def progress(self) -> int:
        """How far a server of this package has come with repairing a broken answer; 0 where it said nothing of that."""
        said = (self.extension or {}).get("progress")
        return said if type(said) is int else 0

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`."""
        if self.failure is not None:
            raise self.failure
        evidence: Evidence
        if self._reason_counts:
            evidence = "finish_reason"
        elif self._done:
            evidence = "done"
        elif self._usage_came_last and in_good_order and not self._open:
            evidence = "usage"
        elif self.complete and not self._done:
            raise IncompleteStreamError("the stream held no answer: nothing came before its [DONE]")
        else:
            raise without_end(self._stray())
        extra = self._finish_extra
        if self._trailer is not None:
            extra = {**(self._constant if extra is None else extra), TRAILER: self._trailer}
        reason = self._reason
        if self._places is not None and reason in (None, "stop") and self._places.has_calls:
            reason = "tool_calls"  # so that callers run them, whatever the server calls it
        return FinishReason(reason, evidence, usage_of(self._usage), self._model, extra, self._notes)

    def _stray(self) -> bytes:
        """Return what came of the stream that is no event, or else an event of another API."""
        return b"" if self._spoke else first_foreign(self._foreign)

    def _read_done(self, batch: Batch) -> None:
        self.complete = True
        self._done = bool(self._said or self._halves or self._others) or self._reason is not None  # behind nothing, none
        if self._done:
            self._begin(batch)

    def _read_object(self, obj: dict[str, Any], chunk: Chunk, data: bytes, event: str, batch: Batch) -> None:
        """Read any JSON object: a *chunk*, an error, both, or an event of another kind, whose bytes are *data*."""
        error = error_in_event(obj, event=event)
        if error is None and "choices" not in obj and not (chunk.usage or chunk.x_autonomousai or chunk.finish_reason):
            self._pass_on(ForeignEvent(event, data, WIRE), batch)
            return
        if chunk.choices or error is None:
            self._take(chunk, batch, unknown_members(obj))
        if error is not None:
            self._fail(error)

    def _pass_on(self, event: ForeignEvent, batch: Batch) -> None:
        """An event that is no part of an answer; it is held back until one has begun."""
        (batch if self._started else self._foreign).append(event)

    def _take(self, chunk: Chunk | UsualChunk, batch: Batch, unknown: dict[str, Any]) -> None:
        """Take any chunk: what it says goes into the batch, what it proves is kept. *unknown*: see `unknown_members`."""
        before = len(batch)
        choices = chunk.choices or ()
        reason = finish_reason_of(chunk.finish_reason) if chunk.finish_reason and not choices else None
        said = False  # by the first choice
        for choice in choices:
            if choice.index:
                self._say_choice(choice.index, choice, batch)
            else:
                already = len(batch)
                self._say(choice, batch)
                said = said or len(batch) > already
                if choice.finish_reason in STANDARD:
                    reason = choice.finish_reason
                elif choice.finish_reason or chunk.finish_reason:
                    reason = finish_reason_of(choice.finish_reason) or finish_reason_of(chunk.finish_reason) or reason
        counted = bool(chunk.usage) and usage_of(chunk.usage) is not None
        if choices:
            self._spoke = True
            self._usage_came_last = False
        elif counted:
            self._usage_came_last = self._spoke
        if not self._started or reason or not choices:
            self._model = chunk.model or self._model  # who begins, and who ends; in between, not every chunk comes here
        self._usage = counted_more(self._usage, chunk.usage) if self._usage and chunk.usage else chunk.usage or self._usage
        # A chunk that says something with a reason and a usage of its own may be one of many: some servers send all so.
        after = len(batch)
        silent = after == before
        if said:
            self._said = 2 if self._said == 2 or any(type(event) is str for event in batch[before:]) else 1
        if reason and reason not in STANDARD and self._is_broken_off(reason):
            reason = None
        self._weigh(reason, silent=not said)
        self.ending = self._reason_ended and not self._open
        self.extension = chunk.x_autonomousai or self.extension
        ended = self._reason_counts and bool(self._said) and self.failure is None
        usage = self._usage or {}
        self.complete = (
            silent
            and counted
            and ended
            and (None not in (usage.get("prompt_tokens"), usage.get("completion_tokens")) or counts_both(usage))
        )
        if unknown or self._constant or self._finish_extra or self._trailer or after > before + 1:
            self._keep_unknown(unknown, batch, before, ends=silent and bool(reason), has_choices=bool(choices), counted=counted)
        if choices or self._usage_came_last or self._model is not None or self._reason is not None:
            self._begin(batch)
        self._usual = len(choices) == 1 and not choices[0].index and self._reason is None and not self._halves

    def _keep_unknown(
        self, unknown: dict[str, Any], batch: Batch, before: int, *, ends: bool, has_choices: bool, counted: bool
    ) -> None:
        """Keep a chunk's unknown members: those that every chunk repeats once, those of the end with it, others before the
        chunk's events, which `Extra` binds together."""
        if has_choices and not self._started:
            self._constant = constant_of(unknown)
        if ends:
            self._finish_extra = None if unknown == self._constant else unknown
        elif not has_choices and counted:
            constant = {name: value for name, value in self._constant.items() if name != "choices"}
            self._trailer = None if unknown == constant else unknown
        else:
            covers = len(batch) - before
            bound = covers > 1 and (bool(self._constant) or any(isinstance(event, _BOUND) for event in batch[before:]))
            if bound or (unknown != self._constant and (unknown or covers)):
                if has_choices and not covers and "choices" not in unknown:
                    unknown = {**unknown, "choices": [{"index": 0}]}  # an empty delta is one again
                extra = Extra(unknown, covers, WIRE)
                if has_choices or self._started:
                    batch.insert(before, extra)
                else:
                    self._foreign.append(extra)  # until an answer has begun

    @property
    def _reason_counts(self) -> bool:
        return self._reason is not None and (self._reason_ended or not self._reason_is_doubtful) and not self._open

    def _weigh(self, reason: str | None, *, silent: bool) -> None:
        """What a chunk's *reason* proves. Beside text it may stand in every chunk; text after it shows that it ended none."""
        if not silent:
            self._reason_is_doubtful = self._reason_is_doubtful or self._reason is not None
            self._reason_ended = False
        elif reason:
            self._reason_ended = bool(self._said)
            if reason == "stop" and self._reason is not None and self._names_more:
                return
        self._reason = reason or self._reason

    @property
    def _has_calls(self) -> bool:
        return self._places is not None and self._places.has_calls

    @property
    def _names_more(self) -> bool:
        """Whether the reason that came says more than a ``stop`` behind it, which some servers add by themselves."""
        if self._reason in ("tool_calls", "function_call"):
            return self._has_calls
        return self._reason in ("length", "content_filter") and not self._reason_is_doubtful

    def _begin(self, batch: Batch) -> None:
        """The answer has begun, if it had not. At its end, what was held back is said."""
        is_held = self._halves or self._places is not None
        if is_held and (self._reason is not None or self._done or self._usage_came_last):
            self._say_held(batch)
        if not self._started:
            self._started = True
            batch[:0] = [Started(self._model, None, self._constant or None), *self._foreign]
            self._foreign = []

    def _say_held(self, batch: Batch) -> None:
        """Say what was held back until more of it came."""
        for key, half in self._halves.flush() if self._halves else ():
            if key == _TEXT:
                batch.append(half)
            elif key == _THOUGHT:
                batch.append(Reasoning(half))
            else:
                self._call([CallPiece(key, None, FunctionPiece(None, half))], batch)
        if self._places is not None:
            batch += self._places.flush()

    def _say(self, choice: Choice | UsualChoice, batch: Batch) -> None:
        delta: Delta | UsualDelta | None = choice.delta
        if isinstance(choice, Choice) and choice.message is not None and (delta is None or delta == Delta()):
            delta = self._new_in(choice.message)  # some servers send what they should not stream
        if choice.logprobs is not None:
            batch.append(choice.logprobs)
        if delta is None:
            if isinstance(choice, Choice):
                self._say_text(choice.text, batch)
        else:
            self._say_delta(delta, batch)
        if choice.error and (error := error_in_event({"error": choice.error})):
            self._fail(error)
        if choice.native_finish_reason and choice.finish_reason:
            self._is_broken_off(choice.native_finish_reason)

    def _new_in(self, message: Delta) -> Delta:
        """Return what *message*, in the place of a delta, says that was not said. It may be a piece like a delta, all that was
        said until now with what is new, or, behind deltas, all of the answer once more."""
        text = message.content or ""
        if self._told is None and self._said:
            return Delta(content=text if self._said == 1 else None, tool_calls=None if self._has_calls else message.tool_calls)
        told = self._told or ""
        if told and text.startswith(told):
            self._told = text
            return msgspec.structs.replace(message, content=text[len(told) :])
        self._told = told + text
        return message

    def _say_delta(self, delta: Delta | UsualDelta, batch: Batch) -> None:
        if delta.reasoning_content:
            self._thinks = True
            self._say_thought(delta.reasoning_content, batch)
        elif isinstance(delta, Delta):
            if delta.reasoning:
                self._thinks = True
                self._say_thought(delta.reasoning, batch, delta.reasoning_key)
            elif delta.details and not self._thinks:
                self._say_thought(delta.details, batch, delta.reasoning_key)
        if delta.content:
            self._say_text(delta.content, batch)
        if delta.refusal:
            batch.append(Refusal(mend(delta.refusal)))
        if delta.tool_calls:
            self._call([widened_call(call) for call in delta.tool_calls], batch)
        if (function := delta.function_call) is not None:
            self._call([CallPiece(0, None, function)], batch)
        if delta.annotations is not None:
            batch.append(Annotations(delta.annotations))
        if delta.images is not None:
            batch.append(Images(delta.images))

    def _say_choice(self, index: int, choice: Choice | UsualChoice, batch: Batch) -> None:
        """Take what a choice other than the first says."""
        said: Batch = []
        first = self._halves, self._places
        self._halves, self._places = self._others.get(index, (None, None))
        self._say(choice, said)
        self._open[index] = None
        reason = finish_reason_of(choice.finish_reason)
        if reason:
            self._say_held(said)
            if not self._is_broken_off(reason):
                self._open.pop(index, None)
                asks = reason == "stop" and self._has_calls
                said.append(FinishReason("tool_calls" if asks else reason, "finish_reason"))
        self._others[index] = self._halves, self._places
        self._halves, self._places = first
        batch += [ChoiceEvent(index, event) for event in said]

    def _call(self, calls: list[CallPiece], batch: Batch) -> None:
        if self._places is None:
            self._places = ToolCallIndexer()
        for call in calls:
            if (function := call.function) is not None and function.arguments:
                function.arguments = self._joined(call.index, function.arguments)
            batch += self._places.deltas(call)

    def _say_text(self, text: str | None, batch: Batch) -> None:
        if text and (text := self._joined(_TEXT, text)):
            batch.append(text)

    def _joined(self, key: int | str | None, piece: str) -> str:
        """Return *piece* with the beginning of a character that came before it, and without the one that it ends in."""
        if self._halves is None:
            self._halves = Halves()
        return self._halves.joined(key, piece)

    def _say_thought(self, thought: str, batch: Batch, *key: str) -> None:
        if thought := self._joined(_THOUGHT, thought):
            batch.append(Reasoning(thought, *key))

    def _is_broken_off(self, reason: str) -> bool:
        """Return whether *reason* reports that the answer broke off; then the stream fails, unless it did with more words."""
        error = broken_off(reason)
        if error is not None and self.failure is None:
            self._fail(error)
        return error is not None

    def _fail(self, error: StreamError) -> None:
        error.after_end = self.is_proven
        self.failure = error
        self.complete = False
