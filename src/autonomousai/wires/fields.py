"""The request of chat completions, bytes <-> `ChatRequest`, and the table of its fields, which both served wires share.

What a server's caller sends is checked here, and what is wrong is a 400 that names the field; what a client sends goes as it is
given. A field that would change the answer is honoured, passed on or refused, never ignored. Knows no upstream: what an unknown
field means is for the one that is asked to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from ..errors import StatusError
from ..events import Messages
from ..request import CALL_OPTIONS, ChatRequest
from .json import MAX_DEPTH, decode, too_deep
from .messages import check_messages, kind, problem_of

T = TypeVar("T")

MAX_SCHEMA = 64 * 1024  # bytes of a JSON schema
MAX_TOOLS = 128

#: Names that a request field cannot bear: the options of a call, which a caller over the network must not think to reach, and
#: the members of a request that have their own place.
_RESERVED = CALL_OPTIONS | {"base_url", "self", "model", "messages", "stream"}


def read_chat_request(body: bytes) -> ChatRequest:
    """The request in *body*. Raises `StatusError` 400 that names the field, or `InvalidMessagesError`."""
    document = decode_object(body)
    model = take(document, "model", str)
    return chat_request(model or "", document.pop("messages", None), document)


def chat_request(model: str, messages: Any, document: dict[str, Any]) -> ChatRequest:
    """The request that *document* asks for beside its *model* and *messages*, which were taken out of it."""
    if messages is None:
        raise refusal("messages", 'is missing; send a list such as [{"role": "user", "content": "Hello"}]', "missing")
    stream = take(document, "stream", bool)
    fields = check_fields(document)
    options = document.get("stream_options")
    include_usage = bool(options and options.get("include_usage"))
    return ChatRequest(model, check_messages(messages), bool(stream), include_usage, fields)


def write_chat_request(model: str, messages: Messages, *, stream: bool, fields: Mapping[str, Any]) -> bytes:
    """The body of ``POST /chat/completions``; a stream is asked for its usage. *fields* that are None are left out."""
    request = {"model": model, "messages": messages, "stream": stream, **request_fields(fields)}
    options = request.pop("stream_options", None) or {}
    if stream:
        request["stream_options"] = {**options, "include_usage": True}
    return encode_request(request)


# ---- documents --------------------------------------------------------------------------------------------------------


def refusal(param: str | None, problem: str, code: str = "invalid_value") -> StatusError:
    """A 400 that names the field."""
    message = f"{param}: {problem}" if param else problem
    return StatusError(message, status=400, type="invalid_request_error", param=param, code=code)


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in *body*; where a key comes twice, the last counts. Raises `StatusError` 400 otherwise."""
    try:
        document = decode(body)
    except UnicodeDecodeError:
        raise refusal(None, "the body is not UTF-8; encode the JSON text as UTF-8", "invalid_json") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        if not body.strip():
            raise refusal(None, "the body is empty; send a JSON object", "invalid_json") from None
        raise refusal(None, f"the body cannot be read as JSON: {error}", "invalid_json") from None
    if not isinstance(document, dict):
        raise refusal(None, f"the body must be a JSON object, not {kind(document)}", "invalid_type")
    # Most bodies have fewer brackets than levels are allowed, and need no look at each of their values.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and too_deep(document):
        raise _too_deep()
    return document


def _too_deep() -> StatusError:
    return refusal(None, f"the body is nested deeper than {MAX_DEPTH} levels", "invalid_json")


def request_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a client's keyword arguments that travel in the body."""
    return {name: value for name, value in fields.items() if value is not None and name not in _RESERVED}


def encode_request(request: dict[str, Any]) -> bytes:
    """The JSON text of a request, in UTF-8. Raises `ValueError` that names the field where it cannot be written."""
    try:
        return msgspec.json.encode(request)
    except (TypeError, ValueError, RecursionError):
        for name, value in request.items():
            if problem := problem_of(value):
                raise ValueError(f"the request field {name!r} {problem}") from None
        raise


