"""Tells a model's thoughts from its answer while it streams: what it writes between ``<think>`` and ``</think>`` at first. Does
no I/O.

Where the chat template opens the thoughts itself, only their end is written by the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from ..events import Batch, Event, Extra, FinishReason, Reasoning
from .chat_template import Thoughts, ThoughtStyle

OPENING: Final = "<think>"
CLOSING: Final = "</think>"

#: Words for no thinking at all, of the fields that say how much.
_NONE: Final = frozenset({"none", "disabled", "off", False})


def wants_thoughts(fields: Mapping[str, Any]) -> bool:
    """Return whether the caller's *fields* let the model think; as templates by default do.

    Example::

        assert wants_thoughts({})
        assert not wants_thoughts({"reasoning_effort": "none"})
        assert not wants_thoughts({"chat_template_kwargs": {"enable_thinking": False}})
    """
    said = [fields.get(name) for name in ("enable_thinking", "think", "reasoning_effort")]
    for name, members in (
        ("chat_template_kwargs", ("enable_thinking", "thinking")),
        ("reasoning", ("effort", "enabled")),
        ("thinking", ("type",)),
    ):
        value = fields.get(name)
        said += [value.get(member) for member in members] if isinstance(value, Mapping) else [value]
    return not any(isinstance(word, str | bool) and word in _NONE for word in said)


def thoughts_of(style: ThoughtStyle, *, wanted: bool) -> Thoughts:
    """Return who opens the thoughts of an answer by a template of that *style*; *wanted*: see `wants_thoughts`."""
    if not style:
        return ""
    return "opened" if style == "always" or (style == "default" and wanted) else "tags"


class ThoughtParser:
    """One answer's. ``opened``: whether it begins within the thoughts.

    Example::

        parser = ThoughtParser(opened=False)
        assert [Reasoning("Hm."), "Hi"] == parser.feed(["<think>Hm.</think>", "Hi"])
    """

    def __init__(self, *, opened: bool) -> None:
        self._held = ""
        self._said: list[Event] = []
        self._state = "thoughts" if opened else "start"
        self._has_spoken = False

    def feed(self, batch: Batch) -> Batch:
        """Return what of *batch*, and of what was held back, can be passed on now."""
        for event in batch:
            if type(event) is str:
                self._held += event
                self._take()
            elif isinstance(event, FinishReason):
                self._tell(self._held)
                self._held = ""
                self._said.append(event)
            elif not isinstance(event, Extra):  # it says which events came together, and they do not any more
                self._said.append(event)
        said, self._said = self._said, []
        return said

    def _take(self) -> None:
        if self._state == "start":
            begun = self._held.lstrip()
            if OPENING.startswith(begun):
                return  # it may still become the tag
            self._state = "text"
            if begun.startswith(OPENING):
                self._state = "thoughts"
                self._held = begun.removeprefix(OPENING)
        if self._state == "thoughts":
            thoughts, closing, rest = self._held.partition(CLOSING)
            kept = 0 if closing else _kept(thoughts)
            self._tell(thoughts.rstrip() if closing else thoughts[: len(thoughts) - kept])
            self._held = rest if closing else thoughts[len(thoughts) - kept :]
            if not closing:
                return
            self._state = "gap"
        if self._state == "gap":
            self._held = self._held.lstrip()
            if not self._held:
                return
            self._state = "text"
        self._tell(self._held)
        self._held = ""

    def _tell(self, text: str) -> None:
        if self._state == "thoughts":
            text = text if self._has_spoken else text.lstrip()
            self._has_spoken = self._has_spoken or bool(text)
            self._said += [Reasoning(text)] if text else []
        elif text:
            self._said.append(text)


def _kept(text: str) -> int:
    """Return how many characters at the end may belong to the closing tag, with the white space before it."""
    partial = next((size for size in range(len(CLOSING) - 1, 0, -1) if text.endswith(CLOSING[:size])), 0)
    return len(text) - len(text[: len(text) - partial].rstrip())


async def with_thoughts(batches: AsyncGenerator[Batch], *, opened: bool) -> AsyncGenerator[Batch]:
    """Yield the answer with its thoughts told apart from its text."""
    parser = ThoughtParser(opened=opened)
    async with aclosing(batches):
        async for brought in batches:
            if batch := parser.feed(brought):
                yield batch
