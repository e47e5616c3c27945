"""What a `ScriptedServer` plays: scripts made of steps, and every fault by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .apis import APIS, ApiName, api_of
from .completions import chunks, completion, event
from .gemini import gemini_answer, gemini_chunks
from .messages import message, message_events
from .responses import response, response_events
from .steps import JSON, SSE, Close, Hang, Head, Pause, Raw, Reset, Send, Step


class Script:
    """How one request is answered: steps, played in order. The class methods are the answers and faults by name.

    ``api``: the API that a fault speaks, ``"chat"``, ``"messages"``, ``"responses"`` or ``"gemini"``. A name of `FAULTS` that
    is played speaks that of the request's path.
    """

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def then(self, *steps: Step) -> Script:
        """This script, and more steps after it."""
        return Script(*self.steps, *steps)

    # Answers

    @classmethod
    def stream(cls, *deltas: str | Mapping[str, Any], headers: Mapping[str, str] | None = None, **end: Any) -> Script:
        """A whole streamed answer; ``end``: the arguments of `chunks`."""
        return cls.body(chunks(*deltas, **end), headers=headers)

    @classmethod
    def document(cls, text: str, **fields: Any) -> Script:
        """A whole JSON answer, whatever was asked for; ``fields``: the arguments of `completion`."""
        return cls._document(completion(text, **fields))

    @classmethod
    def messages(cls, *parts: str | Mapping[str, Any], headers: Mapping[str, str] | None = None, **end: Any) -> Script:
        """A streamed answer of Anthropic's Messages API; ``end``: the arguments of `message_events`."""
        return cls.body(message_events(*parts, **end), headers=headers)

    @classmethod
    def message(cls, *parts: str | Mapping[str, Any], **fields: Any) -> Script:
        """A whole answer of Anthropic's Messages API, whatever was asked for; ``fields``: the arguments of `message`."""
        return cls._document(message(*parts, **fields))

    @classmethod
    def responses(cls, *parts: str | Mapping[str, Any], headers: Mapping[str, str] | None = None, **end: Any) -> Script:
        """A streamed answer of OpenAI's Responses API; ``end``: the arguments of `response_events`."""
        return cls.body(response_events(*parts, **end), headers=headers)

    @classmethod
    def response(cls, *parts: str | Mapping[str, Any], **fields: Any) -> Script:
        """A whole answer of OpenAI's Responses API, whatever was asked for; ``fields``: the arguments of `response`."""
        return cls._document(response(*parts, **fields))

    @classmethod
    def gemini(cls, *parts: str | Mapping[str, Any], headers: Mapping[str, str] | None = None, **end: Any) -> Script:
        """A streamed answer of Google's Gemini API; ``end``: the arguments of `gemini_chunks`."""
        return cls.body(gemini_chunks(*parts, **end), headers=headers)

    @classmethod
    def gemini_document(cls, *parts: str | Mapping[str, Any], **fields: Any) -> Script:
        """A whole answer of Google's Gemini API, whatever was asked for; ``fields``: the arguments of `gemini_answer`."""
        return cls._document(gemini_answer(*parts, **fields))

    @classmethod
    def _document(cls, body: bytes) -> Script:
        return cls(Head(content_type=JSON, length=len(body)), Send(body))

    @classmethod
    def status(
        cls,
        status: int,
        body: bytes | str | Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        content_type: str = JSON,
    ) -> Script:
        """An answer of *status*. ``body``: bytes, text, or an object; without it OpenAI's error object of that status."""
        if not 100 <= status <= 999:
            raise ValueError(f"{status} is no HTTP status: it has three digits")
        if body is None:
            body = {"error": {"message": f"scripted {status}", "type": "scripted_error", "param": None, "code": None}}
        if isinstance(body, Mapping):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        extra = dict(headers or {})
        if retry_after is not None:
            extra["Retry-After"] = str(retry_after)
        return cls(Head(status, content_type, extra, length=len(data)), Send(data))

    @classmethod
    def body(
        cls,
        data: bytes | str,
        *,
        at: Iterable[int] = (),
        every: int | None = None,
        content_type: str | None = SSE,
        headers: Mapping[str, str] | None = None,
    ) -> Script:
        """Any body under a head of 200, cut into writes at the offsets ``at`` or after ``every`` so many bytes. An object is
        sent by ``status(200, object)``."""
        if isinstance(data, str):
            data = data.encode()
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"the body must be bytes or text, not {type(data).__name__}; Script.status(200, …) sends an object")
        return cls(Head(content_type=content_type, headers=headers), Send(data, tuple(at), every))

    # Faults

    @classmethod
    def reset_before_headers(cls) -> Script:
        """The request is read, then the connection is reset."""
        return cls(Reset())

    @classmethod
    def reset_after_headers(cls, *deltas: str, api: ApiName = "chat") -> Script:
        """The head and perhaps some text, then a reset."""
        return cls._open(*deltas, api=api).then(Reset())

    @classmethod
    def hang_up(cls) -> Script:
        """The request is read, then the connection is closed in order, with no answer: a stale pooled connection."""
        return cls(Close())

    @classmethod
    def silence(cls) -> Script:
        """The request is read and never answered."""
        return cls(Hang())

    @classmethod
    def slow_first_token(cls, pause: Pause, *deltas: str, head_first: bool = True, **end: Any) -> Script:
        """Nothing of the answer until *pause* lets it go; with ``head_first=False`` not even the head."""
        body = Send(chunks(*deltas, **end))
        return cls(Head(), pause, body) if head_first else cls(pause, Head(), body)

    @classmethod
    def cut(cls, *deltas: str, terminator: bool = False, api: ApiName = "chat") -> Script:
        """Some text, and the body ends without a finish reason or ``[DONE]``.

        ``terminator=False``: the connection is closed in the middle of a chunked body; True: the chunked body ends in good
        order, so that only the missing evidence betrays the cut.
        """
        opened = cls._open(*deltas, api=api)
        return opened if terminator else opened.then(Close())

    @classmethod
    def stall(cls, *deltas: str, api: ApiName = "chat") -> Script:
        """Some text, then silence on an open connection."""
        return cls._open(*deltas, api=api).then(Hang())

    @classmethod
    def malformed_event(cls, *deltas: str, malformed: bytes | None = None, api: ApiName = "chat") -> Script:
        """Some text, an event that cannot be read, then the rest of a whole answer: who skips it has lost something."""
        spoken = APIS[api]
        broken = spoken.malformed if malformed is None else malformed
        return cls._open(*deltas, api=api).then(Send(broken), Send(spoken.stream("lost")))

    @classmethod
    def missing_done(cls, *deltas: str, api: ApiName = "chat", **end: Any) -> Script:
        """A finish reason, then the body ends in good order without ``[DONE]``, ``message_stop`` or ``response.completed``."""
        return cls.body(APIS[api].unsaid(*deltas, **end))

    @classmethod
    def error_event(cls, *deltas: str, error: Any = None, done: bool = False, api: ApiName = "chat") -> Script:
        """Some text, then an event with an error object; ``done=True`` adds a ``[DONE]`` that proves nothing."""
        spoken = APIS[api]
        told = spoken.event(error or spoken.error)
        return cls._open(*deltas, api=api).then(Send(told), Send(event("[DONE]") if done else b""))

    @classmethod
    def split(cls, *deltas: str, at: Iterable[int], **end: Any) -> Script:
        """A whole answer, cut into writes at the byte offsets ``at``."""
        return cls.body(chunks(*deltas, **end), at=at)

    @classmethod
    def trickle(cls, *deltas: str, api: ApiName = "chat", **end: Any) -> Script:
        """A whole answer, a write for each byte."""
        return cls.body(APIS[api].stream(*deltas, **end), every=1)

    @classmethod
    def lingering(cls, *deltas: str, api: ApiName = "chat", **end: Any) -> Script:
        """A whole answer with ``[DONE]``, after which the body does not end and the connection stays open."""
        return cls.body(APIS[api].stream(*deltas, **end)).then(Hang())

    @classmethod
    def lingering_without_done(cls, *deltas: str, api: ApiName = "chat") -> Script:
        """A finish reason, then nothing: no ``[DONE]``, no end of the body."""
        return cls.missing_done(*deltas, api=api).then(Hang())

    @classmethod
    def wrong_content_type(
        cls, *deltas: str, content_type: str | None = "application/x-garbage; charset=none", api: ApiName = "chat"
    ) -> Script:
        """A whole streamed answer under a content type that is none."""
        return cls.body(APIS[api].stream(*deltas), content_type=content_type)

    @classmethod
    def html(cls, status: int = 200) -> Script:
        """A page from a proxy in front, where an answer should be."""
        return cls.status(status, "<html><body><h1>Scripted gateway page</h1></body></html>", content_type="text/html")

    @classmethod
    def not_http(cls) -> Script:
        """Bytes that are no HTTP, then the end."""
        return cls(Raw(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), Close())

    @classmethod
    def cut_document(cls, text: str, *, api: ApiName = "chat") -> Script:
        """A JSON answer that ends before its Content-Length."""
        body = APIS[api].document(text)
        return cls(Head(content_type=JSON, length=len(body)), Send(body[: len(body) // 2]), Close())

    @classmethod
    def _open(cls, *deltas: str, api: ApiName = "chat") -> Script:
        """The head and some text of an answer that has not ended."""
        return cls(Head(), Send(APIS[api].begun(*deltas)))


#: Every fault that needs no arguments, by name, in each API.
_NAMED: dict[str, Callable[[ApiName], Script]] = {
    "bad_request": lambda _: Script.status(400),
    "unauthorized": lambda _: Script.status(401),
    "not_found": lambda _: Script.status(404),
    "rate_limited": lambda _: Script.status(429, retry_after=1),
    "server_error": lambda _: Script.status(500),
    "overloaded": lambda _: Script.status(503, retry_after=1),
    "reset_before_headers": lambda _: Script.reset_before_headers(),
    "reset_after_headers": lambda api: Script.reset_after_headers(api=api),
    "reset_after_text": lambda api: Script.reset_after_headers("Hello", " wor", api=api),
    "hang_up": lambda _: Script.hang_up(),
    "silence": lambda _: Script.silence(),
    "cut": lambda api: Script.cut("Hello", " wor", api=api),
    "cut_with_terminator": lambda api: Script.cut("Hello", " wor", terminator=True, api=api),
    "empty_stream": lambda _: Script.body(b""),
    "stall": lambda api: Script.stall("Hello", " wor", api=api),
    "stall_before_text": lambda api: Script.stall(api=api),
    "malformed_event": lambda api: Script.malformed_event("Hello", " wor", api=api),
    "missing_done": lambda api: Script.missing_done("Hello", " world", api=api),
    "error_event": lambda api: Script.error_event("Hello", " wor", api=api),
    "error_event_first": lambda api: Script.error_event(api=api),
    "trickle": lambda api: Script.trickle("Hello", " world", api=api),
    "lingering": lambda api: Script.lingering("Hello", " world", api=api),
    "lingering_without_done": lambda api: Script.lingering_without_done("Hello", " world", api=api),
    "wrong_content_type": lambda api: Script.wrong_content_type("Hello", " world", api=api),
    "document": lambda api: Script._document(APIS[api].document("Hello world")),
    "cut_document": lambda api: Script.cut_document("Hello world", api=api),
    "html": lambda _: Script.html(),
    "html_502": lambda _: Script.html(502),
    "not_http": lambda _: Script.not_http(),
}
#: The same over chat completions: for tests over all of them, and for ``server.play("cut")``.
FAULTS: dict[str, Callable[[], Script]] = {name: partial(make, "chat") for name, make in _NAMED.items()}


def named(name: str, target: str) -> Script:
    """Return the fault of that *name* as the API of a request's *target* has it."""
    return _NAMED[name](api_of(target))
