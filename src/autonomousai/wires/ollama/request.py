"""Requests of Ollama's API (Ollama API reference, "Generate a chat message", "Generate a response"): the tables of their
fields, and how they become a `ChatRequest`.

Its servers ignore fields that they do not know, and so does this one; what would change the answer and cannot be done is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ...request import ChatRequest, OriginalRequest
from ..fields import FieldTable, RequestField, table_of
from ..openai_chat.request import CHAT, chat_request, leave_out_empty
from ..pairing import with_paired_results
from ..raw import COMPLETIONS_WIRE, raw_request
from ..request_body import decode_object
from ..shapes import (
    ANYTHING,
    FLAG,
    NAME,
    NUMBER,
    OBJECT,
    TEXT,
    Shape,
    either,
    list_of,
    object_of,
    refusal,
    shown,
    whole,
)
from .contexts import messages_of
from .templates import fill_template

#: The wire's name.
WIRE: Final = "ollama"

#: The member of an answer's echo that says that it is one of ``/api/generate``: the conversation before it, None where that was
#: a raw prompt.
GENERATED: Final = "generated"

#: The member that says that nothing was asked, and what was done instead: ``load`` or ``unload``.
EMPTY: Final = "empty"

Fields = dict[str, Any]

# ---- shapes -----------------------------------------------------------------------------------------------------------


def _one_of(*values: Any) -> Shape:
    """Return the shape of a value that is one of *values*."""

    def check(param: str, value: Any) -> Any:
        if not any(type(value) is type(each) and value == each for each in values):
            raise refusal(param, f"must be one of {', '.join(map(shown, values))}, not {shown(value)}")
        return value

    return Shape(check, {"enum": list(values)})


def _role(param: str, value: Any) -> str:
    return str(_ROLES.check(param, value.lower() if isinstance(value, str) else value))


_ROLES: Final = _one_of("system", "user", "assistant", "tool", "developer", "function")
_NULL: Final = Shape(lambda param, value: value, {"type": "null"})
_IMAGES: Final = list_of(either("text", {str: TEXT, type(None): _NULL}))
_CONTENT: Final = either("text, or a list of parts as OpenAI has them", {str: TEXT, list: list_of(OBJECT)})
_ARGUMENTS: Final = either("an object, or its JSON", {dict: OBJECT, str: TEXT})

_MESSAGE: Final = object_of(
    {
        "role": Shape(_role, _ROLES.schema),
        "content": _CONTENT,
        "thinking": TEXT,
        "images": _IMAGES,
        "tool_calls": list_of(
            object_of({"function": object_of({"name": NAME, "arguments": _ARGUMENTS}, ("name",))}, ("function",))
        ),
        "tool_name": TEXT,
    },
    ("role",),
)

_FORMAT: Final = either('"json" or a schema', {str: _one_of("json", ""), dict: OBJECT})
_THINK: Final = either('true, false, or how much: "low", "medium" or "high"', {bool: FLAG, str: TEXT})

_OPTIONS: Final = object_of(
    {
        **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p"), NUMBER),
        **dict.fromkeys(("repeat_penalty", "presence_penalty", "frequency_penalty"), NUMBER),
        **dict.fromkeys(("top_k", "seed", "num_predict"), whole()),
        "stop": either("text, or a list of texts", {str: TEXT, list: list_of(TEXT)}),
    }
)

# ---- rows -------------------------------------------------------------------------------------------------------------

_MODEL: Final = RequestField(
    "model",
    TEXT,
    "One of `GET /api/tags`, or an alias; absent or empty: the default model.",
    becomes="`model`",
)

_SHARED: Final = (
    RequestField(
        "stream", FLAG, "Whether the answer comes as lines of JSON, which is so unless it is false.", becomes="`stream`"
    ),
    RequestField(
        "format",
        _FORMAT,
        'What the answer is: "json", or the schema that it obeys.',
        becomes="`response_format`",
    ),
    RequestField(
        "options",
        _OPTIONS,
        "How the next token is chosen, and how long the answer may be.",
        becomes="`num_predict`: `max_tokens`; those of the same name: themselves; others are left out",
        approximated=True,
    ),
    RequestField(
        "think",
        _THINK,
        "Whether, or how much, the model thinks.",
        becomes="`reasoning_effort`: `medium` for true, `none` for false",
        approximated=True,
    ),
    RequestField(
        "keep_alive",
        ANYTHING,
        "How long the model stays loaded: left to the server, and not looked at but in a request that asks nothing.",
        becomes="",
    ),
    RequestField("logprobs", FLAG, "Log probabilities of the tokens.", becomes="`logprobs`"),
    RequestField("top_logprobs", whole(), "Log probabilities of so many of the likeliest tokens.", becomes="`top_logprobs`"),
)

CHAT_FIELDS: Final = FieldTable(
    name="OllamaChatRequest",
    says="A request of Ollama's `/api/chat`. A field without a row is ignored.",
    rows=table_of(
        _MODEL,
        RequestField(
            "messages",
            list_of(_MESSAGE),
            "The complete conversation; absent or empty: nothing is asked, and the answer is that the model is loaded.",
            becomes="`messages`",
        ),
        RequestField("tools", CHAT.rows["tools"].shape, "Functions that the model may call.", becomes="`tools`"),
        *_SHARED,
    ),
    components=CHAT.components,
)

GENERATE_FIELDS: Final = FieldTable(
    name="OllamaGenerateRequest",
    says="A request of Ollama's `/api/generate`. A field without a row is ignored.",
    rows=table_of(
        _MODEL,
        RequestField(
            "prompt",
            TEXT,
            "What to answer; absent or empty: nothing is asked, and the answer is that the model is loaded.",
            becomes="the last of `messages`",
        ),
        RequestField("system", TEXT, "The instructions before it.", becomes="the first of `messages`"),
        RequestField("images", _IMAGES, "Images beside the prompt, in base64.", becomes="parts of the last of `messages`"),
        RequestField("raw", FLAG, "Whether the prompt is continued as it is.", becomes="a text completion"),
        RequestField("suffix", TEXT, "What follows the text that is asked for.", becomes="a text completion's `suffix`"),
        RequestField(
            "template",
            TEXT,
            "Another template, of texts, `if`, `else` and `end`: the prompt is written by it, and continued as it is.",
            becomes="a text completion",
        ),
        RequestField(
            "context",
            list_of(whole(0, 2**63 - 1)),
            "An earlier conversation: the `context` that an answer of this server ended with.",
            becomes="the first of `messages`",
        ),
        *_SHARED,
    ),
)

SHOW_FIELDS: Final = FieldTable(
    name="OllamaShowRequest",
    says="The model of which details are wanted.",
    rows=table_of(RequestField("model", NAME, "One of `GET /api/tags`, or an alias.", needed=True)),
)

PULL_FIELDS: Final = FieldTable(
    name="OllamaPullRequest",
    says="The model that is wanted here. A field without a row is ignored.",
    rows=table_of(
        SHOW_FIELDS.rows["model"],
        RequestField("stream", FLAG, "Whether the answer comes as lines of JSON, which is so unless it is false."),
    ),
)

# ---- what they become -------------------------------------------------------------------------------------------------

#: Options that are fields of chat completions too.
_SAME: Final = (
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty"),
)


def _options(options: Fields) -> Fields:
    fields = {name: options[name] for name in _SAME if options.get(name) is not None}
    length = options.get("num_predict")
    return {**fields, "max_tokens": length} if length is not None and length > 0 else fields  # below 0: as many as fit


def _format(wanted: str | Fields) -> Fields:
    """Return what an answer obeys. What an upstream cannot be held to is left out of a schema, as Ollama leaves it out."""
    if isinstance(wanted, str):
        return {"response_format": {"type": "json_object"}} if wanted else {}
    if wanted.get("type") in ("json_object", "json_schema"):  # as OpenAI's clients write it
        return {"response_format": wanted}
    schema = {"name": "answer", "schema": wanted, "strict": False}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _think(wanted: bool | str) -> Fields:
    if isinstance(wanted, str):
        return {"reasoning_effort": wanted} if wanted else {}
    return {"reasoning_effort": "medium" if wanted else "none"}


_BECOMES: Final[dict[str, Callable[[Any], Fields]]] = {
    "options": _options,
    "format": _format,
    "think": _think,
    **{name: lambda value, name=name: {name: value} for name in ("tools", "logprobs", "top_logprobs")},  # type: ignore[misc]
}

#: How the types of images begin in base64.
_IMAGE_TYPES: Final = {"iVBOR": "png", "R0lG": "gif", "UklGR": "webp", "Qk": "bmp"}


def _image(data: str) -> Fields:
    if data.startswith("data:"):
        return {"type": "image_url", "image_url": {"url": data}}
    found = next((name for begin, name in _IMAGE_TYPES.items() if data.startswith(begin)), "jpeg")
    return {"type": "image_url", "image_url": {"url": f"data:image/{found};base64,{data}"}}


def _content(text: str | list[Fields] | None, images: list[str | None] | None) -> Any:
    seen = [_image(data) for data in images or () if data]
    if not seen:
        return text or ""
    said = [{"type": "text", "text": text}] if text and isinstance(text, str) else text or []
    return [*said, *seen]


def _message(message: Fields) -> Fields:
    """Return *message* as chat completions have it. Calls need no ids; they and their results are brought together later."""
    role = message["role"].lower()
    said: Fields = {"role": role, "content": _content(message.get("content"), message.get("images"))}
    if thinking := message.get("thinking"):
        said["reasoning_content"] = thinking
    if calls := message.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in calls]
    if role == "tool":
        said |= {"name": message.get("tool_name") or message.get("name"), "tool_call_id": message.get("tool_call_id")}
    return said


def _call(call: Fields) -> Fields:
    function = call["function"]
    return {
        **({"id": call["id"]} if call.get("id") else {}),
        "type": "function",
        "function": {"name": function["name"], "arguments": function.get("arguments") or {}},
    }


def read_ollama_chat(body: bytes) -> ChatRequest:
    """Return the request of ``/api/chat`` in *body*. Raises `StatusError` 400 that names the field, or
    `InvalidMessagesError`."""
    document = decode_object(body)
    messages = CHAT_FIELDS.take(dict(document), "messages")
    if not messages:
        return _nothing_asked(CHAT_FIELDS, document, {})
    return _request(CHAT_FIELDS, document, with_paired_results([_message(message) for message in messages]), None)


def read_ollama_generate(body: bytes) -> ChatRequest:
    """Return the request of ``/api/generate`` in *body*. Raises as `read_ollama_chat` does."""
    document = decode_object(body)
    given = {name: GENERATE_FIELDS.take(dict(document), name) for name in ("prompt", "system", "images", "context")}
    if document.get("raw") or document.get("suffix"):
        return _raw(document)
    prompt, system, images = given["prompt"], given["system"], given["images"]
    if not prompt and not images:
        return _nothing_asked(GENERATE_FIELDS, document, {GENERATED: None})
    if (template := GENERATE_FIELDS.take(dict(document), "template")) is not None and template:
        return _raw({**document, "prompt": fill_template(template, {"Prompt": prompt or "", "System": system or ""})})
    said = messages_of(given["context"]) if given["context"] else []
    if system:
        said = [("system", system), *(each for each in said if each[0] != "system")]
    messages = [{"role": role, "content": text} for role, text in said]
    echo = {GENERATED: [*said, ("user", prompt or "")]}
    return _request(GENERATE_FIELDS, document, [*messages, {"role": "user", "content": _content(prompt, images)}], echo)


def _nothing_asked(table: FieldTable, document: Fields, echo: Fields) -> ChatRequest:
    """Return the request that has a model loaded, or unloaded: here that is the server's own business, and the answer alone
    says so."""
    model, stream, keep = document.get("model"), document.get("stream"), document.get("keep_alive")
    table.check({name: value for name, value in document.items() if name not in ("messages", "model", "stream")})
    leaves = bool(_NO_TIME.fullmatch(keep)) if isinstance(keep, str) else keep == 0 and keep is not False
    echo = {**echo, EMPTY: "unload" if leaves else "load"}
    return ChatRequest(_MODEL.shape.check("model", model or ""), [], FLAG.check("stream", stream is None or stream), echo=echo)


#: A time of nothing, as Go writes it: "0", "0s", "0m0s".
_NO_TIME: Final = re.compile(r"[-+]?(?:0+(?:\.0*)?(?:ns|us|µs|ms|s|m|h)?)+")

#: Tokens of a text whose request names no limit, where Ollama has none: not every upstream knows a word for that.
_RAW_LENGTH: Final = 1024


def _raw(document: Fields) -> ChatRequest:
    """Return the text completion that a request asks for: a prompt as it is, or the middle between it and a suffix."""
    document = dict(document)
    if document.get("images"):
        raise refusal("images", "do not go with raw, suffix and template; send text alone", "unsupported_parameter")
    model, stream = GENERATE_FIELDS.take(document, "model"), GENERATE_FIELDS.take(document, "stream")
    given = GENERATE_FIELDS.check(document)
    fields: Fields = {"max_tokens": _RAW_LENGTH, **_options(given.get("options", {})), **_format(given.get("format", ""))}
    if given.get("logprobs"):
        fields["logprobs"] = given.get("top_logprobs", 0) or 1
    leave_out_empty(fields)
    body = {"prompt": given.get("prompt", ""), **({"suffix": given["suffix"]} if given.get("suffix") else {}), **fields}
    return raw_request(
        COMPLETIONS_WIRE,
        model or "",
        body,
        continuable="logprobs" not in fields,
        stream=stream is not False,
        fields=fields,
        echo={GENERATED: None},
    )


def _request(table: FieldTable, original: Fields, messages: list[Fields], echo: Fields | None) -> ChatRequest:
    document = dict(original)
    document.pop("messages", None)
    model, stream = table.take(document, "model"), table.take(document, "stream")
    fields: Fields = {"stream": stream is not False}
    for name, value in table.check(document).items():
        if (become := _BECOMES.get(name)) is not None:
            fields |= become(value)
    if not fields.get("logprobs"):
        fields.pop("top_logprobs", None)
    asked = chat_request(model or "", messages, fields)
    return ChatRequest(
        asked.model,
        asked.messages,
        asked.stream,
        fields=asked.fields,
        origin=OriginalRequest(WIRE, original),
        echo={**(asked.echo or {}), **(echo or {})} or None,
    )
