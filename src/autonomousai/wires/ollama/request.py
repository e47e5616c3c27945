"""Requests of Ollama's API (Ollama API reference, "Generate a chat message", "Generate a response"): the tables of their
fields, and how they become a `ChatRequest`.

Its servers ignore fields that they do not know, and so does this one; what would change the answer and cannot be done is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ...request import ChatRequest, OriginalRequest
from ..fields import FieldTable, RequestField, missing, table_of
from ..openai_chat.request import CHAT, chat_request
from ..pairing import with_paired_results
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

#: The wire's name.
WIRE: Final = "ollama"

#: The member of an answer's echo that says that it is one of ``/api/generate``.
GENERATED: Final = "generated"

Fields = dict[str, Any]

# ---- shapes -----------------------------------------------------------------------------------------------------------


def _one_of(*values: Any) -> Shape:
    """Return the shape of a value that is one of *values*."""

    def check(param: str, value: Any) -> Any:
        if not any(type(value) is type(each) and value == each for each in values):
            raise refusal(param, f"must be one of {', '.join(map(shown, values))}, not {shown(value)}")
        return value

    return Shape(check, {"enum": list(values)})


def _nothing(says: str, empty: Any) -> Shape:
    """Return the shape of a field of which only the *empty* value can be had; *says*: what to do instead."""

    def check(param: str, value: Any) -> Any:
        if type(value) is not type(empty) or value != empty:
            raise refusal(param, says, "unsupported_parameter")
        return value

    return Shape(check, {"enum": [empty]})


_IMAGES: Final = list_of(TEXT)

_MESSAGE: Final = object_of(
    {
        "role": _one_of("system", "user", "assistant", "tool"),
        "content": TEXT,
        "thinking": TEXT,
        "images": _IMAGES,
        "tool_calls": list_of(
            object_of({"function": object_of({"name": NAME, "arguments": OBJECT}, ("name",))}, ("function",))
        ),
        "tool_name": TEXT,
    },
    ("role",),
)

_CONVERSATION: Final = Shape(
    lambda param, value: _not_empty(param, list_of(_MESSAGE).check(param, value)),
    {**list_of(_MESSAGE).schema, "minItems": 1},
)


def _not_empty(param: str, value: list[Any]) -> list[Any]:
    if not value:
        raise refusal(param, "must not be empty; models are loaded when they are asked")
    return value


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
    RequestField("keep_alive", ANYTHING, "How long the model stays loaded.", becomes=""),
    RequestField("logprobs", FLAG, "Log probabilities of the tokens.", becomes="`logprobs`"),
    RequestField("top_logprobs", whole(), "Log probabilities of so many of the likeliest tokens.", becomes="`top_logprobs`"),
)

CHAT_FIELDS: Final = FieldTable(
    name="OllamaChatRequest",
    says="A request of Ollama's `/api/chat`. A field without a row is ignored.",
    rows=table_of(
        _MODEL,
        RequestField("messages", _CONVERSATION, "The complete conversation.", needed=True, becomes="`messages`"),
        RequestField("tools", CHAT.rows["tools"].shape, "Functions that the model may call.", becomes="`tools`"),
        *_SHARED,
    ),
    components=CHAT.components,
)

_RAW: Final = "cannot be had over this API; send the prompt to /v1/completions"

GENERATE_FIELDS: Final = FieldTable(
    name="OllamaGenerateRequest",
    says="A request of Ollama's `/api/generate`. A field without a row is ignored.",
    rows=table_of(
        _MODEL,
        RequestField("prompt", TEXT, "What to answer.", needed=True, becomes="the last of `messages`"),
        RequestField("system", TEXT, "The instructions before it.", becomes="the first of `messages`"),
        RequestField("images", _IMAGES, "Images beside the prompt, in base64.", becomes="parts of the last of `messages`"),
        RequestField("raw", _nothing(_RAW, False), "Whether the prompt is continued as it is: only false.", becomes=""),
        RequestField("suffix", _nothing(_RAW, ""), "What follows the answer: only nothing.", becomes=""),
        RequestField("template", _nothing(_RAW, ""), "Another template: only none.", becomes=""),
        RequestField(
            "context",
            _nothing("is not kept here; send the conversation to /api/chat", []),
            "An earlier conversation: only none.",
            becomes="",
        ),
        *_SHARED,
    ),
)

SHOW_FIELDS: Final = FieldTable(
    name="OllamaShowRequest",
    says="The model of which details are wanted.",
    rows=table_of(RequestField("model", NAME, "One of `GET /api/tags`, or an alias.", needed=True)),
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
    if isinstance(wanted, str):
        return {"response_format": {"type": "json_object"}} if wanted else {}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}}


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


def _content(text: str | None, images: list[str] | None) -> Any:
    if not images:
        return text or ""
    return [*([{"type": "text", "text": text}] if text else []), *map(_image, images)]


def _message(message: Fields) -> Fields:
    """Return *message* as chat completions have it. Calls need no ids; they and their results are brought together later."""
    said: Fields = {"role": message["role"], "content": _content(message.get("content"), message.get("images"))}
    if thinking := message.get("thinking"):
        said["reasoning_content"] = thinking
    if calls := message.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in calls]
    if message["role"] == "tool":
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
    messages = document.get("messages")
    if messages is None:
        raise missing("messages", 'send a list such as [{"role": "user", "content": "Hello"}]', document, CHAT_FIELDS.rows)
    checked = CHAT_FIELDS.rows["messages"].shape.check("messages", messages)
    return _request(CHAT_FIELDS, document, with_paired_results([_message(message) for message in checked]), None)


def read_ollama_generate(body: bytes) -> ChatRequest:
    """Return the request of ``/api/generate`` in *body*. Raises as `read_ollama_chat` does."""
    document = decode_object(body)
    if document.get("prompt") is None:
        raise missing("prompt", "send the text that is to be answered", document, GENERATE_FIELDS.rows)
    prompt, system, images = (GENERATE_FIELDS.take(dict(document), name) for name in ("prompt", "system", "images"))
    messages = [{"role": "system", "content": system}] if system else []
    return _request(
        GENERATE_FIELDS, document, [*messages, {"role": "user", "content": _content(prompt, images)}], {GENERATED: True}
    )


def _request(table: FieldTable, original: Fields, messages: list[Fields], echo: Fields | None) -> ChatRequest:
    document = dict(original)
    document.pop("messages", None)
    model, stream = table.take(document, "model"), table.take(document, "stream")
    fields: Fields = {"stream": stream is not False}
    for name, value in table.check(document).items():
        if (become := _BECOMES.get(name)) is not None:
            fields |= become(value)
    asked = chat_request(model or "", messages, fields)
    return ChatRequest(
        asked.model,
        asked.messages,
        asked.stream,
        fields=asked.fields,
        origin=OriginalRequest(WIRE, original),
        echo={**(asked.echo or {}), **(echo or {})} or None,
    )
