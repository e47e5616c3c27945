"""Images for tests: PNGs of one colour, and heads of files that claim a size."""

from __future__ import annotations

import base64
import struct
import zlib


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(colour: tuple[int, int, int], width: int = 40, height: int = 30) -> bytes:
    """A PNG of one colour."""
    lines = (b"\0" + bytes(colour) * width) * height
    return png_head(width, height) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def png_head(width: int, height: int) -> bytes:
    """The head of a PNG of that size; no image follows."""
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
