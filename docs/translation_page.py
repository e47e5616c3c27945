"""The page docs/reference/translation.md: what becomes of each field of a request at each upstream, from the wires' tables."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from autonomousai.wires.anthropic_messages.request import MESSAGES_REQUEST
from autonomousai.wires.fields import FieldUse, RequestField
from autonomousai.wires.google_gemini.request import GENERATE_REQUEST, GENERATION_APPROXIMATED, GENERATION_BECOMES
from autonomousai.wires.openai_chat.request import CHAT
from autonomousai.wires.openai_responses.request import RESPONSES
from autonomousai.wires.openai_responses.upstream_request import FIELDS
from autonomousai.wires.shapes import ANYTHING

HEAD: Final = """\
# What a translation carries

Made from the tables of the APIs by `python docs/make_reference.py`: the same tables check, write and describe the requests,
and `tests/wires/test_translation.py` tries them. A caller of one API may be answered by an upstream of another. Of each field
of its request:

- **carried**: the same is said, maybe by another name;
- *approximated*: less is said, or something near it;
- **refused**: a 400 names the field, for the answer would be another one;
- left out: the answer may be another one, within what the field promises, or the field says nothing there.

An upstream of the caller's own API gets the request as it came, whatever stands in it, known here or not. What becomes of
messages, blocks and items, and of answers, stands where each API is: [Messages](../messages.md),
[Responses](../responses.md), [the Gemini API](../guides/from-gemini.md), [Messages as an upstream](../guides/anthropic.md),
[Gemini as an upstream](../guides/gemini.md),
[Responses as an upstream](../guides/responses.md#as-an-upstream). Of the fields of Responses, `previous_response_id`, `store`,
`background` and `metadata` are this server's own to honour. Text completions, embeddings and rankings are asked of upstreams at
the same path alone, [field by field](fields.md).
"""

#: The upstreams, as the columns are called.
CHAT_UPSTREAM, RESPONSES_UPSTREAM, MESSAGES_UPSTREAM = "chat completions", "Responses", "Messages"
GEMINI_UPSTREAM, ENGINE = "Gemini", "embedded engine"
UPSTREAMS: Final = (CHAT_UPSTREAM, RESPONSES_UPSTREAM, MESSAGES_UPSTREAM, GEMINI_UPSTREAM, ENGINE)

#: The fates, the worst last.
CARRIED, APPROXIMATED, DROPPED, REFUSED = "carried", "approximated", "dropped", "refused"
FATES: Final = (CARRIED, APPROXIMATED, DROPPED, REFUSED)

_SHOWN: Final = {CARRIED: "**carried**", APPROXIMATED: "*approximated*", DROPPED: "left out", REFUSED: "**refused**"}


#: The fields of the Gemini API, with each member of `generationConfig` for itself.
GEMINI_ROWS: Final = {
    **{name: row for name, row in GENERATE_REQUEST.rows.items() if name != "generationConfig"},
    **{
        f"generationConfig.{name}": RequestField(
            f"generationConfig.{name}", ANYTHING, "", becomes=becomes, approximated=name in GENERATION_APPROXIMATED
        )
        for name, becomes in GENERATION_BECOMES.items()
    },
}


class Fate(NamedTuple):
    """What becomes of a field at an upstream; ``says``: more of it, for people."""

    what: str
    says: str = ""

    def __str__(self) -> str:
        return f"{_SHOWN[self.what]}: {self.says}" if self.says else _SHOWN[self.what]


def chat_fate(name: str, upstream: str) -> Fate:
    """Return what becomes of a field of chat completions."""
    row = CHAT.rows[name]
    if row.dropped:
        return Fate(DROPPED)
    if upstream == RESPONSES_UPSTREAM:
        rule = FIELDS.get(name)
        return Fate(rule.fate, rule.says) if rule is not None else Fate(CARRIED, "`input`" if name == "messages" else "")
    kind = {MESSAGES_UPSTREAM: "anthropic", GEMINI_UPSTREAM: "gemini", ENGINE: "llamacpp"}.get(upstream)
    return Fate(CARRIED) if kind is None or kind not in row.uses else _use_fate(row.uses[kind])


def _use_fate(use: FieldUse) -> Fate:
    if use.what == "dropped":
        return Fate(DROPPED)
    if use.what == "refused":
        return Fate(REFUSED, f"but for {' or '.join(f'`{json.dumps(value)}`' for value in use.neutral)}" if use.neutral else "")
    return Fate(APPROXIMATED if use.approximated else CARRIED, use.says)


def fate_of(row: RequestField, upstream: str) -> Fate:
    """Return what becomes of a field of another wire: what becomes of the fields of chat completions that it becomes."""
    if not row.becomes:
        return Fate(DROPPED)
    becomes, _, why = row.becomes.partition(": ")
    if becomes == "nothing":
        return Fate(REFUSED, why)
    here = Fate(APPROXIMATED if row.approximated else CARRIED, row.becomes)
    if upstream == CHAT_UPSTREAM:
        return here
    fates = [chat_fate(name, upstream) for name in chat_names(row)]
    whats = {here.what, *(fate.what for fate in fates)}
    worst = max(whats, key=FATES.index)
    if worst == DROPPED and any(fate.what != DROPPED for fate in fates):
        worst = APPROXIMATED  # one of several parts is left out
    said = [fate.says for fate in fates if fate.says]
    return Fate(worst, "; ".join(dict.fromkeys(said)))


def chat_names(row: RequestField) -> list[str]:
    """Return the fields of chat completions that a field becomes."""
    return [name for name in re.findall(r"`(\w+)`", row.becomes or "") if name in CHAT.rows]


def translation_page() -> str:
    parts = [HEAD]
    for title, rows, own, fate in (
        ("Callers of chat completions", CHAT.rows, CHAT_UPSTREAM, lambda row, upstream: chat_fate(row.name, upstream)),
        ("Callers of Messages", MESSAGES_REQUEST.rows, MESSAGES_UPSTREAM, fate_of),
        ("Callers of Responses", RESPONSES.rows, RESPONSES_UPSTREAM, fate_of),
        ("Callers of the Gemini API", GEMINI_ROWS, GEMINI_UPSTREAM, fate_of),
    ):
        others = [upstream for upstream in UPSTREAMS if upstream != own]
        lines = [f"| field | {' | '.join(others)} |", "|---|" + "---|" * len(others)]
        lines += [
            f"| `{row.name}` | {' | '.join(str(fate(row, upstream)) for upstream in others)} |"
            for row in rows.values()
            if row.name not in ("model", "stream")
        ]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)
