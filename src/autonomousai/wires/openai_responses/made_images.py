"""Images that a model made, as an output item of the Responses API and as a part of a content (OpenAI API reference,
"Responses", ``image_generation_call``). Knows no stream."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_KIND: Final = "image_generation_call"

#: How images of each format begin, in base64; an item need not name it.
_BEGINNINGS: Final = {"/9j/": "jpeg", "UklGR": "webp", "R0lGOD": "gif"}


def image_in(item: Json) -> Json | None:
    """Return the image that an output *item* holds, as chat completions have one; None where it holds none.

    Example::

        image = image_in({"type": "image_generation_call", "result": "iVBORw0KGgo="})
        assert image == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    """
    result = item.get("result") if item.get("type") == _KIND else None
    if not isinstance(result, str) or not result:
        return None
    if not result.startswith(("data:", "http://", "https://")):
        said = item.get("output_format")
        kind = said if isinstance(said, str) and said else _format_of(result)
        result = f"data:image/{kind};base64,{result}"
    return {"type": "image_url", "image_url": {"url": result}}


def _format_of(result: str) -> str:
    return next((name for beginning, name in _BEGINNINGS.items() if result.startswith(beginning)), "png")


def item_of(image: Any) -> Json:
    """Return the item that an *image* of another API is, without its id: with its data, or its address where it has one
    elsewhere."""
    url = image.get("image_url") if isinstance(image, dict) else image
    url = url.get("url") if isinstance(url, dict) else url
    url = url if isinstance(url, str) else ""
    result = url.partition(";base64,")[2] if url.startswith("data:") else url
    return {"type": _KIND, "status": "completed", "result": result}
