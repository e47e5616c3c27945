"""The request of chat completions (OpenAI API reference, "Create chat completion"): the table of its fields, with those that
servers of the same wire know besides, and how a request is read by it.

What a server's caller sends is checked, and what is malformed is a 400 that names the field; what a client sends goes as it is
given (`request_body.write_chat_request`). How a row is read: `wires/fields.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...errors import StatusError
from ...request import ChatRequest
from ..fields import DROPPED, FieldRule, FieldTable, FieldUse, RequestField, approximated, honoured, missing, refused, table_of
from ..message_schemas import MESSAGES, ref
from ..request_body import decode_object
from ..shapes import (
    ANYTHING,
    FLAG,
    LIST,
    NAME,
    NUMBER,
    OBJECT,
    TEXT,
    Schema,
    Shape,
    check_type,
    either,
    either_form,
    list_of,
    number,
    object_of,
    refusal,
    shown,
    typed,
    whole,
)
from ..tool_forms import nested_choice, nested_format, nested_tool
from ..tool_names import asked_names
from .neutral import NEUTRAL
from .older_calls import OLDER, is_older

# ---- shapes of their own ----------------------------------------------------------------------------------------------


def _check_stop(param: str, value: Any) -> Any:
    if not isinstance(value, str | list):
        raise refusal(param, f"must be text or a list of texts, not {shown(value)}", "invalid_type")
    for text in value if isinstance(value, list) else ():
        check_type(param, text, str)
    return value


_STOP: Final = Shape(_check_stop, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})

_NAMED: Final = object_of({"name": NAME}, ("name",))
_FUNCTION: Final = object_of({"name": NAME, "description": TEXT, "parameters": OBJECT, "strict": FLAG}, ("name",))
_TOOL: Final = typed({"function": either_form("function", object_of({"function": _FUNCTION}, ("function",)), _FUNCTION)})
_CHOICE: Final = typed({"function": either_form("function", object_of({"function": _NAMED}, ("function",)), _NAMED)})
_FORMAT: Final = typed({"json_schema": object_of({"json_schema": object_of({"schema": OBJECT})})}, needed=True)

_CHOICES: Final = either("text or an object", {str: TEXT, dict: _CHOICE})


def _check_tools(param: str, value: Any) -> Any:
    return [nested_tool(tool) for tool in list_of(_TOOL).check(param, value)]


#: What the rows refer to by name.
COMPONENTS: Final[dict[str, Schema]] = {
    "Tool": {
        **_TOOL.schema,
        "description": "A function that the model may call, or a tool of the upstream's own. The forms of the Responses API "
        "and of the Messages API are taken too.",
    },
    "ToolChoice": {**_CHOICE.schema, "description": "The one function to be called, or what else the upstream knows."},
    "ResponseFormat": {
        **_FORMAT.schema,
        "description": "`text`, `json_object`, `json_schema`, or what else the upstream knows. The embedded engine takes "
        "schemas of up to 64 levels and 64 KiB.",
    },
}

# ---- the embedded engine's column -------------------------------------------------------------------------------------


def _engine(use: FieldUse) -> Mapping[str, FieldUse]:
    return {"llamacpp": use}


def _no(instead: str, *neutral: Any) -> Mapping[str, FieldUse]:
    return _engine(refused(f"is not supported by the embedded engine; {instead}", *neutral))


_TOKENS: Final = _engine(honoured(whole(-1, 2**31 - 1), says="-1: none is said"))
_IDLE: Final = _engine(DROPPED)
_TAKEN: Final = _engine(honoured())

#: Of a field without a row.
OTHERS: Final = _engine(
    FieldUse("refused", says="is not something that the embedded engine can honour; leave it out", named=NEUTRAL)
)

# ---- the column of the Messages API -----------------------------------------------------------------------------------

#: What it has no word for, and an answer without which is still one to the question: the vendor's own layer for chat
#: completions leaves it out as well. What the caller would wait for is refused. How the others are written:
#: `anthropic_messages.upstream_request`.
_LEFT_OUT: Final = (
    *("stream_options", "min_p", "typical_p", "repeat_penalty", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "seed"),
    *("reasoning_format", "include_reasoning", "separate_reasoning", "enable_thinking", "thinking_budget", "think"),
    *("chat_template_kwargs", "verbosity", "prediction", "prompt_cache_key", "prompt_cache_retention", "store"),
)

ANTHROPIC: Final[Mapping[str, FieldUse]] = {
    **{name: honoured() for name in ("model", "stream", "max_tokens")},
    "messages": approximated("system messages go first, as `system`"),
    "max_completion_tokens": honoured(says="as `max_tokens`"),
    "temperature": approximated("above 1 it is 1; left out beside thinking"),
    "stop": approximated("as `stop_sequences`; white space alone is left out"),
    "tools": honoured(says="functions, custom tools as functions of one text, and tools of the vendor's own"),
    "tool_choice": honoured(),
    "parallel_tool_calls": honoured(says="as `disable_parallel_tool_use`"),
    "functions": honoured(says="as `tools`"),
    "function_call": honoured(says="as `tool_choice`"),
    "response_format": approximated("`json_schema` as `output_config.format`; `json_object` is left to the prompt"),
    "reasoning_effort": approximated("as `thinking` and `output_config.effort`"),
    "reasoning": approximated("its `effort`"),
    "user": honoured(
        says="as `metadata.user_id`; an email address, a telephone number, or more than 256 characters: its SHA-256"
    ),
    "safety_identifier": approximated("as `metadata.user_id`, without `user`"),
    "metadata": approximated("its `user_id`"),
    "service_tier": approximated("`auto`, and `default` as `standard_only`"),
    **dict.fromkeys(_LEFT_OUT, DROPPED),
    "n": refused("is not supported by the Messages API; an answer has one choice: ask several times", 1),
    "logprobs": refused("is not supported by the Messages API; answers carry no probabilities", False),
    "top_logprobs": refused("is not supported by the Messages API; answers carry no probabilities", 0),
    "modalities": refused('is not supported by the Messages API; answers are ["text"]', ["text"]),
    "audio": refused("is not supported by the Messages API; answers are text"),
    "web_search_options": approximated("the vendor's tool `web_search`, which the model may leave unused"),
}

# ---- the column of the Gemini API -------------------------------------------------------------------------------------

#: What it has no word for; how the others are written: `google_gemini.upstream_request`.
_NOT_IN_GEMINI: Final = (
    *("stream_options", "min_p", "typical_p", "repeat_penalty", "repetition_penalty", "logit_bias", "parallel_tool_calls"),
    *("reasoning_format", "separate_reasoning", "enable_thinking", "think", "chat_template_kwargs", "verbosity", "prediction"),
    *("prompt_cache_key", "prompt_cache_retention", "store", "metadata", "safety_identifier", "user"),
)

GEMINI: Final[Mapping[str, FieldUse]] = {
    **{name: honoured() for name in ("model", "stream")},
    "messages": approximated("system messages go first, as `systemInstruction`"),
    **{
        name: honoured(says=f"as `{theirs}`")
        for name, theirs in {
            "temperature": "temperature",
            "top_p": "topP",
            "top_k": "topK",
            "presence_penalty": "presencePenalty",
            "frequency_penalty": "frequencyPenalty",
            "max_tokens": "maxOutputTokens",
            "max_completion_tokens": "maxOutputTokens",
            "n": "candidateCount",
            "logprobs": "responseLogprobs",
            "top_logprobs": "logprobs",
            "modalities": "responseModalities",
            "functions": "tools",
            "function_call": "tool_choice",
        }.items()
    },
    "seed": honoured(says="-1: none; above 31 bits the remainder"),
    "stop": honoured(says="as `stopSequences`; the API takes 5"),
    "tools": honoured(
        says="functions, custom tools as functions of one text, and tools of the vendor's own, such as `googleSearch`"
    ),
    "tool_choice": honoured(says="as `toolConfig`"),
    "response_format": honoured(says="as `responseMimeType` and `responseJsonSchema`"),
    "reasoning_effort": approximated("as `thinkingConfig`: a level, until Gemini 2.5 a number of tokens"),
    "reasoning": approximated("its `effort`; with a `summary` thoughts are shown"),
    "thinking": approximated("as `thinkingConfig`"),
    "thinking_budget": approximated("as `thinkingConfig`"),
    "include_reasoning": approximated("as `includeThoughts`"),
    "web_search_options": approximated("as the tool `googleSearch`"),
    "service_tier": approximated("as `serviceTier`: `flex`, `priority`, and `default` as `standard`"),
    **dict.fromkeys(_NOT_IN_GEMINI, DROPPED),
    "audio": refused("is not supported by the Gemini API as an upstream; answers are text and images"),
}

# ---- rows -------------------------------------------------------------------------------------------------------------

SAMPLING: Final = (
    RequestField(
        "temperature",
        NUMBER,
        "How freely the next token is chosen; 0: always the likeliest.",
        uses=_engine(honoured(number(0, 2))),
    ),
    RequestField(
        "top_p",
        NUMBER,
        "Only the likeliest tokens that together have this probability are chosen from.",
        uses=_engine(honoured(number(0, 1))),
    ),
    RequestField(
        "top_k",
        whole(),
        "Only so many of the likeliest tokens are chosen from.",
        uses=_engine(honoured(whole(-1, 2**31 - 1), says="0 and -1: from all")),
    ),
    RequestField(
        "min_p",
        NUMBER,
        "Only tokens that are at least this likely, beside the likeliest, are chosen from.",
        uses=_engine(honoured(number(0, 1))),
    ),
    RequestField("typical_p", NUMBER, "Locally typical sampling.", uses=_engine(honoured(number(0, 1)))),
    RequestField("repeat_penalty", NUMBER, "Against repeating tokens; 1: none.", uses=_engine(honoured(number(0.1, 10)))),
    RequestField(
        "repetition_penalty",
        NUMBER,
        "The name that vLLM and others have for `repeat_penalty`.",
        uses=_engine(honoured(number(0.1, 10), says="as `repeat_penalty`")),
    ),
    RequestField("presence_penalty", NUMBER, "Against what was said at all.", uses=_engine(honoured(number(-2, 2)))),
    RequestField("frequency_penalty", NUMBER, "Against what was said often.", uses=_engine(honoured(number(-2, 2)))),
    RequestField(
        "logit_bias",
        either("an object or a list", {dict: OBJECT, list: LIST}),
        "By a token's number: what is added to its likelihood.",
        uses=_engine(honoured(says="an object, from -100 to 100 each")),
    ),
    RequestField(
        "seed",
        whole(),
        "The embedded engine gives the same answer to the same request with the same seed, and reads the whole prompt for "
        "that; other upstreams may. -1 is none for it.",
        uses=_TAKEN,
    ),
)

LENGTH: Final = (
    RequestField("max_tokens", whole(), "The longest answer, in tokens.", uses=_TOKENS),
    RequestField(
        "max_completion_tokens",
        whole(),
        "The newer name of `max_tokens`; an upstream gets the name that you send.",
        uses=_TOKENS,
    ),
    RequestField(
        "stop",
        _STOP,
        "A text at which the answer ends, or several.",
        uses=_engine(honoured(says="up to 64; empty ones are left out")),
    ),
)

TOOLS: Final = (
    RequestField(
        "tools",
        Shape(_check_tools, {"type": "array", "items": ref("Tool")}),
        "Functions that the model may call, and tools of the upstream's own.",
        uses=_engine(honoured(says="functions alone, up to 128; arguments obey the schema as far as it can be held to it")),
    ),
    RequestField(
        "tool_choice",
        Shape(lambda param, value: nested_choice(_CHOICES.check(param, value)), {"anyOf": [TEXT.schema, ref("ToolChoice")]}),
        "Whether tools are called, and which.",
        uses=_TAKEN,
    ),
    RequestField("parallel_tool_calls", FLAG, "Whether several calls may come at once.", uses=_TAKEN),
    RequestField(
        "functions",
        LIST,
        "The older form of `tools`; the answer then has `function_call`.",
        uses=_engine(honoured(says="as `tools`; one call")),
    ),
    RequestField(
        "function_call", ANYTHING, "The older form of `tool_choice`.", uses=_engine(honoured(says="as `tool_choice`"))
    ),
    RequestField("web_search_options", OBJECT, "How the upstream searches the web.", uses=_no("it searches nothing")),
)

ANSWER: Final = (
    RequestField(
        "response_format",
        Shape(lambda param, value: nested_format(_FORMAT.check(param, value)), ref("ResponseFormat")),
        "Text, any JSON object, or JSON that obeys a schema.",
        uses=_engine(
            honoured(
                says="`text`, `json_object`, and `json_schema` with the schemas that it can be held to; these in `schema` too"
            )
        ),
    ),
    RequestField(
        "n",
        whole(),
        "How many choices; an answer of several is not rescued.",
        uses=_engine(honoured(whole(1, 128), says="up to its slots; side by side in those that are free")),
    ),
    RequestField(
        "logprobs",
        either("true or false, or a whole number", {bool: FLAG, int: whole(), float: whole()}),
        "Log probabilities of the tokens.",
        uses=_engine(honoured(FLAG)),
    ),
    RequestField(
        "top_logprobs",
        whole(),
        "Log probabilities of so many of the likeliest tokens.",
        uses=_engine(honoured(whole(0, 20), says="with `logprobs`, up to 20")),
    ),
    RequestField("modalities", LIST, "What the answer may be made of.", uses=_no('answers are ["text"]', ["text"])),
    RequestField("audio", OBJECT, "In which voice and format the answer is spoken.", uses=_no("answers are text")),
)

#: How much and in which words a model thinks and speaks. The embedded engine reads of them whether it is to think at all.
THINKING: Final = tuple(
    RequestField(name, ANYTHING, says, uses=_IDLE)
    for name, says in {
        "reasoning_effort": "How much the model reasons.",
        "reasoning": "How the model reasons.",
        "reasoning_format": "Where the reasoning stands in an answer.",
        "include_reasoning": "Whether the reasoning is sent.",
        "separate_reasoning": "Whether the reasoning is sent apart from the text.",
        "enable_thinking": "Whether the model reasons.",
        "thinking": "Whether and how the model reasons.",
        "thinking_budget": "How many tokens the model may reason for.",
        "think": "Whether and how much the model reasons.",
        "chat_template_kwargs": "Variables of the model's chat template.",
        "verbosity": "How long answers are.",
    }.items()
)

#: How an answer is billed, stored, found or hastened: nothing of this changes its text.
ADMINISTRATION: Final = tuple(
    RequestField(name, shape, says, uses=_IDLE)
    for name, (shape, says) in {
        "metadata": (OBJECT, "Notes to the answer, which the upstream keeps."),
        "prediction": (OBJECT, "A text that the answer will resemble, to be quicker."),
        "prompt_cache_key": (TEXT, "What requests with the same beginning have in common, to be quicker."),
        "prompt_cache_retention": (TEXT, "How long the upstream keeps the beginning."),
        "safety_identifier": (TEXT, "Who uses your application, for the upstream."),
        "service_tier": (TEXT, "How quickly and at which price the upstream answers."),
        "store": (FLAG, "Whether the upstream keeps the answer."),
        "user": (TEXT, "Who uses your application, for the upstream."),
    }.items()
)

STREAM: Final = RequestField("stream", FLAG, "Whether the answer comes as server-sent events.", uses=_TAKEN)
STREAM_OPTIONS: Final = RequestField(
    "stream_options",
    object_of({"include_usage": FLAG, "include_obfuscation": FLAG}),
    "Only with `stream`. `include_usage`: the last chunk counts the tokens; `continuous_usage_stats`: each chunk does, where "
    "the upstream can; others are passed on.",
    uses=_engine(honoured(says="`include_usage`")),
)


def _check_stream_options(document: Mapping[str, Any]) -> None:
    """In OpenAI's own words."""
    if document.get("stream_options") is not None and document.get("stream") is not True:
        raise StatusError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            status=400,
            type="invalid_request_error",
            param="stream_options",
            code="invalid_value",
        )


