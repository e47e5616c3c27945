"""Names of tools that are longer than OpenAI's APIs take them, or have other characters than those and Anthropic's: MCP servers
have such names, and other servers take them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from ..late import late_pattern

#: The member of `ChatRequest.echo` with the tools' own names by those under which others offer them.
NAMES: Final = "names"

#: Characters of the longest name of a function that OpenAI's chat completions take.
LONGEST: Final = 64

_NOT_IN_NAMES: Final = late_pattern(r"[^a-zA-Z0-9_-]")


def shortened(name: str, meant: str) -> str:
    """Return a name that begins as *name* does, and is of what is *meant* alone."""
    return f"{name[: LONGEST - 9]}_{hashlib.sha256(meant.encode()).hexdigest()[:8]}"


def short_name(name: str) -> str:
    """Return a name that every API takes, the same for the same *name*; *name* itself, where it is one.

    Example::

        assert short_name("read_file") == "read_file"
        assert len(short_name("x" * 100)) == 64
        assert short_name("files.read") == "files_read_601e4eb6"
    """
    clean = _NOT_IN_NAMES.sub("_", name)
    return name if clean == name and len(name) <= LONGEST else shortened(clean, name)


def own_names(names: Iterable[Any]) -> dict[str, str]:
    """Return those of *names* that are offered under others, by these."""
    return {short: name for name in names if isinstance(name, str) and (short := short_name(name)) != name}
