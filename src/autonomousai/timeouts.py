"""The clocks of an upstream. Apart from `config`, of which no client needs more, and whose import costs much."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

# The upper bound keeps out `inf`, which is valid TOML and no time that a timer could be set to.
Clock: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]


class Clocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds that an upstream may take: to connect, to the first token, between two events, and for the whole answer."""

    connect: Clock = 5
    first_token: Clock = 20
    idle: Clock = 15
    total: Clock = 600


#: The embedded engine reads long prompts at the speed of this machine, beside others.
ENGINE_FIRST_TOKEN: Final = 120
