"""A text, several, or tokens in place of text: what a prompt and an input to embed may be (OpenAI API reference, "Create
completion", ``prompt``; "Create embeddings", ``input``). Knows no field."""

from __future__ import annotations

from typing import Any, Final

from .shapes import TEXT, Schema, Shape, check_type, refusal, shown, whole

#: The number of a token.
_TOKEN: Final = whole(0, 2**31 - 1)

_ONE: Final = {"minItems": 1}
_TOKENS: Final[Schema] = {"type": "array", "items": _TOKEN.schema, **_ONE}


def texts_or_tokens(text: Shape = TEXT) -> Shape:
    """Return the shape of a text, a list of texts, a list of tokens, or a list of lists of tokens; no list may be empty.
    *text*: the shape of each text."""

    def check(param: str, value: Any) -> Any:
        if isinstance(value, str):
            return text.check(param, value)
        if not isinstance(value, list):
            raise refusal(param, f"must be text, tokens, or a list of either, not {shown(value)}", "invalid_type")
        if not value:
            raise refusal(param, "must not be an empty list")
        if isinstance(value[0], list):
            for place, tokens in enumerate(value):
                _check_tokens(f"{param}[{place}]", tokens)
        elif isinstance(value[0], str):
            for place, each in enumerate(value):
                text.check(f"{param}[{place}]", each)
        else:
            _check_tokens(param, value)
        return value

    texts = {"type": "array", "items": text.schema, **_ONE}
    return Shape(check, {"anyOf": [text.schema, texts, _TOKENS, {"type": "array", "items": _TOKENS, **_ONE}]})


def _check_tokens(param: str, tokens: Any) -> None:
    check_type(param, tokens, list)
    if not tokens:
        raise refusal(param, "must not be an empty list")
    if all(type(token) is int and 0 <= token < 2**31 for token in tokens):  # as usual; the longer look names the place
        return
    for place, token in enumerate(tokens):
        if isinstance(token, str | list | dict | bool) or token is None:
            raise refusal(f"{param}[{place}]", f"must be the number of a token, not {shown(token)}", "invalid_type")
        _TOKEN.check(f"{param}[{place}]", token)


def is_tokens(value: Any) -> bool:
    """Return whether a checked *value* is tokens, or a list of such."""
    return isinstance(value, list) and not isinstance(value[0], str)


def count_of(value: Any) -> int:
    """Return how many prompts, or inputs, a checked *value* is."""
    return len(value) if isinstance(value, list) and isinstance(value[0], str | list) else 1
