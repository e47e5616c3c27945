"""A conversation in other forms, for servers that do not take it as it is: who may speak when, and what a content may be. Most
change the body of a request. Knows no refusal."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from itertools import dropwhile, pairwise
from typing import Any, Final

from ..events import Messages

Json = dict[str, Any]

SYSTEM: Final = ("system", "developer")


def of_role(body: Json, *roles: str, member: str = "messages") -> list[Json]:
    """Return the messages of these roles in a request."""
    messages = body.get(member)
    messages = messages if isinstance(messages, list) else []
    return [message for message in messages if isinstance(message, dict) and message.get("role") in roles]


def late_system_messages(body: Json) -> list[Json]:
    """Return those that do not stand at the beginning."""
    messages = of_role(body, *SYSTEM, "user", "assistant", "tool", "function")
    return of_role({"messages": list(dropwhile(lambda message: message["role"] in SYSTEM, messages))}, *SYSTEM)


def as_user(body: Json) -> None:
    for message in late_system_messages(body):
        message["role"] = "user"


def as_developer(body: Json) -> None:
    for message in of_role(body, "system", member="input"):
        message["role"] = "developer"


def repeats_role(body: Json) -> bool:
    return any(_is_continued(first, second) for first, second in pairwise(body.get("messages") or ()))


def _is_continued(first: Any, second: Any) -> bool:
    """Return whether two messages are what one role says, and nothing besides."""
    if not (isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys() == {"role", "content"}):
        return False
    return first["role"] == second["role"] and first["role"] in ("user", "assistant")


def alternate(body: Json) -> None:
    """Say in one message what one role says in several that follow one another."""
    said: list[Json] = []
    for message in body["messages"]:
        if said and _is_continued(said[-1], message):
            said[-1]["content"] = _joined(said[-1]["content"], message["content"])
        else:
            said.append(message)
    body["messages"] = said


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    parts = [[{"type": "text", "text": content}] if isinstance(content, str) else content or [] for content in (first, second)]
    return [*parts[0], *parts[1]]


def system_as_user(body: Json) -> None:
    """Have the user say what the system says, in one message with what follows."""
    for message in of_role(body, *SYSTEM):
        message["role"] = "user"
    if repeats_role(body):
        alternate(body)


def user_after_tool(body: Json) -> list[int]:
    """Return where a user speaks after a result."""
    messages = body.get("messages")
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages or ()]
    return [place for place, pair in enumerate(pairwise(roles), 1) if pair == ("tool", "user")]


def assistant_between(body: Json) -> None:
    """Have the assistant say a word between a result and what the user says: some templates know no other order."""
    for place in reversed(user_after_tool(body)):
        body["messages"].insert(place, {"role": "assistant", "content": "Done."})


def as_system(body: Json) -> None:
    for message in of_role(body, "developer"):
        message["role"] = "system"


def text_lists(body: Json) -> list[Json]:
    """Return the messages whose content is a list of nothing but texts."""
    messages = of_role(body, *SYSTEM, "user", "assistant", "tool")
    return [message for message in messages if _is_text_alone(message.get("content"))]


def _is_text_alone(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    )


def as_text(body: Json) -> None:
    for message in text_lists(body):
        message["content"] = "\n".join([part["text"] for part in message["content"]])


def without_content(body: Json) -> list[Json]:
    return [message for message in of_role(body, "assistant", "tool") if message.get("content") is None]


def fill_content(body: Json) -> None:
    for message in without_content(body):
        message["content"] = ""


# ---- ids of calls

#: Characters of the longest id of a call that OpenAI takes in chat completions; over Responses it takes more.
_LONGEST_ID: Final = 40


def _ids(body: Json) -> list[tuple[Json, str]]:
    """Return what names a call in a request, of chat completions or of Responses: the object, and its member."""
    found = [(message, "tool_call_id") for message in of_role(body, "tool")]
    for message in of_role(body, "assistant"):
        calls = message.get("tool_calls")
        found += [(call, "id") for call in (calls if isinstance(calls, list) else ()) if isinstance(call, dict)]
    items = body.get("input")
    found += [(item, "call_id") for item in (items if isinstance(items, list) else ()) if isinstance(item, dict)]
    return [(holder, name) for holder, name in found if isinstance(holder.get(name), str)]


def has_long_ids(body: Json) -> bool:
    return any(len(holder[name]) > _LONGEST_ID for holder, name in _ids(body))


def shorten_ids(body: Json) -> None:
    """Put short ids of calls in the place of long ones, the same in each turn: other servers draw longer ones."""
    from hashlib import sha256  # noqa: PLC0415  few servers refuse an id, and it is slow to come

    for holder, name in _ids(body):
        if len(holder[name]) > _LONGEST_ID:
            holder[name] = f"call_{sha256(holder[name].encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


# ---- what a model thought before its calls

#: What Google takes in place of a signature that was lost, or that another model's call never had (Gemini API, "Thought
#: signatures", FAQ).
_NO_SIGNATURE: Final = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def unsigned_calls(body: Json) -> list[Json]:
    """Return the calls of the assistant without what Gemini gave with them."""
    calls = [message.get("tool_calls") for message in of_role(body, "assistant")]
    return [
        call
        for each in calls
        if isinstance(each, list)
        for call in each
        if isinstance(call, dict) and not call.get("extra_content")
    ]


def sign_calls(body: Json) -> None:
    """Say of calls without a signature that they have none: few programs send back what they do not know."""
    for call in unsigned_calls(body):
        call["extra_content"] = _NO_SIGNATURE


# ---- marks for the cache of prompts

_MARK: Final = "cache_control"


def marked(body: Json) -> list[Json]:
    """Return what bears a mark for a cache of prompts: the request, messages, their parts, and tools."""
    messages = body.get("messages")
    messages = messages if isinstance(messages, list) else []
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    tools = body.get("tools")
    tools = tools if isinstance(tools, list) else []
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return [holder for holder in (body, *messages, *parts, *tools, *functions) if isinstance(holder, dict) and _MARK in holder]


def unmark(body: Json) -> None:
    """Leave the marks out: the server caches what it likes."""
    for holder in marked(body):
        del holder[_MARK]


def continued_message(messages: Messages, members: Mapping[str, Any]) -> Messages:
    """Return *messages* with further *members* in the last of them."""
    return [*messages[:-1], {**messages[-1], **members}] if members else messages


_ALPHABET: Final = string.digits + string.ascii_letters


def with_call_ids(messages: Messages, length: int) -> Messages:
    """Return *messages* with ids of tool calls of so many letters and digits; an id that is one already is kept, any other one
    becomes the same one wherever it stands."""
    if not any(message.get("tool_calls") or message.get("tool_call_id") for message in messages):
        return messages
    return [_with_ids(message, length) for message in messages]


#: Characters of an id of a call at Mistral.
_MISTRALS: Final = 9


def nine_letter_ids(body: Json) -> None:
    """Put ids as Mistral wants them in the place of others, the same in each turn."""
    if isinstance(messages := body.get("messages"), list):
        body["messages"] = with_call_ids(messages, _MISTRALS)


def _with_ids(message: dict[str, Any], length: int) -> dict[str, Any]:
    changed = dict(message)
    if isinstance(answered := message.get("tool_call_id"), str):
        changed["tool_call_id"] = _call_id(answered, length)
    if isinstance(calls := message.get("tool_calls"), list):
        changed["tool_calls"] = [
            {**call, "id": _call_id(call["id"], length)} if isinstance(call, dict) and isinstance(call.get("id"), str) else call
            for call in calls
        ]
    return changed


def _call_id(id: str, length: int) -> str:
    if re.fullmatch(f"[a-zA-Z0-9]{{{length}}}", id):
        return id
    from hashlib import sha256  # noqa: PLC0415  one vendor wants it, and it is slow to come

    digest = sha256(id.encode("utf-8", "surrogatepass")).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])
