"""The vendors' searches of the web, each in the words of the other's API: Anthropic's tool ``web_search_20250305``, OpenAI's
tool ``web_search`` and its field ``web_search_options``. The upstream searches."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

#: What Anthropic's tool is called in its first form, which all servers of the API have that search.
_MESSAGES_TYPE: Final = "web_search_20250305"

_PREFIX: Final = "web_search"


def asked_search(document: Json) -> Json | None:
    """Return the tool by which a request, of Messages or of Responses, asks for searches; None where it asks for none, or for
    none of the live web."""
    tools = document.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and str(tool.get("type")).startswith(_PREFIX):
            return tool if tool.get("external_web_access") is not False else None
    return None


def messages_search(asked: Json) -> Json:
    """Return Anthropic's tool for what OpenAI's tool, or the field of chat completions, *asked*.

    Example::

        asked = {"type": "web_search", "filters": {"allowed_domains": ["example.org"]}}
        tool = messages_search(asked)
        assert tool == {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["example.org"]}
    """
    filters = asked.get("filters")
    domains = filters.get("allowed_domains") if isinstance(filters, dict) else None
    return {
        "type": _MESSAGES_TYPE,
        "name": "web_search",
        **({"allowed_domains": domains} if domains else {}),
        **_place(asked),
    }


def responses_search(asked: Json) -> Json:
    """Return OpenAI's tool for what Anthropic's *asked*. How often it may search is left to the model."""
    domains = asked.get("allowed_domains")
    return {"type": "web_search", **({"filters": {"allowed_domains": domains}} if domains else {}), **_place(asked)}


def _place(asked: Json) -> Json:
    """Return where the user is; chat completions have it one level deeper."""
    where = asked.get("user_location")
    if not isinstance(where, dict):
        return {}
    inner = where.get("approximate")
    known = inner if isinstance(inner, dict) else where
    named = {name: known[name] for name in ("city", "region", "country", "timezone") if known.get(name)}
    return {"user_location": {"type": "approximate", **named}} if named else {}
