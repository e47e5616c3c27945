"""The request of the Messages API (Anthropic API reference, "Create a Message"): the table of its fields, and how it becomes a
`ChatRequest`.

An upstream of this wire gets the body as it came. For others, a field becomes what its row says, or is left out; so are fields
that have no row, for the vendor's list grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ...request import ChatRequest, OriginalRequest
from ..fields import DROPPED, FieldTable, FieldUse, RequestField, missing, refused, table_of
from ..messages import check_messages
from ..openai_chat.request import CHAT
from ..request_body import decode_object
from ..shapes import ANYTHING, FLAG, NUMBER, TEXT, Shape, list_of, object_of, object_schema, refusal, typed, whole
from ..tool_names import NAMES, own_names, short_name
from .client_tools import client_function
from .content import chat_messages
from .errors import THREAD_UNSUPPORTED
from .message import WIRE
from .request_shapes import COMPONENTS, CONVERSATION, FORMAT, SYSTEM, TOOL_CHOICE, TOOLS

Fields = dict[str, Any]

# ---- what a field becomes elsewhere ------------------------------------------------------------------------------------

#: Characters of the longest name of a user that OpenAI takes.
_LONGEST_USER: Final = 64


def _user(metadata: Fields) -> Fields:
    """The name of a user; in place of one that is too long, its SHA-256."""
    user = metadata.get("user_id")
    if not user:
        return {}
    return {"user": user if len(user) <= _LONGEST_USER else hashlib.sha256(user.encode()).hexdigest()}


def _tools(tools: list[Fields]) -> Fields:
    """Tools with a schema of the caller's, or that the caller runs, as functions. Those that the vendor runs are skipped."""
    return {"tools": [function for tool in tools if (function := _function(tool)) is not None]}


def _function(tool: Fields) -> Fields | None:
    if tool.get("type") not in (None, "custom"):
        function = client_function(tool)
        return function and {"type": "function", "function": function}
    function = {"name": short_name(tool["name"]), "parameters": object_schema(tool["input_schema"])}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": function}


_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


def _tool_choice(choice: Fields) -> Fields:
    fields: Fields = {}
    if choice["type"] == "tool":
        fields["tool_choice"] = {"type": "function", "function": {"name": short_name(choice["name"])}}
    elif choice["type"] in _CHOICES:
        fields["tool_choice"] = _CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        fields["parallel_tool_calls"] = False
    return fields


def _format(wanted: Fields) -> Fields:
    if wanted.get("type") != "json_schema":
        return {}
    schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


#: Efforts that servers of chat completions do not all know, and the one that they do.
_EFFORTS: Final = {"xhigh": "high", "max": "high"}


def _output_config(config: Fields) -> Fields:
    effort = config.get("effort")
    return {
        **({"reasoning_effort": _EFFORTS.get(effort, effort)} if effort else {}),
        **_format(config.get("format") or {}),
    }


#: Efforts by the tokens that a model may think for, where an effort is all that can be said.
_EFFORTS_OF_BUDGETS: Final = ((10_000, "high"), (5_000, "medium"), (0, "low"))


def _effort_of(thinking: Any) -> Fields:
    """Return how much effort the tokens are that a model is to think for; nothing where it thinks as it likes, or not."""
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) and thinking.get("type") == "enabled" else None
    if budget is None:
        return {}
    return {"reasoning_effort": next((effort for least, effort in _EFFORTS_OF_BUDGETS if budget >= least), "low")}


def _as(name: str) -> Callable[[Any], Fields]:
    return lambda value: {name: value}


_BECOMES: Final[Mapping[str, Callable[[Any], Fields]]] = {
    "max_tokens": _as("max_tokens"),
    "temperature": _as("temperature"),
    "top_p": _as("top_p"),
    "top_k": _as("top_k"),
    "stop_sequences": _as("stop"),
    "tools": _tools,
    "tool_choice": _tool_choice,
    "output_config": _output_config,
    "output_format": _format,
    "metadata": _user,
}

# ---- rows -------------------------------------------------------------------------------------------------------------

