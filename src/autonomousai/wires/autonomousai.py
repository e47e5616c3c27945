"""The request of the AutonomousAI wire, both ways; its answers are OpenAI's, see `openai`. Knows no endpoint and no model.

``{"messages": "<base64>", "threadId": "llama", "stream": true, "aiAgent": "llama"}``, where ``messages`` is the base64 of the
UTF-8 JSON text of the message array, or of a bare prompt: what decodes to a JSON array of objects is messages, any other text
is a prompt. The fields of chat completions stand beside these.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..events import Messages
from ..late import late_pattern
from ..models import DEFAULT_MODEL, MODELS
from ..request import ChatRequest
from .base import Operation
from .fields import FieldTable, RequestField, table_of
from .json import MAX_DEPTH, decode, too_deep
from .message_schemas import MESSAGES
from .openai_chat.decoder import ChatStreamDecoder
from .openai_chat.request import CHAT, OTHERS_SAY, SHARED, chat_request
from .openai_chat.wire import OpenAIChatWire, asks_for_several
from .request_body import decode_object, encode_plain, encode_request, request_fields
from .shapes import FLAG, TEXT, Shape, refusal


def _path_models() -> dict[str, str]:
    """Return which model is meant by each path where the body names none. Two models share one: there it is the default
    model."""
    models: dict[str, str] = {}
    for name, row in MODELS.items():
        if models.get(row.path) != DEFAULT_MODEL:
            models[row.path] = name
    return models


_PATH_MODELS = _path_models()


def _check_messages(param: str, value: Any) -> Any:
    return MESSAGES.check(param, _read_messages(_decode_base64(value)) if isinstance(value, str) else value)


_BASE64 = {"type": "string", "minLength": 1, "format": "base64-messages"}

FIELDS = FieldTable(
    name="AutonomousAIRequest",
    says=f"A request of the AutonomousAI API, which takes the fields of the other one too. {OTHERS_SAY}",
    rows=table_of(
        RequestField(
            "messages",
            Shape(_check_messages, {"anyOf": [_BASE64, MESSAGES.schema]}),
            "The base64 of the messages' JSON text, or of a bare prompt; or the list itself.",
            needed=True,
            uses=CHAT.rows["messages"].uses,
        ),
        *(
            RequestField(name, TEXT, says, uses=CHAT.rows["model"].uses)
            for name, says in (
                ("aiAgent", "The model; else `model` names it, else the path does."),
                ("model", "Another name of `aiAgent`, which goes first."),
            )
        ),
        # The wire's own, and its end: a thread or user id is of this server's making or none, and no upstream of another wire
        # would know it; no tools stand behind useTool here. The public clients send them, so they are taken.
        *(
            RequestField(name, shape, "Accepted, and left out: it changes nothing here.", dropped=True)
            for name, shape in (("threadId", TEXT), ("userId", TEXT), ("useTool", FLAG))
        ),
        *SHARED,
    ),
    rules=CHAT.rules,
    components=CHAT.components,
    others=CHAT.others,
)


class AutonomousAIWire(OpenAIChatWire):
    """The AutonomousAI wire: a request of its own, and answers that are OpenAI's, with the finish reason at the top as well."""

    name = "autonomousai"
    title = "the AutonomousAI API"
    root = ""
    paths = tuple(_PATH_MODELS)
    fields = FIELDS
    count_path = None
    finish_reason_at_top = True

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        return read_request(body, path_model=_PATH_MODELS.get(path, DEFAULT_MODEL))

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_request(model, request.messages, stream=request.stream, fields=request.fields)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        models = [name for name, row in MODELS.items() if row.path == path]
        return Operation(
            id="ask" + path.rpartition("/")[2].title().replace("-", ""),
            summary=f"Ask {' or '.join(models)}, over {self.title}",
            request="AutonomousAIRequest",
            answer="ChatCompletion",
            event="Event",
            example={
                "messages": "W3sicm9sZSI6InVzZXIiLCJjb250ZW50IjoiSGVsbG8ifV0=",
                "threadId": "llama",
                "stream": True,
                "aiAgent": "llama",
            },
        )


AUTONOMOUSAI: Final = AutonomousAIWire()


class SeveralAnswersWire(AutonomousAIWire):
    """The same, where several choices were asked for: each chunk says which of them it continues."""

    decoder = ChatStreamDecoder
    short_end = b""  # one choice is usual


_SEVERAL: Final = SeveralAnswersWire()


def wire_for(fields: Mapping[str, Any]) -> AutonomousAIWire:
    """Return what reads the answer to a request with these *fields*."""
    return _SEVERAL if asks_for_several(fields) else AUTONOMOUSAI


def write_request(model: str, messages: Messages, *, stream: bool, fields: Mapping[str, Any]) -> bytes:
    """The body of a request. *fields* go beside the wire's own, may replace ``threadId`` and ``aiAgent``, and are left out
    where they are None. *messages* are checked ones."""
    return encode_request(
        {
            "messages": b64encode(encode_plain(messages)).decode("ascii"),
            "threadId": model,
            "stream": stream,
            "aiAgent": model,
            **request_fields(fields),
        }
    )


def read_request(body: bytes, *, path_model: str) -> ChatRequest:
    """The request in *body*; ``aiAgent`` names the model, else ``model`` does, else the path that it was sent to.

    Raises `StatusError` 400 that names the field, or `InvalidMessagesError`.
    """
    document = decode_object(body)
    agent = FIELDS.take(document, "aiAgent")
    model = FIELDS.take(document, "model")
    return chat_request(agent or model or path_model, document.pop("messages", None), document, FIELDS)


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\r\n\f\v"


def _decode_base64(text: str) -> bytes:
    """Bytes from base64: standard or url-safe, padded or not, on one line or many."""
    try:
        digits = text.encode("ascii").translate(_TO_STANDARD, _WHITESPACE).rstrip(b"=")
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except ValueError:
        problem = "is not base64; send the base64 of the messages' JSON text, or the list itself"
        raise refusal("messages", problem, "invalid_base64") from None


#: An array of objects begins so; an empty array is one as well, and then refused for being empty.
_ARRAY = late_pattern(rb"[ \t\r\n]*\[[ \t\r\n]*[{\]]")


def _read_messages(text: bytes) -> list[Any]:
    """Messages from what was inside the base64: a JSON array of objects, or else a prompt."""
    messages = _read_array(text) if _ARRAY.match(text) else None
    if messages is not None:
        return messages
    try:
        prompt = text.decode()
    except UnicodeDecodeError:
        raise refusal("messages", "the base64 does not hold UTF-8 text", "invalid_utf8") from None
    if not prompt:
        raise refusal("messages", "the base64 holds an empty prompt", "missing")
    return [{"role": "user", "content": prompt}]


def _read_array(text: bytes) -> list[Any] | None:
    """The objects of a JSON array, None where the text is no such array."""
    try:
        array = _decode(text)
    except RecursionError:
        array = None
    except ValueError:
        return None
    if array is None or too_deep(array):
        raise refusal("messages", f"is nested deeper than {MAX_DEPTH} levels")
    return array if all(isinstance(message, dict) for message in array) else None


def _decode(text: bytes) -> Any:
    """Decode JSON. Half a character, written as an escape (a cut emoji), is JSON too, though only the slower decoder takes it:
    then it is messages, and the check of messages says which one holds it."""
    try:
        return decode(text)
    except msgspec.DecodeError:
        from json import loads  # noqa: PLC0415  the slower one, for what msgspec cannot read

        return loads(text)
