"""The body of a request: a JSON object, bounded in depth, from bytes and to bytes; and that of chat completions, written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec

from ..errors import StatusError
from ..events import Messages
from ..request import RESERVED
from .json import MAX_DEPTH, as_plain, decode, not_finite, too_deep
from .json_kinds import kind
from .messages import problem_of
from .shapes import refusal
from .tool_forms import bring_tools_into_form


def decode_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*; where a key comes twice, the last counts. Raises `StatusError` 400 otherwise."""
    try:
        document = decode(body)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        if not body.strip():
            raise refusal(None, "the body is empty; send a JSON object", "invalid_json") from None
        if isinstance(error, msgspec.DecodeError | UnicodeDecodeError) and not _is_utf8(body):
            raise refusal(None, "the body is not UTF-8; encode the JSON text as UTF-8", "invalid_json") from None
        raise refusal(None, f"the body cannot be read as JSON: {error}", "invalid_json") from None
    if not isinstance(document, dict):
        raise refusal(None, f"the body must be a JSON object, not {kind(document)}", "invalid_type")
    # Most bodies have fewer brackets than levels are allowed, and need no look at each of their values.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and too_deep(document):
        raise _too_deep()
    return document


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_deep() -> StatusError:
    return refusal(None, f"the body is nested deeper than {MAX_DEPTH} levels", "invalid_json")


#: What asks for the usage of a stream.
_COUNTED: Final = {"include_usage": True}

#: How a request for a stream ends that has no further fields.
_STREAMED: Final = b',"stream":true,"stream_options":{"include_usage":true}}'


def write_chat_request(model: str, messages: Messages, stream: bool, fields: Mapping[str, Any]) -> bytes:
    """Return the body of ``POST /chat/completions``; a stream is asked for its usage. *fields* that are None are left out."""
    if stream and not fields:  # as usual
        try:
            return b"".join((b'{"model":', encode_plain(model), b',"messages":', encode_plain(messages), _STREAMED))
        except (TypeError, ValueError, RecursionError):
            pass  # the error below says which field
    request: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    options: dict[str, Any] | None = None
    if fields:
        request |= request_fields(fields)
        if "tools" in request:
            if type(tools := request["tools"]) is not list or any(type(tool) is not dict for tool in tools):
                request["tools"] = _as_json("tools", tools)
            bring_tools_into_form(request)
        options = request.pop("stream_options", None)
        if options is not None and not isinstance(options, Mapping):
            raise ValueError(f"the request field 'stream_options' must be an object, not {kind(options)}")
    if stream:
        request["stream_options"] = {**options, **_COUNTED} if options else _COUNTED
    return encode_request(request)


_CONTAINERS: Final = frozenset({dict, list, tuple})

#: Built once: ``float | Decimal`` would be built at each look.
_NUMBERS: Final = (float, Decimal)


def request_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a client's keyword arguments that travel in the body. Raises `ValueError` for a number that JSON has no
    word for: it would be written as null."""
    for name, value in fields.items():
        if isinstance(value, _NUMBERS) and not isfinite(value):
            raise ValueError(f"the request field {name!r} must be a number, not {value}")
        if type(value) in _CONTAINERS and not_finite(value):
            raise ValueError(f"the request field {name!r} holds NaN or an infinity, which JSON cannot write")
    return {name: value for name, value in fields.items() if not _is_absent(value) and name not in RESERVED}


#: What OpenAI's and Anthropic's SDKs have for a field that is left out.
_OMITTED: Final = frozenset({"NotGiven", "Omit"})


def _is_absent(value: Any) -> bool:
    return value is None or (type(value).__name__ in _OMITTED and not value)


_SCALARS: Final = frozenset({str, int, float, bool})


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `request_fields` as the values of JSON that they are written as, for an API whose fields are checked, or become
    others. Raises `ValueError` that names a field which cannot be written."""
    plain = request_fields(fields)
    for name, value in plain.items():
        if type(value) not in _SCALARS:
            plain[name] = _as_json(name, value)
    if "tools" in plain:
        bring_tools_into_form(plain)
    return plain


def _as_json(name: str, value: Any) -> Any:
    try:
        return msgspec.json.decode(encode_plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the request field {name!r} {problem_of(value) or error}") from None


#: Writes what a caller in Python may give.
encode_plain: Final = msgspec.json.Encoder(enc_hook=as_plain, decimal_format="number").encode


def encode_request(request: dict[str, Any]) -> bytes:
    """Return the JSON text of a request, in UTF-8. Raises `ValueError` that names the field where it cannot be written."""
    try:
        return encode_plain(request)
    except (TypeError, ValueError, RecursionError):
        for name, value in request.items():
            if problem := problem_of(value):
                raise ValueError(f"the request field {name!r} {problem}") from None
        raise
