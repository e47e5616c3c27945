"""The conversation of a Messages request, in the messages of chat completions.

What chat completions cannot say is left out here, and stands in the documents: signatures, and the blocks of tools that the
vendor itself runs. A part that is not known passes as it is, for the upstream to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from ...events import Message, Messages
from ...sealed_thoughts import add_sealed
from ..messages import REASONING, with_one_system_message
from ..pairing import with_paired_results
from ..tool_names import short_name

Block = dict[str, Any]

#: What stands before the result of a call that failed: chat completions have no mark for it.
_ERROR: Final = "Error: "

#: The text of a result that is made of no text: that follows in a message of the user.
_SHOWN: Final = "(see what follows)"

#: What stands before the summary of a conversation.
_SUMMARY: Final = "Summary of the conversation so far:"

#: A line that Claude Code puts first, with a number that changes with each request: it is for the vendor's accounts, and no
#: cache of a prompt's beginning would ever fit again.
ACCOUNTING: Final = "x-anthropic-billing-header:"

#: Members of a call that servers of chat completions want back.
_CALL_MEMBERS: Final = ("extra_content",)


def chat_messages(system: Any, messages: list[Message]) -> Messages:
    """Return the checked *messages* of a request, and its *system* prompt before them."""
    said: Messages = []
    if text := _system_text(system):
        said.append({"role": "system", "content": text})
    for message in _since_compaction(messages):
        said += _ROLES[message["role"]](_blocks(message["content"]))
    # Some servers refuse a message of nothing: an assistant may have said what has no place here.
    said = [message for message in said if not _says_nothing(message)] or said
    return with_paired_results(with_one_system_message(said))


def _since_compaction(messages: list[Message]) -> list[Message]:
    """Return *messages* from the last summary on, which stands for all before it (Anthropic API reference, "Compaction"): as
    what the user says first."""
    for place in range(len(messages) - 1, -1, -1):
        blocks = _blocks(messages[place]["content"])
        for index in range(len(blocks) - 1, -1, -1):
            summary = blocks[index].get("content")
            if blocks[index]["type"] == "compaction" and isinstance(summary, str) and summary:
                rest = {**messages[place], "content": blocks[index + 1 :]}
                return [{"role": "user", "content": f"{_SUMMARY}\n{summary}"}, rest, *messages[place + 1 :]]
    return messages


def _says_nothing(message: Message) -> bool:
    return message["role"] == "assistant" and not message["content"] and "tool_calls" not in message


def _blocks(content: Any) -> list[Block]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text_of(blocks: Iterable[Block]) -> str:
    return "\n\n".join(block["text"] for block in blocks if block["type"] == "text")


def _system_text(system: Any) -> str:
    kept = []
    for block in _blocks(system or []):
        text = block.get("text") or ""
        if text.startswith(ACCOUNTING):
            text = text.partition("\n")[2]
        if text:
            kept.append(text)
    return "\n\n".join(kept)


def _system_messages(blocks: list[Block]) -> Messages:
    return [{"role": "system", "content": _text_of(blocks)}]


# ---- the assistant's ---------------------------------------------------------------------------------------------------


def _assistant_messages(blocks: list[Block]) -> Messages:
    """Return one message: the text in one piece, as it was generated, and the calls; and what was thought before, which some
    servers want back."""
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    message: Message = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    if thoughts := "".join(block.get("thinking") or "" for block in blocks if block["type"] == "thinking"):
        message[REASONING] = thoughts
    for block in blocks:
        if block["type"] in _SEALED:
            add_sealed(message, block.get(_SEALED[block["type"]]))
    return [message]


#: The member of a block that may hold what another upstream encrypted.
_SEALED: Final = {"thinking": "signature", "redacted_thinking": "data"}


def _call(block: Block) -> dict[str, Any]:
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    call = {"id": block.get("id"), "type": "function", "function": {"name": short_name(block["name"]), "arguments": arguments}}
    return call | {name: block[name] for name in _CALL_MEMBERS if name in block}


# ---- the user's --------------------------------------------------------------------------------------------------------


def _user_messages(blocks: list[Block]) -> Messages:
    """Return the results of calls, each as a message, then all else as one: the images of the results first."""
    results: Messages = []
    parts: list[Block] = []
    for block in blocks:
        if block["type"] == "tool_result":
            text, images = _result(block)
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text})
            parts += images
    for block in blocks:
        if block["type"] != "tool_result":
            parts += _parts(block)
    if not parts and results:
        return results
    if all(part["type"] == "text" for part in parts):
        return [*results, {"role": "user", "content": _text_of(parts)}]
    return [*results, {"role": "user", "content": parts}]


def _result(block: Block) -> tuple[str, list[Block]]:
    """Return the text of a result, and what of it is no text."""
    parts = [part for inner in _blocks(block.get("content") or []) for part in _parts(inner)]
    others = [part for part in parts if part["type"] != "text"]
    text = _text_of(parts) or (_SHOWN if others else "")
    if block.get("is_error") and not text.startswith(_ERROR):
        text = _ERROR + text
    return text, others


def _parts(block: Block) -> list[Block]:
    """Return a block of the user's as parts of chat completions."""
    make = _PARTS.get(block["type"])
    return [block] if make is None else make(block)


