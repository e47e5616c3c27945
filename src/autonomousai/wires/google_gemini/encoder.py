"""Events -> chunks and documents of the Gemini API (Gemini API reference, "GenerateContentResponse").

A stream is server-sent events without an end of their own, or, where its caller does not ask for those, one JSON array, which
is written as it comes. One that breaks ends with a chunk that is an ``error``; the array is not closed then, so that no reader
takes it for complete. Clients read a line that is neither empty nor data as JSON: so there are no comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ...events import Batch, FinishReason, Usage
from ..base import AnswerHead
from ..cache_counts import cache_read
from ..finish_reasons import with_reason
from .candidates import OWN_REASONS, Candidates
from .errors import error_document

_json = msgspec.json.Encoder().encode

Json = dict[str, Any]

#: Bridges a silence: a chunk that says nothing. The client for Go takes neither comments nor empty lines, and those for Python
#: and JavaScript leave an answer out of a chat in which a chunk has no part.
PING: Final = b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}\n\n'

#: Bridges one inside an array.
ARRAY_PING: Final = b"\n"

_BETWEEN: Final = b"\n,\r\n"

#: What an upstream of this wire counts beside, by its names.
_COUNTED: Final = (
    "promptTokensDetails",
    "candidatesTokensDetails",
    "cacheTokensDetails",
    "toolUsePromptTokenCount",
    "trafficType",
)


class GeminiStreamEncoder:
    """One streamed answer, as events; see `StreamEncoder`. *ids*: each event gets the next of them."""

    __slots__ = ("_after", "_candidates", "_ids", "_stamp")

    def __init__(self, head: AnswerHead, ids: Iterator[str] | None = None) -> None:
        self._candidates = Candidates(head)
        self._ids = ids
        self._stamp = _stamp(head)
        #: What stands behind the text of a chunk that says that alone.
        self._after = b'}],"role":"model"},"index":0}],' + _json(self._stamp)[1:]

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`. A batch is one chunk."""
        if len(batch) == 1 and type(text := batch[0]) is str:
            return self._framed(b"".join((_TEXT_BEFORE, _json(text), self._after))) if text else b""
        said = self._candidates.read(batch)
        members, self._candidates.members = self._candidates.members, {}
        return self._framed(_json({"candidates": said, **members, **self._stamp})) if said or members else b""

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        said = self._candidates
        return self._framed(_json(_ended([said.end(finish)], finish, said.usage, self._stamp, extension)))

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`; the number has no place."""
        return PING

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return error_event(error)

    def _framed(self, chunk: bytes) -> bytes:
        number = b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()
        return b"%bdata: %b\n\n" % (number, on_one_line(chunk))


_TEXT_BEFORE: Final = b'{"candidates":[{"content":{"parts":[{"text":'


class GeminiArrayEncoder(GeminiStreamEncoder):
    """The same as one JSON array."""

    __slots__ = ("_begun",)

    def __init__(self, head: AnswerHead) -> None:
        super().__init__(head)
        self._begun = False

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        return super().end(finish, extension=extension) + b"\n]\n"

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`."""
        return ARRAY_PING

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return self._framed(error_document(error))

    def _framed(self, chunk: bytes) -> bytes:
        before, self._begun = _BETWEEN if self._begun else b"[", True
        return before + chunk


def error_event(error: BaseException) -> bytes:
    """Return the event that reports *error*, after which there are none; and the same without the framing, as the vendor's own
    server writes it: its client for Go takes an error for one so alone."""
    document = on_one_line(error_document(error))
    return b"data: %b\n\n%b\n" % (document, document)


#: Characters that JSON leaves as they are, and at which older clients of Google's end a line.
_LINE_ENDS: Final = {"\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029", "\x85".encode(): rb"\u0085"}


def on_one_line(chunk: bytes) -> bytes:
    """Return the JSON text *chunk* without a character that any reader takes for the end of a line."""
    if not chunk.isascii():
        for end, written in _LINE_ENDS.items():
            if end in chunk:
                chunk = chunk.replace(end, written)
    return chunk


def encode_gemini_answer(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return a whole answer as one document. Its last event is the `FinishReason`."""
    finish = events[-1]
    assert type(finish) is FinishReason
    candidates = Candidates(head)
    said = candidates.read(events[:-1])
    first = next((each for each in said if not each["index"]), None)
    ended = candidates.end(finish)
    if first is None:
        said.insert(0, ended)
    else:
        parts = first["content"]["parts"]
        more = [part for part in ended["content"]["parts"] if not parts or part != {"text": ""}]
        first |= {**ended, "content": {**first["content"], "parts": parts + more}}
    said.sort(key=lambda each: int(each["index"]))
    return _json(_ended(said, finish, candidates.usage, {**candidates.members, **_stamp(head)}, extension))


def _stamp(head: AnswerHead) -> Json:
    return {"modelVersion": head.model, "responseId": head.id}


def _ended(candidates: list[Json], finish: FinishReason, counted: Json, stamp: Json, extension: dict[str, Any] | None) -> Json:
    """Return the end of an answer. *counted*: what an upstream of this wire said of its tokens, in its own words."""
    answer: Json = {"candidates": candidates}
    if finish.usage is not None:
        answer["usageMetadata"] = {**usage_metadata(finish.usage), **counted}
    answer |= stamp
    if extension is not None:
        answer["x_autonomousai"] = with_reason(extension, finish, *OWN_REASONS)
    return answer


def usage_metadata(usage: Usage) -> Json:
    """Return the usage object of an answer; what the model thought is none of its candidates' tokens."""
    thoughts = usage.reasoning_tokens or 0
    total = usage.total_tokens or usage.prompt_tokens + usage.completion_tokens
    counted: Json = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": max(total - usage.prompt_tokens - thoughts, 0),
        "totalTokenCount": total,
    }
    if usage.reasoning_tokens is not None:
        counted["thoughtsTokenCount"] = thoughts
    if cached := cache_read(usage):
        counted["cachedContentTokenCount"] = cached
    return counted | {name: value for name, value in (usage.extra or {}).items() if name in _COUNTED}
