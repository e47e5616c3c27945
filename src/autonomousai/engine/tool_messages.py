"""Calls and their results among the messages, as a chat template wants them; and as text, for templates that know no tools.

Knows no engine.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from ..events import Message, Messages
from .chat_template import SYNTAXES

#: For weights whose template says nothing of tools. They were not trained for it, and may ignore it.
_INSTRUCTION: Final = """You can call functions. To call one, write a line <tool_call>, then one line of JSON, then a line
</tool_call>, like this:
<tool_call>
{"name": "the name", "arguments": {"the argument": "its value"}}
</tool_call>
These are the functions, each with the JSON schema of its arguments:
"""

#: What stands before a result. Plain words: tags are repeated in the answer by weights that were not trained for them.
_RESULT: Final = "Result of the function:"


def template_calls(calls: Any) -> list[dict[str, Any]]:
    """Return checked calls of a message with arguments that are JSON objects, as templates want them. What is none, a model
    wrote wrongly; it is kept as text in one."""
    return [
        {
            "id": call.get("id", ""),
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": _as_object(call["function"]["arguments"])},
        }
        for call in calls
    ]


def _as_object(arguments: str) -> str:
    try:
        if isinstance(msgspec.json.decode(arguments or "{}"), dict):
            return arguments or "{}"
    except (msgspec.DecodeError, RecursionError):
        pass
    return msgspec.json.encode({"invalid": arguments}).decode()


def as_text(messages: Messages, shown: list[dict[str, Any]]) -> Messages:
    """Return *messages* with the functions that are *shown* in the system message, calls in the text, and results in messages
    of the user."""
    written: Messages = []
    for message in messages:
        if message["role"] == "tool":
            _add_result(written, message)
        elif calls := message.get("tool_calls"):
            blocks = [block for call in calls for block in _block(call)]
            texts = [message["content"], *blocks] if message["content"] else blocks
            written.append({"role": message["role"], "content": "\n".join(texts)})
        else:
            written.append(message)
    if not shown:
        return written
    told = _INSTRUCTION + "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in shown)
    if written and written[0]["role"] == "system":
        return [{"role": "system", "content": f"{written[0]['content']}\n\n{told}"}, *written[1:]]
    return [{"role": "system", "content": told}, *written]


def _block(call: dict[str, Any]) -> tuple[str, str, str]:
    syntax, function = SYNTAXES[""], call["function"]
    name = json.dumps(function["name"], ensure_ascii=False)
    return syntax.opening, f'{{"name": {name}, "{syntax.key}": {function["arguments"]}}}', syntax.closing


def _add_result(written: Messages, message: Message) -> None:
    """Results of calls that were made together stand together in one message."""
    result = f"{_RESULT}\n{message['content']}"
    last = written[-1] if written else None
    if last is not None and last["role"] == "user" and last["content"].startswith(_RESULT):
        written[-1] = {"role": "user", "content": f"{last['content']}\n\n{result}"}
    else:
        written.append({"role": "user", "content": result})
