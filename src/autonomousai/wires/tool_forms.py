"""Tools, the choice of one and the form of an answer, as chat completions have them (``{"type": "function", "function": {…}}``)
and as the Responses API has them (the same, flat). Clients that speak both mix them up, and either can mean one thing alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Json = dict[str, Any]

#: Types of tools that both APIs have.
_BOTH: Final = ("function", "custom")

#: Members of a tool that are about the tool, wherever what it is stands.
_OUTSIDE: Final = ("type", "cache_control", "defer_loading")

#: The choice as the Messages API has it.
_CHOICES: Final = {"auto": "auto", "any": "required", "required": "required", "none": "none"}


#: What the arguments of a call are, for APIs that have an object in their place, where the model wrote no JSON object: an
#: object with what it wrote, by the name that Anthropic's guide gives to it. A tool's schema refuses it, and so the model
#: learns it.
_INVALID: Final = "INVALID_JSON"


def object_of_arguments(text: str) -> Any:
    """Return the object that a call's arguments are."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        value = text
    if isinstance(value, dict):
        return value
    return {} if value is None or not text.strip() else {_INVALID: text}


def nested_tool(tool: Json) -> Json:
    """Return a tool as chat completions have it; one of the Messages API is a function, and so is one that only lacks its type.
    Any other passes."""
    kind = tool.get("type")
    if not isinstance(tool.get("name"), str) or isinstance(tool.get(kind or "function"), dict):
        return tool
    outside: Json = {name: tool[name] for name in _OUTSIDE if name in tool}
    inside = {name: value for name, value in tool.items() if name not in outside}
    if isinstance(tool.get("input_schema"), dict) and kind in (None, "custom"):
        inside["parameters"] = inside.pop("input_schema")
        return {**outside, "type": "function", "function": inside}
    if kind is None and isinstance(tool.get("parameters"), dict):  # as `functions` are, the older form
        return {**outside, "type": "function", "function": inside}
    if kind == "custom" and isinstance(form := inside.get("format"), dict) and form.get("type") == "grammar":
        grammar = {name: value for name, value in form.items() if name != "type"}
        inside["format"] = form if "grammar" in form else {"type": "grammar", "grammar": grammar}
    return {**outside, kind: inside} if kind in _BOTH else tool


def flat_tool(tool: Json) -> Json:
    """Return a tool as the Responses API has it. One that it has nothing for passes."""
    kind = tool.get("type")
    inner = tool.get(kind) if kind in _BOTH else None
    if not isinstance(inner, dict) or tool.get("name") is not None:
        return tool
    flat = {**{name: value for name, value in tool.items() if name != kind}, **inner, "type": kind}
    if isinstance(form := flat.get("format"), dict) and isinstance(form.get("grammar"), dict):
        flat["format"] = {"type": "grammar", **form["grammar"]}
    return flat


def nested_choice(choice: Any) -> Any:
    """Return a choice as chat completions have it."""
    if not isinstance(choice, Mapping):
        return choice
    kind, name = choice.get("type"), choice.get("name")
    if kind in _CHOICES and len(choice) == 1:
        return _CHOICES[kind]
    if not isinstance(name, str):
        return choice
    if kind in _BOTH and choice.get(kind) is None:
        return {"type": kind, kind: {"name": name}}
    return {"type": "function", "function": {"name": name}} if kind == "tool" else choice


def bring_tools_into_form(fields: Json) -> None:
    """Bring the tools of a caller in Python, and the choice among them, into the form of chat completions, in place: a choice
    may be a tool's name, as LangChain takes it. What is malformed otherwise stays as it is."""
    tools = fields["tools"]
    if not isinstance(tools, list):
        return
    fields["tools"] = tools = [nested_tool(tool) if isinstance(tool, dict) else tool for tool in tools]
    choice = fields.get("tool_choice")
    if not isinstance(choice, str) or choice in _CHOICES:
        return
    for tool in tools:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in _BOTH and isinstance(inner := tool.get(kind), Mapping) and inner.get("name") == choice:
            fields["tool_choice"] = {"type": kind, kind: {"name": choice}}
            return


def flat_choice(choice: Any) -> Any:
    """Return a choice as the Responses API has it."""
    if not isinstance(choice, Mapping):
        return choice
    inner = choice.get(choice["type"]) if choice.get("type") in _BOTH else None
    if not isinstance(inner, Mapping) or choice.get("name") is not None:
        return choice
    return {"type": choice["type"], **inner}


def nested_format(form: Json) -> Json:
    """Return the form of an answer as chat completions have it. A schema that stands there without the name that the Responses
    API wants is of a server's own (llama-server, Together), and passes."""
    if form.get("type") != "json_schema" or form.get("json_schema") is not None or not isinstance(form.get("schema"), dict):
        return form
    if not isinstance(form.get("name"), str):
        return form
    return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name not in _SCHEMA_OUTSIDE}}


_SCHEMA_OUTSIDE: Final = ("type", "json_schema")


def flat_format(form: Json) -> Json:
    """Return the form of an answer as the Responses API has it."""
    inner = form.get("json_schema")
    if form.get("type") != "json_schema" or form.get("schema") is not None or not isinstance(inner, dict):
        return form
    return {"type": "json_schema", **inner}
