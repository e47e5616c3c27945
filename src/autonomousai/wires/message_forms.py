"""Forms of messages that programs write and servers refuse, though they can mean one thing alone, and the usual forms of them.

An empty list of parts, and content of null where an answer or a result was empty; parts, calls and results as the Responses
API, the Messages API and other libraries write them; calls whose type or arguments are left out; arguments and results that are
an object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

Part = dict[str, Any]

#: What an assistant's message may hold in place of content.
_INSTEAD_OF_CONTENT: Final = ("tool_calls", "function_call", "refusal", "audio")


def bring_into_form(message: dict[str, Any]) -> None:
    """Bring *message*, which has a role, into the usual form, in place. What is malformed otherwise stays as it is."""
    content = message.get("content")
    role = message["role"]
    if role == "tool" and _is_value(content):
        message["content"] = _json(content)
    elif isinstance(content, list):
        message["content"] = [_part(part) for part in content] or (None if _says_otherwise(message) else "")
    elif content is None and (role == "tool" or (role == "assistant" and not _says_otherwise(message))):
        message["content"] = ""
    if role == "assistant":
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message["tool_calls"] = [_call(call) for call in calls]
        if isinstance(message.get("function_call"), dict):
            message["function_call"] = _with_arguments(message["function_call"])


def _is_value(content: Any) -> bool:
    """Return whether the result of a call is what the program returned, and not a text or parts: it is sent as JSON."""
    if isinstance(content, list):
        return bool(content) and not any(
            isinstance(part, str) or (isinstance(part, dict) and "type" in part) for part in content
        )
    return isinstance(content, dict | int | float)


def as_chat(message: Any) -> list[dict[str, Any]] | None:
    """Return the messages that a message with blocks of the Messages API is: calls and their results, as Cursor writes them in
    chat completions. None for one without them."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return None
    if message.get("type") == "message" and "stop_reason" in message:  # an answer of Anthropic's SDK, with what is about it
        message = {"role": message.get("role"), "content": content}
        if not any(map(_is_of_messages, content)):
            return [message]
    if not any(map(_is_of_messages, content)):
        return None
    if message.get("role") == "assistant":
        return [_with_calls(message, content)]
    results = [_result(part) for part in content if _is_block(part, "tool_result")]
    shown = [part for _, parts in results for part in parts]
    rest = [part for part in content if not _is_block(part, "tool_result")]
    return [*(result for result, _ in results), *([{**message, "content": shown + rest}] if shown or rest else [])]


_CALL_BLOCKS: Final = ("tool_use", "tool_result")
_THOUGHTS: Final = ("thinking", "redacted_thinking")

#: What stands before the result of a call that failed.
_ERROR: Final = "Error: "


def _is_block(part: Any, *types: str) -> bool:
    return isinstance(part, dict) and part.get("type") in types


def _is_of_messages(part: Any) -> bool:
    """Return whether *part* is a block that has another place in chat completions. Mistral's parts of thoughts, which hold a
    list, have none."""
    return _is_block(part, *_CALL_BLOCKS, "redacted_thinking") or (
        _is_block(part, "thinking") and isinstance(part.get("thinking"), str)
    )


def _with_calls(message: dict[str, Any], content: list[Any]) -> dict[str, Any]:
    calls = [
        {
            "id": part.get("id"),
            "type": "function",
            "function": {"name": part.get("name"), "arguments": part.get("input") or {}},
        }
        for part in content
        if _is_block(part, "tool_use")
    ]
    thoughts = "".join(str(part.get("thinking") or "") for part in content if _is_block(part, "thinking"))
    rest = [part for part in content if not _is_block(part, *_CALL_BLOCKS, *_THOUGHTS)]
    thought: dict[str, Any] = {"reasoning_content": thoughts} if thoughts else {}
    if sealed := [part for part in content if _is_sealed(part)]:
        thought["thinking_blocks"] = sealed
    given = message.get("tool_calls")
    if isinstance(given, list):
        calls = given + calls
    elif given:
        calls = given  # it is refused as what it is
    return {**thought, **message, "content": rest or None, **({"tool_calls": calls} if calls else {})}