def take(document: dict[str, Any], name: str, wanted: type[T]) -> T | None:
    """Take a field of that type out of the document; None where it is absent or null. Raises `StatusError` 400 otherwise."""
    value = document.pop(name, None)
    if value is not None and type(value) is not wanted:
        _check_type(name, value, wanted)
    return cast("T | None", value)


# ---- fields -----------------------------------------------------------------------------------------------------------

#: Checks a value that is not null and returns what to pass on: itself, or None to leave the field out.
Check: TypeAlias = Callable[[str, Any], Any]


def check_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request fields of chat completions as a provider should get them.

    What is null, cannot change the answer, or says what is the case anyway is left out; ``max_completion_tokens`` becomes
    ``max_tokens``; what is not known here is kept, for the upstream to judge. Raises `StatusError` 400 that names the field.
    """
    checked: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _RESERVED:
            raise refusal(name, "is an option of clients, not a field of a request; leave it out", "unsupported")
        if value is None:
            continue
        check = FIELDS.get(name)
        passed = value if check is None else check(name, value)
        if passed is not None:
            checked[name] = passed
    if checked:
        _join_limits(checked)
        _join_tools(checked)
    return checked


def check_schema(schema: Any, *, param: str = "response_format.json_schema.schema") -> None:
    """Raise `StatusError` 400 unless *schema* is an object that is bounded in depth and size, as constrained decoding needs."""
    _check_type(param, schema, dict)
    if problem := problem_of(schema):
        raise refusal(param, problem)
    if (size := len(msgspec.json.encode(schema))) > MAX_SCHEMA:
        raise refusal(param, f"is {size} bytes of JSON; at most {MAX_SCHEMA} are accepted")


def _shown(value: Any) -> str:
    """A caller's value for an error's message: at most 100 characters, and of lists and objects only what they are."""
    if isinstance(value, dict | list | tuple):
        return kind(value)
    text = msgspec.json.encode(value[:101] if isinstance(value, str) else value).decode()
    return text if len(text) <= 102 else f"{text[:100]}…"


_TYPE_NAMES = {str: "text", bool: "true or false", dict: "an object", list: "a list", int: "a whole number", float: "a number"}


def _check_type(param: str, value: Any, wanted: type) -> None:
    """Raise unless *value* is of that type. A boolean is no number; a whole number will do for any."""
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        raise refusal(param, f"must be {_TYPE_NAMES[wanted]}, not {_shown(value)}", "invalid_type")


def _of_type(wanted: type) -> Check:
    def check(param: str, value: Any) -> Any:
        _check_type(param, value, wanted)
        return value

    return check


def _as_it_is(param: str, value: Any) -> Any:
    """Pass on a field of several types, for the upstream to judge."""
    return value


def as_whole(value: Any) -> Any:
    """*value*, where it is a whole number that was written with a point as the integer that it is: JSON knows one kind of
    numbers, and some languages write 40 as 40.0."""
    return int(value) if type(value) is float and value.is_integer() else value


def _range(wanted: type, low: int, high: int) -> Check:
    def check(param: str, value: Any) -> Any:
        if wanted is int:
            value = as_whole(value)
        _check_type(param, value, wanted)
        if not low <= value <= high:
            raise refusal(param, f"must be from {low} to {high}, not {_shown(value)}")
        return value

    return check


def _stop(param: str, value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise refusal(param, f"must be text or a list of texts, not {_shown(value)}", "invalid_type")
    if len(texts) > 4:
        raise refusal(param, f"at most 4 texts are accepted, not {len(texts)}")
    for text in texts:
        _check_type(param, text, str)
        if not text:
            raise refusal(param, "a text to stop at must not be empty")
    return value or None


def _logit_bias(param: str, value: Any) -> Any:
    _check_type(param, value, dict)
    for token, bias in value.items():
        _range(float, -100, 100)(f"{param}.{token[:20]}", bias)
    return value or None


def _stream_options(param: str, value: Any) -> None:
    """Read by `chat_request`, and not passed on: a provider asks its upstream for usage in any case."""
    _check_type(param, value, dict)
    for name, option in value.items():
        if name not in ("include_usage", "include_obfuscation"):
            raise refusal(f"{param}.{name[:50]}", "is not supported; the option is include_usage", "unsupported")
        if option is not None:
            _check_type(f"{param}.{name}", option, bool)


def _response_format(param: str, value: Any) -> Any:
    _check_type(param, value, dict)
    name = value.get("type")
    if name == "json_schema":
        _check_type(f"{param}.json_schema", value.get("json_schema"), dict)
        _check_type(f"{param}.json_schema.schema", value["json_schema"].get("schema"), dict)
    elif name not in ("text", "json_object"):
        raise refusal(f"{param}.type", f"must be text, json_object or json_schema, not {_shown(name)}")
    return None if name == "text" else value


def _tools(param: str, value: Any) -> Any:
    _check_type(param, value, list)
    if len(value) > MAX_TOOLS:
        raise refusal(param, f"at most {MAX_TOOLS} tools are accepted, not {len(value)}")
    for place, tool in enumerate(value):
        _function(f"{param}[{place}]", tool)
        function = tool["function"]
        for name, wanted in (("description", str), ("parameters", dict), ("strict", bool)):
            if function.get(name) is not None:
                _check_type(f"{param}[{place}].function.{name}", function[name], wanted)
    return value or None


def _tool_choice(param: str, value: Any) -> Any:
    if isinstance(value, dict):
        _function(param, value)
    elif value not in ("none", "auto", "required"):
        raise refusal(param, f"must be none, auto, required or an object that names a function, not {_shown(value)}")
    return value


def _function(where: str, value: Any) -> None:
    """``{"type": "function", "function": {"name": …}}``, which tools and the choice of one share."""
    _check_type(where, value, dict)
    if value.get("type") != "function":
        raise refusal(f"{where}.type", f"must be function, not {_shown(value.get('type'))}", "unsupported")
    _check_type(f"{where}.function", value.get("function"), dict)
    _check_type(f"{where}.function.name", value["function"].get("name"), str)
    if not value["function"]["name"]:
        raise refusal(f"{where}.function.name", "must not be empty")


_TOKENS = _range(int, 1, 2**31 - 1)

FIELDS: dict[str, Check] = {
    # honoured
    "temperature": _range(float, 0, 2),
    "top_p": _range(float, 0, 1),
    "presence_penalty": _range(float, -2, 2),
    "frequency_penalty": _range(float, -2, 2),
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "seed": _range(int, -(2**63), 2**64 - 1),
    "stop": _stop,
    "logit_bias": _logit_bias,
    "response_format": _response_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _of_type(bool),
    "stream_options": _stream_options,
    # passed on, for the upstream to judge
    "n": _range(int, 1, 1024),
    "logprobs": _of_type(bool),
    "top_logprobs": _range(int, 0, 1024),
    "modalities": _of_type(list),
    "audio": _of_type(dict),
    "functions": _of_type(list),
    "function_call": _as_it_is,
    "metadata": _of_type(dict),
    "prediction": _of_type(dict),
    "prompt_cache_key": _of_type(str),
    "prompt_cache_retention": _of_type(str),
    "safety_identifier": _of_type(str),
    "service_tier": _of_type(str),
    "store": _of_type(bool),
    "user": _of_type(str),
}


def _join_limits(checked: dict[str, Any]) -> None:
    """Two names of one limit."""
    limit = checked.pop("max_completion_tokens", None)
    if limit is None:
        return
    if checked.setdefault("max_tokens", limit) != limit:
        problem = f"{limit} contradicts max_tokens, which is {checked['max_tokens']}; send one of the two"
        raise refusal("max_completion_tokens", problem)


def _join_tools(checked: dict[str, Any]) -> None:
    """What is said about tools matters only where there are any; several calls at once are allowed anyway."""
    if "tools" not in checked:
        if checked.get("tool_choice") not in (None, "none", "auto"):
            raise refusal("tool_choice", "needs tools; send them, or leave this out")
        checked.pop("tool_choice", None)
        checked.pop("parallel_tool_calls", None)
    elif checked.get("parallel_tool_calls") is True:
        del checked["parallel_tool_calls"]
