"""Patterns and decoders that are made when they are first used. Most are for what is rare, refusals and odd answers, and to
make all of them would take a third of the time in which a client is imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, AnyStr, TypeVar, cast

import msgspec

T = TypeVar("T")


class _Late:
    """What stands for an object that is not made yet. Its attributes become the object's own, each when it is first read."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        made = self._make()
        self._make = lambda: made
        found = getattr(made, name)
        setattr(self, name, found)
        return found


def late_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return the pattern that `re.compile` makes of *text*, made when it is first used. A mistake in it raises only then.

    Example::

        digits = late_pattern("[0-9]+")
        assert digits.findall("10 of 20") == ["10", "20"]
    """
    return cast("re.Pattern[AnyStr]", _Late(lambda: re.compile(text, flags)))


def late_decoder(type: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of *type*, made when it is first used: that takes longer than to make the class.

    Example::

        assert late_decoder(dict[str, int]).decode(b'{"a":1}') == {"a": 1}
    """
    return cast("msgspec.json.Decoder[T]", _Late(lambda: msgspec.json.Decoder(type)))
