"""A plugin for the `llm` command and library: the five models as ``autonomousai/llama`` and so on, blocking and async.

Only `llm` imports this, by its entry point. Who answers: the server that AUTONOMOUSAI_BASE_URL names; without it, the embedded
engine. An answer that was cut raises, so that `llm` does not store it as a whole one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import cache
from typing import Any, Final

import llm
from llm.parts import AttachmentPart, Message, StreamEvent, TextPart, ToolCallPart, ToolResultPart
from pydantic import Field

from .clients.autonomousai import AutonomousAI
from .engine.provider import LlamaCpp
from .engine.weights import present
from .events import Chunk, FinishReason, Messages, Reasoning, ToolCalls
from .models import MODELS
from .provider import AsyncGeneratorProvider
from .timeouts import ENGINE_FIRST_TOKEN, Clocks

_PREFIX: Final = "autonomousai/"

#: Tokens. One caller alone can have more room than the slots of a server.
_CONTEXT: Final = 8192

_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """The five, each under its alias too."""
    for name, row in MODELS.items():
        register(AutonomousAIModel(name), AsyncAutonomousAIModel(name), aliases=(_PREFIX + row.alias,))


def provider_of(model: str) -> AsyncGeneratorProvider:
    """Who answers as *model*."""
    if os.environ.get("AUTONOMOUSAI_BASE_URL"):
        return AutonomousAI.default()
    weights = MODELS[model].weights
    return _engine(next(filter(present, weights), weights[-1]))


@cache
def _engine(weights: str) -> LlamaCpp:
    """Its child process starts with a question, and ends with the event loop in which that was asked."""
    return LlamaCpp(weights, slots=1, context=_CONTEXT, clocks=Clocks(first_token=ENGINE_FIRST_TOKEN * 5, total=3600))


class Options(llm.Options):
    """Request fields, as ``llm -o`` takes them."""

    temperature: float | None = Field(None, ge=0, le=2, description="How freely the next token is chosen; 0: the likeliest")
    max_tokens: int | None = Field(None, ge=1, description="The longest answer, in tokens")
    seed: int | None = Field(None, description="The same answer to the same question, where the upstream can")
    top_p: float | None = Field(None, ge=0, le=1, description="Choose among the likeliest that together have this probability")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Against what was said at all")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Against what was said often")
    stop: str | None = Field(None, min_length=1, description="A text at which the answer ends")
    json_object: bool | None = Field(None, description="Whether the answer is to be a JSON object")


class _Shared:
    """What the blocking and the async model have in common."""

    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types: set[str] | frozenset[str] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name
        self.model_id = _PREFIX + name
        if name == "vision":
            self.attachment_types = _IMAGES

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """A key is sent where there is one: ``--key``, ``llm keys set autonomousai``, or the environment's."""
        return llm.get_key(explicit_key=explicit_key, key_alias="autonomousai", env_var="AUTONOMOUSAI_API_KEY")

    def question(self, prompt: llm.Prompt, stream: bool, key: str | None) -> dict[str, Any]:
        """The arguments of a provider's two ways of asking."""
        options: dict[str, Any] = {"api_key": key} if key else {}
        if stream:
            options["stream_options"] = {"include_usage": True}
        return {"model": self.name, "messages": _messages(prompt.messages), "stream": stream, **_fields(prompt), **options}


class AutonomousAIModel(_Shared, llm.KeyModel):
    """Blocking."""

    Options = Options  # type: ignore[assignment]  # as the documentation of `llm` says

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None,
    ) -> Iterator[str | StreamEvent]:
        """The answer, piece by piece."""
        for chunk in provider_of(self.name).create_completion(**self.question(prompt, stream, key)):
            yield from _told(chunk, response)


class AsyncAutonomousAIModel(_Shared, llm.AsyncKeyModel):
    """Async."""

    Options = Options  # type: ignore[assignment]  # as the documentation of `llm` says

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
        key: str | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """The answer, piece by piece."""
        async with provider_of(self.name).create_async_generator(**self.question(prompt, stream, key)) as result:
            async for chunk in result:
                for told in _told(chunk, response):
                    yield told


def _told(chunk: Chunk, response: llm.Response | llm.AsyncResponse) -> Iterator[str | StreamEvent]:
    """What *chunk* says, for `llm`; what it notes goes into the response."""
    if isinstance(chunk, str):
        yield chunk
    elif isinstance(chunk, Reasoning):
        yield StreamEvent(type="reasoning", chunk=chunk.text)
    elif isinstance(chunk, ToolCalls):
        for call in chunk.calls:
            try:
                arguments = json.loads(call.arguments or "{}")
            except ValueError:
                raise llm.ModelError(f"the model called {call.name} with arguments that are no JSON; try again") from None
            yield StreamEvent(type="tool_call_name", chunk=call.name, tool_call_id=call.id)
            yield StreamEvent(type="tool_call_args", chunk=call.arguments or "{}", tool_call_id=call.id)
            response.add_tool_call(llm.ToolCall(name=call.name, arguments=arguments, tool_call_id=call.id))
    elif isinstance(chunk, FinishReason):
        _note_end(chunk, response)


def _note_end(finish: FinishReason, response: llm.Response | llm.AsyncResponse) -> None:
    response.response_json = {"finish_reason": finish.reason, "evidence": finish.evidence}
    if finish.model:
        response.set_resolved_model(finish.model)
    if finish.usage is not None:
        counted = {"cached_tokens": finish.usage.cached_tokens, "reasoning_tokens": finish.usage.reasoning_tokens}
        details = {name: count for name, count in counted.items() if count}
        response.set_usage(input=finish.usage.prompt_tokens, output=finish.usage.completion_tokens, details=details or None)


# ---- what is asked ----------------------------------------------------------------------------------------------------


def _fields(prompt: llm.Prompt) -> dict[str, Any]:
    fields = {name: value for name, value in prompt.options.model_dump().items() if value is not None}
    if fields.pop("json_object", False):
        fields["response_format"] = {"type": "json_object"}
    if prompt.schema:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": prompt.schema}}
    if prompt.tools:
        fields["tools"] = [{"type": "function", "function": _function(tool)} for tool in prompt.tools]
    return fields


def _function(tool: Any) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parameters": tool.input_schema}


def _messages(messages: list[Message]) -> Messages:
    """The whole conversation as messages of chat completions. A tool's results are a message each."""
    written: Messages = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        written += [{"role": "tool", "tool_call_id": part.tool_call_id, "content": part.output} for part in results]
        if not results:
            written.append(_message(message))
    return written


def _message(message: Message) -> dict[str, Any]:
    texts = [part.text for part in message.parts if isinstance(part, TextPart)]
    images = [_image(part.attachment) for part in message.parts if isinstance(part, AttachmentPart) and part.attachment]
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    content: Any = "\n".join(texts)
    if images:
        content = [*({"type": "text", "text": text} for text in texts), *images]
    written: dict[str, Any] = {"role": message.role, "content": content}
    if calls:
        written["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in calls
        ]
    return written


def _image(attachment: Any) -> dict[str, Any]:
    """An image by its address, or with its bytes."""
    url = attachment.url
    if not url:
        data = base64.b64encode(attachment.content_bytes()).decode()
        url = f"data:{attachment.resolve_type()};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}
