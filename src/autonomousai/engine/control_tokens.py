"""Control tokens of weights, wherever they stand in a caller's text: they must not act, and must come back as they were.

Knows no engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from ..events import Batch, Messages

#: U+200B, invisible and of no width.
_SPLIT: Final = "\u200b"


def is_begun(messages: Messages) -> bool:
    """Whether the answer has begun already: a last message of the assistant is continued."""
    return bool(messages[-1]["role"] == "assistant")


def begun_text(messages: Messages) -> str:
    """Return the beginning of the answer that *messages* bring along; nothing where there is none."""
    return str(messages[-1]["content"]) if messages and is_begun(messages) else ""


class ControlTokens:
    """The texts that the tokenizer of the weights takes for control tokens, such as ``<|im_end|>``, wherever they stand.

    A caller's text must not act as one. The engine has no switch for that, so an invisible U+200B is put after the first
    character of each: people see no difference, and the model reads characters in place of a command. Where the model repeats
    such a text, the U+200B is taken out again, so that it is not copied from an answer unknowingly.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        rests: dict[str, list[str]] = {}
        for text in texts:
            if len(text) > 1:
                rests.setdefault(text[0], []).append(re.escape(text[1:]))
        # A look ahead consumes nothing, so that one which begins inside another is found too.
        heads = [f"{re.escape(first)}(?={'|'.join(found)})" for first, found in rests.items()]
        self._pattern = re.compile("|".join(heads)) if heads else None
        self._firsts = "".join(rests)
        self._copied = re.compile(f"(?<=[{re.escape(self._firsts)}]){_SPLIT}") if rests else None

    def defuse(self, messages: Messages) -> tuple[Messages, Restorer | None]:
        """The messages without control tokens; and what puts an answer right again, where any was found."""
        defused, _, restorer = self.defuse_all(messages, [])
        return defused, restorer

    def defuse_all(self, messages: Messages, tools: list[Any]) -> tuple[Messages, list[Any], Restorer | None]:
        """The same for *messages* and for *tools* that are shown beside them."""
        if self._pattern is None:
            return messages, tools, None
        pattern, found = self._pattern, 0

        def without(value: Any) -> Any:
            nonlocal found
            if isinstance(value, str):
                text, count = pattern.subn(rf"\g<0>{_SPLIT}", value)
                found += count
                return text
            if isinstance(value, dict):
                return {without(key): without(each) for key, each in value.items()}
            return [without(each) for each in value] if isinstance(value, list) else value

        defused = [{key: value if key == "role" else without(value) for key, value in each.items()} for each in messages]
        shown = without(tools)
        if not found or self._copied is None:
            return defused, shown, None
        return defused, shown, Restorer(self._copied, self._firsts, begun=begun_text(messages))


class Restorer:
    """Takes out of a streamed text the U+200B that was put in; it may be the first character of a piece."""

    def __init__(self, copied: re.Pattern[str], firsts: str, *, begun: str) -> None:
        self._copied = copied
        self._firsts = firsts
        self._after_first = begun.endswith(tuple(firsts))

    def restore(self, batch: Batch) -> Batch:
        """The next batch; it may become empty."""
        restored = (self._text(event) if type(event) is str else event for event in batch)
        return [event for event in restored if event != ""]

    def _text(self, text: str) -> str:
        if self._after_first:
            text = text.removeprefix(_SPLIT)
        if text:
            self._after_first = text[-1] in self._firsts
        return self._copied.sub("", text)


@cache
def control_tokens(texts: tuple[str, ...]) -> ControlTokens:
    """One for each vocabulary."""
    return ControlTokens(texts)
