"""Other forms of a request to the Messages API, for models that refuse the usual one: a table. Models differ in how
thinking is asked of them, and in whether they take a temperature.

What is learnt of a model is kept as that of chat completions, see `adaptations`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from ..late import late_pattern
from ..sealed_thoughts import is_packed
from ..wires.anthropic_messages.upstream_messages import with_clean_ids
from .adaptations import ADAPTATIONS, NO_SEARCH, Adaptation, Form, Json, LateForms, without
from .answer_limits import SHORTER_ANSWER
from .held_schemas import TOO_COMPLEX, PlainSchemas
from .learnt_forms import Adaptations
from .tool_schemas import FlatSchemas

#: Tokens that a model may think for, by effort, where that is said in tokens; the API wants 1,024 at least.
_BUDGETS: Final = {"low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_LEAST: Final = 1024

_REFUSED: Final = late_pattern(
    r"deprecated|not (?:support|permit|allow|avail)|n't support|unsupported|may only be|cannot be|can ?not both"
    r"|extra inputs|unexpected|unknown|invalid",
    re.IGNORECASE,
)


#: What is said where a model cannot think at all.
_NO_THINKING: Final = late_pattern(
    r"\bthinking['`\"]?: extra inputs|(?:not|n't) (?:\w+ )?support\w*[^.\n]{0,30}\bthinking\b"
    r"|^(?!.*adaptive).*\bthinking['`\"]? (?:\w+ ){0,2}(?:not|n't) (?:\w+ )?(?:support|enabl|avail)",
    re.IGNORECASE,
)


def _thinking(body: Json) -> Any:
    thinking = body.get("thinking")
    return thinking.get("type") if isinstance(thinking, dict) else None


def _config(body: Json) -> dict[str, Any]:
    config = body.get("output_config")
    return dict(config) if isinstance(config, dict) else {}


def _is_refused(name: str, said: str) -> bool:
    return name in said and bool(_REFUSED.search(said))


def _think_by_budget(body: Json) -> None:
    """Tell how much to think in tokens, as far as the longest answer leaves room; a turn that went on with a call without its
    thinking cannot be thought on."""
    if _thinking(body) != "adaptive":
        return
    config = _config(body)
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


def _think_not(body: Json) -> None:
    body.pop("thinking", None)


def _leave_out_effort(body: Json) -> None:
    """Leave out the effort; a model without it does not know either how to think as it likes."""
    _think_by_budget(body)
    config = _config(body)
    config.pop("effort", None)
    if config:
        body["output_config"] = config
    else:
        body.pop("output_config", None)


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
    """Leave out thoughts of other models, which have no signature."""
    _leave_out(body, _is_unsigned)


def _leave_out(body: Json, is_foreign: Callable[[Any], bool]) -> None:
    """Leave out such blocks of the assistant, and messages of nothing else. A turn that continues with a call cannot be thought
    on then, where the API wants its thoughts."""
    emptied = set()
    for message in _said_before(body):
        kept = [block for block in message["content"] if not is_foreign(block)]
        if message["content"] and not kept:
            emptied.add(id(message))
        message["content"] = kept
    body["messages"] = [message for message in body["messages"] if id(message) not in emptied]
    if _thinking(body) == "enabled" and _calls_without_thinking(body):
        del body["thinking"]


#: Callers of the Messages API send back what another upstream of the same model thought.
SIGNATURES: Final = Adaptation(
    "no_unsigned_thinking",
    lambda body, said, param: ("signature" in said or "redacted_thinking" in said) and _has_unsigned(body),
    _leave_out_unsigned,
)

#: What is said of thoughts that another server signed, or of a turn that began without its own.
_OF_THOUGHTS: Final = late_pattern(r"signature|redacted_thinking|thinking[`'\"]? block", re.IGNORECASE)


def _is_thought(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking")


def _refuses_thoughts(body: Json, said: str, param: str | None) -> bool:
    has_some = any(_is_thought(block) for message in _said_before(body) for block in message["content"])
    return bool(_OF_THOUGHTS.search(said)) and (has_some or (_thinking(body) == "enabled" and _calls_without_thinking(body)))


def _leave_out_thoughts(body: Json) -> None:
    _leave_out(body, _is_thought)


#: Another server, or another account, has signed some of them: its signature says nothing to this one. Other conversations keep
#: theirs.
THOUGHTS: Final = Adaptation("no_thoughts", _refuses_thoughts, _leave_out_thoughts, lasts=False)

#: What is said of texts without a word, which other servers take.
_OF_EMPTY_TEXT: Final = late_pattern(r"text content blocks must|empty text blocks", re.IGNORECASE)

#: What a message says in which nothing else is left.
_NO_CONTENT: Final = "(no content)"


def _is_empty_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and not str(block.get("text") or "").strip()


def _block_lists(body: Json) -> list[list[Any]]:
    """Return all lists of blocks in a request: those of messages, of the results in them, and of the system."""
    contents = [message.get("content") for message in body.get("messages") or () if isinstance(message, dict)]
    lists = [content for content in contents if isinstance(content, list)]
    inner = [block.get("content") for blocks in lists for block in blocks if isinstance(block, dict)]
    return [blocks for blocks in (*lists, *inner, body.get("system")) if isinstance(blocks, list)]


def _leave_out_empty_text(body: Json) -> None:
    for blocks in _block_lists(body):
        kept = [block for block in blocks if not _is_empty_text(block)]
        if len(kept) < len(blocks):
            blocks[:] = kept or [{"type": "text", "text": _NO_CONTENT}]


EMPTY_TEXTS: Final = Adaptation(
    "no_empty_text",
    lambda body, said, param: (
        bool(_OF_EMPTY_TEXT.search(said)) and any(_is_empty_text(block) for blocks in _block_lists(body) for block in blocks)
    ),
    _leave_out_empty_text,
)

_OF_IDS: Final = late_pattern(r"tool_use[\w.`'\" ]{0,20}\bid\b[^\n]{0,60}pattern|tool_use_id[^\n]{0,60}pattern", re.IGNORECASE)


def _clean_ids(body: Json) -> None:
    body["messages"] = with_clean_ids(body["messages"], keeps_kimis=False)


CLEAN_IDS: Final = Adaptation(
    "clean_call_ids",
    lambda body, said, param: (
        bool(_OF_IDS.search(said)) and with_clean_ids(body["messages"], keeps_kimis=False) != body["messages"]
    ),
    _clean_ids,
)

#: How long and how deep the answer may be, in the words of another model than the caller had in mind.
_OF_MODELS: Final[tuple[Form, ...]] = (
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
        "no_thinking",
        lambda body, said, param: _thinking(body) in ("adaptive", "enabled") and bool(_NO_THINKING.search(said)),
        _think_not,
    ),
    Adaptation(
        "no_effort",
        lambda body, said, param: (
            "effort" in _config(body) and any(_is_refused(name, said) for name in ("effort", "output_config"))
        ),
        _leave_out_effort,
    ),
)


def _extras() -> tuple[Form, ...]:
    from .unknown_extras import EXTRAS  # noqa: PLC0415  few servers refuse what agents send

    return EXTRAS


#: All that is changed of a request in the API's own words.
_OF_CALLERS: Final[tuple[Form, ...]] = (*_OF_MODELS, SIGNATURES, THOUGHTS, EMPTY_TEXTS, CLEAN_IDS, LateForms("extras", _extras))

#: In the order in which they are looked for: the first that the refusal asks for is taken, the next with the next refusal.
MESSAGES_FORMS: Final[tuple[Form, ...]] = (
    *_OF_MODELS,
    Adaptation(
        "temperature_alone",
        lambda body, said, param: all(name in body and name in said for name in ("temperature", "top_p")) and "both" in said,
        _leave_out_top_p,
    ),
    *(without(name, lambda said: bool(_REFUSED.search(said))) for name in ("temperature", "top_p", "top_k")),
    PlainSchemas(),
    Adaptation(
        "no_strict",
        lambda body, said, param: (
            ("strict" in said or bool(TOO_COMPLEX.search(said))) and any("strict" in tool for tool in body.get("tools", ()))
        ),
        _leave_out_strict,
    ),
    *(row for row in _OF_CALLERS if row not in _OF_MODELS),
    FlatSchemas(),
    NO_SEARCH,
    *(row for row in ADAPTATIONS if row.name in ("no_stream", "stream_alone")),
)


class OwnAdaptations(Adaptations):
    """What was learnt of such a server by requests of callers of the same API."""

    rows: ClassVar[tuple[Form, ...]] = _OF_CALLERS


class MessagesAdaptations(Adaptations):
    """The same of a server that speaks the Messages API."""

    rows: ClassVar[tuple[Form, ...]] = MESSAGES_FORMS
