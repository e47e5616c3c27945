"""One request as it passes through every layer: what is asked (`ChatRequest`) and how it is to be sent (`CallOptions`).

The two never share a namespace: a request field may bear any name, also one of a parameter or an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from .events import Messages
from .timeouts import Clocks

if TYPE_CHECKING:
    from .answer import Answer

#: Messages as a caller may pass them: the types of other SDKs fit too.
AnyMessages: TypeAlias = Sequence[Mapping[str, Any]]

#: Keyword arguments of `create_async_generator` that are options of the call and never request fields.
CALL_OPTIONS: Final = frozenset({"api_key", "headers", "proxy", "retries", "timeout"})

#: How other clients name what is none of a call's here, and what says it. As a request field each would be sent to the server,
#: where it does nothing, and a header in it may be a secret. A caller over the network may send any of them.
ELSEWHERE: Final = {
    "extra_headers": "headers=",
    "default_headers": "headers=",
    "extra_query": "the query of the provider's base_url",
    "max_retries": "retries=",
    "num_retries": "retries=",
    "request_timeout": "timeout=",
    "base_url": "the provider's base_url, when it is made",
    "api_base": "the provider's base_url, when it is made",
    "vendor": "the provider's vendor, when it is made",
    "custom_llm_provider": "the provider's vendor, when it is made",
}


def take_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a call out of its keyword *arguments*, and return them: what is left are request fields. Raises
    `TypeError` for the name that another client has for an option."""
    if misnamed := ELSEWHERE.keys() & arguments.keys():
        name = min(misnamed)
        raise TypeError(f"{name}= is no argument of a call here; use {ELSEWHERE[name]}")
    if "extra_body" in arguments:
        _spread_extra_body(arguments)
    return {name: arguments.pop(name) for name in CALL_OPTIONS & arguments.keys()}


def as_flag(name: str, value: object) -> bool:
    """Return an argument that is true or false, where it was given as 1, as None or as numpy's own. Raises `ValueError` for
    text: ``"false"`` is true in Python."""
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} must be True or False, not text")
    return bool(value)


def as_model_name(model: object) -> str:
    """Return the name of a model, where it was given as None, as a member of an enumeration, or as a text of another class.
    Raises `ValueError` for what is no name."""
    name = model.value if isinstance(model, Enum) else model
    if name is None:
        return ""
    if not isinstance(name, str):
        raise ValueError(f"model must be the name of a model, not {type(model).__name__}")
    return str.__str__(name)


#: What each call has beside its fields and options.
_PARAMETERS: Final = frozenset({"model", "messages", "stream"})


def _spread_extra_body(arguments: dict[str, Any]) -> None:
    """Put the members of ``extra_body`` among the keyword *arguments* of a call, in its place. Raises `ValueError` for one that
    would be none of the request's."""
    extra_body = arguments.pop("extra_body")
    if extra_body is None:
        return
    if not isinstance(extra_body, Mapping):
        raise ValueError(f"extra_body must be a mapping of members of the request, not {type(extra_body).__name__}")
    if taken := (CALL_OPTIONS | _PARAMETERS) & extra_body.keys():
        raise ValueError(f"extra_body: {min(taken)!r} is a parameter of the call; give it there")
    arguments.update(extra_body)


#: Names that a caller over the network must not think to reach: options of clients.
OPTION_NAMES: Final = CALL_OPTIONS | {"base_url", "self"}

#: Names that no other request field can bear: those, and the members of a request that have their own place.
RESERVED: Final = OPTION_NAMES | {"model", "messages", "stream"}


#: What the field ``seed`` says where none is wanted: -1 is that at llama.cpp, vLLM and LM Studio, and what many clients send.
NO_SEED: Final = (None, -1)


class OriginalRequest(msgspec.Struct, frozen=True):
    """A request as its caller wrote it, where that was over another wire than chat completions: an upstream of the same wire
    gets it unchanged, whatever of it has no place in a `ChatRequest`.

    ``wire``: the wire's name. ``document``: the body as it came. ``changes``: request fields that were replaced or added since.
    ``continues``: the beginning of the answer that is to be continued, where one is. ``headers``: those of the request that its
    wire hands on, by their names in lower case. ``continuable``: whether its answer can be continued at all; not where it
    echoes the prompt, or there are several.
    """

    wire: str
    document: dict[str, Any]
    changes: dict[str, Any] = {}
    continues: str | None = None
    headers: dict[str, str] = {}
    continuable: bool = True


