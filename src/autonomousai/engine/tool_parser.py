"""Reads the calls out of an answer's text while it streams: text in, text and pieces of calls out. Does no I/O; knows how calls
are written (`tool_grammar`), and no engine.

What may still become a call is held back, which is never more than its head: its arguments are passed on as they come. What
turns out to be none is text again, to the letter.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..events import Batch, Event, Extra, FinishReason, ToolCallDelta
from .chat_template import HEAD, CallSyntax
from .tools import ToolPlan

_SPACE: Final = re.compile(r"\s+")
_TAGGED_HEAD: Final = re.compile(
    r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)', re.DOTALL
)
_KEYS: Final = ("arguments", "parameters")
_FENCE: Final = "```"
_FENCES: Final = ("", _FENCE, f"{_FENCE}json")

#: Characters in a tag that hold no call yet, after which it is taken for text.
_LONGEST_HEAD: Final = 1000


class ToolParser:
    """One answer's. ``begun``: the text that the answer continues.

    Example::

        from autonomousai.engine.chat_template import SYNTAXES
        from autonomousai.engine.tools import take_tools

        plan = take_tools({"tools": [{"type": "function", "function": {"name": "now"}}]})
        parser = ToolParser(plan, SYNTAXES["hermes"])
        parser.feed(['<tool_call>\\n{"name": "now", "arguments": {}}\\n</tool_call>'])
    """

    def __init__(self, plan: ToolPlan, syntax: CallSyntax, *, begun: str = "") -> None:
        self._opening, self._closing = syntax.opening, syntax.closing
        names = [tool.name for tool in plan.allowed]
        self._bare_head = re.compile(rf"{HEAD[0]}({'|'.join(map(re.escape, names))}){HEAD[1]}(?=\{{)")
        #: The same without white space, to tell what may still become one.
        self._bare_heads = [f'{fence}{{"name":"{name}","{key}":{{' for name in names for key in _KEYS for fence in _FENCES]
        self._held = ""
        self._calls = 0
        self._said: list[Event] = []
        self._is_tagged = False
        self._is_at_line_start = not begun or begun.endswith("\n")
        self._depth = 0
        self._in_text = self._is_escaped = False
        #: Takes what it can of what is held; returns whether another state may take more of it.
        self._state: Callable[[], bool] = self._text if begun else self._start

    @property
    def calls(self) -> int:
        """Return how many calls have begun."""
        return self._calls

    def feed(self, batch: Batch) -> Batch:
        """Return what of *batch*, and of what was held back, can be passed on now."""
        for event in batch:
            if type(event) is str:
                self._held += event
                while self._held and self._state():
                    pass
            elif isinstance(event, FinishReason):
                self._flush(is_cut=event.reason == "length")
                is_call = self._calls and event.reason == "stop"
                self._said.append(msgspec.structs.replace(event, reason="tool_calls") if is_call else event)
            elif not isinstance(event, Extra):  # it says which events came together, and they do not any more
                self._said.append(event)
        said, self._said = self._said, []
        return said

    # ---- states

    def _start(self) -> bool:
        """The answer's beginning, or what follows a bare call: perhaps a bare call."""
        if head := self._bare_head.match(self._held):
            self._begin(head[1], head.end(), is_tagged=False)
            return True
        if self._may_begin_bare():
            return False
        self._state = self._text
        return True

    def _text(self) -> bool:
        """Text, until a tag at the beginning of a line."""
        before, tag, after = self._held, "", ""
        if self._opening:
            before, tag, after = self._held.partition(f"\n{self._opening}")
            if self._is_at_line_start and self._held.startswith(self._opening):
                before, tag, after = "", self._opening, self._held.removeprefix(self._opening)
        if tag:
            self._say(before.rstrip())
            self._held = after
            self._state = self._tagged_head
            return True
        end = len(self._held) - self._kept()
        self._say(self._held[:end])
        self._held = self._held[end:]
        return False

    def _tagged_head(self) -> bool:
        """Within a tag, before the arguments."""
        if head := _TAGGED_HEAD.match(self._held):
            self._begin(json.loads(head[1], strict=False), head.end(), is_tagged=True)
            return True
        block, closing, rest = self._held.partition(self._closing)
        if not closing and len(self._held) <= _LONGEST_HEAD:
            return False
        if not closing:
            self._say(self._opening)
            self._state = self._text
            return True
        self._held = rest
        self._tell_block(block, closing)
        return bool(rest)

    def _arguments(self) -> bool:
        """The arguments, up to the brace that closes them."""
        for place, character in enumerate(self._held):
            if self._in_text:
                if self._is_escaped:
                    self._is_escaped = False
                elif character == "\\":
                    self._is_escaped = True
                elif character == '"':
                    self._in_text = False
            elif character == '"':
                self._in_text = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if not self._depth:
                    self._argue(self._held[: place + 1])
                    self._held = self._held[place + 1 :]
                    self._state = self._tail
                    return True
        self._argue(self._held)
        self._held = ""
        return False

    def _tail(self) -> bool:
        """What closes a call behind its arguments."""
        expected = f"}}{self._closing if self._is_tagged else ''}"
        for place, character in enumerate(self._held, start=1):
            if not character.isspace():
                if character != expected[0]:
                    self._state = self._text  # the call is passed on; what follows was not written by the grammar
                    return True
                expected = expected[1:]
            if not expected:
                self._held = self._held[place:]
                self._state = self._between
                return True
        return False

    def _between(self) -> bool:
        """Behind a call: another one, or the end. White space and the end of a fence say nothing."""
        self._held = self._held.lstrip()
        if self._is_tagged:
            if self._held.startswith(self._opening):
                self._held = self._held.removeprefix(self._opening)
                self._state = self._tagged_head
                return True
            if self._opening.startswith(self._held):
                return False
            self._state = self._text
            return True
        if len(self._held) < len(_FENCE) and _FENCE.startswith(self._held):
            return False
        self._held = self._held.removeprefix(_FENCE)
        self._state = self._start
        return bool(self._held)

    # ---- what is said

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)
            self._is_at_line_start = False

    def _begin(self, name: str, at: int, *, is_tagged: bool) -> None:
        self._said.append(ToolCallDelta(self._calls, _new_id(), name))
        self._calls += 1
        self._held = self._held[at:]
        self._is_tagged = is_tagged
        self._depth = 0
        self._in_text = self._is_escaped = False
        self._state = self._arguments

    def _tell_block(self, block: str, closing: str) -> None:
        """What stands in a tag and does not begin like a call: perhaps one in another order, or else text."""
        call = _whole_call(block)
        if call is None:
            self._say(self._opening + block + closing)
            self._state = self._text
            return
        self._said.append(ToolCallDelta(self._calls, _new_id(), *call))
        self._calls += 1
        self._is_tagged = True
        self._state = self._between

    def _argue(self, piece: str) -> None:
        if piece:
            self._said.append(ToolCallDelta(self._calls - 1, arguments=piece))

    def _flush(self, *, is_cut: bool) -> None:
        """The end has come: what is held back is text, unless it is only what follows a call, or the head of one that was cut
        before its name."""
        held, self._held = self._held, ""
        if self._state == self._tagged_head:
            if not is_cut:
                self._tell_block(held, closing="")
        elif self._state not in (self._tail, self._between) and (not self._calls or held.strip()):
            self._say(held)

    # ---- what may still become something

    def _may_begin_bare(self) -> bool:
        compact = _SPACE.sub("", self._held)
        return any(head.startswith(compact) for head in self._bare_heads)

    def _kept(self) -> int:
        """Return how many characters at the end may belong to a tag that is to come, with the white space before it."""
        if not self._opening:
            return 0
        line = self._held.rfind("\n") + 1
        last = self._held[line:]
        if not (line or self._is_at_line_start) or not self._opening.startswith(last):
            return 0
        return len(self._held) - len(self._held[:line].rstrip())


def _whole_call(block: str) -> tuple[str, str] | None:
    """Return the name and the arguments of a call whose members stand in any order; None for what is none."""
    try:
        call: Any = json.loads(block)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments: Any = next((call[key] for key in _KEYS if key in call), {})
    return (call["name"], json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None


def _new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
