"""`ChatFields`: the request fields of `AsyncGeneratorProvider.chat` for type checkers, so that a misspelt one is found before
it is sent. The table that checks them at run time is in `wires.openai_chat.request`; a test holds this to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from .timeouts import Clocks

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatFields(TypedDict, total=False):
    """The fields of OpenAI's chat completions, those that servers such as vLLM and llama-server have beside them, and the
    options of a call (``timeout``, ``headers``, ``api_key``, ``retries``), which stay with the client. ``retries``: how many
    tries may follow the first, while nothing of an answer has come; 0 for none.

    ``extra_body``: members of the request that have no name here; they are sent as they are.
    """

    # options of the call
    timeout: float | Mapping[str, float] | Clocks | None
    headers: Mapping[str, str] | None
    api_key: str | None
    retries: int | None
    extra_body: Mapping[str, Any] | None

    # sampling
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    typical_p: float | None
    repeat_penalty: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | Sequence[Any] | None
    seed: int | None

    # length
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None

    # tools
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    functions: Sequence[Mapping[str, Any]] | None
    function_call: str | Mapping[str, Any] | None
    web_search_options: Mapping[str, Any] | None

    # the answer
    response_format: Mapping[str, Any] | None
    n: int | None
    logprobs: bool | int | None
    top_logprobs: int | None
    modalities: Sequence[str] | None
    audio: Mapping[str, Any] | None
    stream_options: Mapping[str, Any] | None

    # reasoning
    reasoning_effort: Effort | None
    reasoning: Mapping[str, Any] | None
    reasoning_format: str | None
    include_reasoning: bool | None
    separate_reasoning: bool | None
    enable_thinking: bool | None
    thinking: Mapping[str, Any] | bool | None
    thinking_budget: int | None
    think: bool | str | None
    chat_template_kwargs: Mapping[str, Any] | None
    verbosity: Literal["low", "medium", "high"] | None

    # billing, storing, finding
    metadata: Mapping[str, Any] | None
    prediction: Mapping[str, Any] | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    user: str | None
