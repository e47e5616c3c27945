"""What an event of a stream is meant as whose data is no JSON object: an end in other letters, a sign of life, or chunks in a
wrapping that the standard does not know. Knows no stream."""

from __future__ import annotations

from typing import Any, Final

from ...late import late_pattern
from ..json import lenient_decoder
from .chunks import UNREADABLE, load

DONE: Final = b"[DONE]"

#: Other ways to write it, in lower case.
_DONES: Final = frozenset({b"[done]", b'"[done]"', b"'[done]'", b"done", b'"done"'})

#: What holds nothing and ends nothing, in lower case.
_SIGNS_OF_LIFE: Final = frozenset(
    {b"", b"null", b"none", b"[]", b'""', b"ping", b'"ping"', b"keep-alive", b"keepalive", b"heartbeat", b"[heartbeat]"}
)

_LONGEST_WORD: Final = 20  # bytes

_PREFIX: Final = b"data:"
_BLANKS: Final = late_pattern(r"\s*")
_COMMENT: Final = b":"


def meant_by(data: bytes) -> list[bytes] | None:
    """Return the data of the events that *data* stands for, which are JSON objects or `DONE`; None where that cannot be said,
    and text may be in it.

    Example::

        assert meant_by(b'data: {"id": 1}') == [b'{"id": 1}']
        assert meant_by(b"null") == []
    """
    data = data.strip()
    word = data.lower() if len(data) <= _LONGEST_WORD else data
    if word in _DONES:
        return [DONE]
    if data.startswith(_COMMENT) or word in _SIGNS_OF_LIFE:
        return []
    if data.startswith(_PREFIX):
        return _unwrapped(data)
    try:
        return _of_json(data)
    except UNREADABLE:
        return _of_lines(data)


def _unwrapped(data: bytes) -> list[bytes] | None:
    """Framed twice: each line that is one of data is an event of its own."""
    meant: list[bytes] = []
    for line in data.split(b"\n"):
        payload = line.strip()
        while payload.startswith(_PREFIX):
            payload = payload.removeprefix(_PREFIX).strip()
        inner = [payload] if _is_object(payload) else meant_by(payload)
        if inner is None:
            return None
        meant += inner
    return meant


def _of_json(data: bytes) -> list[bytes] | None:
    """A list of objects, or an object written as text of JSON."""
    value = load(data)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [_encoded(item) for item in value]
    if isinstance(value, str) and (inner := value.strip()).startswith(("{", "data:")):
        document = inner.encode("utf-8", "replace")
        return [document] if _is_object(document) else meant_by(document)
    return None


def _of_lines(data: bytes) -> list[bytes] | None:
    """Several objects without a blank line between them."""
    decoder = lenient_decoder()
    text = data.decode("utf-8", "replace")
    meant: list[bytes] = []
    at = 0
    while at < len(text):
        if text.startswith("data:", at):
            at += len("data:")
        elif text.startswith("[DONE]", at):
            meant.append(DONE)
            at += len("[DONE]")
        else:
            try:
                value, at = decoder.raw_decode(text, at)
            except UNREADABLE:
                return None
            if not isinstance(value, dict):
                return None
            meant.append(_encoded(value))
        at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]  # it always matches
    return meant


def _encoded(value: dict[str, Any]) -> bytes:
    from json import dumps  # noqa: PLC0415  msgspec writes no half of a pair

    return dumps(value).encode()


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(load(data), dict)
    except UNREADABLE:
        return False
