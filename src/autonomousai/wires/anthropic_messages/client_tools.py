"""Tools that the caller runs and the Messages API knows by their types (Anthropic API reference, "Tool use": the bash tool, the
text editor, memory), which have no schema in a request. A table of what they take, for upstreams that know functions alone;
their calls need no translation, for they are ``tool_use`` with these arguments.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_TEXT: Final = {"type": "string"}
_LINE: Final = {"type": "integer"}


def _commands(names: tuple[str, ...], **more: Json) -> Json:
    properties: Json = {
        "command": {"type": "string", "enum": list(names)},
        **dict.fromkeys(("path", "file_text", "old_str", "new_str", "insert_text"), _TEXT),
        "insert_line": {**_LINE, "description": "The line after which the text is inserted; 0: at the beginning."},
        "view_range": {"type": "array", "items": _LINE, "description": "The first line and the last one; -1: the end."},
        **more,
    }
    return {"type": "object", "properties": properties, "required": ["command", *(() if more else ("path",))]}


_EDITS: Final = (
    "`view` with `view_range`, `create` with `file_text`, `str_replace` with `old_str` and `new_str`, `insert` with "
    "`insert_line` and the text in `insert_text`"
)
_EDITING: Final = ("view", "create", "str_replace", "insert")

#: By the beginning of the type, which a date follows: what the tool does, and the schema of its arguments.
_TOOLS: Final[dict[str, tuple[str, Json]]] = {
    "bash_": (
        "Runs a command in a bash session that keeps its state; `restart` begins a new one.",
        {"type": "object", "properties": {"command": _TEXT, "restart": {"type": "boolean"}}},
    ),
    "text_editor_": (f"Views, creates and edits text files: {_EDITS}.", _commands(_EDITING)),
    "memory_": (
        f"Keeps notes in files under /memories: {_EDITS}, `delete`, and `rename` with `old_path` and `new_path`.",
        _commands((*_EDITING, "delete", "rename"), old_path=_TEXT, new_path=_TEXT),
    ),
}


def client_function(tool: Json) -> Json | None:
    """Return the name, the description and the parameters of a typed tool that the caller runs; None for any other."""
    name = tool.get("name")
    row = next((row for beginning, row in _TOOLS.items() if tool["type"].startswith(beginning)), None)
    if row is None or not isinstance(name, str) or not name:
        return None
    return {"name": name, "description": row[0], "parameters": row[1]}