_LEFT_OUT: Final[Mapping[str, FieldUse]] = {"llamacpp": DROPPED}


def _like_chat(name: str) -> Mapping[str, FieldUse]:
    """Return what becomes, at each kind of upstream, of the field of chat completions that a field becomes."""
    return CHAT.rows[name].uses


#: Fields that are the vendor's business alone.
_VENDORS: Final = {
    "cache_control": "Where the upstream caches the prompt.",
    "container": "The container in which the vendor runs code.",
    "context_management": "How the vendor shortens a conversation that grows too long.",
    "diagnostics": "What the vendor reports of its caches.",
    "inference_geo": "Where the vendor may run the model.",
    "mcp_servers": "Servers of tools that the vendor calls itself.",
    "service_tier": "How quickly and at which price the vendor answers.",
    "speed": "How quickly and at which price the vendor answers.",
}

#: Why a conversation is not kept here; also the code by which the SDKs go on without that, and send all of it.
_NO_THREADS: Final = "conversations of this API are not kept here; send all messages, without thread"


def _check_thread(param: str, value: Any) -> Any:
    if value is not None:
        raise refusal(param, _NO_THREADS, code=THREAD_UNSUPPORTED)
    return value


_MAX_TOKENS: Final = RequestField(
    "max_tokens",
    whole(0),
    "The longest answer, in tokens.",
    needed=True,
    becomes="`max_tokens`",
    uses=_like_chat("max_tokens"),
)

_ROWS: Final = (
    RequestField(
        "model",
        TEXT,
        "One of `GET /v1/models`, or an alias; absent or empty: the default model.",
        becomes="`model`",
        uses=_like_chat("model"),
    ),
    RequestField(
        "messages",
        CONVERSATION,
        "The conversation; a last message of the assistant is the beginning of the answer, where the upstream continues one.",
        needed=True,
        becomes="`messages`; without signatures, and without blocks of tools that the vendor runs",
        approximated=True,
        uses=_like_chat("messages"),
    ),
    _MAX_TOKENS,
    RequestField(
        "system",
        SYSTEM,
        "The instructions before the conversation.",
        becomes="the first of `messages`",
        uses=_like_chat("messages"),
    ),
    RequestField(
        "stream",
        FLAG,
        "Whether the answer comes as server-sent events.",
        becomes="`stream`",
        uses=_like_chat("stream"),
    ),
    RequestField(
        "temperature",
        NUMBER,
        "How freely the next token is chosen; 0: always the likeliest.",
        becomes="`temperature`",
        uses=_like_chat("temperature"),
    ),
    RequestField(
        "top_p",
        NUMBER,
        "Only the likeliest tokens that together have this probability are chosen from.",
        becomes="`top_p`",
        uses=_like_chat("top_p"),
    ),
    RequestField(
        "top_k",
        whole(),
        "Only so many of the likeliest tokens are chosen from.",
        becomes="`top_k`",
        uses=_like_chat("top_k"),
    ),
    RequestField(
        "stop_sequences",
        list_of(TEXT),
        "Texts at which the answer ends.",
        becomes="`stop`",
        uses=_like_chat("stop"),
    ),
    RequestField(
        "tools",
        TOOLS,
        "Tools that the model may call, and tools of the vendor's own.",
        becomes="`tools`; the bash tool, the text editor and memory are functions, others of the vendor's own are left out",
        approximated=True,
        uses=_like_chat("tools"),
    ),
    RequestField(
        "tool_choice",
        TOOL_CHOICE,
        "Whether tools are called, and which; whether several at once.",
        becomes="`tool_choice` (`any`: `required`) and `parallel_tool_calls`",
        uses=_like_chat("tool_choice"),
    ),
    RequestField(
        "thinking",
        typed({"enabled": object_of({"budget_tokens": whole()})}, needed=True),
        "Whether and how much the model thinks before it answers.",
        becomes="`reasoning_effort`, by its `budget_tokens`: from 10,000 on `high`, from 5,000 on `medium`, else `low`; "
        "`output_config.effort` goes first",
        approximated=True,
        uses=_LEFT_OUT,
    ),
    RequestField(
        "output_config",
        object_of({"effort": TEXT, "format": FORMAT}),
        "How much effort the model makes, and the schema that its answer obeys.",
        becomes="`reasoning_effort` (above `high`: `high`) and `response_format`",
        approximated=True,
        uses=_like_chat("response_format"),
    ),
    RequestField(
        "output_format",
        FORMAT,
        "The older name of `output_config.format`.",
        becomes="`response_format`",
        uses=_like_chat("response_format"),
    ),
    RequestField(
        "metadata",
        object_of({"user_id": TEXT}),
        "Who uses your application.",
        becomes="`user`; a name of more than 64 characters: its SHA-256",
        approximated=True,
        uses=_like_chat("user"),
    ),
    RequestField(
        "thread",
        Shape(_check_thread, {"type": "null"}),
        "A conversation that the vendor keeps.",
        becomes=f"nothing: {_NO_THREADS}",
        uses={"llamacpp": refused(_NO_THREADS)},
    ),
    *(RequestField(name, ANYTHING, says, becomes="", uses=_LEFT_OUT) for name, says in _VENDORS.items()),
)

