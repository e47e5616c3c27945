"""The coding of a body (RFC 9110 section 8.4.1), undone although none was asked for, and that of its characters. Pure; knows no
connection."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable
from typing import Any, Final

from ..late import late_pattern

#: Bytes that one piece of a body may become.
MAX_PIECE: Final = 64 * 1024 * 1024

#: Bytes that are undone at a time, and members that one piece of a body may have: zlib copies what stands behind a member, and
#: the smallest member takes twenty bytes.
_AT_ONCE: Final = 64 * 1024
_MEMBERS: Final = 4096

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_DEFLATE: Final = "deflate"

#: Codings that are known and cannot be undone here. Any other name is no coding: servers write charsets there, or nothing.
_FOREIGN: Final = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"})

_CODINGS: Final = _GZIP | {_DEFLATE} | _FOREIGN

#: What the first byte's lower half says where deflate is packed as zlib's format (RFC 1950 section 2.2), as it should be.
_ZLIB: Final = 8

#: The first byte of gzip.
_GZIP_BEGINS: Final = b"\x1f"

#: The first status by which a server refuses.
_REFUSED: Final = 400


class CodingError(ValueError):
    """A body's coding that is not undone here."""


class TooMuchError(zlib.error):
    """What a piece of a body becomes is larger than it may be."""


class BodyDecoder:
    """Undoes one coding: gzip with any number of members (RFC 1952), deflate in zlib's format or bare (RFC 1951). *most*: bytes
    that one piece may become. *trusting*: whether the body must be what its coding says; otherwise one that does not begin as
    gzip does passes as it is: some proxies unpack a body and leave the header there.

    Raises `zlib.error` where the body is not what its coding says, or becomes more.
    """

    __slots__ = ("_coding", "_inflate", "_is_plain", "_most")

    def __init__(self, coding: str, most: int = MAX_PIECE, *, trusting: bool = True) -> None:
        self._coding = coding
        self._most = most
        self._inflate: Any = None  # of the member that is read now
        self._is_plain = False if trusting or coding not in _GZIP else None  # None: that is seen by the first byte

    def decode(self, data: bytes) -> bytes:
        """Return what *data*, the body's next bytes, brings."""
        if self._is_plain is None and data:
            self._is_plain = data[:1] != _GZIP_BEGINS
        if self._is_plain:
            return data
        parts: list[bytes] = []
        left, members = self._most, _MEMBERS
        for at in range(0, len(data), _AT_ONCE):
            some = data[at : at + _AT_ONCE]
            while some:
                if self._inflate is None or self._inflate.eof:
                    if self._inflate is not None and not (some := some.lstrip(b"\0")):
                        break  # padding after the last member
                    if not members:
                        raise zlib.error(f"more than {_MEMBERS} members in one piece")
                    members -= 1
                    self._inflate = self._begin(some)
                part = self._inflate.decompress(some, left)
                left -= len(part)
                parts.append(part)
                if self._inflate.unconsumed_tail or left <= 0:
                    raise TooMuchError(f"more than {self._most} bytes in one piece")
                some = self._inflate.unused_data
        return b"".join(parts)

    def finish(self) -> None:
        """Check that the body has ended where its coding ends; an empty body is no coded one."""
        if self._inflate is not None and not self._inflate.eof:
            raise zlib.error("the compressed body is cut")

    def _begin(self, data: bytes) -> Any:
        if self._coding in _GZIP:
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        if self._inflate is not None:
            raise zlib.error("something follows the compressed body")
        if data[:1] == _GZIP_BEGINS:  # no deflate begins so
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 15 == _ZLIB else -zlib.MAX_WBITS)


class UnreadDecoder(BodyDecoder):
    """Reads a body in a coding that is not undone here as nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def decode(self, data: bytes) -> bytes:
        """See `BodyDecoder.decode`."""
        return b""


def response_decoder(status: int, values: Iterable[str]) -> BodyDecoder | None:
    """Return what undoes the coding of a response's body, as `make_decoder` does for a request's. A refusal is one whatever its
    body is: where that cannot be undone, its words are lost.

    Raises `CodingError` where an answer is in a coding that is not undone here.
    """
    try:
        return make_decoder(values, trusting=False)
    except CodingError:
        if status < _REFUSED:
            raise
        return UnreadDecoder()


def make_decoder(values: Iterable[str], most: int = MAX_PIECE, *, trusting: bool = True) -> BodyDecoder | None:
    """Return what undoes the coding that these values of Content-Encoding name, None where they name none. *most*, *trusting*:
    see `BodyDecoder`.

    Raises `CodingError` for more than one coding, and for one that is not undone here.
    """
    named = [name for value in values for part in value.split(",") if (name := part.strip().lower()) in _CODINGS]
    if not named:
        return None
    if len(named) > 1 or named[0] in _FOREIGN:
        raise CodingError(f"a body compressed as {', '.join(named)}, though none was asked for")
    return BodyDecoder(named[0], most, trusting=trusting)


#: Encodings that servers name, by the names that Python has for them.
_CHARSETS: Final = late_pattern(r"iso8859-\d+|cp12\d\d|gbk|gb2312|gb18030|big5|euc_(?:jp|kr)|shift_jis|koi8-r")
_CHARSET: Final = late_pattern(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


def in_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return *body* in UTF-8, where it is in the encoding that its *content_type* names. One that is UTF-8 stays as it is,
    whatever is named: many servers name an encoding by default and send another."""
    named = _CHARSET.search(content_type or "")
    if named is None:
        return body
    try:
        encoding = codecs.lookup(named[1]).name
    except LookupError:
        return body
    if not _CHARSETS.fullmatch(encoding):
        return body
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode(encoding, "replace").encode()
    return body
