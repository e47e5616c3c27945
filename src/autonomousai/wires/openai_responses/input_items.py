"""The input of a request: text, or items (OpenAI API reference, "Create a model response", ``input``; Open Responses, "Items"):
what is well-formed, and as which messages of chat completions an upstream of another wire gets it.

What has no place in messages is left out: encrypted reasoning, references to items, calls of the vendor's own tools, and items
that are not known here. An upstream of the same wire gets all of it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Final

import msgspec

from ...errors import InvalidMessagesError
from ...events import Message, Messages
from ...sealed_thoughts import BLOCKS, DETAILS, OF_CALL, add_sealed, is_of_call, is_packed, unpack
from ..custom_tools import custom_arguments
from ..message_schemas import ref
from ..messages import REASONING, check_messages, text_of, with_one_system_message
from ..pairing import with_paired_results
from ..shapes import (
    ANYTHING,
    NAME,
    OBJECT,
    TEXT,
    Schema,
    Shape,
    check_type,
    either,
    list_of,
    object_of,
    refusal,
    typed,
    with_other_type,
    with_type,
)
from .client_tools import BRINGING_TOOLS, CALLS, OUTPUTS
from .namespaces import offered_name
from .tools import TOOLS

# ---- shapes -----------------------------------------------------------------------------------------------------------

_TEXT_PART: Final = object_of({"text": TEXT}, ("text",))
_ADDRESS: Final = either("text or an object", {str: NAME, dict: object_of({"url": NAME}, ("url",))})
_IMAGE: Final = object_of({"image_url": _ADDRESS, "file_id": NAME, "detail": TEXT})


def _check_image(param: str, value: Any) -> Any:
    _IMAGE.check(param, value)
    if value.get("image_url") is None and value.get("file_id") is None:
        raise refusal(
            f"{param}.image_url", "is missing; give the image's address: https://… or data:image/png;base64,…", "missing"
        )
    return value


def _needs(name: str, shape: Shape) -> Schema:
    return {"properties": {name: shape.schema}, "required": [name]}


_IMAGE_SCHEMA: Final = {**_IMAGE.schema, "anyOf": [_needs("image_url", _ADDRESS), _needs("file_id", NAME)]}

#: A part of a message's content. Those of chat completions are taken too.
_PART: Final = typed(
    {
        "input_text": _TEXT_PART,
        "output_text": _TEXT_PART,
        "text": _TEXT_PART,
        "refusal": object_of({"refusal": TEXT}, ("refusal",)),
        "input_image": Shape(_check_image, _IMAGE_SCHEMA),
        "image_url": object_of({"image_url": _ADDRESS}, ("image_url",)),
        "input_file": object_of({"file_id": TEXT, "file_data": TEXT, "file_url": TEXT, "filename": TEXT, "detail": TEXT}),
        "input_audio": object_of({"input_audio": OBJECT}, ("input_audio",)),
    },
    needed=True,
)
_PARTS: Final = Shape(list_of(_PART).check, {"type": "array", "items": ref("ResponsesPart")})
_CONTENT: Final = either("text or a list of parts", {str: TEXT, list: _PARTS})

#: Parts that some clients send in place of the message which they are of.
_BARE: Final = ("input_text", "input_image", "input_file", "input_audio")

_MESSAGE: Final = object_of({"role": NAME, "content": _CONTENT}, ("role",))
_ARGUMENTS: Final = either("text or an object", {str: TEXT, dict: OBJECT})
_RESULTS: Final = list_of(either("a part or text", {dict: Shape(_PART.check, ref("ResponsesPart")), str: TEXT}))
_OUTPUT: Final = object_of(
    {"call_id": TEXT, "output": either("text, a list of parts or an object", {str: TEXT, list: _RESULTS, dict: OBJECT})}
)
_REFERENCE: Final = object_of({"id": NAME}, ("id",))

_ITEMS: Final[dict[str, Shape]] = {
    "message": _MESSAGE,
    "function_call": object_of({"call_id": TEXT, "name": NAME, "arguments": _ARGUMENTS}, ("name",)),
    "function_call_output": _OUTPUT,
    "custom_tool_call": object_of({"call_id": TEXT, "name": NAME, "input": TEXT}, ("name", "input")),
    "custom_tool_call_output": _OUTPUT,
    "item_reference": _REFERENCE,
    **dict.fromkeys(_BARE, _PART),
    **dict.fromkeys((*CALLS, *OUTPUTS), object_of({"call_id": TEXT, "id": TEXT})),
    **dict.fromkeys(BRINGING_TOOLS, object_of({"call_id": TEXT, "id": TEXT, "tools": TOOLS})),
    "reasoning": object_of({}),
}


def _type_of(item: dict[str, Any]) -> Any:
    """Return the type of an item: one without a type is a message, or a reference if it has no role."""
    kind = item.get("type")
    if kind is not None:
        return kind
    return "item_reference" if item.get("role") is None and "id" in item else "message"


def _check_item(param: str, value: Any) -> Any:
    check_type(param, value, dict)
    kind = _type_of(value)
    check_type(f"{param}.type", kind, str)
    return _ITEMS.get(kind, ANYTHING).check(param, value)


def _without_type(shape: Shape, **properties: Schema) -> Schema:
    """Return the schema of an object of that shape which has no ``type``."""
    return {**shape.schema, "properties": {"type": {"type": "null"}, **shape.schema["properties"], **properties}}


_ITEM: Final = Shape(
    _check_item,
    {
        "anyOf": [
            *(with_type(name, shape.schema) for name, shape in _ITEMS.items()),
            _without_type(_MESSAGE),
            _without_type(_REFERENCE, role={"type": "null"}),
            with_other_type(_ITEMS),
        ]
    },
)

#: The whole input.
INPUT: Final = Shape(
    either("text or a list of items", {str: TEXT, list: list_of(_ITEM)}).check,
    {"anyOf": [TEXT.schema, {"type": "array", "items": ref("InputItem")}]},
)

#: What the shapes refer to by name.
COMPONENTS: Final[dict[str, Schema]] = {
    "InputItem": {
        **_ITEM.schema,
        "description": "A message, a call, its output, or what else the upstream knows. Without `type` it is a message.",
    },
    "ResponsesPart": {**_PART.schema, "description": "A part of a content; those of other types are passed on."},
}

#: The member of a call in which some upstreams want their thought's signature back.
SIGNATURE: Final = OF_CALL

# ---- as messages ------------------------------------------------------------------------------------------------------


def read_input(value: Any, instructions: str | None) -> Messages:
    """Return a checked *value* as messages of chat completions, after the *instructions*.

    All that the system or the developer say before all others is one message of the system: the chat templates of many models
    take no second one. There is no message where the *value* holds only what an upstream of this wire knows. Raises
    `StatusError` 400 where they are no conversation.
    """
    items = [{"role": "user", "content": value}] if isinstance(value, str) else _with_messages(value or [])
    messages: Messages = [{"role": "system", "content": instructions}] if instructions else []
    for item in _with_signatures(items):
        if (read := _READERS.get(_type_of(item))) is not None:
            read(item, messages)
    if not any(map(_says_something, messages)) and any(_type_of(item) == "message" for item in items):
        messages.append({"role": "user", "content": ""})  # a message of no content
    if not any(map(_says_something, messages)):
        return []
    try:
        return check_messages(with_paired_results(with_one_system_message(list(filter(_says_something, messages)))))
    except InvalidMessagesError as error:
        raise refusal("input", f"cannot be read as a conversation: {error}") from None


def _with_messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *items* with parts of a content that stand among them by themselves in messages of the user."""
    found: list[dict[str, Any]] = []
    for is_part, run in groupby(items, lambda item: item.get("type") in _BARE):
        group = list(run)
        found += [{"role": "user", "content": group}] if is_part else group
    return found


