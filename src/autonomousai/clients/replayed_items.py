"""Items of the Responses API that another server gave: a caller sends them back, and the next upstream of its model may be one
that refuses them. Each function reads or changes the body of a request.

OpenAI's server takes reasoning that it has encrypted itself alone, without its words, and looks up the ids of items.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..late import late_pattern

Json = dict[str, Any]

#: What is said of an item that is not the server's own.
_FOREIGN: Final = late_pattern(
    r"id that begins with|input\[\d+\]\.id\b|item with id\b.{1,100}not found|items are not persisted"
    r"|input\[\d+\]\.content['`\"]?:? array too long|without its required ['`\"]?reasoning|reasoning_text",
    re.IGNORECASE,
)
#: What is said of reasoning that another account, or a model of before, has encrypted, or that lost what followed it.
_SEALED: Final = late_pattern(
    r"encrypted[_ ]content\b.{0,200}(?:verified|decrypt|parse|invalid)|invalid_encrypted_content|required following item",
    re.IGNORECASE | re.DOTALL,
)

#: Types of items that say all that they are, so that nothing depends on their ids.
_COMPLETE: Final = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)


def _items(body: Json) -> list[Any]:
    items = body.get("input")
    return items if isinstance(items, list) else []


def _is_reasoning(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "reasoning"


def _is_open(item: Any) -> bool:
    """Return whether an item is reasoning in words alone, which its server wants back as it encrypted it, or not at all."""
    return _is_reasoning(item) and not item.get("encrypted_content")


def _has_needless_id(item: Any) -> bool:
    return isinstance(item, dict) and "id" in item and item.get("type", "message") in _COMPLETE


def refuses_foreign(body: Json, said: str, param: str | None) -> bool:
    """Return whether a refusal is about items that another server gave, of which the request has some."""
    has_some = any(_is_open(item) or _has_needless_id(item) or _has_words(item) for item in _items(body))
    return has_some and bool(_FOREIGN.search(f"{said} {param or ''}"))


def _has_words(item: Any) -> bool:
    return _is_reasoning(item) and bool(item.get("content"))


def leave_out_foreign(body: Json) -> None:
    """Leave out reasoning that is not encrypted, the words of what is, and ids that items need not have."""
    if not isinstance(body.get("input"), list):
        return
    body["input"] = [_own(item) for item in body["input"] if not _is_open(item)]


def _own(item: Any) -> Any:
    if _has_needless_id(item):
        return {name: value for name, value in item.items() if name != "id"}
    return {name: value for name, value in item.items() if name != "content"} if _has_words(item) else item


def refuses_thoughts(body: Json, said: str, param: str | None) -> bool:
    """Return whether a refusal is about reasoning that the server cannot read, of which the request has some."""
    return any(map(_is_reasoning, _items(body))) and bool(_SEALED.search(said))


def leave_out_thoughts(body: Json) -> None:
    """Leave out all reasoning, and the ids by which a server knows what it belonged to."""
    leave_out_foreign(body)
    body["input"] = [item for item in _items(body) if not _is_reasoning(item)]
