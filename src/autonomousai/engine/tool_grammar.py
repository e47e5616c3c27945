"""The grammar that an answer with tools is held to, in llguidance's form of Lark (its ``docs/syntax.md``). Knows the ways in
which templates write calls; no engine.

`tool_parser` reads what is written by this grammar: a call in tags, or an answer that begins with the JSON of a call. All else
is text, and is left free.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from .chat_template import HEAD, CallSyntax, Thoughts
from .tool_schema import json_rule
from .tools import Tool, ToolPlan


def tool_grammar(plan: ToolPlan, syntax: CallSyntax, *, schema: dict[str, Any] | None = None, thoughts: Thoughts = "") -> str:
    """Return the grammar of an answer by *plan*. *schema*: what the answer's text must obey, where there are no calls.
    *thoughts*: whether they come first, and who opens them."""
    if plan.mode == "required":
        rules = _required(plan, syntax)
    elif syntax.opening:
        rules = _free(plan, syntax, schema)
    else:
        rules = _free_bare(plan, schema)
    arguments = [f"args{place}: {json_rule(tool.schema)}" for place, tool in enumerate(plan.allowed)]
    return "\n".join(("%llguidance {}", *_THOUGHTS[thoughts], *rules, *arguments, ""))


_NO_THOUGHTS: Final = r"~/\s*<think>(?s:.*)/"

#: What comes before the rule ``said``.
_THOUGHTS: Final[dict[Thoughts, tuple[str, ...]]] = {
    "": ("start: said",),
    "opened": ("start: thought GAP? said", r"thought[lazy]: /(?s:.*)<\/think>/", r"GAP: /\s{1,4}/"),
    "tags": ("start: (thought GAP?)? said", r"thought[lazy]: /\s*<think>(?s:.*)<\/think>/", r"GAP: /\s{1,4}/"),
}


def _required(plan: ToolPlan, syntax: CallSyntax) -> list[str]:
    if not syntax.opening:
        return ["said: call", _calls(plan, syntax)]
    more = f"({json.dumps(f'{chr(10)}{syntax.opening}')} block)*" if plan.is_parallel else ""
    return [f"said: {json.dumps(syntax.opening)} block {more}", *_block(plan, syntax)]


def _free(plan: ToolPlan, syntax: CallSyntax, schema: dict[str, Any] | None) -> list[str]:
    """Text, calls in tags after text or none, or a bare call at the beginning."""
    opening = re.escape(syntax.opening)
    tagged = rf"(?s:(.*\n)?{opening})"
    more = f"({json.dumps(f'{chr(10)}{syntax.opening}')} block)*" if plan.is_parallel else ""
    if schema is not None:
        return [
            f"said: bare | answer | {json.dumps(syntax.opening)} block {more}",
            f"answer: {json_rule(schema)}",
            *_bare(plan),
            *_block(plan, syntax),
        ]
    return [
        f"said: bare | TEXT | begun block {more}",
        rf"TEXT: /(?s:.*)/ & ~/{_begins_bare(plan)}/ & ~/{tagged}(?s:.*)/ & {_NO_THOUGHTS}",
        "begun[lazy]: BEGUN",
        rf"BEGUN: /{tagged}/ & ~/{_begins_bare(plan)}/ & {_NO_THOUGHTS}",
        *_bare(plan),
        *_block(plan, syntax),
    ]


def _free_bare(plan: ToolPlan, schema: dict[str, Any] | None) -> list[str]:
    """Text, or a bare call at the beginning."""
    if schema is not None:
        return ["said: bare | answer", f"answer: {json_rule(schema)}", *_bare(plan)]
    return ["said: bare | TEXT", rf"TEXT: /(?s:.*)/ & ~/{_begins_bare(plan)}/ & {_NO_THOUGHTS}", *_bare(plan)]


def _begins_bare(plan: ToolPlan) -> str:
    names = "|".join(re.escape(tool.name) for tool in plan.allowed)
    return rf"{HEAD[0]}(?:{names}){HEAD[1]}\{{(?s:.*)"


def _bare(plan: ToolPlan) -> list[str]:
    """The rules of calls without tags, one after the other."""
    heads = [f"head{place}: /{HEAD[0]}{re.escape(tool.name)}{HEAD[1]}/" for place, tool in enumerate(plan.allowed)]
    calls = " | ".join(f"head{place} args{place} tail" for place in range(len(plan.allowed)))
    more = " bare?" if plan.is_parallel else ""
    return [f"bare: ({calls}){more}", r"tail: /\s*\}(\s*```)?/", *heads]


def _block(plan: ToolPlan, syntax: CallSyntax) -> list[str]:
    return [f"block: {json.dumps(chr(10))} call {json.dumps(f'{chr(10)}{syntax.closing}')}", _calls(plan, syntax)]


def _calls(plan: ToolPlan, syntax: CallSyntax) -> str:
    return "call: " + " | ".join(_call(place, tool, syntax) for place, tool in enumerate(plan.allowed))


def _call(place: int, tool: Tool, syntax: CallSyntax) -> str:
    head = f'{{"name": "{tool.name}", "{syntax.key}": '
    return f'{json.dumps(head)} args{place} "}}"'