OPTIONS_NEED_A_STREAM: Final = FieldRule(
    _check_stream_options,
    {
        "anyOf": [
            {"properties": {"stream": {"enum": [True]}}, "required": ["stream"]},
            {"properties": {"stream_options": {"type": "null"}}},
        ]
    },
)

OTHERS_SAY: Final = (
    "A field without a row is passed on to upstreams of the kinds `openai`, `anthropic`, `gemini` and `autonomousai`, which "
    "may know it (`structured_outputs`, …); the embedded engine refuses it, unless it asks for what is the case anyway "
    "(`min_tokens: 0`)."
)


#: By kind of upstream.
_COLUMNS: Final[Mapping[str, Mapping[str, FieldUse]]] = {"anthropic": ANTHROPIC, "gemini": GEMINI}


def _at_vendors(row: RequestField) -> RequestField:
    """Return *row* with what becomes of the field at upstreams that speak a vendor's own API."""
    uses = {kind: column[row.name] for kind, column in _COLUMNS.items() if row.name in column}
    return msgspec.structs.replace(row, uses={**row.uses, **uses}) if uses else row


#: What every wire has whose requests become chat completions.
SHARED: Final = tuple(
    map(_at_vendors, (STREAM, STREAM_OPTIONS, *SAMPLING, *LENGTH, *TOOLS, *ANSWER, *THINKING, *ADMINISTRATION))
)

