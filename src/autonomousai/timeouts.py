"""The clocks of an upstream. Apart from `config`, of which no client needs more, and whose import costs much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

# The upper bound keeps out `inf`, which is valid TOML and no time that a timer could be set to.
Clock: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]


#: Seconds of silence before the first token. The embedded engine reads long prompts at this machine's speed, beside others.
FIRST_TOKEN: Final = 20
ENGINE_FIRST_TOKEN: Final = 120

#: The same where no other upstream can be asked: as long as the whole answer may take.
_LAST: Final = 600


class Clocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds that an upstream may take: to connect, to the first token, between two events, and for the complete answer.

    ``first_token_alive``: to the first token, as long as comments come, each of which winds ``first_token`` up; and from one
    event to the next, as long as pings come.
    ``first_token_last``: in place of ``first_token``, where no other upstream can be asked; see `patient`.
    """

    connect: Clock = 5
    first_token: Clock = FIRST_TOKEN
    idle: Clock = 15
    total: Clock = 600
    first_token_alive: Clock = 60
    first_token_last: Clock = _LAST

    def patient(self) -> Clocks:
        """Return the clocks for an upstream after which no other can be asked: to give it up would not help, so that
        it is waited for, unless ``first_token`` was set."""
        last = self.first_token_last
        if last == _LAST and self.first_token not in (FIRST_TOKEN, ENGINE_FIRST_TOKEN):
            last = self.first_token
        return msgspec.structs.replace(self, first_token=max(last, self.first_token))

    @staticmethod
    def with_last(named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the clocks of *named*, which were set on purpose: a ``first_token`` means the last upstream too."""
        return {"first_token_last": named["first_token"], **named} if "first_token" in named else dict(named)
