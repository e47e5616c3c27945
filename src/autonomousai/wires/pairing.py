"""Calls of tools and their results, brought into the order of chat completions: each result behind the message that calls.

Other wires pair them by their ids alone, wherever they stand; many servers of chat completions refuse a conversation in which
anything stands between them, in which a call has no result, or a result no call.
"""

from __future__ import annotations

from typing import Final

from ..events import Message, Messages
from .call_ids import calls_of, give_ids
from .messages import text_of

#: The result of a call that has none, where the conversation went on without it: it was broken off.
_NO_RESULT: Final = "(no result)"


def with_paired_results(messages: Messages) -> Messages:
    """Return *messages* with the results of calls behind them. One that belongs to no call is what the user says; a call
    without one gets one that says so, unless the conversation ends there. Ids that are missing are made, in place, and the
    names by which results without an id are found are left out."""
    if not any(message["role"] == "tool" or calls_of(message) for message in messages):
        return messages
    give_ids(messages)
    groups: list[list[Message]] = []
    waiting: dict[str, list[Message]] = {}  # by the id of a call, the group that its result goes into
    for message in messages:
        if message["role"] == "tool":
            group = waiting.pop(message["tool_call_id"] or "", None)
            if group is None:
                groups.append([_said_by_user(message)])
            else:
                # Another upstream may be asked with the same messages: they are not changed.
                group.append(
                    {name: value for name, value in message.items() if name != "name"} if "name" in message else message
                )
            continue
        groups.append([message])
        for call in calls_of(message):
            if isinstance(call_id := call.get("id"), str):
                waiting[call_id] = groups[-1]
    for call_id, group in waiting.items():
        if group is not groups[-1] or len(group) > 1:
            group.append({"role": "tool", "tool_call_id": call_id, "content": _NO_RESULT})
    return [message for group in groups for message in group]


def _said_by_user(result: Message) -> Message:
    """Return a result of a call that is not known as a message of the user."""
    content = result["content"]
    if not result["tool_call_id"]:
        return {"role": "user", "content": content}
    text = text_of(content)
    heading = f"Result of the tool call {result['tool_call_id']}:"
    if text is None:
        return {"role": "user", "content": [{"type": "text", "text": heading}, *content]}
    return {"role": "user", "content": f"{heading}\n{text}"}
