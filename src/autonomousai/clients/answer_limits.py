"""How long an answer may be, where a model refuses what a request says of it: the bound that the refusal names takes its place.

A caller's limit is meant for the model that it had in mind. A gateway may ask another one, which writes less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..late import late_pattern

Json = dict[str, Any]

#: The fields that say how long an answer may be, in the APIs that there are.
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")

_OF_LIMIT: Final = late_pattern(
    r"max[_ ]?(?:completion|output)?[_ ]?tokens|maximum tokens|(?:completion|output) tokens|generated tokens", re.IGNORECASE
)

#: What servers say of a limit that is too large for a prompt: not that it has another name.
TOO_LARGE: Final = late_pattern(r"too (?:large|high|big)|above maximum|exceed", re.IGNORECASE)

#: What is said of the room that a prompt leaves: a bound of this request, which must not be remembered for others.
_OF_PROMPT: Final = late_pattern(r"\bprompts?\b|\binputs?[`'\"_ ]*(?:tokens?|length)", re.IGNORECASE)

#: The greatest length, in the words of some ten vendors. A number of more digits is none.
_AT_MOST: Final = late_pattern(
    r"supports? at most (\d{1,9})(?!\d)"
    r"|\d+ > (\d{1,9})(?!\d), which is the maximum"
    r"|range[^\[\]]{0,60}\[\s*\d+\s*,\s*(\d{1,9})(?!\d)\s*\]"
    r"|(?:<=|less than or equal to|lower than or equal to|not exceed|(?:no|not) (?:more|greater|larger) than|at most"
    r"|(?:model|output)(?:'s)? (?:token )?limit (?:of|is)|maximum (?:allowed |supported )?(?:value |number )?(?:of|is|:))"
    r"[\s`'\"(]*(\d{1,9})(?!\d)",
    re.IGNORECASE,
)
_BELOW: Final = late_pattern(
    r"to (\d{1,9})(?!\d) ?\(exclusive\)|(?<!or equal to )(?:less|lower|smaller) than[\s`'\"]*(\d{1,9})(?!\d)", re.IGNORECASE
)

#: The least length that some APIs take.
_AT_LEAST: Final = late_pattern(
    r"(?:>=|at least|greater than or equal to|minimum (?:value )?(?:of|is))[\s`'\"]*(\d{1,9})(?!\d)", re.IGNORECASE
)
#: The most tokens that an answer is made longer to: more than a caller asked for.
_LEAST: Final = 64


def _number(pattern: re.Pattern[str], said: str) -> int | None:
    match = pattern.search(said)
    return None if match is None else next(int(group) for group in match.groups() if group is not None)


def greatest(said: str) -> int | None:
    """Return the greatest length of an answer that a refusal names, None where it names none.

    Example::

        assert greatest("max_tokens is too large: 9. This model supports at most 8 completion tokens") == 8
    """
    if (most := _number(_AT_MOST, said)) is not None:
        return most
    below = _number(_BELOW, said)
    return None if below is None else below - 1


def least(said: str) -> int | None:
    """Return the least length of an answer that a refusal names, None where it names none that is short."""
    said_least = _number(_AT_LEAST, said)
    return None if said_least is None or said_least > _LEAST else said_least


def _holder(body: Json) -> Json:
    """Return what of a request says how long its answer may be: in the Gemini API an object of its own."""
    config = body.get("generationConfig")
    return config if isinstance(config, dict) else body


def _said(body: Json) -> list[tuple[str, int]]:
    """Return what a request says of the length, by the names of the fields."""
    return [(name, length) for name in _LIMITS if type(length := _holder(body).get(name)) is int]


class LengthBound(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is: its answer's length within a bound, which is part of its name. ``find``:
    returns the bound that a refusal names; ``pick``: the length that counts, `min` or `max`."""

    name: str
    find: Callable[[str], int | None]
    pick: Callable[[int, int], int]
    bound: int = 0

    def asked(self, body: Json, said: str, param: str | None) -> LengthBound | None:
        """See `Adaptation.asked`."""
        if (param not in _LIMITS and not _OF_LIMIT.search(said)) or _OF_PROMPT.search(said):
            return None
        bound = self.find(said)
        if not bound or all(self.pick(length, bound) == length for _, length in _said(body)):
            return None
        return self._within(bound)

    def named(self, name: str) -> LengthBound | None:
        """See `Adaptation.named`."""
        prefix = f"{self.name} "
        return self._within(int(name.removeprefix(prefix))) if name.startswith(prefix) else None

    def _within(self, bound: int) -> LengthBound:
        return msgspec.structs.replace(self, name=f"{self.name} {bound}", bound=bound)

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`. What may be thought, of the Messages API, leaves room for an answer."""
        for name, length in _said(body):
            _holder(body)[name] = most = self.pick(length, self.bound)
            thinking = body.get("thinking")
            if isinstance(thinking, dict) and type(budget := thinking.get("budget_tokens")) is int and budget >= most:
                body["thinking"] = {**thinking, "budget_tokens": most // 2}


#: For models that write no more.
SHORTER_ANSWER: Final = LengthBound("max_tokens at most", greatest, min)

#: For APIs that are not asked for less.
LONGER_ANSWER: Final = LengthBound("max_tokens at least", least, max)
