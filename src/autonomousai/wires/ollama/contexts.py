"""The ``context`` of ``/api/generate`` (Ollama API reference, "Generate a completion"): numbers that an answer ends with, and
by which the next request continues its conversation.

Ollama's are tokens. These are the conversation itself, so that nothing is kept of it here: its JSON, compressed, three bytes a
number, which every client's integers hold.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ..shapes import refusal

#: Bytes of a number, and of the longest conversation.
_WIDTH: Final = 3
_LONGEST: Final = 8 << 20

#: One message: its role, and what it says.
Said = tuple[str, str]


def context_of(said: Iterable[Said]) -> list[int]:
    """Return the context that stands for a conversation. The first number is the length of the bytes that follow.

    Example::

        assert messages_of(context_of([("user", "Hello")])) == [("user", "Hello")]
    """
    data = zlib.compress(msgspec.json.encode(list(said)))
    numbers = [int.from_bytes(data[place : place + _WIDTH].ljust(_WIDTH, b"\0")) for place in range(0, len(data), _WIDTH)]
    return [len(data), *numbers]


def messages_of(context: list[float]) -> list[Said]:
    """Return the conversation that *context* stands for. Raises `StatusError` 400 for one of another server."""
    try:
        size, *numbers = map(int, context)  # 5.0 is a whole number of JSON
        data = b"".join([number.to_bytes(_WIDTH) for number in numbers])[:size]
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, _LONGEST)
        if unpacker.eof:
            return msgspec.json.decode(text, type=list[Said])
    except (OverflowError, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise _foreign()


def _foreign() -> Any:
    problem = "is of no answer of this server; leave it out, or send the conversation to /api/chat"
    return refusal("context", problem, "unsupported_parameter")
