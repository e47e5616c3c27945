"""What every caller under test shares: it is told on stdin what to ask, asks, and tells on stdout what that cost.

Knows the standard library alone, so that it runs in any environment. A caller brings one coroutine, ``ask(stream)``, which
returns the parts of one answer: of its text, or (where nothing is parsed) of its body. Whether they are right is looked at when
the clock has stopped.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[[bool], Awaitable[list[Any]]]

#: The same question for everybody, in the order of a command line: the upstream's URL is the first word.
UPSTREAM = sys.argv[1]
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello! Tell me of the fox, and of the lazy dog."},
]


def check(answers: list[list[Any]], text: str, bodies: list[str]) -> str:
    """What is wrong with the answers, or nothing."""
    for parts in answers:
        empty: Any = b"" if parts and isinstance(parts[0], bytes) else ""
        whole = empty.join(parts)
        if whole != text and (isinstance(whole, str) or whole.decode() not in bodies):
            return f"another answer, of {len(whole)} instead of {len(text)}: {whole[:200]!r}"
    return ""


async def run(ask: Ask, order: dict[str, Any]) -> dict[str, Any]:
    """Ask as ordered: ``requests`` in all, ``concurrency`` at once, ``stream``. ``calls``: count the functions that are called
    meanwhile, which makes the CPU's time worthless."""
    answers: list[list[Any]] = []
    left = order["requests"]

    async def one_after_the_other() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            answers.append(await ask(order["stream"]))

    await ask(order["stream"])  # connections, and what is made lazily
    calls: Counter[str] = Counter()
    began = time.process_time()
    if order.get("calls"):
        sys.setprofile(lambda _, event, __: calls.update((event,)))
    await asyncio.gather(*(one_after_the_other() for _ in range(order["concurrency"])))
    sys.setprofile(None)
    spent = time.process_time() - began
    told = {"cpu": spent, "answers": len(answers), "wrong": check(answers, order["text"], order["bodies"])}
    return {**told, "calls": calls["call"] + calls["c_call"]}


def serve(ask: Ask) -> None:
    """Take orders until stdin ends. One event loop for all of them, as in a program that lives for long."""
    with asyncio.Runner() as runner:
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(runner.run(run(ask, json.loads(line)))), flush=True)
