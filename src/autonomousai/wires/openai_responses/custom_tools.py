"""Custom tools, which take free text (OpenAI API reference, "Custom tools"), as functions of one text: upstreams know those."""

from __future__ import annotations

from typing import Final

import msgspec

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
