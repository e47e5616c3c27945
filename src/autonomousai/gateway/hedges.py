"""How many requests may be hedged, and which: a second upstream is asked where the first is slow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..request import ChatRequest

#: Hedges that may be saved up, in quiet times, for a bad moment.
_MOST_SAVED: Final = 10.0

#: What keeps a sum of small parts from missing a whole number.
_ROUNDING: Final = 1e-9


class HedgeBudget:
    """Hedges as a share of requests. However many have been asked, no more than *share* of them were hedged: where every
    upstream is slow, hedging does not multiply what makes them slow."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def earn(self) -> None:
        """A request was asked."""
        self._saved = min(self._saved + self._share, max(_MOST_SAVED, self._share))

    def spend(self) -> bool:
        """Return whether a request may be hedged; that is counted then."""
        if self._saved < 1 - _ROUNDING:
            return False
        self._saved -= 1
        return True


#: Members of a request by which an upstream keeps something, or does something beside answering.
_EFFECTS: Final = (
    "background",
    "store",
    "conversation",
    "prompt",
    "previous_response_id",
    "threadId",
    "thread_id",
    "container",
    "mcp_servers",
    "web_search_options",
    "plugins",
)

#: Of the types of tools those that the caller runs, and not the upstream.
_CALLERS_TOOLS: Final = frozenset({"function", "custom", None})


def may_be_asked_twice(request: ChatRequest) -> bool:
    """Return whether two upstreams may be asked for one answer: a conversation that leaves nothing behind at either."""
    if not request.messages or any(map(request.fields.get, _EFFECTS)):
        return False
    document: Mapping[str, Any] = {} if request.origin is None else request.origin.document
    # By now the server has put the messages of a kept response in front of those that continue it.
    if any(document.get(name) for name in _EFFECTS if name != "previous_response_id"):
        return False
    tools = [*_tools(request.fields), *_tools(document)]
    return all(tool.get("type") in _CALLERS_TOOLS for tool in tools if isinstance(tool, Mapping))


def _tools(members: Mapping[str, Any]) -> list[Any]:
    tools = members.get("tools")
    return tools if isinstance(tools, list) else []
