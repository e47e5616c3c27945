"""Tools for the embedded engine: which functions a request offers, and which of them may or must be called. Tables and bounds;
knows no engine and no template.

What is refused here would be ignored further in, or take the engine down: so it is a 400 that names the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ..wires.fields import UNSUPPORTED
from ..wires.shapes import refusal, shown
from .tool_schema import tool_schema

#: As many as OpenAI takes; and bytes of JSON of all of them.
MAX_TOOLS: Final = 128
MAX_SIZE: Final = 512 * 1024

_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

#: The fields that say something of tools.
TOOL_FIELDS: Final = ("tools", "tool_choice", "parallel_tool_calls")

#: Their older forms.
_OLDER_FIELDS: Final = ("functions", "function_call")


class Tool(NamedTuple):
    """One function. ``shown``: as the chat template gets it; ``schema``: what the engine holds the arguments to."""

    name: str
    shown: dict[str, Any]
    schema: dict[str, Any]


class ToolPlan(NamedTuple):
    """What a request wants of tools. ``tools``: all that the model is shown; ``allowed``: those that it may call, the only ones
    that the answer is held to; ``mode``: whether it must; ``is_parallel``: whether it may call several."""

    tools: tuple[Tool, ...]
    allowed: tuple[Tool, ...]
    mode: Literal["auto", "required"]
    is_parallel: bool

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Return the tools as the chat template gets them."""
        return [tool.shown for tool in self.tools]


def take_tools(fields: dict[str, Any]) -> ToolPlan | None:
    """Take out of *fields* all that is said of tools; None where none is to be called. Raises `StatusError` 400 that names the
    place.

    Example::

        fields = {"tools": [{"type": "function", "function": {"name": "now"}}], "seed": 1}
        plan = take_tools(fields)
        assert plan is not None
        assert ["now"] == [tool.name for tool in plan.allowed]
        assert {"seed": 1} == fields
    """
    offered, choice, is_parallel = (fields.pop(name, None) for name in TOOL_FIELDS)
    functions, function_call = (fields.pop(name, None) for name in _OLDER_FIELDS)
    if functions and not offered:
        return _older_plan(functions, function_call)
    if not offered:
        for name, said in (("tool_choice", choice), ("function_call", function_call)):
            if said not in (None, "none", "auto"):
                raise refusal(name, "asks for a call, and there are no tools; send tools as well")
        return None
    _check_size("tools", offered)
    tools = tuple(_tool(f"tools[{place}]", tool) for place, tool in enumerate(offered))
    if choice == "none":
        return None
    mode, names = _chosen(choice)
    is_named = isinstance(choice, Mapping) and choice["type"] == "function"
    return ToolPlan(tools, _allowed_of(tools, names, "tool_choice"), mode, is_parallel is not False and not is_named)


def _older_plan(functions: list[Any], choice: Any) -> ToolPlan | None:
    """Return what a request in the older form wants, in whose answer there is room for one call."""
    _check_size("functions", functions)
    tools = tuple(_function(f"functions[{place}]", function) for place, function in enumerate(functions))
    if choice == "none":
        return None
    if choice in (None, "auto"):
        return ToolPlan(tools, _allowed_of(tools, None, "function_call"), "auto", False)
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str):
        raise refusal("function_call", f"must be none, auto, or an object with the name of a function, not {shown(choice)}")
    return ToolPlan(tools, _allowed_of(tools, [choice["name"]], "function_call"), "required", False)


def _check_size(param: str, offered: list[Any]) -> None:
    if len(offered) > MAX_TOOLS:
        raise refusal(param, f"holds {len(offered)} tools; at most {MAX_TOOLS} are accepted")
    if (size := len(msgspec.json.encode(offered))) > MAX_SIZE:
        raise refusal(param, f"is {size} bytes of JSON; at most {MAX_SIZE} are accepted")


def _allowed_of(tools: tuple[Tool, ...], names: list[str] | None, param: str) -> tuple[Tool, ...]:
    """Return those of *tools* that *names* name; all where there are none. Raises `StatusError` 400 that names *param*."""
    known = {tool.name: tool for tool in tools}
    for name in names or ():
        if name not in known:
            raise refusal(param, f"names {shown(name)}, which is none of the tools: {', '.join(known)[:200]}")
    return tuple(known.values() if names is None else (known[name] for name in dict.fromkeys(names)))


def _tool(place: str, tool: Mapping[str, Any]) -> Tool:
    if (kind := tool.get("type", "function")) != "function":
        problem = f"must be function: the embedded engine has no tools of the type {shown(kind)}"
        raise refusal(f"{place}.type", problem, UNSUPPORTED)
    return _function(f"{place}.function", tool.get("function") or {})


def _function(place: str, function: Any) -> Tool:
    if not isinstance(function, Mapping):
        raise refusal(place, f"must be an object, not {shown(function)}", "invalid_type")
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = "must be 1 to 128 letters, digits, or any of _ . : -"
        raise refusal(f"{place}.name", problem)
    parameters = function.get("parameters")
    is_strict = function.get("strict") is True
    schema = tool_schema(parameters, f"{place}.parameters", is_strict=is_strict)
    described = {key: function[key] for key in ("name", "description") if function.get(key) is not None}
    return Tool(name, {"type": "function", "function": {**described, "parameters": parameters or _NOTHING}}, schema)


_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}


def _chosen(choice: Any) -> tuple[Literal["auto", "required"], list[str] | None]:
    """Return whether a tool must be called, and the names of those that may be; None for all."""
    if choice in (None, "auto"):
        return "auto", None
    if choice in ("required", "any"):  # "any": Mistral's word
        return "required", None
    if isinstance(choice, Mapping):
        if choice.get("type") == "function":
            return "required", [_name_of(choice)]
        if choice.get("type") == "allowed_tools":
            return _allowed(choice.get("allowed_tools") or choice)
    problem = "must be none, auto, required, or an object of the type function or allowed_tools"
    raise refusal("tool_choice", f"{problem}, not {shown(choice)}")


def _allowed(choice: Mapping[str, Any]) -> tuple[Literal["auto", "required"], list[str]]:
    """Return what a choice of the type ``allowed_tools`` says."""
    told, tools = choice.get("mode") or "auto", choice.get("tools")
    if told not in ("auto", "required"):
        raise refusal("tool_choice.allowed_tools.mode", f"must be auto or required, not {shown(told)}")
    mode: Literal["auto", "required"] = "required" if told == "required" else "auto"
    if not isinstance(tools, list) or not tools:
        raise refusal("tool_choice.allowed_tools.tools", "must be a list of tools that is not empty")
    return mode, [_name_of(tool) for tool in tools]


def _name_of(tool: Any) -> str:
    """Return the name in a choice among tools; one that is no text is none of the tools."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    named = function if isinstance(function, Mapping) else tool
    return str(named.get("name")) if isinstance(named, Mapping) else str(tool)