def _is_sealed(part: Any) -> bool:
    """Return whether *part* is a thought as Anthropic takes it back: signed, or encrypted."""
    return _is_block(part, "redacted_thinking") or (_is_block(part, "thinking") and bool(part.get("signature")))


def _result(block: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the result of a call, and what of it is no text: that is shown by the user."""
    said = block.get("content")
    parts = [_part(part) for part in said] if isinstance(said, list) else []
    texts = [part["text"] for part in parts if _is_block(part, "text") and isinstance(part.get("text"), str)]
    text = said if isinstance(said, str) else _json(said) if isinstance(said, dict) else "\n\n".join(texts)
    if block.get("is_error") is True and not text.startswith(_ERROR):
        text = _ERROR + text
    result = {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}
    if isinstance(mark := block.get("cache_control"), dict):
        result["cache_control"] = mark
    return result, [part for part in parts if not _is_block(part, "text")]


def _says_otherwise(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and any(message.get(key) for key in _INSTEAD_OF_CONTENT)


# ---- calls -------------------------------------------------------------------------------------------------------------


def _call(call: Any) -> Any:
    """A call without a type is one of a function: clients that put a call together from a stream lose it."""
    if not isinstance(call, dict):
        return call
    if "type" in call and call["type"] in (None, ""):
        call = {**call, "type": "function"}
    if call.get("type", "function") == "function" and isinstance(call.get("function"), dict):
        call = {**call, "function": _with_arguments(call["function"])}
    return call


def _with_arguments(function: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are missing, or a text of nothing or of null, are none; those in an object are written as JSON text."""
    arguments = function.get("arguments")
    if arguments is None or (isinstance(arguments, str) and arguments.strip() in ("", "null")):
        return {**function, "arguments": "{}"}
    return {**function, "arguments": _json(arguments)} if isinstance(arguments, dict) else function


def _json(value: Any) -> Any:
    """Return *value* as text, or as it is where it cannot be written."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return value


# ---- parts -------------------------------------------------------------------------------------------------------------


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        return part
    form = _FORMS.get(part["type"]) if isinstance(part.get("type"), str) else None
    return part if form is None else form(part) or part


def _text(part: Part) -> Part | None:
    return {**part, "type": "text"} if isinstance(part.get("text"), str) else None


def _image(part: Part) -> Part | None:
    """An image of the Responses API: ``image_url`` is the address."""
    return _image_at(part.get("image_url"), part)


def _plain_image(part: Part) -> Part | None:
    """An image of the Messages API, in ``source``; or of Hugging Face's libraries, with its address in ``image`` or ``url``."""
    source = part.get("source")
    if not isinstance(source, dict):
        return _image_at(part.get("image") or part.get("url"), part)
    if source.get("type") == "base64" and isinstance(source.get("data"), str) and isinstance(source.get("media_type"), str):
        return _image_at(f"data:{source['media_type']};base64,{source['data']}", part)
    return _image_at(source.get("url"), part) if source.get("type") == "url" else None


def _image_at(address: Any, part: Part) -> Part | None:
    url = address.get("url") if isinstance(address, dict) else address
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:")):
        return None
    image = {"url": url, **({"detail": part["detail"]} if isinstance(part.get("detail"), str) else {})}
    mark = part.get("cache_control")
    return {"type": "image_url", "image_url": image, **({"cache_control": mark} if mark else {})}


def _file(part: Part) -> Part | None:
    names = ("file_id", "file_data", "filename")
    file = {name: part[name] for name in names if isinstance(part.get(name), str)}
    return {"type": "file", "file": file} if "file_id" in file or "file_data" in file else None


_FORMS: Final[dict[str, Callable[[Part], Part | None]]] = {
    "input_text": _text,
    "output_text": _text,
    "input_image": _image,
    "image": _plain_image,
    "input_file": _file,
}
