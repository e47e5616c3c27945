"""What tools cost a token: answers that are held to a tool's schema, beside plain ones of the same server.

Each is asked for twice, short and long, and the difference is what counts: the prompt, which tools make longer, is in both.
"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, Final

from measure import Figures, Goal, Plan, note, progress

SCENARIO: Final = "tools"
WITH, WITHOUT = "with tools", "without tools"
TOOLS_UNITS: Final = {SCENARIO: "ms a token"}
TOOLS_GOALS: Final = [Goal(SCENARIO, WITH, 1.5, WITHOUT, guard=False)]

#: Tokens of the short and of the long answer.
_SHORT, _LONG = 16, 48

_FIELDS: Final[dict[str, dict[str, Any]]] = {
    WITHOUT: {},
    WITH: {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "tell",
                    "description": "Tell a story.",
                    "parameters": {
                        "type": "object",
                        "properties": {"story": {"type": "string", "minLength": 2000}},
                        "required": ["story"],
                    },
                },
            }
        ],
        "tool_choice": "required",
    },
}


def measure_tools(port: int, figures: Figures, plan: Plan) -> None:
    """Ask in turns, and note the quickest of each: on a shared machine it wavers upwards alone."""
    seen: dict[tuple[str, int], list[float]] = {(name, tokens): [] for name in _FIELDS for tokens in (_SHORT, _LONG)}
    for number in range(plan.count(8) + 1):
        progress(f"tools, {number} of {plan.count(8)}")
        for (name, tokens), times in seen.items():
            spent = _ask(port, _FIELDS[name], tokens)
            if number:  # the first has the grammar compiled and the pages of the weights read
                times.append(spent)
    for name in _FIELDS:
        note(figures, SCENARIO, name, (min(seen[name, _LONG]) - min(seen[name, _SHORT])) / (_LONG - _SHORT) * 1000)


def _ask(port: int, fields: dict[str, Any], tokens: int) -> float:
    """Return the seconds of one answer of so many tokens."""
    messages = [{"role": "user", "content": "Tell a long story of a fox and a lazy dog who travel around the world."}]
    body = {"model": "llama", "messages": messages, "max_tokens": tokens, "temperature": 0, **fields}
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), headers)
    began = time.monotonic()
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    spent = time.monotonic() - began
    if (made := answer["usage"]["completion_tokens"]) != tokens:
        raise SystemExit(f"the answer has {made} tokens in place of {tokens}")
    return spent
