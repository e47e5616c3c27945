"""Names of members as Google's servers take them: in camelCase, or in snake_case, as the protocol's own files have them
(Protocol Buffers, "ProtoJSON Format", "Field names as JSON keys"). They are read in camelCase from here on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from ...late import late_pattern

#: The members of an object that are objects with names of the protocol too, by their names, or lists of such. What stands in
#: any other member is the caller's own.
Tree: TypeAlias = Mapping[str, "Tree"]

_LEAF: Final[Tree] = {}

_FUNCTION_RESPONSE: Final[Tree] = {"parts": {"inlineData": _LEAF, "fileData": _LEAF}}

_PART: Final[Tree] = {
    **dict.fromkeys(("inlineData", "fileData", "functionCall", "executableCode", "codeExecutionResult"), _LEAF),
    "functionResponse": _FUNCTION_RESPONSE,
}

_CONTENT: Final[Tree] = {"parts": _PART}

_GENERATION_CONFIG: Final[Tree] = {"thinkingConfig": _LEAF}

#: Of a request for an answer, and of one that counts it.
REQUEST: Final[Tree] = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "generationConfig": _GENERATION_CONFIG,
    "tools": {"functionDeclarations": _LEAF},
    "toolConfig": {"functionCallingConfig": _LEAF},
}

COUNTING: Final[Tree] = {**REQUEST, "generateContentRequest": REQUEST}

#: Of a request for embeddings.
EMBEDDING: Final[Tree] = {"content": _CONTENT, "embedContentConfig": _LEAF}
EMBEDDINGS: Final[Tree] = {"requests": EMBEDDING}

_UNDERSCORE: Final = late_pattern(r"(?<=.)_([a-z0-9])")


def in_camel_case(name: str) -> str:
    """Return a member's name in camelCase.

    Example::

        assert in_camel_case("max_output_tokens") == "maxOutputTokens"
        assert in_camel_case("_responseJsonSchema") == "_responseJsonSchema"
    """
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def with_camel_case(value: Any, tree: Tree) -> Any:
    """Return *value* with the names of its members in camelCase, and those of the members that *tree* has. A name that stands
    there in both forms counts in camelCase."""
    if isinstance(value, list):
        return [with_camel_case(each, tree) for each in value]
    if not isinstance(value, dict):
        return value
    named: dict[str, Any] = {}
    for name, inner in value.items():
        camel = in_camel_case(name)
        if camel == name or camel not in value:
            named[camel] = with_camel_case(inner, tree[camel]) if camel in tree else inner
    return named
