"""Requests of the Gemini API (Gemini API reference, "models.generateContent", "models.countTokens"): the table of their fields,
and how they become a `ChatRequest`.

An upstream of this wire gets the body as it came. For others, a field becomes what its row says, or is left out; so are fields
that have no row, for the vendor's list grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ...request import ChatRequest, OriginalRequest
from ..fields import FieldRule, FieldTable, RequestField, missing, table_of
from ..messages import check_messages
from ..openai_chat.request import leave_out_empty
from ..raw import GEMINI_WIRE as WIRE
from ..raw import raw_request
from ..request_body import decode_object
from ..shapes import ANYTHING, TEXT, object_of, object_schema, refusal
from ..tool_names import NAMES, own_names, short_name
from .content import chat_messages
from .json_schema import as_json_schema
from .member_names import COUNTING, REQUEST, with_camel_case
from .paths import COUNT, STREAM
from .request_shapes import COMPONENTS, CONTENTS, GENERATION_CONFIG, MODES, SYSTEM, TOOL_CONFIG, TOOLS
from .thoughts import SHOWN

Fields = dict[str, Any]

#: What to send where there is nothing.
_EXAMPLE: Final = 'send a list such as [{"role": "user", "parts": [{"text": "Hello"}]}]'

# ---- what a field becomes elsewhere ------------------------------------------------------------------------------------


def _declarations(tools: list[Fields]) -> list[Fields]:
    """Return the functions among *tools*. What else there is, the vendor runs."""
    return [function for tool in tools for function in tool.get("functionDeclarations") or ()]


def _function(declared: Fields) -> Fields:
    schema = declared.get("parametersJsonSchema")
    parameters = as_json_schema(declared.get("parameters")) if schema is None else schema
    described = {"description": declared["description"]} if declared.get("description") else {}
    return {
        "type": "function",
        "function": {"name": short_name(declared["name"]), **described, "parameters": object_schema(parameters)},
    }


def _tools(tools: list[Fields]) -> Fields:
    return {"tools": [_function(declared) for declared in _declarations(tools)]}


def _choice(config: Fields) -> Fields:
    calling = config.get("functionCallingConfig") or {}
    choice = MODES[calling.get("mode") or "AUTO"]
    return {"tool_choice": choice} if calling else {}


_SAME: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}


def _generation(config: Fields) -> Fields:
    fields = {chat: config[name] for name, chat in _SAME.items() if config.get(name) is not None}
    if (count := config.get("candidateCount")) not in (None, 1):
        fields["n"] = count
    if (made := [kind.lower() for kind in config.get("responseModalities") or ()]) not in ([], ["text"]):
        fields["modalities"] = made
    return {**fields, **_format(config), **_effort(config.get("thinkingConfig") or {})}


_JSON: Final = "application/json"


def _format(config: Fields) -> Fields:
    schema = next((found for name in _SCHEMAS if (found := config.get(name)) is not None), None)
    if config.get("responseMimeType") not in (_JSON, None):
        return {}
    if schema is not None:
        inner = {"name": "answer", "schema": as_json_schema(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": inner}}
    return {} if config.get("responseMimeType") is None else {"response_format": {"type": "json_object"}}


#: Members with the schema of an answer; the last is the older name of the one before.
_SCHEMAS: Final = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")

#: Levels of thinking that servers of chat completions do not all know, and the one that they do.
_LEVELS: Final = {"minimal": "low", "xhigh": "high"}

#: Efforts by the tokens that a model may think for, where an effort is all that can be said.
_EFFORTS: Final = ((10_000, "high"), (5_000, "medium"), (1, "low"), (0, "none"))


def _effort(thinking: Fields) -> Fields:
    """Return how much effort the tokens, or the level, are; nothing where the model thinks as it likes."""
    level = (thinking.get("thinkingLevel") or "").lower()
    if level and level != "thinking_level_unspecified":
        return {"reasoning_effort": _LEVELS.get(level, level)}
    budget = thinking.get("thinkingBudget")
    effort = None if budget is None else next((effort for least, effort in _EFFORTS if budget >= least), None)
    return {} if effort is None else {"reasoning_effort": effort}


#: What each member of `generationConfig` becomes, for people; and those that say less then.
GENERATION_BECOMES: Final = {
    **{name: f"`{chat}`" for name, chat in _SAME.items()},
    "candidateCount": "`n`",
    "responseModalities": "`modalities`",
    "responseMimeType": "`response_format` where it is JSON",
    **dict.fromkeys(("responseSchema", "responseJsonSchema"), "`response_format`"),
    "thinkingConfig": "`reasoning_effort`; a `thinkingBudget` from 10,000 on: `high`, from 5,000 on: `medium`, 0: `none`, "
    "else `low`",
}
GENERATION_APPROXIMATED: Final = frozenset({"responseMimeType", "thinkingConfig"})

_BECOMES: Final[Mapping[str, Callable[[Any], Fields]]] = {
    "tools": _tools,
    "toolConfig": _choice,
    "generationConfig": _generation,
}

# ---- rows -------------------------------------------------------------------------------------------------------------

#: Fields that are the vendor's business alone.
_VENDORS: Final = {
    "safetySettings": "What the vendor blocks.",
    "labels": "Names for the vendor's bills.",
    "serviceTier": "How quickly and at which price the vendor answers.",
    "store": "Whether the vendor keeps the request.",
}

_CACHED: Final = "send the complete conversation, or route the model to an upstream of the kind gemini"

_CONTENTS: Final = RequestField(
    "contents",
    CONTENTS,
    "The complete conversation.",
    needed=True,
    becomes="`messages`; signatures of calls as `extra_content`, others are left out, and so are parts of tools that the "
    "vendor runs, but for code and its output, which are text",
    approximated=True,
)

_ROWS: Final = (
    RequestField("model", TEXT, "The model is the one that the path names; this changes nothing.", becomes=""),
    _CONTENTS,
    RequestField(
        "systemInstruction", SYSTEM, "The instructions before the conversation.", becomes="the first of `messages`: its texts"
    ),
    RequestField(
        "tools",
        TOOLS,
        "Functions that the model may call, and tools of the vendor's own.",
        becomes="`tools`: the functions, with schemas as JSON Schema; tools of the vendor's own (`googleSearch`, "
        "`codeExecution`, `urlContext`, …) are left out",
        approximated=True,
    ),
    RequestField(
        "toolConfig",
        TOOL_CONFIG,
        "Whether functions are called, and which.",
        becomes="`tool_choice` (`ANY`: `required`, `VALIDATED`: `auto`); with `allowedFunctionNames`, the others are left out "
        "of `tools`",
        approximated=True,
    ),
    RequestField(
        "generationConfig",
        GENERATION_CONFIG,
        "How the next token is chosen, how long the answer may be, how it is made up, and how much the model thinks.",
        becomes="; ".join(f"`{name}`: {becomes}" for name, becomes in GENERATION_BECOMES.items()) + "; others are left out",
        approximated=True,
    ),
    RequestField(
        "cachedContent",
        TEXT,
        "A beginning of the conversation that the vendor keeps: only where the upstream is of the kind `gemini`, else a 404.",
        becomes=f"nothing: {_CACHED}",
    ),
    *(RequestField(name, ANYTHING, says, becomes="") for name, says in _VENDORS.items()),
)

#: Members that clients of other APIs send, and that say nothing here.
_IGNORED: Final = frozenset({"stream", "messages"})

GENERATE_REQUEST: Final = FieldTable(
    name="GeminiRequest",
    says="A request of the Gemini API; names may be written in snake_case too. An upstream of the kind `gemini` gets it as it "
    "came; for others a field becomes what its row says. A field without a row is left out there.",
    rows=table_of(*_ROWS),
    components=COMPONENTS,
    ignored=_IGNORED,
)

#: A complete request inside another one.
_COUNTED: Final = object_of({name: row.shape for name, row in GENERATE_REQUEST.rows.items()}, ("contents",))


def _check_something(document: Mapping[str, Any]) -> None:
    if document.get("contents") is None and document.get("generateContentRequest") is None:
        raise missing("contents", _EXAMPLE, document, GENERATE_REQUEST.rows)


def _with(name: str) -> Fields:
    return {"properties": {name: {"not": {"type": "null"}}}, "required": [name]}


_SOMETHING: Final = FieldRule(_check_something, {"anyOf": [_with("contents"), _with("generateContentRequest")]})

#: What is counted: a request whose answer is not asked for, or the conversation of one.
COUNT_REQUEST: Final = FieldTable(
    name="GeminiCountRequest",
    says="What the tokens are counted of: `contents`, or a complete `generateContentRequest`.",
    rows={
        **GENERATE_REQUEST.rows,
        "contents": msgspec.structs.replace(_CONTENTS, needed=False),
        "generateContentRequest": RequestField("generateContentRequest", _COUNTED, "A request whose answer is not asked for."),
    },
    rules=(_SOMETHING,),
    components=COMPONENTS,
    ignored=_IGNORED,
)

# ---- reading ----------------------------------------------------------------------------------------------------------


def read_generate_request(body: bytes, path: str) -> ChatRequest:
    """Return the request in *body*, which was sent to *path*. Raises `StatusError` 400 that names the field, or
    `InvalidMessagesError`."""
    if path != COUNT:
        return _request(with_camel_case(decode_object(body), REQUEST), GENERATE_REQUEST, streams=path == STREAM)
    document = with_camel_case(decode_object(body), COUNTING)
    for rule in COUNT_REQUEST.rules:
        rule.check(document)
    counted = _checked(document, COUNT_REQUEST).get("generateContentRequest") or document
    return _request(counted, COUNT_REQUEST, streams=False)


def _request(document: Fields, table: FieldTable, *, streams: bool) -> ChatRequest:
    checked = _checked(document, table)
    if (contents := checked.get("contents")) is None:
        raise missing("contents", _EXAMPLE, document, table.rows)
    fields: Fields = {}
    for name, become in _BECOMES.items():
        if (value := checked.get(name)) is not None:
            fields |= become(value)
    _keep_allowed(fields, checked)
    leave_out_empty(fields)
    echo = _echo(checked)
    if checked.get("cachedContent"):
        if table is COUNT_REQUEST:
            raise refusal("cachedContent", f"cannot be counted; {_CACHED}", "unsupported_parameter")
        # Its beginning is known to the vendor alone: no other upstream can be asked.
        return raw_request(WIRE, "", document, stream=streams, fields=fields, echo=echo)
    messages = check_messages(chat_messages(checked.get("systemInstruction"), contents))
    return ChatRequest("", messages, streams, fields=fields, origin=OriginalRequest(WIRE, document), echo=echo)


def _checked(document: Fields, table: FieldTable) -> Fields:
    rest = dict(document)
    table.take(rest, "model")
    return table.check(rest)


def _keep_allowed(fields: Fields, checked: Fields) -> None:
    """Leave out the functions that may not be called; without any, what else was said of them means nothing."""
    calling = (checked.get("toolConfig") or {}).get("functionCallingConfig") or {}
    tools = fields.get("tools")
    if tools and (allowed := calling.get("allowedFunctionNames")):
        names = {short_name(name) for name in allowed}
        fields["tools"] = tools = [tool for tool in tools if tool["function"]["name"] in names]
    if not tools:
        fields.pop("tools", None)
        fields.pop("tool_choice", None)


def _echo(checked: Fields) -> Fields | None:
    """Return what the answer needs to know of a request: whether thoughts are shown, and the functions' own names by those
    under which others offer them."""
    thinking = (checked.get("generationConfig") or {}).get("thinkingConfig") or {}
    own = own_names(declared["name"] for declared in _declarations(checked.get("tools") or []))
    return {**({SHOWN: True} if thinking.get("includeThoughts") else {}), **({NAMES: own} if own else {})} or None
