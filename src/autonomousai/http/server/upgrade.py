"""Wishes for another protocol, taken from what comes before the parser reads it. Knows the ends of heads, and no more of HTTP.

We speak no other protocol, and may ignore the wish; but the parser ends a request where it finds one, its body would be lost
(curl --http2 and others send ``Upgrade: h2c``). So the header gets another name. A body must never be touched: two bytes more,
and its end would be read as the next request.
"""

from __future__ import annotations

import re
from typing import Final

_WISH = re.compile(rb"(\r?\n)upgrade(?=[ \t]*:)", re.IGNORECASE)

#: A line at the end of what has come that may become such a wish.
_WISH_BEGUN = re.compile(rb"\r?\n(?:u(?:p(?:g(?:r(?:a(?:de?)?)?)?)?)?)?\Z", re.IGNORECASE)
_LONGEST_BEGINNING: Final = len(b"\r\nupgrade")

_END: Final = b"\r\n\r\n"


class WithoutUpgrade:
    """The heads of one connection, in the pieces that they come in."""

    __slots__ = ("_held", "_seen")

    def __init__(self) -> None:
        self._held = b""  # the last of what has come, while it may begin a wish
        self._seen = b""  # the last bytes that the parser got of a head that is not whole yet: its end may have begun in them

    def read(self, data: bytes) -> bytes:
        """What the parser is to get, where no body is being read. Only up to the first head's end is it known to be no body."""
        if not (self._held or self._seen) and (end := data.find(_END)) >= 0 and data[:end].lower().find(b"pgrade") < 0:
            return data  # as usual
        if self._held:
            data, self._held = self._held + data, b""
        end = (self._seen + data).find(_END)
        if end >= 0:
            end = max(0, end - len(self._seen))
            self._seen = b""
            return _rename(data[:end]) + data[end:]
        if begun := _WISH_BEGUN.search(data, max(0, len(data) - _LONGEST_BEGINNING)):
            data, self._held = data[: begun.start()], data[begun.start() :]
        return _rename(data)

    def break_off(self, data: bytes) -> None:
        """The parser has got *data*, and is in the midst of a head, or before one."""
        self._seen = (self._seen + data[-len(_END) + 1 :])[-len(_END) + 1 :]


def _rename(head: bytes) -> bytes:
    return _WISH.sub(rb"\1x-upgrade", head) if b"pgrade" in head.lower() else head
