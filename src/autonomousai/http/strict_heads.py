"""The head of a response as servers write it, brought into the one form that every parser reads (RFC 9112). Pure.

What can only mean one thing is accepted: line ends without CR, folded lines, a length or chunks that are said twice. Whatever
could be understood in two ways is left as it is, for the parser to refuse.
"""

from __future__ import annotations

import re
from typing import Final

#: Bytes of a response's head, and of whatever else is no body (trailers, chunk sizes) between two pieces of a body.
MAX_HEAD: Final = 64 * 1024

#: The error for a larger one.
TOO_LARGE: Final = "a head that is too large"

#: Whether anything in a whole head may have to be rewritten; a quick look before a thorough one.
is_odd: Final = re.compile(
    rb"^[\r\n]|[^\r]\n|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[ \t]:|^(?!HTTP/1\.1 [2-9])"
    rb"|\ncontent-length:(?:[^\r]*,|.*\ncontent-length:)"
    rb"|\ntransfer-encoding:(?:[ \t]*identity|[^\r]*,|.*\ntransfer-encoding:)",
    re.IGNORECASE | re.DOTALL,
).search

#: What a value may be, and a line with a name that does not say how the body is framed.
_TEXT: Final = rb"[^\x00-\x08\n-\x1f\x7f:]*+(?:(?<![ \t]):[^\x00-\x08\n-\x1f\x7f:]*+)*+\r\n"
_LINES: Final = rb"(?:(?!(?i:content-length|transfer-encoding):)[^\x00-\x20\x7f:]++:%b)*+" % _TEXT

#: A complete head as servers write it, of which nothing has to be rewritten, with one length or coding at most. It reads each
#: byte once, `is_odd` several times. Whatever it does not match may be usual too.
match_usual_head: Final = re.compile(
    rb"HTTP/1\.1 [2-9]%b%b(?:(?i:content-length:[ \t]*+[0-9]++|transfer-encoding: chunked)\r\n%b)?+\r\n"
    % (_TEXT, _LINES, _LINES)
).match

_PREFIX: Final = b"HTTP/"
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")

#: A line that continues the one before it (RFC 9112 section 5.2).
_FOLD: Final = re.compile(rb"[ \t]*\r?\n[ \t]+(?=[^\s])")

#: Characters that no value should hold and that mean nothing (RFC 9110 section 5.5); NUL, CR and LF are for the parser.
_CONTROL: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")

#: An interim response (RFC 9110 section 15.2), after which the final one follows; 101 is final.
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9](?![0-9])")


def is_http(data: bytes) -> bool:
    """Return whether *data* may be the beginning of a response."""
    begun = data.lstrip(b"\r\n")[: len(_PREFIX)]
    return _PREFIX.startswith(begun)


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the head that *data* begins with, in strict form and with all interim ones before it, and the bytes after it.

    None where the head is not complete.
    """
    heads = b""
    while blank := _BLANK_LINE.search(data := data.lstrip(b"\r\n")):
        head = data[: blank.start()]
        data = data[blank.end() :]
        heads += _strict(head)
        if not _INTERIM.match(head):
            return heads, data
    return None


def _strict(head: bytes) -> bytes:
    start, *lines = _LINE_END.split(_CONTROL.sub(b" ", _FOLD.sub(b" ", head)))
    fields = [(name.rstrip(b" \t"), colon, value) for name, colon, value in (line.partition(b":") for line in lines)]
    fields = _without_repeated_length(fields)
    said = [value for name, _, value in fields if name.lower() == b"transfer-encoding"]
    codings = [coding.strip().lower() for value in said for coding in value.split(b",")]
    if codings == [b"identity"] or set(codings) == {b"chunked"}:  # the one says nothing, the other is meant once
        fields = [field for field in fields if field[0].lower() != b"transfer-encoding"]
        fields += [(b"Transfer-Encoding", b":", b" chunked")] * (codings != [b"identity"])
    return b"\r\n".join([start, *(b"".join(field) for field in fields), b"", b""])


def _without_repeated_length(fields: list[tuple[bytes, bytes, bytes]]) -> list[tuple[bytes, bytes, bytes]]:
    """The fields with one length, where it was said several times and always as the same (RFC 9112 section 6.3)."""
    said = [field for field in fields if field[0].lower() == b"content-length"]
    lengths = {length.strip() for _, _, value in said for length in value.split(b",")}
    if len(lengths) != 1:
        return fields
    length = (said[0][0], b":", b" " + lengths.pop())
    return [length if field is said[0] else field for field in fields if field is said[0] or field not in said]
