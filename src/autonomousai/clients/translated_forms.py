"""Other forms of a request that its caller wrote in another API: a table. What a model does not take of such a request, its
caller may not even have said, or cannot know of a model behind a gateway. What a caller said in the server's own API is
refused."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from ..late import late_pattern
from .adaptations import ADAPTATIONS, NO_SEARCH, Adaptation, Form, Json, without
from .answer_limits import LONGER_ANSWER
from .learnt_forms import Adaptations

#: Fields without which an answer is still one to the same question, and that models refuse that think, or cannot.
_FIELDS: Final = (
    *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "seed"),
    *("parallel_tool_calls", "verbosity", "service_tier"),
)
_REFUSED: Final = late_pattern(
    r"un(?:recognized|supported|known|expected)|(?:not|n't) (?:\w+ )?(?:support|permit|allow|recogni|accept|avail|enabl)"
    r"|extra (?:fields?|inputs?)|no such|cannot find field|only the default",
    re.IGNORECASE,
)
_EFFORT: Final = late_pattern(r"reasoning[._ ]?effort|\breasoning\.effort\b", re.IGNORECASE)
#: What is said where a model that thinks cannot be held to a call.
_NO_CHOICE: Final = late_pattern(
    r"tool_choice[^\n]{0,120}(?:not|n't) (?:\w+ )?(?:support|compat|allow|permit)"
    r"|(?:not|n't) (?:\w+ )?support[^\n]{0,60}tool_choice"
    r"|tool_choice[^\n]{0,60}(?:incompatible|unsupported)|unsupported[^\n]{0,40}tool_choice",
    re.IGNORECASE,
)
_ENCRYPTED: Final = late_pattern(r"encrypted.?content", re.IGNORECASE)
_NO_THOUGHT: Final = late_pattern(
    r"(?:not|n't) (?:\w+ )?(?:support|enabl)\w*[^.\n]{0,30}\b(?:thinking|reasoning)\b"
    r"|\b(?:thinking|reasoning) (?:\w+ ){0,2}(?:not|n't) (?:\w+ )?(?:support|enabl|avail)",
    re.IGNORECASE,
)


def _is_refused(said: str) -> bool:
    return bool(_REFUSED.search(said))


def _reasoning(body: Json) -> dict[str, Any]:
    reasoning = body.get("reasoning")
    return reasoning if isinstance(reasoning, dict) else {}


def _refuses_effort(body: Json, said: str, param: str | None) -> bool:
    if "reasoning_effort" not in body and "effort" not in _reasoning(body):
        return False
    return bool(_EFFORT.search(f"{said} {param or ''}") or _NO_THOUGHT.search(said))


def _leave_out_effort(body: Json) -> None:
    body.pop("reasoning_effort", None)
    rest = {name: value for name, value in _reasoning(body).items() if name != "effort"}
    if rest:
        body["reasoning"] = rest
    else:
        body.pop("reasoning", None)


def _refuses_choice(body: Json, said: str, param: str | None) -> bool:
    return body.get("tool_choice") not in (None, "auto", "none") and bool(_NO_CHOICE.search(said))


def _choose_freely(body: Json) -> None:
    """Leave it to the model whether it calls, and what."""
    if body.get("tool_choice") not in (None, "none"):
        body["tool_choice"] = "auto"


def _think_not_with_tools(body: Json) -> None:
    if body.get("tools"):
        body["reasoning_effort"] = "none"


def _refuses_effort_with_tools(body: Json, said: str, param: str | None) -> bool:
    """Models of OpenAI's think by themselves, and take tools over chat completions where they are not to."""
    from .vendor_refusals import EFFORT_NONE  # noqa: PLC0415  one vendor refuses so

    return bool(body.get("tools")) and body.get("reasoning_effort", "") != "none" and bool(EFFORT_NONE.search(said))


def _refuses_encrypted(body: Json, said: str, param: str | None) -> bool:
    """For models that do not think there is nothing to be encrypted."""
    return "include" in body and bool(_ENCRYPTED.search(said))


def _refuses_strict(body: Json, said: str, param: str | None) -> bool:
    from .held_schemas import refuses_strict  # noqa: PLC0415  few servers refuse a schema

    return refuses_strict(body, said, param)


def _loosen(body: Json) -> None:
    from .held_schemas import loosen  # noqa: PLC0415  few servers refuse a schema

    loosen(body)


def _refuses_summary(body: Json, said: str, param: str | None) -> bool:
    """Return whether a refusal is about summaries of thoughts: organizations that are not verified get none."""
    about = f"{said} {param or ''}".lower()
    return "summary" in _reasoning(body) and "summar" in about and ("verified" in about or _is_refused(about))


def _leave_out_summary(body: Json) -> None:
    rest = {name: value for name, value in _reasoning(body).items() if name != "summary"}
    if rest:
        body["reasoning"] = rest
    else:
        body.pop("reasoning", None)


class TranslatedAdaptations(Adaptations):
    """What was learnt of a server by requests of callers of other APIs."""

    rows: ClassVar[tuple[Form, ...]] = (
        Adaptation("no_effort_with_tools", _refuses_effort_with_tools, _think_not_with_tools),
        Adaptation("auto_tool_choice", _refuses_choice, _choose_freely),
        Adaptation("no_reasoning_summary", _refuses_summary, _leave_out_summary),
        Adaptation("no_reasoning_effort", _refuses_effort, _leave_out_effort),
        Adaptation("no_encrypted_reasoning", _refuses_encrypted, lambda body: body.pop("include", None)),
        LONGER_ANSWER,
        Adaptation("no_strict_schemas", _refuses_strict, _loosen),
        *ADAPTATIONS,
        *(without(name, _is_refused) for name in _FIELDS),
        NO_SEARCH,
    )
