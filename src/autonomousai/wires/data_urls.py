"""Images and documents in a ``data:`` URL (RFC 2397), for APIs that want their type and their base64 apart."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import Final
from urllib.parse import unquote_to_bytes

from ..late import late_pattern
from .shapes import refusal

_DATA_URL: Final = late_pattern(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL | re.IGNORECASE)
_MEDIA_TYPES: Final = {"image/jpg": "image/jpeg", "": "text/plain"}

#: How images and documents begin, and what they are: some APIs refuse one that is said to be another.
_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


def read_data_url(url: str, where: str) -> tuple[str, str] | None:
    """Return the media type and the base64 of what *url* holds; None where it is another address. Raises `StatusError` 400 that
    names *where* it stands, if it is no base64.

    Example::

        assert read_data_url("data:,a%20b", "content") == ("text/plain", "YSBi")
    """
    if (match := _DATA_URL.fullmatch(url.strip())) is None:
        return None
    media_type = _MEDIA_TYPES.get(match[1].lower(), match[1].lower())
    try:
        if "base64" in match[2].lower().split(";"):
            data = re.sub(r"\s", "", unquote_to_bytes(match[3]).decode("ascii"))
            b64decode(data, validate=True)
        else:
            data = b64encode(unquote_to_bytes(match[3])).decode("ascii")
    except (binascii.Error, ValueError):
        raise refusal(where, "holds a data: URL that is no base64", "invalid_base64") from None
    return _seen(b64decode(data[:24])) or media_type, data


def _seen(beginning: bytes) -> str | None:
    """Return what an image or a document is, by its first bytes: programs name it after a file, or as they name all. None for
    one that is not known."""
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for begin, media_type in _BEGINNINGS if beginning.startswith(begin)), None)
