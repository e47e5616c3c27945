"""Names of tools that are longer than OpenAI's APIs take them, have other characters than those and Anthropic's, or begin with
another one than Google's: MCP servers have such names, and other servers take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..late import late_pattern

#: The member of `ChatRequest.echo` with the tools' own names by those under which others offer them.
NAMES: Final = "names"

#: The member of `ChatRequest.echo` with the names of custom tools.
CUSTOM: Final = "custom"

#: Characters of the longest name of a function that OpenAI's chat completions take.
LONGEST: Final = 64

_NOT_IN_NAMES: Final = late_pattern(r"[^a-zA-Z0-9_-]")

#: What a name begins with at Google.
_BEGINNING: Final = late_pattern(r"[a-zA-Z_]")


def shortened(name: str, meant: str) -> str:
    """Return a name that begins as *name* does, and is of what is *meant* alone."""
    from hashlib import sha256  # noqa: PLC0415  few names are longer, and it is slow to come

    return f"{name[: LONGEST - 9]}_{sha256(meant.encode()).hexdigest()[:8]}"


def short_name(name: str) -> str:
    """Return a name that every API takes, the same for the same *name*; *name* itself, where it is one.

    Example::

        assert short_name("read_file") == "read_file"
        assert len(short_name("x" * 100)) == 64
        assert short_name("files.read") == "files_read_601e4eb6"
    """
    clean = _NOT_IN_NAMES.sub("_", name)
    if clean and not _BEGINNING.match(clean):
        clean = f"_{clean}"
    return name if clean == name and len(name) <= LONGEST else shortened(clean, name)


def own_names(names: Iterable[Any]) -> dict[str, str]:
    """Return those of *names* that are offered under others, by these."""
    return {short: name for name in names if isinstance(name, str) and (short := short_name(name)) != name}


def asked_names(tools: Any) -> dict[str, Any]:
    """Return what the answer to a request of chat completions with these *tools* repeats of them; see `ChatRequest.echo`."""
    offered = [_offered(tool) for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    own = own_names(name for name, _ in offered)
    custom = [name for name, is_custom in offered if is_custom and isinstance(name, str)]
    return {**({NAMES: own} if own else {}), **({CUSTOM: custom} if custom else {})}


def _offered(tool: Mapping[str, Any]) -> tuple[Any, bool]:
    kind = tool.get("type", "function")
    inner = tool.get(kind) if kind in ("function", CUSTOM) else None
    return (inner.get("name") if isinstance(inner, Mapping) else None), kind == CUSTOM
