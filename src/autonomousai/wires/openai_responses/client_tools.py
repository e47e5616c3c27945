"""Tools that the caller runs and the Responses API knows by their types (OpenAI API reference, "Create a model response", tools
of the types ``local_shell``, ``shell``, ``apply_patch`` and ``tool_search``), as functions of the same names. A table: what the
function takes, and how its calls and their outputs are written and read.

One that the vendor runs itself, in a container or by a search of its own, is none of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

Json = dict[str, Any]

_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_MILLISECONDS: Final = {"type": "integer", "description": "How long it may run, in milliseconds."}


class ClientTool(msgspec.Struct, frozen=True):
    """A row. ``parameters``: the schema of the function's arguments. ``call``: the members of an item that says the call, made
    of the arguments; ``arguments``: the way back. ``output``: what the item with its output says, as text."""

    type: str
    description: str
    parameters: Json
    call: Callable[[Json], Json]
    arguments: Callable[[Json], Json]
    output: Callable[[Json], str]

    @property
    def call_type(self) -> str:
        return f"{self.type}_call"

    @property
    def output_type(self) -> str:
        return "tool_search_output" if self.type == "tool_search" else f"{self.type}_call_output"

    def function(self, tool: Json) -> Json:
        """Return the function that *tool* becomes; what it says of itself counts."""
        parameters, description = tool.get("parameters"), tool.get("description")
        return {
            "name": self.type,
            "description": description if isinstance(description, str) and description else self.description,
            "parameters": parameters if isinstance(parameters, dict) else self.parameters,
        }


def _object(properties: Json, *needed: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(needed), "additionalProperties": False}


def _known(arguments: Json, *names: str) -> Json:
    return {name: arguments[name] for name in names if arguments.get(name) is not None}


def _texts(value: Any) -> list[str]:
    """Return a list of texts; models write one text where they mean a list of one."""
    return [str(each) for each in value] if isinstance(value, list) else [value] if isinstance(value, str) else []


def _action(item: Json) -> Json:
    return action if isinstance(action := item.get("action"), dict) else {}


def _said(item: Json) -> str:
    output = item.get("output")
    return output if isinstance(output, str) else "" if output is None else msgspec.json.encode(output).decode()


def _patch_output(item: Json) -> str:
    return _said(item) or str(item.get("status") or "")


def _operation(item: Json) -> Json:
    return operation if isinstance(operation := item.get("operation"), dict) else {}


def _search_call(arguments: Json) -> Json:
    return {"execution": "client", "arguments": arguments}


def _searched(item: Json) -> Json:
    return arguments if isinstance(arguments := item.get("arguments"), dict) else {}


def _found(item: Json) -> str:
    names = [tool["name"] for tool in item.get("tools") or () if isinstance(tool.get("name"), str)]
    return f"Tools found: {', '.join(names)}" if names else "No tools found."


_SHELL_OPTIONS: Final = ("timeout_ms", "max_output_length")
_LOCAL_OPTIONS: Final = ("timeout_ms", "working_directory", "user")

CLIENT_TOOLS: Final = {
    row.type: row
    for row in (
        ClientTool(
            "local_shell",
            "Runs a command on the user's machine, and returns what it prints.",
            _object(
                {
                    "command": _TEXTS,
                    "working_directory": {"type": "string"},
                    "timeout_ms": _MILLISECONDS,
                    "env": {"type": "object"},
                },
                "command",
            ),
            lambda said: {
                "action": {
                    "type": "exec",
                    "command": _texts(said.get("command")),
                    "env": said["env"] if isinstance(said.get("env"), dict) else {},
                    **_known(said, *_LOCAL_OPTIONS),
                }
            },
            lambda item: _known(_action(item), "command", "env", *_LOCAL_OPTIONS),
            _said,
        ),
        ClientTool(
            "shell",
            "Runs commands in a shell on the user's machine, side by side, and returns what they print.",
            _object({"commands": _TEXTS, "timeout_ms": _MILLISECONDS, "max_output_length": {"type": "integer"}}, "commands"),
            lambda said: {
                "action": {"commands": _texts(said.get("commands")), **{name: said.get(name) for name in _SHELL_OPTIONS}}
            },
            lambda item: _known(_action(item), "commands", *_SHELL_OPTIONS),
            _said,
        ),
        ClientTool(
            "apply_patch",
            "Creates, updates or deletes one of the user's files. The diff has the V4A format; a deletion has none.",
            _object(
                {
                    "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
                    "path": {"type": "string"},
                    "diff": {"type": "string"},
                },
                "type",
                "path",
            ),
            lambda said: {"operation": _known(said, "type", "path", "diff")},
            lambda item: _known(_operation(item), "type", "path", "diff"),
            _patch_output,
        ),
        ClientTool(
            "tool_search",
            "Searches for further tools, which can be called afterwards.",
            _object({"query": {"type": "string"}, "limit": {"type": "integer"}}, "query"),
            _search_call,
            _searched,
            _found,
        ),
    )
}

#: By the types of the items that say a call, and its output.
CALLS: Final = {row.call_type: row for row in CLIENT_TOOLS.values()}
OUTPUTS: Final = {row.output_type: row for row in CLIENT_TOOLS.values()}

#: Types of items that bring tools.
BRINGING_TOOLS: Final = ("additional_tools", "tool_search_output")


def client_tool(tool: Json) -> ClientTool | None:
    """Return the row of a tool that the caller runs, None for any other."""
    row = CLIENT_TOOLS.get(tool["type"])
    if row is None or (row.type == "tool_search" and tool.get("execution") != "client"):
        return None
    environment = tool.get("environment")
    is_elsewhere = isinstance(environment, dict) and environment.get("type") not in (None, "local")
    return None if is_elsewhere else row


def client_call(row: ClientTool, arguments: str) -> Json:
    """Return the members by which an item says a call with these *arguments*, which may not be complete."""
    try:
        said = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        said = None
    return row.call(said if isinstance(said, dict) else {})
