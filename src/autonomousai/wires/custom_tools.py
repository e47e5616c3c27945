"""Custom tools, which take free text (OpenAI API reference, "Custom tools"), as functions of one text: upstreams know those."""

from __future__ import annotations

from typing import Any, Final

import msgspec

Json = dict[str, Any]

#: The one argument of the function that a custom tool becomes.
CUSTOM_ARGUMENT: Final = "input"


def custom_arguments(text: str) -> str:
    """Return the arguments of the function that a custom tool became, for a call with that *text*."""
    return msgspec.json.encode({CUSTOM_ARGUMENT: text}).decode()


def custom_input(arguments: str) -> str:
    """Return the text that a custom tool is called with. Arguments of another form than the function's are the text itself:
    models write that too."""
    try:
        text = msgspec.json.decode(arguments)[CUSTOM_ARGUMENT]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, RecursionError):
        return arguments
    return text if isinstance(text, str) else arguments


def custom_function(tool: Json) -> Json:
    """Return the function that a custom *tool* becomes, whose members stand beside its type, with its grammar in the
    description."""
    described = [tool.get("description") or ""]
    form = tool.get("format")
    form = form if isinstance(form, dict) else {}
    grammar = form["grammar"] if isinstance(form.get("grammar"), dict) else form
    if form.get("type") == "grammar" and isinstance(grammar.get("definition"), str):
        described.append(f"The text must obey this grammar ({grammar.get('syntax') or 'lark'}):\n{grammar['definition']}")
    argument = {"type": "string", "description": "The complete text that the tool is called with."}
    parameters = {
        "type": "object",
        "properties": {CUSTOM_ARGUMENT: argument},
        "required": [CUSTOM_ARGUMENT],
        "additionalProperties": False,
    }
    return {"name": tool.get("name"), "description": "\n\n".join(filter(None, described)), "parameters": parameters}