def _text_parts(block: Block) -> list[Block]:
    return [{"type": "text", "text": block["text"]}] if block["text"] else []


def _image_parts(block: Block) -> list[Block]:
    source = block["source"]
    if source.get("type") == "base64":
        url = _data_url(source)
    elif source.get("type") == "url":
        url = source["url"]
    else:
        return [block]
    return [{"type": "image_url", "image_url": {"url": url}}]


def _data_url(source: Block) -> str:
    """Return a source in base64 as an address; some clients send that in place of the data."""
    data: str = source["data"]
    return data if data.startswith("data:") else f"data:{source['media_type']};base64,{data}"


def _document_parts(block: Block) -> list[Block]:
    """A document of text is text; one in base64 or at a URL is a file, as OpenAI has it; others pass."""
    source = block["source"]
    title = block.get("title") or ""
    heading = "\n".join(text for text in (title, block.get("context") or "") if text)
    headed = [{"type": "text", "text": heading}] if heading else []
    if source.get("type") == "text":
        return [*headed, *_text_parts({"text": source["data"]})]
    if source.get("type") == "content":
        return [*headed, *(part for inner in _blocks(source["content"]) for part in _parts(inner))]
    if source.get("type") == "base64":
        data = _data_url(source)
        return [{"type": "file", "file": {"filename": title or "document", "file_data": data}}]
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return [{"type": "file", "file": {"file_url": source["url"]}}]
    return [block]


def _search_parts(block: Block) -> list[Block]:
    """A search result is its title, its source and its text."""
    heading = "\n".join(text for name in ("title", "source") if isinstance(text := block.get(name), str) and text)
    found = block.get("content")
    inner = (
        [part for each in found if isinstance(each, dict) and isinstance(each.get("text"), str) for part in _text_parts(each)]
        if isinstance(found, list)
        else []
    )
    return [{"type": "text", "text": heading}, *inner] if heading else inner


def _tool_reference(block: Block) -> list[Block]:
    """A tool that a search for tools found is its name: all tools are sent from the beginning."""
    return [{"type": "text", "text": f"Tool found: {block.get('tool_name')}"}]


def _nothing(block: Block) -> list[Block]:
    return []


_PARTS: Final[dict[str, Callable[[Block], list[Block]]]] = {
    "text": _text_parts,
    "image": _image_parts,
    "document": _document_parts,
    "search_result": _search_parts,
    "tool_reference": _tool_reference,
    "thinking": _nothing,
    "redacted_thinking": _nothing,
}

_ROLES: Final[dict[str, Callable[[list[Block]], Messages]]] = {
    "system": _system_messages,
    "user": _user_messages,
    "assistant": _assistant_messages,
}
