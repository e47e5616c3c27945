"""What an answer of the Gemini API rests on (Gemini API reference, "GroundingMetadata", "CitationMetadata"), as citations of
chat completions. The API counts places in the text in bytes of UTF-8, and says all it has with each chunk once more."""

from __future__ import annotations

from typing import Any, TypeAlias

from .upstream_shapes import text_in

Json = dict[str, Any]

#: Where in the text something is cited, in bytes, and the page.
_Span: TypeAlias = tuple[int, int, Json]


def citations_in(said: list[Json], text: str) -> list[Json]:
    """Return the citations that pieces of a candidate bring, *said* in their order, whose text is *text*. A piece may cite
    pages that one before it found."""
    spans: list[_Span] = []
    pages: list[Json | None] = []
    for candidate in said:
        if isinstance(grounding := candidate.get("groundingMetadata"), dict):
            pages = [_page(chunk) for chunk in _objects(grounding.get("groundingChunks"))] or pages
            spans += _grounded(grounding, pages)
        spans += _recited(candidate.get("citationMetadata"))
    return _citations(spans, text)


def _grounded(grounding: Json, pages: list[Json | None]) -> list[_Span]:
    spans: list[_Span] = []
    for support in _objects(grounding.get("groundingSupports")):
        segment = support.get("segment")
        segment = segment if isinstance(segment, dict) else {}
        indices = support.get("groundingChunkIndices")
        start, end = _place(segment.get("startIndex")), _place(segment.get("endIndex"))
        places = [index for index in indices if type(index) is int] if isinstance(indices, list) else []
        found = [pages[index] for index in places if 0 <= index < len(pages)]
        spans += [(start, end, page) for page in found if page is not None]
    return spans or [(0, 0, page) for page in pages if page is not None]


def _recited(citations: Any) -> list[_Span]:
    """Return what a text repeats word for word."""
    if not isinstance(citations, dict):
        return []
    sources = _objects(citations.get("citationSources", citations.get("citations")))
    return [
        (_place(each.get("startIndex")), _place(each.get("endIndex")), {"url": uri, "title": text_in(each.get("title"))})
        for each in sources
        if (uri := text_in(each.get("uri")))
    ]


def _page(chunk: Json) -> Json | None:
    """Return the page of a chunk that a search found, None for one that has no address."""
    for kind in ("web", "retrievedContext", "maps", "image"):
        said = chunk.get(kind)
        if isinstance(said, dict) and (uri := text_in(said.get("uri"))):
            return {"url": uri, "title": text_in(said.get("title"))}
    return None


def _citations(spans: list[_Span], text: str) -> list[Json]:
    if not spans:
        return []
    characters = _characters(text, {place for start, end, _ in spans for place in (start, end)})
    return [
        {"type": "url_citation", "url_citation": {**page, "start_index": characters[start], "end_index": characters[end]}}
        for start, end, page in spans
    ]


def _characters(text: str, places: set[int]) -> dict[int, int]:
    """Return the place of each character that is at these bytes."""
    if text.isascii():
        return {place: min(place, len(text)) for place in places}
    data = text.encode("utf-8", "surrogatepass")
    found, before, count = {}, 0, 0
    for place in sorted(places):
        start = min(place, len(data))
        while 0 < start < len(data) and data[start] & 0xC0 == 0x80:  # in the midst of a character
            start -= 1
        count += len(data[before:start].decode("utf-8", "replace"))
        before = max(before, start)
        found[place] = count
    return found


def _objects(value: Any) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _place(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
