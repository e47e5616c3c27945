"""The older form of calls in chat completions, and what is said with tools instead (OpenAI API reference, "Create chat
completion": ``functions``, ``function_call``, messages of the role ``function``). Knows no upstream.

A caller who offers ``functions`` reads ``function_call``: a program that is so old knows no ``tool_calls``. There is room for
one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...events import Message, Messages

Json = dict[str, Any]

#: The member of `ChatRequest.echo` that says that a request was in the older form.
OLDER: Final = "functions"

_json = msgspec.json.Encoder().encode


def is_older(fields: Mapping[str, Any]) -> bool:
    """Return whether a request with these *fields* is in the older form."""
    return bool(fields.get("functions")) and not fields.get("tools")


def with_tool_calls(messages: Messages) -> Messages:
    """Return checked *messages* with calls and results in the newer form. An older call has no id: it gets one, and the results
    behind it that have its name are its own.

    Example::

        called = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
        told = with_tool_calls([called, {"role": "function", "name": "f", "content": "7"}])
        assert told[1] == {"role": "tool", "tool_call_id": "call_0", "content": "7"}
    """
    if not any(message["role"] == "function" or message.get("function_call") for message in messages):
        return messages
    open_calls: dict[str, str] = {}
    return [_newer(place, message, open_calls) for place, message in enumerate(messages)]


def _newer(place: int, message: Message, open_calls: dict[str, str]) -> Message:
    if function := message.get("function_call"):
        open_calls[function["name"]] = made = f"call_{place}"
        call = {"id": made, "type": "function", "function": function}
        rest = {name: value for name, value in message.items() if name != "function_call"}
        return {**rest, "tool_calls": [*(message.get("tool_calls") or ()), call]}
    if message["role"] != "function":
        return message
    if (known := open_calls.pop(message["name"], None)) is None:  # of no call: it is what the user says
        return {"role": "user", "content": message.get("content")}
    return {"role": "tool", "tool_call_id": known, "content": message.get("content")}


def older_document(body: bytes) -> bytes:
    """Return a complete answer with its first call in the older form."""
    document: Json = msgspec.json.decode(body)
    _make_older(document)
    return _json(document)


def older_events(data: bytes) -> bytes:
    """Return events of a stream, each complete, with calls in the older form."""
    if b'"tool_calls"' not in data:
        return data
    return b"\n".join(map(_older_line, data.split(b"\n")))


def _older_line(line: bytes) -> bytes:
    if not line.startswith(b"data: {") or b'"tool_calls"' not in line:
        return line
    chunk: Json = msgspec.json.decode(line[len(b"data: ") :])
    _make_older(chunk)
    return b"data: " + _json(chunk)


def _make_older(document: Json) -> None:
    for choice in document.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        for call in said.pop("tool_calls", None) or ():
            if not call.get("index") and "function_call" not in said and isinstance(call.get("function"), dict):
                said["function_call"] = call["function"]
        _rename(choice)
    _rename(document)


def _rename(holder: Json) -> None:
    if holder.get("finish_reason") == "tool_calls":
        holder["finish_reason"] = "function_call"
