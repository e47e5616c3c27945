"""What messages may be sent: the one check that clients and servers share. Knows no wire and no upstream.

The shapes of content and tool calls, text that UTF-8 can carry, and a bound on nesting are looked at. Forms that programs write
and servers refuse, but that can mean one thing alone, are brought into the usual one: see `message_forms`. What is not known
here (a role, a type of parts or of calls, a key such as ``reasoning_content``) passes unchanged, for the upstream to judge. The
same as JSON schemas: `message_schemas`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from ..errors import InvalidMessagesError
from ..events import Message, Messages, ToolCall, call_in_message
from .call_ids import give_ids
from .json import MAX_DEPTH, as_plain, join_halves, too_deep
from .json_kinds import kind
from .message_forms import as_chat, bring_into_form

#: Roles whose messages need nothing beside their content.
_SPEAKERS = frozenset({"system", "developer", "user", "assistant"})
#: The roles that are known here; the messages of others pass.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

#: The member of an assistant's message that holds what it thought before. Servers that do not take it have a form without it.
REASONING = "reasoning_content"

#: Built once: ``list | tuple`` would be built at each look.
_LISTS = (list, tuple)

_EXAMPLE = 'pass a list such as [{"role": "user", "content": "Hello"}]'


class CheckedMessages(list[Message]):
    """Messages that were checked, so that no layer below does it again. They are not changed. ``plain``: each is of a role and
    text alone, so that no layer need look for parts."""

    __slots__ = ("plain",)

    plain: bool


def check_messages(messages: Any) -> Messages:
    """The messages, each in a new dict, as they may be sent; the caller's own objects stay as they are.

    Raises `InvalidMessagesError`, which names the message, the field, and what to do.
    """
    if type(messages) is CheckedMessages:
        return messages
    if not isinstance(messages, _LISTS) and (isinstance(messages, str | bytes) or not isinstance(messages, Sequence)):
        raise InvalidMessagesError(f"must be a list, not {kind(messages)}; {_EXAMPLE}")
    if not messages:
        raise InvalidMessagesError(f"the list is empty; {_EXAMPLE}")
    checked = CheckedMessages()
    checked.plain = True
    for index, message in enumerate(messages):
        plain = _plain_message(message)
        if plain is None:
            checked.plain = False
            if (usual := _usual_turn(message)) is not None:
                checked.append(usual)
            else:
                checked += [_check_message(index, each) for each in as_chat(_with_plain_parts(message)) or (message,)]
        else:
            checked.append(plain)
    if not checked.plain:
        give_ids(checked)
        for index, message in enumerate(checked):
            if message["role"] == "tool" and not message.get("tool_call_id"):
                raise InvalidMessagesError("is missing; give the id of the call", index=index, field="tool_call_id")
    return checked


def has_images(messages: Messages) -> int | None:
    """The index of the first message that carries an image, or None."""
    return find_part(messages, ("image_url",))


def find_part(messages: Messages, types: Collection[str]) -> int | None:
    """The index of the first message that carries a part of one of these *types*, or None. For checked messages."""
    if type(messages) is CheckedMessages and messages.plain:
        return None
    for index, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, _LISTS) and any(part["type"] in types for part in content):
            return index
    return None


def _plain_message(message: Any) -> Message | None:
    """A message of a role and text alone, which needs no closer look, as most are; None for any other."""
    if type(message) is not dict or len(message) != 2:
        return None
    role, content = message.get("role"), message.get("content")
    if (
        type(content) is not str
        or type(role) is not str
        or role not in _SPEAKERS
        or not (content.isascii() or _is_writable(content))
    ):
        return None
    return {"role": role, "content": content}


def _usual_turn(message: Any) -> Message | None:
    """A result of a call, or a message with calls, in the usual form and without any other member, as most of an agent's
    conversation are: it needs no closer look. None for any other."""
    if type(message) is not dict or len(message) != 3:
        return None
    role, content = message.get("role"), message.get("content")
    if type(content) is str:
        if not (content.isascii() or _is_writable(content)):
            return None
    elif content is not None or role != "assistant":
        return None
    if role == "tool":
        call_id = message.get("tool_call_id")
        usual = type(call_id) is str and call_id and call_id.isascii()
        return {"role": "tool", "tool_call_id": call_id, "content": content} if usual else None
    calls = message.get("tool_calls")
    if role != "assistant" or type(calls) is not list or not calls:
        return None
    copies = [_usual_call(call) for call in calls]
    return None if None in copies else {"role": "assistant", "content": content, "tool_calls": copies}


def _usual_call(call: Any) -> dict[str, Any] | None:
    """A call of a function that has an id, a name and arguments, and no other member; None for any other."""
    if type(call) is not dict or len(call) != 3 or call.get("type") != "function":
        return None
    call_id, function = call.get("id"), call.get("function")
    if type(call_id) is not str or type(function) is not dict or len(function) != 2:
        return None
    name, arguments = function.get("name"), function.get("arguments")
    if type(name) is not str or type(arguments) is not str or not (call_id and name and arguments.startswith("{")):
        return None
    if not (call_id.isascii() and name.isascii() and (arguments.isascii() or _is_writable(arguments))):
        return None
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_message(index: int, message: Any) -> Message:
    def refuse(field: str | None, problem: str) -> InvalidMessagesError:
        return InvalidMessagesError(problem, index=index, field=field)

    message = _as_mapping(message)
    if not isinstance(message, Mapping):
        meant = "; its as_message() is one" if hasattr(message, "as_message") else ""
        raise refuse(None, f'must be an object such as {{"role": "user", "content": "Hello"}}, not {kind(message)}{meant}')
    role = _plain(message.get("role"))
    if not isinstance(role, str) or not role:
        said = "empty" if role == "" else kind(role) if "role" in message else "missing"
        whole = "; this is a complete answer, whose message is choices[0].message" if "choices" in message else ""
        raise refuse("role", f"is {said}; use one of {', '.join(ROLES)}{whole}")
    checked = {key: _plain(value) for key, value in message.items()}
    if type(checked.get("content")) is not str or "tool_calls" in checked or "function_call" in checked:
        bring_into_form(checked)
    _check_writable(checked, refuse)
    _check_content(checked, refuse)
    for field, check in _FIELDS.get(role, ()):
        check(field, checked.get(field), refuse)
    return checked


#: What parts are, as a rule.
_PARTS = frozenset({dict, str})


def _with_plain_parts(message: Any) -> Any:
    """Return *message* with dicts in the place of other objects among its parts, such as the blocks that Anthropic's SDK has
    returned."""
    content = message.get("content") if type(message) is dict else None
    if type(message) is dict and (
        type(content) is str or (type(content) is list and {dict, str}.issuperset(map(type, content)))
    ):
        return message
    return _plain(message)


def _as_mapping(value: Any) -> Any:
    """Return what an object of a pydantic model (a message that the openai SDK has returned) or of a dataclass holds, or a call
    that an answer has given, and any other value as it is."""
    if type(value) is dict:  # as most are
        return value
    if type(value) is ToolCall:
        return call_in_message(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_none=True)
    names = getattr(type(value), "__dataclass_fields__", ())
    return {name: held for name in names if (held := getattr(value, name)) is not None} if names else value


def _plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return *value* with dicts and lists in the place of other mappings, sequences and models, and values in the place of an
    enumeration's members, as far as messages may be nested. What holds itself stays as it is. ``above``: the ids of what
    *value* stands in."""
    if isinstance(value, str):
        if type(value) is not str:  # of a class of its own, such as a template engine's
            return _plain(str.__str__(value))
        return value if value.isascii() or _is_writable(value) else join_halves(value)
    if value is None or isinstance(value, bytes | int | float) or len(above) > MAX_DEPTH or id(value) in above:
        return value
    above = (*above, id(value))
    if type(value) is dict:  # as most are
        return {key: _plain(item, above) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item, above) for item in value]
    if isinstance(value, Enum):
        return _plain(value.value, above)
    value = _as_mapping(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, above) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item, above) for item in value]
    try:
        return as_plain(value)
    except (TypeError, ValueError):
        return value