CHAT: Final = FieldTable(
    name="ChatRequest",
    says=f"A request of the OpenAI API. {OTHERS_SAY}",
    rows=table_of(
        _at_vendors(
            RequestField(
                "model", TEXT, "One of `GET /v1/models`, or an alias; absent or empty: the default model.", uses=_TAKEN
            )
        ),
        _at_vendors(
            RequestField(
                "messages",
                MESSAGES,
                "The complete conversation.",
                needed=True,
                uses=_engine(honoured(says="text of the roles system, developer, user, assistant and tool")),
            )
        ),
        *SHARED,
    ),
    rules=(OPTIONS_NEED_A_STREAM,),
    components=COMPONENTS,
    others=OTHERS,
)


# ---- reading ----------------------------------------------------------------------------------------------------------


def read_chat_request(body: bytes) -> ChatRequest:
    """Return the request in *body*. Raises `StatusError` 400 that names the field, or `InvalidMessagesError`."""
    return read_chat_document(decode_object(body))


def read_chat_document(document: dict[str, Any]) -> ChatRequest:
    """Return the request in *document*, which is used up. Raises `StatusError` 400 that names the field, or
    `InvalidMessagesError`."""
    model = CHAT.take(document, "model")
    return chat_request(model or "", document.pop("messages", None), document)