def _with_signatures(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *items* with what a vendor gave with a call in the call, where that came back in an item before it."""
    thoughts = [unpack(item.get("encrypted_content")) for item in items if item.get("type") == "reasoning"]
    said = {sealed["id"]: sealed.get("content") for sealed in thoughts if sealed is not None and is_of_call(sealed)}
    if not said:
        return items
    return [
        {SIGNATURE: said[item["call_id"]], **item}
        if item.get("call_id") in said and not str(item.get("type")).endswith("_output")
        else item
        for item in items
    ]


def _read_message(item: dict[str, Any], messages: Messages) -> None:
    content = item.get("content")
    role = "system" if item["role"] == "developer" else item["role"]
    if role in ("tool", "function"):
        raise refusal("input", f"a message of the role {role} is one of chat completions; send an item function_call_output")
    if content is None or content == []:
        return
    if role == "assistant":
        _read_answer(content, messages)
    else:
        said = content if isinstance(content, str) else _parts(content)
        messages.append({"role": role, "content": said, **_mark_of(item)})


def _read_answer(content: Any, messages: Messages) -> None:
    """Add what the assistant said; beside its calls, where those came first."""
    parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
    said: Message = {"content": "".join(texts) if texts or not refusals else None}
    if refusals:
        said["refusal"] = "".join(refusals)
    last = messages[-1] if messages else {}
    if "tool_calls" not in last and not _only_thinks(last):
        messages.append({"role": "assistant", **said})
        return
    if _only_thinks(last):
        last |= said
        return
    for name, text in said.items():  # nothing may stand between calls and their outputs
        if text is not None:
            last[name] = f"{last[name]}\n\n{text}" if last.get(name) else text


def _read_reasoning(item: dict[str, Any], messages: Messages) -> None:
    """Add what the assistant thought to what it says with it: some servers want it back. Dropped where nothing follows."""
    thoughts, packed = _thoughts(item.get("content")) or _thoughts(item.get("summary")), item.get("encrypted_content")
    is_sealed = is_packed(packed) and not is_of_call(unpack(packed))
    if not (thoughts or is_sealed):
        return
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    last = messages[-1]
    add_sealed(last, packed)
    if thoughts:
        last[REASONING] = f"{last[REASONING]}\n\n{thoughts}" if last.get(REASONING) else thoughts


def _thoughts(parts: Any) -> str:
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def _only_thinks(message: Message) -> bool:
    return (
        bool(message.keys() & {REASONING, BLOCKS, DETAILS, OF_CALL})
        and message["content"] is None
        and not message.keys() & {"tool_calls", "refusal"}
    )


def _says_something(message: Message) -> bool:
    return not _only_thinks(message)


def _add_call(messages: Messages, item: dict[str, Any], arguments: str) -> None:
    """Add a call to what the assistant said last, or to a message of its own."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    name = offered_name(item["name"], item.get("namespace"))
    call = {"id": item.get("call_id") or item.get("id"), "type": "function", "function": {"name": name, "arguments": arguments}}
    if item.get(SIGNATURE) is not None:
        call[SIGNATURE] = item[SIGNATURE]
    messages[-1].setdefault("tool_calls", []).append(call)


def _read_call(item: dict[str, Any], messages: Messages) -> None:
    arguments = item.get("arguments") or "{}"
    if isinstance(arguments, dict):
        arguments = _json(arguments)
    _add_call(messages, item, "{}" if arguments.strip() in ("", "null") else arguments)


def _read_custom_call(item: dict[str, Any], messages: Messages) -> None:
    _add_call(messages, item, custom_arguments(item["input"]))


def _read_client_call(item: dict[str, Any], messages: Messages) -> None:
    row = CALLS[item["type"]]
    _add_call(messages, {**item, "name": row.type}, _json(row.arguments(item)))


def _read_client_output(item: dict[str, Any], messages: Messages) -> None:
    said = OUTPUTS[item["type"]].output(item)
    _read_output({"call_id": item.get("call_id") or item.get("id"), "output": said}, messages)


def _read_agents_message(item: dict[str, Any], messages: Messages) -> None:
    """Add what another agent says to this one, as Codex has it. What is encrypted of it cannot be read here."""
    parts = item.get("content")
    said = (
        [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if isinstance(parts, list)
        else []
    )
    if said:
        author = item.get("author")
        heading = [f"Message from {author}:"] if isinstance(author, str) and author else []
        messages.append({"role": "user", "content": "\n".join([*heading, *said])})


def _read_output(item: dict[str, Any], messages: Messages) -> None:
    """Add a result: its text, and the images in it as what the user shows, for servers take text alone. One without the id
    of its call is paired by its name, or its place."""
    output = item.get("output") or ""
    if isinstance(output, dict):  # some clients send {"content": …, "success": …}, and others what a tool returned
        output = said if isinstance(said := output.get("content"), str) else _json(output)
    content = output if isinstance(output, str) else _parts(map(_as_part, output))
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    others = [part for part in parts if part["type"] != "text"]
    text = text_of([part for part in parts if part["type"] == "text"]) or (_SHOWN if others else "")
    result: Message = {"role": "tool", "tool_call_id": item.get("call_id"), "content": text}
    for marked in (*parts, item):
        result |= _mark_of(marked)
    messages.append(result if item.get("call_id") else {**result, "name": item.get("name")})
    if others:
        messages.append({"role": "user", "content": others})


_MARK: Final = "cache_control"

#: What becomes of an item, by its type. One of another type is left out.
_READERS: Final[dict[str, Callable[[dict[str, Any], Messages], None]]] = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_output,
    "custom_tool_call": _read_custom_call,
    "custom_tool_call_output": _read_output,
    "reasoning": _read_reasoning,
    "agent_message": _read_agents_message,
    **dict.fromkeys(CALLS, _read_client_call),
    **dict.fromkeys(OUTPUTS, _read_client_output),
}

#: The text of a result that is made of no text: that follows in a message of the user.
_SHOWN: Final = "(see what follows)"


def _parts(parts: Iterable[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return parts as chat completions have them; a text alone as text, which every server takes."""
    read = [_part(part) for part in parts]
    return read[0]["text"] if len(read) == 1 and read[0].keys() == {"type", "text"} else read


def _as_part(part: Any) -> dict[str, Any]:
    return {"type": "input_text", "text": part} if isinstance(part, str) else part


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"], **_mark_of(part)}
    if kind == "input_image" and part.get("image_url"):
        image = part["image_url"]
        url = image["url"] if isinstance(image, dict) else image
        return {"type": "image_url", "image_url": _known({"url": url, "detail": part.get("detail")}), **_mark_of(part)}
    if kind in ("input_image", "input_file"):
        names = ("file_id", "file_data", "file_url", "filename")
        return {"type": "file", "file": _known({name: part.get(name) for name in names})}
    return part


def _mark_of(item: dict[str, Any]) -> dict[str, Any]:
    """Return the mark of an item or of a part up to which the prompt is to be cached, which Anthropic's API takes."""
    return {_MARK: item[_MARK]} if isinstance(item.get(_MARK), dict) else {}


def _known(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