Refuse = Callable[[str | None, str], InvalidMessagesError]


def _check_writable(message: Message, refuse: Refuse) -> None:
    """All that the message holds must be JSON that UTF-8 can carry."""
    for key, value in message.items():
        if type(key) is not str:
            raise refuse(None, f"its keys must be text; one is {kind(key)}")
        problem = problem_of(key) or problem_of(value)
        if problem:
            raise refuse(key.encode("utf-8", "replace").decode()[:50], problem)


_HALF = "holds half a character (a lone surrogate), which no UTF-8 text can carry"
_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def problem_of(value: Any) -> str | None:
    """Why *value* cannot be written, or None. Plain text, which may be long, is not written for that."""
    try:
        if type(value) is str:
            if not value.isascii():
                value.encode()
            return None
        if value is not None:
            msgspec.json.encode(value, enc_hook=as_plain)
    except UnicodeEncodeError:
        return f"{_HALF}; clean it with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
    except RecursionError:
        return f"{_DEEP}, or holds itself"
    except (TypeError, ValueError) as error:
        if isinstance(value, type) and hasattr(value, "model_json_schema"):
            schema = f'"schema": {getattr(value, "__name__", "MODEL")}.model_json_schema()'
            return f'is a class; write {{"type": "json_schema", "json_schema": {{"name": "answer", {schema}}}}}'
        return f"cannot be written as JSON: {error}; use plain str, int, float, bool, list and dict"
    return _DEEP if too_deep(value) else None


