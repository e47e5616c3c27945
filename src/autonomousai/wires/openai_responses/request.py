"""The request of the Responses API (OpenAI API reference, "Create a model response"): the table of its fields, and how it is
read.

A request becomes one of chat completions, for any upstream, and keeps its document beside it: an upstream of the same wire gets
that unchanged. How a row is read: `wires/fields.py`; beside that, a row says which fields of chat completions it becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ...request import ChatRequest, OriginalRequest
from ..fields import FieldRule, FieldTable, RequestField, missing, table_of
from ..openai_chat.request import CHAT, leave_out_empty
from ..request_body import decode_object
from ..shapes import ANYTHING, FLAG, LIST, OBJECT, TEXT, Shape, either, list_of, object_of, refusal, typed, whole
from ..tool_forms import flat_format
from . import input_items, tools
from .input_items import INPUT, read_input
from .response import WIRE, echo_of
from .tools import TOOL_CHOICE, TOOLS, all_tools, tools_for_chat

Document = dict[str, Any]


class ResponsesField(RequestField, frozen=True):
    """A row. ``to_chat``: the fields of chat completions that a document becomes by it, called where the field is not null."""

    to_chat: Callable[[Document], Mapping[str, Any]] = lambda _: {}


def _nothing(_: Document) -> Mapping[str, Any]:
    """Say nothing: another row says it, or it is not among the fields."""
    return {}


def _row(
    name: str, shape: Shape, says: str, becomes: str, to_chat: Callable[[Document], Mapping[str, Any]] = _nothing
) -> ResponsesField:
    return ResponsesField(name, shape, says, becomes=becomes, to_chat=to_chat, approximated=name in _SAYS_LESS)


#: Fields that say less as fields of chat completions.
_SAYS_LESS: Final = frozenset({"input", "tools", "tool_choice", "reasoning", "include"})


def _unsaid(name: str, shape: Shape, says: str) -> ResponsesField:
    """Return the row of a field that changes nothing of an answer's text: strict servers of chat completions refuse it."""
    return ResponsesField(name, shape, says, becomes="")


def _same(name: str, shape: Shape, says: str, chat: str = "") -> ResponsesField:
    """Return the row of a field that chat completions have too; *chat*: under that name."""

    def to_chat(document: Document) -> Mapping[str, Any]:
        return {chat or name: document[name]}

    return ResponsesField(name, shape, says, becomes=f"`{chat or name}`", to_chat=to_chat)


def _shared(name: str) -> ResponsesField:
    row = CHAT.rows[name]
    return _same(name, row.shape, row.says)


def _effort(document: Document) -> Mapping[str, Any]:
    effort = document["reasoning"].get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


_SCHEMA_FORMAT: Final = object_of({"name": TEXT, "description": TEXT, "schema": OBJECT, "strict": FLAG}, ("schema",))
_CHAT_FORMAT: Final = object_of({"json_schema": _SCHEMA_FORMAT}, ("json_schema",))


def _check_format(param: str, value: Any) -> Any:
    is_chat = value.get("schema") is None and isinstance(value.get("json_schema"), dict)
    return (_CHAT_FORMAT if is_chat else _SCHEMA_FORMAT).check(param, value)


#: As this API has it, or as chat completions do.
_SCHEMA_OR_CHAT: Final = Shape(
    _check_format,
    {
        "anyOf": [
            _SCHEMA_FORMAT.schema,
            {**_CHAT_FORMAT.schema, "properties": {"schema": {"type": "null"}, **_CHAT_FORMAT.schema["properties"]}},
        ]
    },
)
_FORMAT: Final = typed({"json_schema": _SCHEMA_OR_CHAT}, needed=True)


def _text(document: Document) -> Mapping[str, Any]:
    text = document["text"]
    fields = {} if text.get("verbosity") is None else {"verbosity": text["verbosity"]}
    form = flat_format(text.get("format") or {"type": "text"})
    if form["type"] == "json_schema":
        schema = {name: form[name] for name in ("description", "schema", "strict") if form.get(name) is not None}
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": form.get("name") or "answer", **schema}}
    elif form["type"] != "text":
        fields["response_format"] = form
    return fields


#: What ``include`` names of log probabilities.
_LOG_PROBS: Final = "message.output_text.logprobs"


def _log_probs(document: Document) -> Mapping[str, Any]:
    if _LOG_PROBS not in document["include"]:
        return {}
    top = document.get("top_logprobs")
    return {"logprobs": True, **({"top_logprobs": top} if top else {})}


def _tier(document: Document) -> Mapping[str, Any]:
    tier = document["service_tier"]
    return {} if tier in ("auto", "default") else {"service_tier": tier}


#: What the upstream alone has: a request with any of it can be answered by an upstream of this wire, and by no other.
ELSEWHERE: Final = ("conversation", "prompt")


