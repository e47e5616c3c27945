"""Fields of requests without which a server answers the same: those of records that it keeps, and others that say what holds
anyway. Programs write out what their libraries know, and strict servers refuse what they do not know."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ..late import late_pattern

Json = dict[str, Any]

#: Those of records, whatever they say; and whether a model may make several calls, which models refuse that never do.
_ANY: Final = (
    *("store", "metadata", "user", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    *("client_metadata", "parallel_tool_calls"),
)

#: Values that ask for nothing, as null does.
_NOTHING: Final[dict[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "min_p", "top_logprobs"), (0,)),
    **dict.fromkeys(("n", "best_of", "top_p", "repetition_penalty"), (1,)),
    **dict.fromkeys(("logprobs", "echo", "background"), (False,)),
    **dict.fromkeys(("logit_bias", "stop", "tools"), ({}, [])),
    "top_k": (0, -1),
    "service_tier": ("auto", "default"),
    "truncation": ("auto", "disabled"),
    "include": ([], ["reasoning.encrypted_content"]),
    "text": ({"format": {"type": "text"}}, {}),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tool_choice": ("auto", "none"),
}

_UNKNOWN: Final = late_pattern(
    r"un(?:recognized|supported|known|expected)|not (?:supported|permitted|allowed|recognized|valid)"
    r"|extra (?:fields?|inputs?)|no such|cannot find field",
    re.IGNORECASE,
)
#: What is said of a value, and not of its field: another one would be taken.
_OF_VALUE: Final = late_pattern(r"\bvalues?\b|\bmust be\b|\bcharacters\b|\bmore than\b|\blonger\b|\baddress", re.IGNORECASE)


def is_needless(body: Json, name: str) -> bool:
    """Return whether a request has a field, and means the same without it.

    Example::

        assert is_needless({"n": 1}, "n") and not is_needless({"n": 2}, "n")
    """
    if name not in body or (name == "tool_choice" and body.get("tools")):
        return False
    return name in _ANY or body[name] is None or body[name] in _NOTHING[name]


class WithoutField(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is, without a field that is needless. The others stay: a server to which
    ``store`` is not said to be false may store what it is asked."""

    field: str

    @property
    def name(self) -> str:
        """See `Adaptation`."""
        return f"no_{self.field}"

    def asked(self, body: Json, said: str, param: str | None) -> WithoutField | None:
        """See `Adaptation.asked`."""
        before = r"(?:property|parameter|argument|field|name|key|param|supplied|body)"  # "user" is a role too
        named = re.compile(rf"""\b{before}\b[\s:,.'"`(\[\\]{{1,6}}{self.field}\b""", re.IGNORECASE)
        if not is_needless(body, self.field) or not _UNKNOWN.search(said) or _OF_VALUE.search(said):
            return None
        return self if param == self.field or named.search(said) else None

    def named(self, name: str) -> WithoutField | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        if is_needless(body, self.field):
            del body[self.field]


#: All of these forms, in the order in which they are looked for.
FORMS: Final = tuple(map(WithoutField, (*_ANY, *_NOTHING)))
