"""Forms of a request for what single vendors refuse: OpenAI, whose models may think unless they are not to, and take tools over
chat completions only then, and Mistral, whose templates want roles in one order and ids of calls of one length."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..late import late_pattern
from .conversation_forms import assistant_between, nine_letter_ids, user_after_tool

Json = dict[str, Any]

#: What OpenAI says of tools where something may be thought.
EFFORT_NONE: Final = late_pattern(r"reasoning_effort[^\n]{0,160}['\"]none['\"]", re.IGNORECASE)

_NINE: Final = late_pattern(r"call id was \S+ but must be[^\n]{0,40} length of 9", re.IGNORECASE)
_USER_AFTER_TOOL: Final = late_pattern(r"role ['\"`]?user['\"`]? after role ['\"`]?tool", re.IGNORECASE)


class VendorForm(msgspec.Struct, frozen=True):
    """One of them, as an `Adaptation` is."""

    name: str
    is_wanted: Callable[[Json, str], bool]
    apply: Callable[[Json], None]

    def asked(self, body: Json, said: str, param: str | None) -> VendorForm | None:
        """See `Adaptation.asked`."""
        return self if self.is_wanted(body, said) else None

    def named(self, name: str) -> VendorForm | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None


def _think_not(body: Json) -> None:
    """Say that nothing is to be thought where tools are offered, unless the caller said how much."""
    if body.get("tools"):
        body.setdefault("reasoning_effort", "none")


FORMS: Final = (
    VendorForm(
        "no_effort_with_tools",
        lambda body, said: bool(body.get("tools")) and "reasoning_effort" not in body and bool(EFFORT_NONE.search(said)),
        _think_not,
    ),
    VendorForm("nine_letter_call_ids", lambda body, said: bool(_NINE.search(said)), nine_letter_ids),
    VendorForm(
        "assistant_after_tool",
        lambda body, said: bool(_USER_AFTER_TOOL.search(said)) and bool(user_after_tool(body)),
        assistant_between,
    ),
)
