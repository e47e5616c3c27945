"""Names of tools that are longer than OpenAI's APIs take them: other APIs take longer ones, and MCP servers have them."""

from __future__ import annotations

import hashlib
from typing import Final

#: Characters of the longest name of a function that OpenAI's chat completions take.
LONGEST: Final = 64


def shortened(name: str, meant: str) -> str:
    """Return a name that begins as *name* does, and is of what is *meant* alone."""
    return f"{name[: LONGEST - 9]}_{hashlib.sha256(meant.encode()).hexdigest()[:8]}"


def short_name(name: str) -> str:
    """Return a name that every API takes, the same for the same *name*; *name* itself, where it is one.

    Example::

        assert short_name("read_file") == "read_file"
        assert len(short_name("x" * 100)) == 64
    """
    return name if len(name) <= LONGEST else shortened(name, name)
