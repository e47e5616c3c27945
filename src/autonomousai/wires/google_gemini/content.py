"""The conversation of a request (Gemini API reference, "Content", "Part"), in the messages of chat completions.

What chat completions cannot say is left out here, and stands in the documents: signatures of the vendor's but those of calls,
and the parts of tools that the vendor itself runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...events import Message, Messages
from ...sealed_thoughts import OF_CALL, add_sealed
from ..messages import REASONING, with_one_system_message
from ..pairing import with_paired_results
from ..tool_names import short_name
from .media import blob_part, file_part
from .request_shapes import ROLES
from .thoughts import packed_in

Part = dict[str, Any]

#: What stands before the result of a call that failed: chat completions have no mark for it.
_ERROR: Final = "Error: "

#: The text of a result that is made of no text: that follows in a message of the user.
_SHOWN: Final = "(see what follows)"

#: Members of a result that hold all of it, by the vendor's guide and by its clients.
_OUTPUTS: Final = ("output", "result")


def chat_messages(system: Any, contents: Any) -> Messages:
    """Return the checked *contents* of a request, and its *systemInstruction* before them. What the model said in several
    contents, as clients keep the pieces of a stream, is one message."""
    said: Messages = []
    if text := _system_text(system):
        said.append({"role": "system", "content": text})
    spoken: list[Part] = []  # by the model, until another speaks
    for content in contents if isinstance(contents, list) else [contents]:
        role = ROLES[content.get("role") or ""]
        parts = parts_of(content)
        if role == "assistant":
            spoken += parts
            continue
        said += _model_messages(spoken)
        spoken = []
        said += [{"role": "system", "content": text_of(parts)}] if role == "system" else _user_messages(parts)
    said += _model_messages(spoken)
    if all(message["role"] == "system" for message in said):
        said.append({"role": "user", "content": ""})  # the upstream judges it
    return with_paired_results(with_one_system_message(said))


def parts_of(content: Part) -> list[Part]:
    """Return the parts of a content, of which there may be one that is no list."""
    parts = content.get("parts") or []
    return [parts] if isinstance(parts, dict) else parts


def text_of(parts: Iterable[Part], between: str = "\n\n") -> str:
    """Return the texts among *parts*."""
    return between.join(text for part in parts if (text := part.get("text")))


def _system_text(system: Any) -> str:
    return system if isinstance(system, str) else text_of(parts_of(system or {}))


# ---- the model's -------------------------------------------------------------------------------------------------------


def _model_messages(parts: list[Part]) -> Messages:
    """Return one message: the text in one piece, as it was generated, the calls, and what was thought before, which some
    servers want back. Nothing where nothing was said."""
    text = "".join(_said(part) for part in parts if not part.get("thought"))
    calls = [_call(part) for part in parts if part.get("functionCall")]
    if not (text or calls):
        return []
    message: Message = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    if thoughts := text_of((part for part in parts if part.get("thought")), ""):
        message[REASONING] = thoughts
    for part in parts:
        for packed in packed_in(part.get("thoughtSignature") or ""):
            add_sealed(message, packed)
    return [message]


def _said(part: Part) -> str:
    """Return a part of the model's as text: code that the vendor ran, and what it printed, are a part of the answer."""
    if code := (part.get("executableCode") or {}).get("code"):
        return f"\n```python\n{code}\n```\n"
    if output := (part.get("codeExecutionResult") or {}).get("output"):
        return f"\n```\n{output}\n```\n"
    return part.get("text") or ""


def _call(part: Part) -> dict[str, Any]:
    call = part["functionCall"]
    arguments = msgspec.json.encode(call.get("args") or {}).decode()
    signature = part.get("thoughtSignature")
    return {
        **({"id": call["id"]} if call.get("id") else {}),
        "type": "function",
        "function": {"name": short_name(call["name"]), "arguments": arguments},
        # As the vendor's layer for chat completions has it; other servers get it no more than from other callers.
        **({OF_CALL: {"google": {"thought_signature": signature}}} if signature and not packed_in(signature) else {}),
    }


# ---- the user's --------------------------------------------------------------------------------------------------------


def _user_messages(parts: list[Part]) -> Messages:
    """Return the results of calls, each as a message, then all else as one: the media of the results first."""
    results: Messages = []
    shown: list[Part] = []
    for part in parts:
        if (result := part.get("functionResponse")) is not None:
            media = [each for inner in result.get("parts") or () if (each := _user_part(inner)) is not None]
            shown += media
            results.append(_result(result, has_media=bool(media)))
    shown += [each for part in parts if (each := _user_part(part)) is not None]
    if not shown:
        return results
    if all(part["type"] == "text" for part in shown):
        return [*results, {"role": "user", "content": text_of(shown)}]
    return [*results, {"role": "user", "content": shown}]


def _user_part(part: Part) -> Part | None:
    if (blob := part.get("inlineData")) is not None:
        return blob_part(blob)
    if (file := part.get("fileData")) is not None:
        return file_part(file)
    text = _said(part)
    return {"type": "text", "text": text} if text else None


def _result(result: Part, *, has_media: bool) -> Message:
    """Return the result of a call; without an id it is found by its name, see `pairing`."""
    name = result.get("name")
    return {
        "role": "tool",
        "name": short_name(name) if name else None,
        "tool_call_id": result.get("id") or None,
        "content": _result_text(result.get("response"), has_media=has_media),
    }


def _result_text(response: Any, *, has_media: bool) -> str:
    if response in (None, {}):
        return _SHOWN if has_media else ""
    if isinstance(response, dict) and len(response) == 1:
        ((name, value),) = response.items()
        if name in _OUTPUTS:
            return _text(value)
        if name == "error":
            return _ERROR + _text(value).removeprefix(_ERROR)
    return _text(response)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
