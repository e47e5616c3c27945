"""JSON values: how deep one may be nested, in a text, before a decoder recurses into it, and in a value; and halves of
surrogate pairs in it. Knows no wire."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

if TYPE_CHECKING:
    from json import JSONDecoder

MAX_DEPTH = 64  # levels of nesting in anything that a caller supplies

#: The decoder stops by itself at the interpreter's recursion limit; up to this limit no stack overflows before that.
_SAFE_LIMIT = 3_000

_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


#: A byte order mark, which some programs write before UTF-8 and which says nothing there (RFC 8259 section 8.1), and those
#: of other encodings.
BOM: Final = codecs.BOM_UTF8
_OTHER_BOMS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FIRST_OF_BOM: Final = frozenset(bom[:1] for bom in (BOM, *_OTHER_BOMS))


def decode(text: bytes) -> Any:
    """Decode JSON, with or without a byte order mark. Half a character, which a program writes that cuts text at any place,
    becomes U+FFFD.

    Raises `RecursionError` where it is nested too deeply for that, `ValueError` where it is not UTF-8 JSON.

    An application around us may have raised the recursion limit beyond what the stack bears: then the text is measured first.
    """
    if sys.getrecursionlimit() > _SAFE_LIMIT and text_too_deep(text):
        raise RecursionError("JSON is nested too deeply")
    if text[:1] in _FIRST_OF_BOM:
        if text.startswith(_OTHER_BOMS):
            raise ValueError("it is UTF-16 by its byte order mark; encode it as UTF-8")
        text = text.removeprefix(BOM)
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if ESCAPED_HALF.search(text) is None:
            raise
        from json import loads  # noqa: PLC0415  the slower one, for what msgspec cannot read

        with suppress(ValueError):
            return mend_all(loads(text, parse_constant=_refuse_constant, parse_float=_finite))
        raise


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    if not isfinite(number := float(digits)):
        raise ValueError("a number is out of range")
    return number


@cache
def lenient_decoder() -> JSONDecoder:
    """Return a decoder that takes control characters in strings."""
    from json import JSONDecoder  # noqa: PLC0415  the slower one, for what msgspec cannot read

    return JSONDecoder(strict=False)


_PLAIN: Final[tuple[type, ...]] = (int, float, dict, list, tuple)


def as_plain(value: Any) -> Any:
    """Return what *value* is without the class that was made of a plain one, for an encoder that takes the plain ones alone:
    numpy's `str_` and `float64`, a template engine's text. So are other mappings, sequences and sets, paths, URLs, models of
    pydantic, and numpy's numbers and arrays. Raises `TypeError` for any other object."""
    if isinstance(value, str):
        return str.__str__(value)
    for plain in _PLAIN:
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set):
        return list(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    kind = type(value)
    if hasattr(kind, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if hasattr(kind, "tolist"):
        return _all_finite(value.tolist())
    if hasattr(kind, "scheme") and hasattr(kind, "host"):
        return str(value)
    raise TypeError(f"Encoding objects of type {kind.__name__} is unsupported")


def _all_finite(value: Any) -> Any:
    """Return *value*. Raises `ValueError` where it is, or holds, a number that JSON cannot write: it would become null."""
    if not_finite(value):
        raise ValueError("NaN and infinities are no JSON")
    return value


def not_finite(value: Any) -> bool:
    """Whether *value* is, or holds in lists and dicts, a number that JSON has no word for."""
    level = [value]
    for _ in range(MAX_DEPTH):
        if not _HARMLESS.issuperset(map(type, level)) and any(
            isinstance(node, float | Decimal) and not isfinite(node) for node in level
        ):
            return True
        if not (level := _held(level)):
            break
    return False


#: The types that most values have, and that are no such number.
_HARMLESS: Final = frozenset({str, bool, int, type(None), dict, list})

#: The types that most values have that hold no others.
_SINGLE: Final = frozenset({str, bool, int, float, type(None)})


def _held(level: list[Any]) -> list[Any]:
    """Return what the lists and dicts among the values of one *level* hold."""
    held: list[Any] = []
    for node in level:
        kind = type(node)
        if kind in _SINGLE:
            continue
        if kind is dict or isinstance(node, dict):
            held += node.values()
        elif isinstance(node, list | tuple):
            held += node
    return held


def text_too_deep(text: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether the lists and objects of a JSON text are nested deeper than *limit*, without decoding it."""
    outside_strings = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_strings).translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(limit):  # the innermost level of all goes each time
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    return b"[]" in brackets or brackets.count(b"[") > limit


#: A string, or what stands between two.
_PIECE = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[^"]+', re.DOTALL)

_QUOTE = ord('"')


def has_more_values(text: bytes, limit: int) -> bool:
    """Whether a JSON text holds more than *limit* values, without decoding it."""
    if _count(text) <= limit:
        return False
    count = 0
    for piece in _PIECE.finditer(text):
        if text[piece.start()] != _QUOTE:
            count += _count(piece[0])
            if count > limit:
                return True
    return False


def _count(text: bytes) -> int:
    """Each value but the first of a list or an object follows a comma."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def too_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are nested deeper than *limit*. *value* must be a tree, as anything decoded from JSON is."""
    level = [value]
    for _ in range(limit):
        if not (level := _held(level)):
            return False
    return any(isinstance(node, dict | list | tuple) for node in level)


def unwrapped(obj: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the answer, which has a member *name*, that some gateways wrap in an object of their own; *obj*, where it is none
    such. OpenRouter has an answer in ``provider`` now and then, and ``null`` in its place."""
    if obj.get(name) is not None:
        return obj
    held = (obj.get(each) for each in ("data", "result", "response", "provider"))
    return next((each for each in held if isinstance(each, dict) and name in each), obj)


def join_strings(texts: list[str], between: bytes) -> bytes:
    """Return *texts* as JSON strings, with *between* between each two.

    Example::

        assert join_strings(["a", ",", "b"], b"; ") == b'"a"; ","; "b"'
    """
    if len(texts) == 1:
        return msgspec.json.encode(texts[0])
    together = msgspec.json.encode(texts)
    if _is_ambiguous(together, texts):
        return between.join([msgspec.json.encode(text) for text in texts])
    return together[1:-1].replace(b'","', b'"%b"' % between)


def unquoted_strings(texts: list[str]) -> list[bytes]:
    """Return *texts* as JSON strings, without their quotes.

    Example::

        assert unquoted_strings(["a", '"']) == [b"a", b'\\\\"']
    """
    together = msgspec.json.encode(texts)
    if _is_ambiguous(together, texts):
        return [msgspec.json.encode(text)[1:-1] for text in texts]
    return together[2:-2].split(b'","')


def _is_ambiguous(together: bytes, texts: list[str]) -> bool:
    """Whether what looks like the end of one text and the beginning of the next, in all of them *together*, may be in one."""
    return b'\\","' in together or "," in texts


# ---- surrogates: JSON can write half a pair (RFC 8259, section 8.2), which UTF-8 cannot carry ------------------------------

#: An escape in JSON text that is half of a pair, whether the other half follows or not.
ESCAPED_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")

_HALVES: Final = re.compile("[\ud800-\udfff]")

#: Bytes that were no UTF-8, as Python's "surrogateescape" keeps them; behind the first half of a pair it is the second one.
_KEPT_BYTES: Final = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")


def join_halves(text: str) -> str:
    """Return *text* with both halves of surrogate pairs joined, as a program writes them that counts in UTF-16; a half that is
    alone stays."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def mend(text: str) -> str:
    """*text* with halves of surrogate pairs joined, and those that stay alone replaced by U+FFFD: encodable again. So with
    bytes that "surrogateescape" kept."""
    if not _HALVES.search(text):
        return text
    text = _KEPT_BYTES.sub(lambda run: _bytes_of(run[0]).decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _bytes_of(kept: str) -> bytes:
    return kept.encode("utf-8", "surrogateescape")


def mend_all(value: Any) -> Any:
    """*value*, any JSON, with all its text mended, the names of members too."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return [mend_all(item) for item in value]
    if isinstance(value, dict):
        return {mend(name): mend_all(item) for name, item in value.items()}
    return value


def split_half(text: str) -> tuple[str, str]:
    """*text* mended, and what it ends in of a character of which the rest is missing, half a pair or the first of its bytes:
    servers that cut text by UTF-16 units, or by tokens, send the rest with the next chunk."""
    if not text or not "\ud800" <= text[-1] <= "\udcff":
        return mend(text), ""
    missing = 1 if text[-1] <= "\udbff" else _begun(text)
    return (mend(text[:-missing]), text[-missing:]) if missing else (mend(text), "")


def _begun(text: str) -> int:
    """Return how many kept bytes *text* ends in that begin a character of UTF-8 and do not complete it."""
    run = _KEPT_BYTES.search(text[-4:])
    kept = _bytes_of(run[0]) if run is not None and run.end() == len(text[-4:]) else b""
    for count, byte in enumerate(reversed(kept), start=1):
        if byte >= 0xC0:  # the first byte says how many there are
            return count if 0xC2 <= byte <= 0xF4 and count < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0
    return 0


class Halves(dict[Any, str]):
    """The beginnings of characters in which pieces of texts ended, by the *key* of their text, each until its next piece."""

    __slots__ = ()

    def joined(self, key: Any, piece: str) -> str:
        """Return *piece*, mended, with the beginning that came before it, and without the one that it ends in."""
        if not self and piece.isascii():
            return piece
        text, half = split_half(self.pop(key, "") + piece)
        if half:
            self[key] = half
        return text

    def flush(self) -> list[tuple[Any, str]]:
        """Return whose rest did not come, with what stands for it, and forget them."""
        mended = [(key, mend(half)) for key, half in self.items()]
        self.clear()
        return mended


def load_leniently(document: bytes, keep: Callable[[Any, Any], None]) -> Any:
    """Return any JSON: NaN, halves of surrogate pairs and control characters in strings are taken, and bytes that are no UTF-8
    become U+FFFD. *keep*: puts what is to stay as it came, because the next document may bring the rest of a character, from
    the value that was read into the mended one. Raises `ValueError` or `RecursionError`."""
    try:
        obj = lenient_decoder().decode(document.decode())
    except UnicodeDecodeError:
        obj = lenient_decoder().decode(document.decode("utf-8", "surrogateescape"))
    else:
        if ESCAPED_HALF.search(document) is None:
            return obj
    mended = mend_all(obj)
    keep(obj, mended)
    return mended


def keep_texts(said: Any, mended: Any, names: tuple[str, ...]) -> None:
    """Put the members of those *names* that are texts from an object into the mended one."""
    if isinstance(said, dict):
        mended.update({name: said[name] for name in names if isinstance(said.get(name), str)})
