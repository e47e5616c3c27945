"""Images that go with a question: a file becomes the part of a message that carries it. What it is says its first bytes."""

from __future__ import annotations

import base64
from typing import Any, Final

from ..arguments import as_utf8
from ..exit_codes import UsageError
from .files import read_bytes

#: What a file begins with -> its type.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


#: How a name begins that is no file's: the server fetches the image, or the name is the image.
_URLS: Final = ("https://", "http://", "data:image/")


def image_part(name: str) -> dict[str, Any]:
    """The part of a message's content that carries the image in the file of this name, or names its URL. Raises `UsageError`
    where it is none."""
    if name.startswith(_URLS):
        return {"type": "image_url", "image_url": {"url": as_utf8(name, "--image")}}
    data = read_bytes("--image", name)
    kind = _kind(data)
    if kind is None:
        raise UsageError(f"--image {name}: is no PNG, JPEG, GIF or WebP file; convert it to one of them")
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}


def _kind(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