_SAYS: Final = (
    "A request of the Anthropic API. An upstream of the kind `anthropic` gets it as it came, whatever stands in it but "
    "`thread`; for others a field becomes what its row says. A field without a row is left out there."
)

MESSAGES_REQUEST: Final = FieldTable(
    name="MessagesRequest", says=_SAYS, rows=table_of(*_ROWS), components=COMPONENTS, others=_LEFT_OUT
)

#: What is counted: a request that need not say how long its answer may be.
COUNT_REQUEST: Final = FieldTable(
    name="CountTokensRequest",
    says="What the tokens are counted of: a request of the Anthropic API, whose answer is not asked for.",
    rows={**MESSAGES_REQUEST.rows, "max_tokens": msgspec.structs.replace(_MAX_TOKENS, needed=False)},
    components=COMPONENTS,
    others=_LEFT_OUT,
)

# ---- reading ----------------------------------------------------------------------------------------------------------


def read_messages_request(body: bytes, table: FieldTable = MESSAGES_REQUEST) -> ChatRequest:
    """Return the request in *body*. Raises `StatusError` 400 that names the field, or `InvalidMessagesError`."""
    document = decode_object(body)
    original = dict(document)
    for row in table.rows.values():
        if row.needed and document.get(row.name) is None:
            raise missing(row.name, _MISSING[row.name], document, table.rows)
    model, messages, stream = (table.take(document, name) for name in ("model", "messages", "stream"))
    checked = table.check(document)
    fields: Fields = {}
    for name, value in checked.items():
        if (become := _BECOMES.get(name)) is not None:
            fields |= become(value)
    if "reasoning_effort" not in fields:
        fields |= _effort_of(checked.get("thinking"))
    _leave_out_empty(fields)
    said = check_messages(chat_messages(checked.get("system"), messages))
    return ChatRequest(
        model or "", said, bool(stream), fields=fields, origin=OriginalRequest(WIRE, original), echo=_long_names(checked)
    )


def _long_names(checked: Fields) -> Fields | None:
    """Return, for the answer, the tools' own names by those under which others offer them; None where they are the same."""
    long = own_names(tool.get("name") for tool in checked.get("tools") or ())
    return {NAMES: long} if long else None


_MISSING: Final = {
    "messages": 'send a list such as [{"role": "user", "content": "Hello"}]',
    "max_tokens": "say how many tokens the answer may have",
}


def _leave_out_empty(fields: Fields) -> None:
    """Leave out lists that say nothing when they are empty; without tools, what else was said of them means nothing either, nor
    does the choice of a tool that was skipped."""
    if not fields.get("stop"):
        fields.pop("stop", None)
    tools = fields.get("tools")
    if not tools:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            fields.pop(name, None)
        return
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and all(choice["function"]["name"] != tool["function"]["name"] for tool in tools):
        del fields["tool_choice"]
