"""What agents send to Anthropic unasked, in forms for servers of the Messages API that do not know it: marks of beta features,
members of tools and of cache marks, tools that the vendor runs. An answer without it is one to the same question.

Claude Code sends several of them with each request, whatever server it is pointed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from ..late import late_pattern

Json = dict[str, Any]

_UNKNOWN: Final = late_pattern(
    r"extra (?:inputs?|fields?)|un(?:recognized|supported|known|expected)|not (?:supported|permitted|allowed|recognized)",
    re.IGNORECASE,
)
_UNKNOWN_TYPE: Final = late_pattern(
    r"does not match|unknown|unexpected|unrecognized|unsupported|not (?:a )?(?:support|valid|permit|allow|avail)|invalid",
    re.IGNORECASE,
)

#: Tools that a caller runs itself: without them its program could not work.
_RUN_BY_CALLERS: Final = ("bash_", "text_editor_", "computer_", "memory_")


def _dicts(value: Any) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _top(body: Json) -> Iterable[Json]:
    return (body,)


def _top_if_empty(name: str) -> Callable[[Json], Iterable[Json]]:
    return lambda body: () if body.get(name) else (body,)


def _member(name: str) -> Callable[[Json], Iterable[Json]]:
    return lambda body: _dicts([body.get(name)])


def _tools(body: Json) -> Iterable[Json]:
    return _dicts(body.get("tools"))


def _blocks(body: Json) -> Iterator[Json]:
    """Yield the blocks of the system, of messages, and of results in them."""
    yield from _dicts(body.get("system"))
    for message in _dicts(body.get("messages")):
        for block in _dicts(message.get("content")):
            yield block
            yield from _dicts(block.get("content"))


def _marked(body: Json) -> Iterator[Json]:
    """Yield what may bear a mark for the cache of prompts."""
    yield body
    yield from _tools(body)
    yield from _blocks(body)


def _marks(body: Json) -> Iterator[Json]:
    return (mark for holder in _marked(body) if isinstance(mark := holder.get("cache_control"), dict))


#: Members, and where they stand, in the order in which they are looked for.
_EXTRAS: Final[tuple[tuple[str, Callable[[Json], Iterable[Json]]], ...]] = (
    *((name, _top) for name in ("context_management", "anthropic_beta", "betas", "diagnostics", "speed", "inference_geo")),
    *((name, _top_if_empty(name)) for name in ("mcp_servers", "container")),
    *(("service_tier", _top), ("task_budget", _member("output_config")), ("display", _member("thinking"))),
    *((name, _tools) for name in ("input_examples", "defer_loading", "eager_input_streaming", "allowed_callers")),
    *(("scope", _marks), ("ttl", _marks), ("cache_control", _marked), ("caller", _blocks)),
)


class WithoutExtra(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is, without a member that the server does not know. ``member``: its name;
    ``holders``: yields what may have it."""

    name: str
    member: str
    holders: Callable[[Json], Iterable[Json]]

    def asked(self, body: Json, said: str, param: str | None) -> WithoutExtra | None:
        """See `Adaptation.asked`."""
        about = f"{said} {param or ''}"
        if self.member not in about or not _UNKNOWN.search(about) or re.search(rf"\b{self.member}\b(?!\.\w)", about) is None:
            return None
        return self if any(self.member in holder for holder in self.holders(body)) else None

    def named(self, name: str) -> WithoutExtra | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        for holder in self.holders(body):
            holder.pop(self.member, None)