def _check_content(message: Message, refuse: Refuse) -> None:
    content = message.get("content")
    role = message["role"]
    if isinstance(content, str) or (content is None and (role == "assistant" or role not in ROLES)):
        return
    if content is None:
        said = "is null" if "content" in message else "is missing"
        raise refuse("content", f"{said}; only an assistant's message or a tool's may have none: give text")
    if not isinstance(content, list | tuple):
        raise refuse("content", f"must be text or a list of parts, not {kind(content)}")
    for place, part in enumerate(content):
        _check_part(f"content[{place}]", part, refuse)


def _check_part(where: str, part: Any, refuse: Refuse) -> None:
    if not isinstance(part, dict):
        raise refuse(where, f'must be an object such as {{"type": "text", "text": "Hello"}}, not {kind(part)}')
    name = part.get("type")
    if not isinstance(name, str) or not name:
        said = "empty" if name == "" else kind(name) if "type" in part else "missing"
        raise refuse(f"{where}.type", f"is {said}; give one such as text or image_url")
    if name in TEXT_PARTS and not isinstance(part.get(name), str):
        raise refuse(f"{where}.{name}", f"must be text, not {kind(part.get(name))}")
    if name == "image_url":
        _check_image(f"{where}.{name}", part.get(name), refuse)


def _check_image(field: str, image: Any, refuse: Refuse) -> None:
    """An object with the address, or the address itself, as some servers have it."""
    if not isinstance(image, dict | str):
        raise refuse(field, f"must be an object, not {kind(image)}")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise refuse(f"{field}.url", "must be the image's address: https://… or data:image/png;base64,…")


#: The types of content parts that hold text under a key of the type's own name. Sound, files and what is not known here go as
#: they are to the upstreams that know them.
TEXT_PARTS = ("text", "refusal")


def _check_tool_calls(field: str, calls: Any, refuse: Refuse) -> None:
    if not calls and (calls is None or isinstance(calls, list | tuple)):
        return
    if not isinstance(calls, list | tuple):
        raise refuse(field, f"must be a list, not {kind(calls)}")
    for place, call in enumerate(calls):
        where = f"{field}[{place}]"
        if not isinstance(call, dict):
            raise refuse(where, f"must be an object with id, type and function, not {kind(call)}")
        name = call.get("type", "function")
        if not isinstance(name, str) or not name:
            raise refuse(f"{where}.type", f'must be text such as "function", not {"empty" if name == "" else kind(name)}')
        if name != "function":
            continue
        _check_id(f"{where}.id", call.get("id"), refuse)
        if not isinstance(call.get("function"), dict):
            raise refuse(f"{where}.function", f"must be an object with name and arguments, not {kind(call.get('function'))}")
        _check_function(f"{where}.function", call["function"], refuse)


def _check_function(field: str, function: Any, refuse: Refuse) -> None:
    if function is None:
        return
    if not isinstance(function, dict):
        raise refuse(field, f"must be an object with name and arguments, not {kind(function)}")
    _check_text(f"{field}.name", function.get("name"), refuse)
    if not isinstance(function.get("arguments"), str):
        raise refuse(f"{field}.arguments", f"must be the arguments as JSON text, not {kind(function.get('arguments'))}")


def _check_text(field: str, text: Any, refuse: Refuse) -> None:
    if not isinstance(text, str) or not text:
        raise refuse(field, f"must be text that is not empty, not {'empty' if text == '' else kind(text)}")


def _check_id(field: str, id: Any, refuse: Refuse) -> None:
    """One that is missing or empty is found or made for the complete conversation: see `call_ids`."""
    if id is not None and not isinstance(id, str):
        raise refuse(field, f"must be text, not {kind(id)}")


def _check_refusal(field: str, refusal: Any, refuse: Refuse) -> None:
    if refusal is not None and not isinstance(refusal, str):
        raise refuse(field, f"must be text, not {kind(refusal)}")


#: What the roles need beside their content.
_FIELDS: dict[str, tuple[tuple[str, Callable[[str, Any, Refuse], None]], ...]] = {
    "assistant": (("tool_calls", _check_tool_calls), ("function_call", _check_function), ("refusal", _check_refusal)),
    "tool": (("tool_call_id", _check_id),),
    "function": (("name", _check_text),),
}


def with_one_system_message(messages: Messages) -> Messages:
    """Return *messages* with all texts of the system at the beginning in one message: the chat templates of many models take no
    second one."""
    if len(messages) < 2 or messages[1]["role"] != "system":  # as most
        return messages
    count = next((place for place, message in enumerate(messages) if message["role"] != "system"), len(messages))
    texts = [text_of(message["content"]) for message in messages[:count]]
    if count < 2 or any(text is None for text in texts):
        return messages
    return [{"role": "system", "content": "\n\n".join(filter(None, texts))}, *messages[count:]]


def text_of(content: Any) -> str | None:
    """Return a content of texts alone as one text, None for any other."""
    if isinstance(content, str):
        return content
    texts = [part["text"] for part in content if part["type"] == "text"]
    return "\n\n".join(texts) if len(texts) == len(content) else None
