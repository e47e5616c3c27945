"""What a message says, in any shape that servers give it: text, reasoning, a refusal, images and calls among the parts of its
content, and reasoning in members of other names. Knows no message and no stream."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

#: What reasoning is called that is not called ``reasoning_content``.
REASONING: Final = ("reasoning", "reasoning_text", "thinking")

#: Members by which an object is a part of a content: it is none of the answer's own.
_PART: Final = frozenset({"type", "text", "thinking"})

#: Types of parts that hold reasoning.
_THINKING: Final = frozenset({"thinking", "reasoning", "reasoning_content", "reasoning_text", "thought"})

#: Where an object in the place of reasoning holds it, and a part that does.
_THOUGHTS: Final = ("content", "reasoning_content", "reasoning", "thinking", "thought", "summary")

#: Lists of reasoning in pieces, which usually stand beside the same as text: OpenRouter's and MiniMax's, LiteLLM's.
_DETAILS: Final = ("reasoning_details", "thinking_blocks")


def text_of(content: Any) -> str | None:
    """The text of a content that is a string, a list of parts, a part, or a bare number. Halves of pairs are left in it."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_of(part) or "" for part in content)
    if isinstance(content, dict):
        return text_of(content.get("text"))
    return None if isinstance(content, bool) else str(content)


def content_of(content: Any) -> str | None:
    """The text of a content, which some servers that were asked for JSON give as the object that it is."""
    if content is None or isinstance(content, str):
        return content
    items = _parts(content)
    if any(isinstance(item, dict) and not _PART.isdisjoint(item) for item in items):
        return text_of([item for item in items if not _is_thought(item)])
    if any(isinstance(item, dict) and item for item in items):
        from json import dumps  # noqa: PLC0415  few servers do so

        return dumps(content, ensure_ascii=False)
    return text_of(content)


def thought_of(value: Any) -> str | None:
    """The reasoning in what stands in its place: text, parts, or an object that holds it."""
    if isinstance(value, dict) and "text" not in value:
        return next((text for name in _THOUGHTS if (text := text_of(value.get(name)))), None)
    return text_of(value)


def thoughts_among(content: Any) -> str | None:
    """The reasoning among the parts of a content: ``{"type": "thinking", "thinking": …}``."""
    if content is None or isinstance(content, str):
        return None
    return "".join(thought_of(part) or "" for part in _parts(content) if _is_thought(part)) or None


def detailed_thoughts(said: Json) -> str | None:
    """The reasoning that a message has as a list alone: ``{"type": "reasoning.text", "text": …}``, ``{"type":
    "reasoning.summary", "summary": …}``. What is encrypted says nothing."""
    details = next((value for name in _DETAILS if isinstance(value := said.get(name), list) and value), [])
    return "".join(thought_of(each) or "" for each in details if isinstance(each, dict)) or None


def refusal_among(content: Any) -> str | None:
    """The refusal among the parts of a content."""
    return "".join(text_of(part.get("refusal")) or "" for part in _of_type("refusal", content)) or None


def images_among(content: Any) -> list[Any] | None:
    """The images among the parts of a content, or None."""
    return _of_type("image_url", content) or None


def calls_among(content: Any) -> list[Json] | None:
    """The calls of tools among the parts of a content, as the Messages API has them, in the shape of this one; or None."""
    return [
        {"id": part.get("id"), "function": {"name": part.get("name"), "arguments": part.get("input")}}
        for part in _of_type("tool_use", content)
    ] or None


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _of_type(kind: str, content: Any) -> list[Json]:
    parts = content if isinstance(content, list) else ()
    return [part for part in parts if isinstance(part, dict) and part.get("type") == kind]


def _is_thought(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    return (isinstance(kind, str) and kind in _THINKING) or ("text" not in part and "thinking" in part)