class WithoutTool(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is, without the tools of a type that the server does not know, which is part of
    its name. It is never that of tools which callers run, nor of one that must be called."""

    name: str = "no_tool"
    type: str = ""

    def asked(self, body: Json, said: str, param: str | None) -> WithoutTool | None:
        """See `Adaptation.asked`."""
        if not _UNKNOWN_TYPE.search(said):
            return None
        return next((self._without(tool["type"]) for tool in _tools(body) if _is_left_out(body, tool, said)), None)

    def named(self, name: str) -> WithoutTool | None:
        """See `Adaptation.named`."""
        prefix = f"{self.name} "
        return self._without(name.removeprefix(prefix)) if name.startswith(prefix) else None

    def _without(self, type_: str) -> WithoutTool:
        return WithoutTool(f"{self.name} {type_}", type_)

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        if not isinstance(tools := body.get("tools"), list):
            return
        body["tools"] = [tool for tool in tools if not (isinstance(tool, dict) and tool.get("type") == self.type)]
        if not body["tools"]:
            del body["tools"]
            body.pop("tool_choice", None)


def _is_left_out(body: Json, tool: Json, said: str) -> bool:
    """Return whether a refusal says that it does not know the type of a tool, without which the request can be answered."""
    type_, choice = tool.get("type"), body.get("tool_choice")
    if not isinstance(type_, str) or type_ in ("custom", "function") or type_.startswith(_RUN_BY_CALLERS):
        return False
    is_wanted = isinstance(choice, dict) and choice.get("name") == tool.get("name")
    return not is_wanted and re.search(rf"['\"`]{re.escape(type_)}['\"`]", _before_expected(said)) is not None


def _before_expected(said: str) -> str:
    """Return the words of a refusal before the list of types that the server knows."""
    return re.split(r"expected", said, maxsplit=1, flags=re.IGNORECASE)[0]


#: Marks of one request that the API takes (API reference, "Prompt caching").
_MOST_MARKS: Final = 4
_TOO_MANY_MARKS: Final = late_pattern(r"maximum of \d+ blocks with cache_control", re.IGNORECASE)


class FewerMarks(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is, with as many marks for the cache of prompts as the API takes: the last ones,
    which stand for all before them."""

    name: str = "fewer_cache_marks"

    def asked(self, body: Json, said: str, param: str | None) -> FewerMarks | None:
        """See `Adaptation.asked`."""
        return self if _TOO_MANY_MARKS.search(said) and len(_holders(body)) > _MOST_MARKS else None

    def named(self, name: str) -> FewerMarks | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        for holder in _holders(body)[:-_MOST_MARKS]:
            del holder["cache_control"]


def _holders(body: Json) -> list[Json]:
    return [holder for holder in (*_tools(body), *_blocks(body)) if holder.get("cache_control")]


Extra: TypeAlias = WithoutExtra | WithoutTool | FewerMarks

#: The header of beta features.
BETAS: Final = "anthropic-beta"
#: The name of the form without one of them, before the feature's mark.
BETA: Final = "no_beta"
#: The mark that stands for all of them.
ALL: Final = "*"

_OF_BETAS: Final = late_pattern(r"anthropic.?beta|beta (?:flag|header|feature)", re.IGNORECASE)


def refused_betas(marks: str, said: str) -> list[str]:
    """Return which *marks* of beta features, as the header has them, a refusal is about; `ALL` where it names none of them.

    Example::

        said = "Unexpected value(s) `a-1` for the `anthropic-beta` header"
        assert ["a-1"] == refused_betas("a-1,b-2", said)
    """
    if not marks or not _OF_BETAS.search(said):
        return []
    named = [mark for mark in marks.split(",") if re.search(rf"(?<![\w-]){re.escape(mark.strip())}(?![\w-])", said)]
    return [mark.strip() for mark in named] or [ALL]


def without_betas(marks: str, refused: Iterable[str]) -> str:
    """Return *marks*, as the header has them, without those that were *refused*."""
    refused = set(refused)
    return "" if ALL in refused else ",".join(mark for mark in marks.split(",") if mark.strip() not in refused)


#: All of these forms. That there are too many marks comes before that they are not known.
EXTRAS: Final[tuple[Extra, ...]] = (
    FewerMarks(),
    *(WithoutExtra(f"no_{member}", member, holders) for member, holders in _EXTRAS),
    WithoutTool(),
)