def _check_has_input(document: Mapping[str, Any]) -> None:
    is_empty = document.get("input") == [] and document.get("instructions") is None
    if (document.get("input") is None or is_empty) and all(document.get(name) is None for name in _BEGINNINGS):
        raise missing("input", 'send text, or items such as {"role": "user", "content": "Hello"}', document)


#: Where a conversation may begin that has no input.
_BEGINNINGS: Final = ("previous_response_id", *ELSEWHERE)


def _has(name: str, *nothing: Any) -> dict[str, Any]:
    """Return the schema of an object that has *name*, and not as null nor as *nothing*."""
    return {"properties": {name: {"not": {"enum": [None, *nothing]}}}, "required": [name]}


def _check_is_kept(document: Mapping[str, Any]) -> None:
    if document.get("background") is True and document.get("store") is False:
        raise refusal("background", "a response that is not stored cannot be asked for later; leave out store = false")


_NEEDS_INPUT: Final = FieldRule(
    _check_has_input,
    {
        "anyOf": [
            _has("input", []),
            {"allOf": [_has("input"), _has("instructions")]},
            _has("previous_response_id", ""),
            *map(_has, ELSEWHERE),
        ]
    },
)

_KEEPS_BACKGROUND: Final = FieldRule(
    _check_is_kept,
    {"not": {"properties": {"background": {"const": True}, "store": {"const": False}}, "required": ["background", "store"]}},
)


def _in_chats_words(name: str, own: str, chat: str = "") -> ResponsesField:
    """Return the row of a field of chat completions that this API calls otherwise, *own*: what is said under that name counts.
    *chat*: the field of chat completions that both become."""
    row = CHAT.rows[name]
    return _same(name, row.shape, f"The name that `{own}` has in chat completions; that one counts before it.", chat)


#: Clients that change from one API to the other keep these names; that the answer ignores them in silence is no answer.
_IN_CHATS_WORDS: Final = (
    _in_chats_words("max_completion_tokens", "max_output_tokens", "max_tokens"),
    _in_chats_words("max_tokens", "max_output_tokens"),
    _in_chats_words("reasoning_effort", "reasoning.effort"),
    _in_chats_words("response_format", "text.format"),
    _in_chats_words("verbosity", "text.verbosity"),
)

_KEPT_THERE: Final = "nothing: only upstreams of this API are called"

