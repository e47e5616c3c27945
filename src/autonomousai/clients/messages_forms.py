"""Other forms of a request to the Messages API, for models that refuse the usual one: a table. Models differ in how
thinking is asked of them, and in whether they take a temperature.

What is learnt of a model is kept as that of chat completions, see `adaptations`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from ..late import late_pattern
from ..wires.sealed_thoughts import is_packed
from .adaptations import ADAPTATIONS, Adaptation, Adaptations, Form, Json, without
from .answer_limits import SHORTER_ANSWER
from .tool_schemas import FlatSchemas

#: Tokens that a model may think for, by effort, where that is said in tokens; the API wants 1,024 at least.
_BUDGETS: Final = {"low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_LEAST: Final = 1024

_REFUSED: Final = late_pattern(
    r"deprecated|not (?:support|permit|allow|avail)|n't support|unsupported|may only be|cannot be|can ?not both"
    r"|extra inputs|unexpected|unknown|invalid",
    re.IGNORECASE,
)


def _thinking(body: Json) -> Any:
    thinking = body.get("thinking")
    return thinking.get("type") if isinstance(thinking, dict) else None


def _is_refused(name: str, said: str) -> bool:
    return name in said and bool(_REFUSED.search(said))


def _think_by_budget(body: Json) -> None:
    """Tell how much to think in tokens, as far as the longest answer leaves room; a turn that went on with a call without its
    thinking cannot be thought on."""
    if _thinking(body) != "adaptive":
        return
    config = dict(body.get("output_config") or {})
    most = body["max_tokens"] - 1
    budget = min(_BUDGETS.get(str(config.pop("effort", "")), _BUDGETS["medium"]), most)
    if config:
        body["output_config"] = config
    else:
        body.pop("output_config", None)
    if budget < _LEAST or _calls_without_thinking(body):
        del body["thinking"]
    else:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _calls_without_thinking(body: Json) -> bool:
    last = next((message for message in reversed(body["messages"]) if message["role"] == "assistant"), None)
    types = [block.get("type") for block in last["content"]] if last is not None and isinstance(last["content"], list) else []
    return "tool_use" in types and types[0] not in ("thinking", "redacted_thinking")


def _think_as_wanted(body: Json) -> None:
    if _thinking(body) == "enabled":
        body["thinking"] = {"type": "adaptive"}


def _think(body: Json) -> None:
    if _thinking(body) == "disabled":
        del body["thinking"]


def _leave_out_effort(body: Json) -> None:
    """Leave out the effort; a model without it does not know either how to think as it likes."""
    _think_by_budget(body)
    config = {name: value for name, value in (body.pop("output_config", None) or {}).items() if name != "effort"}
    if config:
        body["output_config"] = config


def _leave_out_top_p(body: Json) -> None:
    if "temperature" in body:
        body.pop("top_p", None)


def _leave_out_strict(body: Json) -> None:
    for tool in body.get("tools", ()):
        tool.pop("strict", None)


def _is_unsigned(block: Any) -> bool:
    """Return whether a block is a thought that the vendor has not signed; another one's may stand in its place."""
    if not isinstance(block, dict):
        return False
    if block.get("type") == "redacted_thinking":
        return is_packed(block.get("data"))
    return block.get("type") == "thinking" and (not block.get("signature") or is_packed(block["signature"]))


def _said_before(body: Json) -> list[Json]:
    """Return the messages of the assistant that are made of blocks."""
    messages = [message for message in body.get("messages") or () if isinstance(message, dict)]
    return [each for each in messages if each.get("role") == "assistant" and isinstance(each.get("content"), list)]


def _has_unsigned(body: Json) -> bool:
    return any(_is_unsigned(block) for message in _said_before(body) for block in message["content"])


def _leave_out_unsigned(body: Json) -> None:
    """Leave out thoughts of other models, which have no signature. A turn that continues with a call cannot be thought on then,
    where the API wants its thoughts."""
    for message in _said_before(body):
        if kept := [block for block in message["content"] if not _is_unsigned(block)]:
            message["content"] = kept
    body["messages"] = [each for each in body["messages"] if not _is_thought_alone(each)]
    if _thinking(body) == "enabled" and _calls_without_thinking(body):
        del body["thinking"]


def _is_thought_alone(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and bool(content) and all(map(_is_unsigned, content))


#: Callers of the Messages API send back what another upstream of the same model thought. That is all that is changed of a
#: request in the API's own words.
SIGNATURES: Final = Adaptation(
    "no_unsigned_thinking",
    lambda body, said, param: ("signature" in said or "redacted_thinking" in said) and _has_unsigned(body),
    _leave_out_unsigned,
)

#: In the order in which they are looked for: the first that the refusal asks for is taken, the next with the next refusal.
MESSAGES_FORMS: Final[tuple[Form, ...]] = (
    SHORTER_ANSWER,
    Adaptation(
        "thinking_budget",
        lambda body, said, param: _thinking(body) == "adaptive" and _is_refused("adaptive", said),
        _think_by_budget,
    ),
    Adaptation(
        "thinking_adaptive",
        lambda body, said, param: _thinking(body) == "enabled" and "adaptive" in said,
        _think_as_wanted,
    ),
    Adaptation(
        "thinking_always",
        lambda body, said, param: _thinking(body) == "disabled" and _is_refused("thinking", said),
        _think,
    ),
    Adaptation(
        "no_effort",
        lambda body, said, param: "effort" in (body.get("output_config") or {}) and _is_refused("effort", said),
        _leave_out_effort,
    ),
    Adaptation(
        "temperature_alone",
        lambda body, said, param: all(name in body and name in said for name in ("temperature", "top_p")) and "both" in said,
        _leave_out_top_p,
    ),
    *(without(name, lambda said: bool(_REFUSED.search(said))) for name in ("temperature", "top_p", "top_k")),
    Adaptation(
        "no_strict",
        lambda body, said, param: "strict" in said and any("strict" in tool for tool in body.get("tools", ())),
        _leave_out_strict,
    ),
    SIGNATURES,
    FlatSchemas(),
    *(row for row in ADAPTATIONS if row.name in ("no_stream", "stream_alone")),
)


class SignatureAdaptations(Adaptations):
    """What was learnt of such a server by requests of callers of the same API."""

    rows: ClassVar[tuple[Form, ...]] = (SIGNATURES,)


class MessagesAdaptations(Adaptations):
    """The same of a server that speaks the Messages API."""

    rows: ClassVar[tuple[Form, ...]] = MESSAGES_FORMS
