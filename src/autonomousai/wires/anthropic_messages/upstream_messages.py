"""Messages of chat completions -> those of the Messages API (Anthropic API reference, "Create a Message": messages, system).

System messages are taken out of the conversation, the results of tools belong to the user, and messages of the same role that
follow one another are one. Empty text is left out: the API refuses it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from ...events import Message, Messages
from ...late import late_pattern
from ..call_ids import DistinctIds
from ..custom_tools import custom_arguments
from ..fields import UNSUPPORTED
from ..messages import CheckedMessages
from ..shapes import refusal
from .members import Json

#: What a tool's input is where the model wrote arguments that are no JSON object, by the vendor's own advice.
_INVALID: Final = "INVALID_JSON"

_NOT_IN_IDS: Final = late_pattern(r"[^a-zA-Z0-9_-]")
#: Ids as Kimi draws them, whose template finds the name of the function and the number of the call in them: a server of that
#: model wants them back as they are, and Anthropic's own refuses them.
_OF_KIMI: Final = late_pattern(r"functions\.[a-zA-Z0-9_-]+:\d+")
_MARK: Final = "cache_control"

#: What an empty message says, where there must be one.
_NO_CONTENT: Final = "(no content)"


def write_messages(messages: Messages) -> tuple[list[Json], list[Json]]:
    """Return the blocks of the system prompt, and the messages. Raises `StatusError` 400 for a part that the API cannot take.

    Where there are system messages alone, they are what the user says: the API wants one message at least. An empty last
    message of the user says that it is empty: without it, the answer before it would be continued, or nothing be asked.
    """
    system: list[Json] = []
    written: list[Json] = []
    calls = _CallIds()
    is_plain = type(messages) is CheckedMessages and messages.plain
    for index, message in enumerate(messages):
        role = message["role"]
        if is_plain:
            blocks = [_text(message["content"])] if message["content"].strip() else []
        else:
            blocks = list(_blocks(message, f"messages[{index}].content", calls))
        if role in ("system", "developer"):
            system += blocks
            continue
        role = "user" if role in ("tool", "function") else role
        if not blocks and index == len(messages) - 1 and role == "user" and (not written or written[-1]["role"] != "user"):
            blocks = [_text(_NO_CONTENT)]
        if not blocks:
            continue
        if written and written[-1]["role"] == role:
            written[-1]["content"] += blocks
        else:
            written.append({"role": role, "content": blocks})
    if not written and system:
        return [], [{"role": "user", "content": system}]
    if written and written[-1]["role"] == "assistant":
        _strip_end(written[-1]["content"])
    return system, [message for message in written if message["content"]]


def _strip_end(blocks: list[Json]) -> None:
    """Take white space from the end of a last message of the assistant, which the API refuses."""
    while blocks and blocks[-1].get("type") == "text":
        blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"].rstrip()}
        if blocks[-1]["text"]:
            return
        blocks.pop()


def _blocks(message: Message, where: str, calls: _CallIds) -> Iterator[Json]:
    role = message["role"]
    content = _content(message.get("content"), where)
    if role == "tool":
        content = [_result(calls.known(message["tool_call_id"]), content)]
    elif role == "function":
        content = [_result(calls.of_function(message["name"]), content)]
    elif role == "assistant":
        thoughts = message.get("thinking_blocks")
        content = [
            *(thoughts if isinstance(thoughts, list) else ()),
            *content,
            *_said_besides(message),
            *_calls(message, calls),
        ]
    if content and isinstance(mark := message.get(_MARK), dict):
        content[-1] = {**content[-1], _MARK: mark}
    yield from content


def _content(content: Any, where: str) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [_text(content)] if content.strip() else []
    written = (_part(part, f"{where}[{place}]") for place, part in enumerate(content))
    return [block for block in written if block is not None]


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _said_besides(message: Message) -> list[Json]:
    refused = message.get("refusal")
    return [_text(refused)] if isinstance(refused, str) and refused.strip() else []


# ---- tools ---------------------------------------------------------------------------------------------------------------


class _CallIds:
    """Ids of calls, as the API takes them: other vendors draw some with other characters. *keeps_kimis*: those of Kimi stay as
    they are."""

    def __init__(self, *, keeps_kimis: bool = True) -> None:
        self._keeps_kimis = keeps_kimis
        self._ids: dict[str, str] = {}
        self._used: set[str] = set()
        self._function = ""

    def known(self, call_id: str) -> str:
        """Return the id of a call; two that differ stay different."""
        if self._keeps_kimis and _OF_KIMI.fullmatch(call_id):
            return call_id
        if call_id not in self._ids:
            clean = _NOT_IN_IDS.sub("_", call_id) or "call"
            if clean in self._used:
                clean = f"{clean}_"
            if clean in self._used:  # a longer and longer one for each of many would take all the time there is
                clean = f"{clean}{len(self._ids)}"
            while clean in self._used:
                clean += "_"
            self._used.add(clean)
            self._ids[call_id] = clean
        return self._ids[call_id]

    def of_function(self, name: str, *, is_new: bool = False) -> str:
        """Return the id of the last call in the older form, which has none."""
        if is_new or not self._function:
            self._function = self.known(f"call_{name}_{len(self._ids)}")
        return self._function


def with_clean_ids(messages: list[Any], *, keeps_kimis: bool = True) -> list[Any]:
    """Return messages of the API's own with ids of calls as it takes them, each for one call: another upstream may have drawn
    some of them. *keeps_kimis*: those of Kimi stay as they are, until a server refuses them."""
    blocks = [
        block
        for message in messages
        if isinstance(message, dict) and isinstance(content := message.get("content"), list)
        for block in content
        if isinstance(block, dict)
    ]
    if not blocks:
        return messages
    ids = [said for block in blocks for name in _ID_MEMBERS if isinstance(said := block.get(name), str)]
    made = [said for block in blocks if isinstance(said := block.get("id"), str) and not _OF_KIMI.fullmatch(said)]
    if len(made) != len({*made}):
        distinct = DistinctIds({*made})
        messages = [
            _with_ids(message, {"id": partial(distinct.of_call, turn=turn), "tool_use_id": distinct.of_result})
            for turn, message in enumerate(messages)
        ]
    if all(_NOT_IN_IDS.search(each) is None for each in ids):
        return messages
    calls = _CallIds(keeps_kimis=keeps_kimis)
    return [_with_ids(message, dict.fromkeys(_ID_MEMBERS, calls.known)) for message in messages]


#: The members of blocks that name a call.
_ID_MEMBERS: Final = ("id", "tool_use_id")


def _with_ids(message: Any, written: Mapping[str, Callable[[str], str]]) -> Any:
    """Return a message whose blocks name calls as *written* says, by the member that names them."""
    if not isinstance(message, dict) or not isinstance(content := message.get("content"), list):
        return message
    return {
        **message,
        "content": [
            {**block, **{name: write(block[name]) for name, write in written.items() if isinstance(block.get(name), str)}}
            if isinstance(block, dict)
            else block
            for block in content
        ],
    }


def _calls(message: Message, calls: _CallIds) -> Iterator[Json]:
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if call.get("type") == "custom" and isinstance(custom := call.get("custom"), dict):
            function = {"name": custom.get("name"), "arguments": custom_arguments(str(custom.get("input") or ""))}
        elif call.get("type", "function") != "function":
            raise refusal(
                "messages", f"a call of the type {call.get('type')!r:.50} has no place in the Messages API", UNSUPPORTED
            )
        yield _call(calls.known(call["id"]), function)
    if function := message.get("function_call"):
        yield _call(calls.of_function(function["name"], is_new=True), function)


def _call(call_id: str, function: Mapping[str, Any]) -> Json:
    return {"type": "tool_use", "id": call_id, "name": function["name"], "input": _input(function["arguments"])}


def _input(arguments: str) -> Json:
    if arguments.strip() in ("", "null"):
        return {}
    try:
        value = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {_INVALID: arguments}


def _result(call_id: str, content: list[Json]) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": call_id}
    if marks := [part[_MARK] for part in content if _MARK in part]:  # the API takes none within a result
        block[_MARK] = marks[-1]
        content = [{name: value for name, value in part.items() if name != _MARK} for part in content]
    if len(content) == 1 and content[0].keys() == {"type", "text"} and content[0]["type"] == "text":
        return {**block, "content": content[0]["text"]}
    return {**block, "content": content} if content else block


# ---- parts of content ----------------------------------------------------------------------------------------------------


def _part(part: Json, where: str) -> Json | None:
    """Return a part as a block, None for an empty text. A type that is not known may be one of the API's own, and passes."""
    kind = part["type"]
    if kind == "text":
        return {key: part[key] for key in ("type", "text", _MARK) if part.get(key)} if part["text"].strip() else None
    if kind == "refusal":
        return _text(part["refusal"]) if part["refusal"].strip() else None
    if kind == "image_url":
        image = part["image_url"]
        return _marked(_source_of(image["url"] if isinstance(image, dict) else image, where, "image"), part)
    if kind == "file" and isinstance(file := part.get("file"), dict):
        return _marked(_file(file, where), part)
    if kind == "input_audio":
        raise refusal(where, "carries sound, which the Messages API cannot take; send text", UNSUPPORTED)
    return part


def _marked(block: Json, part: Json) -> Json:
    return {**block, _MARK: part[_MARK]} if part.get(_MARK) else block


def _file(file: Json, where: str) -> Json:
    if isinstance(file.get("file_id"), str):
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}
    data = file.get("file_data") or file.get("file_url")
    if not isinstance(data, str) or not data:
        raise refusal(f"{where}.file", "needs file_data (a data: URL), file_url or file_id", "missing")
    is_url = data.startswith(("data:", "http://", "https://"))
    block = _source_of(data if is_url else f"data:application/pdf;base64,{data}", where, "document")
    return {**block, "title": file["filename"]} if isinstance(file.get("filename"), str) and file["filename"] else block


def _source_of(url: str, where: str, kind: str) -> Json:
    """Return the block of an image or a document at an address, or in it."""
    from ..data_urls import read_data_url  # noqa: PLC0415  few conversations hold a file

    if (held := read_data_url(url, where)) is None:
        return {"type": kind, "source": {"type": "url", "url": url}}
    media_type, data = held
    if media_type.startswith("text/"):
        text = b64decode(data).decode("utf-8", "replace")
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    kind = "image" if media_type.startswith("image/") else "document"
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}