RESPONSES: Final = FieldTable(
    name="ResponsesRequest",
    says="A request of the Responses API. Upstreams that speak it get it unchanged; for others it becomes a request of chat "
    "completions, in which a field without a row is left out.",
    rows=table_of(
        _row("model", TEXT, "One of `GET /v1/models`, or an alias; absent or empty: the default model.", "`model`"),
        _row(
            "input",
            INPUT,
            "Text, or the items of the conversation.",
            "`messages`; encrypted reasoning and items of other types are left out",
        ),
        _row("instructions", TEXT, "What the system says first.", "the first of `messages`, with what the system says next"),
        _row("stream", FLAG, "Whether the answer comes as server-sent events.", "`stream`"),
        _row(
            "tools",
            TOOLS,
            "Functions, custom tools, and tools of the upstream's own.",
            "`tools`; a custom tool is a function of one text, a tool of the API's own that the caller runs a function of its "
            "name, and tools of other types are left out",
            tools_for_chat,
        ),
        _row(
            "tool_choice",
            TOOL_CHOICE,
            "Whether tools are called, and which.",
            "`tool_choice`, where it names a function that is left; `allowed_tools` leaves out the others",
        ),
        *_IN_CHATS_WORDS,
        _row("parallel_tool_calls", FLAG, "Whether several calls may come at once.", "`parallel_tool_calls`, with tools"),
        _row(
            "reasoning",
            object_of({"effort": TEXT, "summary": TEXT}),
            "How much the model reasons, and whether the reasoning is sent.",
            "`effort` is `reasoning_effort`",
            _effort,
        ),
        _row(
            "text",
            object_of({"format": _FORMAT, "verbosity": TEXT}),
            "Text, any JSON object, or JSON that obeys a schema; and how long it is.",
            "`format` is `response_format`, `verbosity` is `verbosity`",
            _text,
        ),
        _same("max_output_tokens", whole(), "The longest answer, in tokens.", "max_tokens"),
        *(_shared(name) for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty")),
        _row(
            "top_logprobs",
            whole(),
            "Log probabilities of so many of the likeliest tokens.",
            "`top_logprobs`, where they are included",
        ),
        _row(
            "include",
            list_of(TEXT),
            "What the answer has beside the usual.",
            f"`{_LOG_PROBS}` is `logprobs`; others are left out",
            _log_probs,
        ),
        _row(
            "service_tier",
            TEXT,
            "How quickly and at which price the upstream answers.",
            "`service_tier`, but for `auto` and `default`",
            _tier,
        ),
        _same("user", TEXT, "Who uses your application, for the upstream."),
        _row("prompt", OBJECT, "A prompt that the upstream keeps.", _KEPT_THERE),
        _row(
            "conversation",
            either("text or an object", {str: TEXT, dict: OBJECT}),
            "A conversation that the upstream keeps.",
            _KEPT_THERE,
        ),
        *(_shared(name) for name in ("seed", "stop", "top_k", "min_p")),
        _unsaid(
            "previous_response_id",
            TEXT,
            "The kept response that this one continues from: its conversation stands before `input`.",
        ),
        _unsaid("store", FLAG, "Whether the response is kept for a while, to be asked for again; by default it is."),
        _unsaid("background", FLAG, "Whether the answer is generated without a reader, to be asked for by its id."),
        _unsaid("metadata", OBJECT, "Notes to the answer, which repeats them."),
        _unsaid("truncation", TEXT, "What is left out of a conversation that is too long."),
        _unsaid("max_tool_calls", whole(), "How many calls the upstream's own tools may make."),
        _unsaid("stream_options", OBJECT, "How the stream is padded; here it is not."),
        _unsaid("prompt_cache_key", TEXT, "What requests with the same beginning have in common, to be quicker."),
        _unsaid("prompt_cache_retention", TEXT, "How long the upstream keeps the beginning."),
        _unsaid("safety_identifier", TEXT, "Who uses your application, for the upstream."),
        _unsaid("context_management", LIST, "How the upstream shortens a long conversation."),
        _unsaid("client_metadata", OBJECT, "Notes of the client about itself."),
        _unsaid("messages", ANYTHING, "A field of chat completions; here it says nothing."),
    ),
    rules=(_NEEDS_INPUT, _KEEPS_BACKGROUND),
    components=input_items.COMPONENTS | tools.COMPONENTS,
    ignored=frozenset({"messages"}),
)


def _check_names_none(param: str, value: Any) -> Any:
    if value:
        raise refusal(param, "what is kept is not counted; send the complete conversation in input")
    return value


COUNTED: Final = msgspec.structs.replace(
    RESPONSES,
    name="CountInputTokensRequest",
    says="What the tokens are counted of: a request of the Responses API, whose answer is not asked for.",
    rows={
        **RESPONSES.rows,
        "previous_response_id": msgspec.structs.replace(
            RESPONSES.rows["previous_response_id"],
            shape=Shape(_check_names_none, {"const": ""}),
            says="None: what is kept is not counted.",
        ),
    },
)


def read_responses_request(body: bytes) -> ChatRequest:
    """Return the request in *body*. Raises `StatusError` 400 that names the field."""
    document = decode_object(body)
    if document.get("previous_response_id") == "":  # some clients write so that there is none
        del document["previous_response_id"]
    return _read(document)


def read_foreign_request(document: Document) -> ChatRequest:
    """Return the request in *document*, which was sent where another API is spoken, and is answered in that one: nothing is
    kept of it, and nothing that is kept can be meant. Raises `StatusError` 400 that names the field."""
    for name in ("previous_response_id", *ELSEWHERE):
        if document.get(name) is not None:
            raise refusal(name, "is a field of the Responses API; send the request to /v1/responses", "unsupported_parameter")
    options = document.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    request = _read(document)
    if not request.messages:
        raise missing("input", 'send text, or items such as {"role": "user", "content": "Hello"}', document)
    return msgspec.structs.replace(request, origin=None, echo=None, include_usage=wants_usage)


def _read(document: Document) -> ChatRequest:
    for rule in RESPONSES.rules:
        rule.check(document)
    taken = {name: RESPONSES.take(dict(document), name) for name in ("model", "stream", "input")}
    fields = RESPONSES.check({name: value for name, value in document.items() if name not in taken})
    if added := all_tools(fields.get("tools") or (), taken["input"]):
        fields["tools"] = added
    # What the upstream keeps is not known here: the messages would be half of the conversation.
    is_elsewhere = any(document.get(name) is not None for name in ELSEWHERE)
    messages = read_input(taken["input"], fields.get("instructions"))
    return ChatRequest(
        taken["model"] or "",
        [] if is_elsewhere else messages,
        bool(taken["stream"]),
        fields=to_chat(fields),
        origin=OriginalRequest(WIRE, document, continuable=bool(messages) and not is_elsewhere),
        echo=echo_of(fields),
    )


def to_chat(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checked document says beside its model and its input, as fields of chat completions."""
    fields: dict[str, Any] = {}
    for name, row in RESPONSES.rows.items():
        if isinstance(row, ResponsesField) and document.get(name) is not None:
            fields.update(row.to_chat(dict(document)))
    leave_out_empty(fields)
    return fields
