"""Media of a part (Gemini API reference, "Blob", "FileData"), as parts of chat completions."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final

Part = dict[str, Any]

_URL_SAFE: Final = str.maketrans("-_", "+/")

#: How sound is named in chat completions, where that is not the second half of its type.
_SOUNDS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a"}

#: By the end of an address, where a file has no type.
_ENDS: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


def blob_part(blob: Part) -> Part:
    """Return data in base64 as a part: text where it is text. Google's own clients write base64 with the characters that are
    safe in addresses."""
    data = blob["data"].translate(_URL_SAFE)
    data += "=" * (-len(data) % 4)
    kind: str = blob.get("mimeType") or "application/octet-stream"
    family, _, name = kind.partition("/")
    if family == "text" and (text := _text_in(data)) is not None:
        return {"type": "text", "text": text}
    if family == "audio":
        form = name.partition(";")[0].lower()
        return {"type": "input_audio", "input_audio": {"data": data, "format": _SOUNDS.get(form, form)}}
    return _at(family, f"data:{kind};base64,{data}", {"filename": blob.get("displayName") or "document"})


def file_part(file: Part) -> Part:
    """Return a file at an address as a part."""
    address = file["fileUri"]
    kind = file.get("mimeType") or next((kind for end, kind in _ENDS.items() if address.lower().endswith(end)), "")
    if kind.startswith(("image/", "video/")):
        return _at(kind.partition("/")[0], address, {})
    return {"type": "file", "file": {"file_url": address}}


def _at(family: str, address: str, named: Part) -> Part:
    if family in ("image", "video"):
        return {"type": f"{family}_url", f"{family}_url": {"url": address}}
    return {"type": "file", "file": {**named, "file_data": address}}


def _text_in(data: str) -> str | None:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None