def chat_request(model: str, messages: Any, document: dict[str, Any], table: FieldTable = CHAT) -> ChatRequest:
    """Return the request that *document* asks for, by its *table*, beside its *model* and *messages*, which were taken out of
    it."""
    if messages is None:
        raise missing("messages", 'send a list such as [{"role": "user", "content": "Hello"}]', document)
    for rule in table.rules:
        rule.check(document)
    stream = table.take(document, "stream")
    fields = table.check(document)
    include_usage = take_usage(fields)
    leave_out_empty(fields)
    return ChatRequest(
        model,
        table.rows["messages"].shape.check("messages", messages),
        bool(stream),
        include_usage,
        fields,
        echo=echo_of(fields),
    )


def echo_of(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the answer repeats of a request; see `ChatRequest.echo`."""
    if is_older(fields):
        return {OLDER: True, **asked_names([{"function": each} for each in fields["functions"]])}
    tools = fields.get("tools")
    return (asked_names(tools) or None) if tools else None


def take_usage(fields: dict[str, Any]) -> bool:
    """Take ``include_usage`` out of the options of a stream: whether its caller wants to hear of usage. An upstream is asked
    for it in any case."""
    options: dict[str, Any] | None = fields.pop("stream_options", None)
    if options is None:
        return False
    if others := {name: option for name, option in options.items() if name != "include_usage" and option is not None}:
        fields["stream_options"] = others
    return options.get("include_usage") is True


def leave_out_empty(fields: dict[str, Any]) -> None:
    """Leave out what says nothing when it is empty, and which some servers refuse then; without tools, what else was said of
    them means nothing either."""
    if isinstance(stops := fields.get("stop"), list):  # forms send the texts of a line that is empty
        fields["stop"] = [text for text in stops if text]
    for name in ("stop", "logit_bias", "tools"):
        if fields.get(name) in ([], {}, ""):
            del fields[name]
            if name == "tools":
                fields.pop("parallel_tool_calls", None)
                if fields.get("tool_choice") in ("none", "auto"):
                    del fields["tool_choice"]
