"""One request as it passes through every layer: what is asked (`ChatRequest`) and how it is to be sent (`CallOptions`).

The two never share a namespace: a request field may bear any name, also one of a parameter or an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .events import Answer, Messages
from .timeouts import Clocks

#: Keyword arguments of `create_async_generator` that are options of the call and never request fields.
CALL_OPTIONS: Final = frozenset({"api_key", "headers", "proxy", "retries", "timeout"})

#: Names that a caller over the network must not think to reach: options of clients.
OPTION_NAMES: Final = CALL_OPTIONS | {"base_url", "self"}

#: Names that no other request field can bear: those, and the members of a request that have their own place.
RESERVED: Final = OPTION_NAMES | {"model", "messages", "stream"}


class ChatRequest(msgspec.Struct, frozen=True):
    """What is asked, in the terms of OpenAI's chat completions.

    ``model``: as the caller named it, ``""`` for the provider's default. ``messages``: in the shape of chat completions.
    ``stream``: whether the answer may come in pieces; otherwise it comes as one batch. ``include_usage``: whether a served
    caller asked for a chunk with usage (``stream_options.include_usage``). ``fields``: all other members of the request, by the
    caller's own names; what a provider does not know, it passes on.
    """

    model: str
    messages: Messages
    stream: bool = False
    include_usage: bool = False
    fields: dict[str, Any] = {}

    def with_fields(self, **fields: Any) -> ChatRequest:
        """Return the same request with *fields* replaced or added."""
        return msgspec.structs.replace(self, fields={**self.fields, **fields})

    def continued(self, text: str) -> ChatRequest:
        """Return the streamed request for the rest of an answer that begins with *text*: a last message of the assistant."""
        messages = [*self.messages, {"role": "assistant", "content": text}]
        return msgspec.structs.replace(self, messages=messages, stream=True)


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one call is to be made; what is None is the provider's own setting.

    ``timeout``: seconds for the whole answer, a mapping of single clocks, or all of them. ``deadline``: the event loop's time
    by which the answer must be complete, beside ``timeout``. ``headers``: sent over the provider's own. ``retries``: tries
    after the first. ``answer``: the `Answer` that the reader of the batches fills; whoever passes one adds each batch to it
    before the next is asked for.
    """

    timeout: float | Mapping[str, float] | Clocks | None = None
    deadline: float | None = None
    headers: Mapping[str, str] | None = None
    api_key: str | None = None
    proxy: str | None = None
    retries: int | None = None
    answer: Answer | None = None


#: A call without any option of its own.
DEFAULT_OPTIONS: Final = CallOptions()
