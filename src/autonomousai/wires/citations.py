"""Citations of web pages, as each wire writes them. What is no such citation, and what a wire writes itself, stays as it is.

Chat completions have an object inside, ``{"type": "url_citation", "url_citation": {…}}``; Responses have its members beside the
type; Messages call it ``web_search_result_location``, which a signature of the vendor's belongs to: of others it is empty.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_URL: Final = "url_citation"

#: Citations of Messages, and the member that names the place of those which are pages.
_MESSAGES: Final = {
    "web_search_result_location": "url",
    "search_result_location": "source",
    "char_location": "",
    "page_location": "",
    "content_block_location": "",
}


def is_of_messages(citation: Any) -> bool:
    """Return whether a citation is written as Messages have it."""
    return isinstance(citation, dict) and citation.get("type") in _MESSAGES


def as_chat(citation: Any) -> Any:
    """Return a citation as chat completions have it."""
    page = _page_of(citation)
    is_theirs = is_of_messages(citation) or (isinstance(citation, dict) and "url" in citation)
    return citation if page is None or not is_theirs else {"type": _URL, _URL: page}


def as_responses(citation: Any) -> Any:
    """Return a citation as Responses have it."""
    page = _page_of(citation)
    return citation if page is None or ("url" in citation and not is_of_messages(citation)) else {"type": _URL, **page}


def as_messages(citation: Any) -> Json | None:
    """Return a citation as Messages have it; None where they have nothing for it."""
    if is_of_messages(citation):
        return dict(citation)
    page = _page_of(citation)
    if page is None:
        return None
    said = page.get("content")
    return {
        "type": "web_search_result_location",
        "url": page["url"],
        "title": page["title"] or None,
        "encrypted_index": "",
        "cited_text": said if isinstance(said, str) else "",
    }


def _page_of(citation: Any) -> Json | None:
    """Return the members of a citation of a page, all that OpenAI names; None for any other."""
    if not isinstance(citation, dict):
        return None
    kind = citation.get("type")
    if kind == _URL:
        inner = citation.get(_URL)
        said = inner if isinstance(inner, dict) else {name: value for name, value in citation.items() if name != "type"}
    elif isinstance(url := citation.get(_MESSAGES.get(str(kind), "")), str):
        said = {"url": url, "title": citation.get("title") or ""}
        if citation.get("cited_text"):
            said["content"] = citation["cited_text"]
    else:
        return None
    return {"url": "", "title": "", "start_index": 0, "end_index": 0, **said}
