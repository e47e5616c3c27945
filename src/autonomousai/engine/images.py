"""Images in a request to the embedded engine: what is checked of one before the engine gets it. Knows no engine.

llama.cpp decodes what it gets by stb_image, and hands what it does not know to programs of the system; it fetches addresses of
the network. Neither is for a caller to use: an image comes in the request, in a format that is decoded here, and its head says
that it is not larger than what decoding may take.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

from ..wires.shapes import refusal

#: Pixels of an image that is decoded, each of three bytes.
MAX_PIXELS: Final = 40_000_000

#: Pixels of all images of a request together.
MAX_TOTAL: Final = 64_000_000

#: Images in one request: each is encoded before the first token.
MAX_IMAGES: Final = 64

#: RFC 2397: the media type, its parameters, and that the data is base64.
_DATA: Final = re.compile(r"data:[^,;]*(?:;[^,;]*)*?;base64,", re.IGNORECASE)

INVALID_IMAGE: Final = "invalid_image"

_ADVICE: Final = "send it as data:image/png;base64,… or data:image/jpeg;base64,…"


def image_part(param: str, image: Any, seen: list[int]) -> dict[str, Any]:
    """Return the part of a message with *image*, the value of an ``image_url``, as the engine gets it: no member but the
    address. *seen*: the pixels of the request's images before it, which gets those of this one.

    Raises `StatusError` 400 that names *param* for an image that is elsewhere, that is no PNG, JPEG, GIF or BMP, that has more
    than `MAX_PIXELS` pixels, or with which there are more than `MAX_IMAGES` or `MAX_TOTAL` pixels."""
    url = image if isinstance(image, str) else image["url"]
    match = _DATA.match(url)
    if match is None:
        where = "lies elsewhere, and the embedded engine fetches nothing" if "://" in url[:16] else "is no image's data"
        raise refusal(param, f"{where}; {_ADVICE}", INVALID_IMAGE)
    try:
        data = base64.b64decode("".join(url[match.end() :].split()), validate=True)
    except (binascii.Error, ValueError):
        raise refusal(param, f"is not base64; {_ADVICE}", INVALID_IMAGE) from None
    size = size_of_image(data)
    if size is None:
        kind = "is a WebP image" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else "is no image that can be read"
        raise refusal(param, f"{kind}; the embedded engine takes PNG, JPEG, GIF and BMP, so send one of these", INVALID_IMAGE)
    width, height = size
    if not width or not height or width * height > MAX_PIXELS:
        problem = f"has {width} × {height} pixels; at most {MAX_PIXELS:,} are accepted, and at least one"
        raise refusal(param, problem, INVALID_IMAGE)
    seen.append(width * height)
    if len(seen) > MAX_IMAGES:
        raise refusal(param, f"is one image too many; at most {MAX_IMAGES} are accepted", INVALID_IMAGE)
    if sum(seen) > MAX_TOTAL:
        problem = f"brings the images to {sum(seen):,} pixels; at most {MAX_TOTAL:,} are accepted in all, so send smaller ones"
        raise refusal(param, problem, INVALID_IMAGE)
    return {"type": "image_url", "image_url": {"url": f"data:image/*;base64,{base64.b64encode(data).decode()}"}}


def size_of_image(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels that the head of a PNG, JPEG, GIF or BMP says; None where *data* is none of these.

    Example::

        assert size_of_image(b"GIF89a" + bytes([2, 0, 3, 0, 0, 0, 0])) == (2, 3)
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", data, 6)
        elif data.startswith(b"BM"):
            width, height = _bitmap_size(data)
        elif data.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(data)
        else:
            return None
    except struct.error:  # it ends within its head
        return None
    return width, height


def _bitmap_size(data: bytes) -> tuple[int, int]:
    """The oldest heads have 12 bytes and numbers of 16 bits; a negative height says that the lines come from the top."""
    (head,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if head == 12 else "<ii", data, 18)
    return abs(width), abs(height)


#: The markers of a JPEG that begin a frame (ITU T.81, table B.1), and those without a length.
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, at in _segments(data):
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each segment, and where its length stands, until the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker == 0xDA:
            return
        else:
            yield marker, at + 2
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
