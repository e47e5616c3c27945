"""Whether the engine keeps to a grammar of tools. llama.cpp drops one that it cannot compile, says so in its log alone, and
generates freely: so each grammar is tried once beforehand, with an answer of one token that the grammar alone brings about.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from ..answer import Answer
from ..request import CallOptions, ChatRequest, OriginalRequest
from ..wires.fields import UNSUPPORTED
from ..wires.raw import COMPLETIONS_WIRE
from ..wires.shapes import refusal
from .generation import LoopEngine
from .tool_schema import json_rule

#: What no model says after that prompt, unless it is made to.
_PROMPT: Final = "1 2 3 4 5 6 7"
_SIGN: Final = "@"

#: Grammars of an engine that are remembered.
_MOST: Final = 1000


async def check_grammar(
    engine: LoopEngine, request: ChatRequest, options: CallOptions, *, schemas: Mapping[str, dict[str, Any]]
) -> None:
    """Raise `StatusError` 400 where the engine cannot be held to the grammar of *request*. It names the first of its *schemas*,
    by their places in the caller's request, that is to blame."""
    fields = request.fields if request.origin is None else request.origin.document
    if await _holds(engine, fields["grammar"], options):
        return
    for place, schema in schemas.items():
        if not await _holds(engine, f"%llguidance {{}}\nstart: {json_rule(schema)}\n", options):
            raise refusal(place, "is no schema that the embedded engine can be held to; make it simpler", UNSUPPORTED)
    raise refusal("tools", "are too much for the embedded engine to be held to all of them; send fewer", UNSUPPORTED)


async def _holds(engine: LoopEngine, grammar: str, options: CallOptions) -> bool:
    known = engine.supervisor.grammars
    digest = sha256(grammar.encode()).digest()
    if (holds := known.get(digest)) is not None:
        return holds
    document = {
        "prompt": _PROMPT,
        "grammar": grammar.replace("\nstart: ", f'\nstart: "{_SIGN}" ', 1),
        "max_tokens": 1,
        "temperature": 0,
        "cache_prompt": False,
    }
    answer = Answer()
    request = ChatRequest("", [], stream=True, origin=OriginalRequest(COMPLETIONS_WIRE, document))
    async for batch in engine.client.stream(request, options):
        answer.add(batch)
    if len(known) >= _MOST:
        known.clear()
    known[digest] = answer.text.startswith(_SIGN)
    return known[digest]
