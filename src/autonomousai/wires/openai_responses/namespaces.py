"""Namespaces (OpenAI API reference, "Create a model response", tools of the type ``namespace``): functions that belong
together, such as those of one MCP server, as functions of their own, which is all that other APIs know.

A function is offered under the namespace and its name, in one; a call of it is written back with both, by which clients find
what to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from ..tool_names import own_names, short_name, shortened
from .client_tools import ClientTool, client_tool

#: What stands between a namespace and a name; some namespaces end with it.
_BETWEEN: Final = "__"

#: Types of tools that a namespace may hold and a call can name.
_CALLED: Final = ("function", "custom")


class ToolNames(msgspec.Struct, frozen=True):
    """What a call of a tool is written back as. ``custom``: names of tools that take free text. ``namespaces``: by the name
    that a function was offered under, its namespace, if it has one, and its own name. ``clients``: by name, tools that the
    caller runs and that are no functions."""

    custom: frozenset[str] = frozenset()
    namespaces: Mapping[str, tuple[str | None, str]] = {}
    clients: Mapping[str, ClientTool] = {}

    def written(self, name: str) -> dict[str, str]:
        """Return the members of a call that say which tool it calls."""
        namespace, own = self.namespaces.get(name, (None, name))
        return {"name": own} if namespace is None else {"name": own, "namespace": namespace}


NO_NAMES: Final = ToolNames()


def offered_name(name: Any, namespace: Any) -> Any:
    """Return the name that a function of a *namespace* is offered under; without one, its own *name*."""
    if not isinstance(namespace, str) or not namespace or not isinstance(name, str):
        return name
    return short_name(f"{namespace.removesuffix(_BETWEEN)}{_BETWEEN}{name}")


def offered_tools(tools: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], tuple[str, str] | None]]:
    """Return *tools* with those of namespaces in the place of these, each under the name that it is offered under, and with its
    namespace and its own name; where that name is another tool's, it gets one that is not. A tool that the caller runs is a
    function, unless one has its name. Of several under one name the first is offered: no call could say which one it means."""
    offered: set[str] = set()
    for tool, called in _named_apart(list(tools)):
        name = tool.get("name") if tool["type"] in _CALLED else None
        if name not in offered:
            yield tool, called
        if isinstance(name, str):
            offered.add(name)


def _named_apart(tools: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], tuple[str, str] | None]]:
    taken = _own_names(tools)
    clients = _clients(tools)
    taken |= clients.keys()
    for tool in tools:
        if tool["type"] in clients and client_tool(tool) is not None:
            yield {"type": "function", **clients[tool["type"]].function(tool)}, None
            continue
        if tool["type"] != "namespace":
            yield tool, None
            continue
        space = name if isinstance(name := tool.get("name"), str) else ""
        for inner in _called(tool):
            own = inner["name"]
            name = offered_name(own, space)
            if space and name in taken:
                name = shortened(name, f"{space}\0{own}")
            taken.add(name)
            yield {**inner, "name": name}, (space, own) if space else None


def _own_names(tools: Iterable[dict[str, Any]]) -> set[str]:
    return {name for tool in tools if tool["type"] != "namespace" and isinstance(name := tool.get("name"), str)}


def _clients(tools: list[dict[str, Any]]) -> dict[str, ClientTool]:
    """Return the tools that the caller runs, by the names that they are offered under."""
    taken = _own_names(tools)
    rows = (client_tool(tool) for tool in tools)
    return {row.type: row for row in rows if row is not None and row.type not in taken}


def names_of(tools: Iterable[dict[str, Any]]) -> ToolNames:
    """Return how calls of *tools*, those of a request, are written back."""
    tools = list(tools)
    flat = list(offered_tools(tools))
    inner = [called for _, called in flat if called is not None]
    # Models leave the namespace out; that is understood where only one tool can be meant.
    bare = Counter(name for tool in tools if isinstance(name := tool.get("name"), str))
    bare.update(own for _, own in inner)
    namespaces = {own: (space, own) for space, own in inner if bare[own] == 1}
    namespaces |= {tool["name"]: called for tool, called in flat if called is not None}
    custom = frozenset(
        short for tool, _ in flat if tool["type"] == "custom" for short in (tool["name"], short_name(tool["name"]))
    )
    named = [tool["name"] for tool, called in flat if called is None and tool["type"] in _CALLED]
    changed: dict[str, tuple[str | None, str]] = {short: (None, own) for short, own in own_names(named).items()}
    return ToolNames(custom, {**changed, **namespaces}, _clients(tools))


def _called(namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tools of a namespace that a call can name."""
    inner = namespace.get("tools")
    return [tool for tool in inner if _can_be_called(tool)] if isinstance(inner, list) else []


def _can_be_called(tool: Any) -> bool:
    if not isinstance(tool, dict) or tool.get("type") not in _CALLED:
        return False
    return isinstance(tool.get("name"), str) and bool(tool["name"])
