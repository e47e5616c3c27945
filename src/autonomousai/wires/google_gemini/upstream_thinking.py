"""How much a Gemini model is to think (Gemini API, "Thinking"): until 2.5 that is a number of tokens, of later ones a level."""

from __future__ import annotations

from typing import Any, Final

from ...late import late_pattern

Json = dict[str, Any]

#: Models whose thoughts are limited in tokens, and those that refuse a call without a signature.
_BY_BUDGET: Final = late_pattern(r"gemini-(?:1|2)\b")
_SIGNING: Final = late_pattern(r"gemini-(?:[3-9]|[1-9][0-9])\b|gemini-[a-z-]*latest")
#: Of those, the models that cannot but think.
_ALWAYS: Final = late_pattern(r"gemini-2\.5-pro")

#: The levels by the efforts of chat completions.
_LEVELS: Final = {
    **dict.fromkeys(("none", "minimal"), "minimal"),
    **{name: name for name in ("low", "medium", "high")},
    **dict.fromkeys(("xhigh", "max"), "high"),
}
#: The tokens, as the vendor's own layer for chat completions has them.
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
#: The fewest of a model that cannot but think.
_FEWEST: Final = 128


def wants_signatures(model: str) -> bool:
    """Return whether *model* refuses a conversation whose calls lack signatures.

    Example::

        assert wants_signatures("gemini-3-flash-preview") and not wants_signatures("gemini-2.5-pro")
    """
    return bool(_SIGNING.search(model))


def thinking_of(effort: Any, model: str) -> Json | None:
    """Return how an *effort* is said to *model* of chat completions; None for a word that says nothing of it. What it thinks is
    shown, unless it is to think nothing.

    Example::

        assert thinking_of("low", "gemini-2.5-flash") == {"thinkingBudget": 1024, "includeThoughts": True}
        assert thinking_of("none", "gemini-3-flash") == {"thinkingLevel": "minimal"}
    """
    name = effort.lower() if isinstance(effort, str) else ""
    if name not in _LEVELS:
        return None
    config: Json = {} if name == "none" else {"includeThoughts": True}
    if not _BY_BUDGET.search(model):
        return {"thinkingLevel": _LEVELS[name], **config}
    budget = _BUDGETS[name]
    return {"thinkingBudget": max(budget, _FEWEST) if _ALWAYS.search(model) else budget, **config}


def as_budget(config: Json) -> Json:
    """Return a *config* that names a level with a number of tokens in its place."""
    level = config.get("thinkingLevel")
    rest = {name: value for name, value in config.items() if name != "thinkingLevel"}
    budget = _BUDGETS.get(str(level).lower())
    return rest if budget is None else {"thinkingBudget": budget, **rest}


def as_level(config: Json) -> Json:
    """Return a *config* that names a number of tokens with a level in its place."""
    budget = config.get("thinkingBudget")
    rest = {name: value for name, value in config.items() if name != "thinkingBudget"}
    if type(budget) is not int or budget < 0:
        return rest
    level = "minimal" if budget == 0 else "low" if budget <= 4096 else "medium" if budget <= 12_288 else "high"
    return {"thinkingLevel": level, **rest}