class ChatRequest(msgspec.Struct, frozen=True):
    """What is asked, in the terms of OpenAI's chat completions.

    ``model``: as the caller named it, ``""`` for the provider's default. ``messages``: in the shape of chat completions; empty
    where the request is no conversation (a raw prompt, texts to embed): then ``origin`` has all of it, see `is_raw`.
    ``stream``: whether the answer may come in pieces; otherwise it comes as one batch. ``include_usage``: whether a served
    caller asked for a chunk with usage (``stream_options.include_usage``). ``fields``: all other members of the request, by the
    caller's own names; what a provider does not know, it passes on. ``origin``: the request in its caller's own wire, where
    that is none of chat completions. ``echo``: what of the request the answer repeats, where the caller's wire wants that.
    ``cached_as``: the name under which the answer may be kept, and given again to the same request; ``""`` where it may not.
    ``refresh``: what is kept is not given, and replaced. ``over_budget``: the caller has spent its budget, so that a cheaper
    route answers, where there is one. ``context``: headers by which an upstream learns what the caller calls the request, and
    the trace that it belongs to.
    """

    model: str
    messages: Messages
    stream: bool = False
    include_usage: bool = False
    fields: dict[str, Any] = {}
    origin: OriginalRequest | None = None
    echo: dict[str, Any] | None = None
    cached_as: str = ""
    refresh: bool = False
    over_budget: bool = False
    context: dict[str, str] | None = None

    @property
    def is_raw(self) -> bool:
        """Return whether the request is no conversation, so that only a provider of its own wire can answer it; see
        `Capabilities.wires`."""
        return not self.messages and self.origin is not None

    def with_fields(self, **fields: Any) -> ChatRequest:
        """Return the same request with *fields* replaced or added."""
        origin = self.origin
        if origin is not None:
            origin = msgspec.structs.replace(origin, changes={**origin.changes, **fields})
        return msgspec.structs.replace(self, fields={**self.fields, **fields}, origin=origin)

    def beyond_budget(self) -> ChatRequest:
        """Return the request as the cheaper route is to answer it. Its answer is not cached: for others, another upstream
        answers."""
        return msgspec.structs.replace(self, over_budget=True, cached_as="")

    def continued(self, text: str) -> ChatRequest:
        """Return the streamed request for the rest of an answer that begins with *text*: a last message of the assistant, or
        the end of a raw prompt."""
        messages = self.messages if self.is_raw else [*self.messages, {"role": "assistant", "content": text}]
        origin = self.origin
        if origin is not None:
            origin = msgspec.structs.replace(origin, continues=text)
        return msgspec.structs.replace(self, messages=messages, stream=True, origin=origin)


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one call is to be made; what is None is the provider's own setting.

    ``timeout``: seconds for the whole answer, a mapping of single clocks, or all of them. ``deadline``: the event loop's time
    by which the answer must be complete, beside ``timeout``. ``headers``: sent over the provider's own. ``retries``: tries
    after the first. ``last``: no other upstream can be asked, so that a slow one is waited for. ``others``: another one can, so
    that a stream whose connection is lost is not searched for long. ``answer``: the `Answer` that
    the reader of the batches fills; a caller who passes one adds each batch to it before the next is asked for. ``whole``: the
    reader shows nothing before the end, so that an answer that breaks may begin again: with another `Started`, before which
    ``answer`` is emptied.
    """

    timeout: float | Mapping[str, float] | Clocks | None = None
    deadline: float | None = None
    headers: Mapping[str, str] | None = None
    api_key: str | None = None
    proxy: str | None = None
    retries: int | None = None
    last: bool = False
    others: bool = False
    answer: Answer | None = None
    whole: bool = False

    def __repr__(self) -> str:
        """Show neither the key nor a header: what reports errors shows the variables of each frame."""
        return f"<CallOptions timeout={self.timeout}, retries={self.retries}>"


#: A call without any option of its own.
DEFAULT_OPTIONS: Final = CallOptions()
