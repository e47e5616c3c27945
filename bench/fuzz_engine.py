"""Ask the embedded engine for what could take it down, and count how it answers.

    python bench/fuzz_engine.py [SECONDS] [SEED]

Tools in great numbers, schemas deep, wide, counted and recursive, patterns that explode, choices and stops without measure.
Each request must end, as an answer or as a 400 that names the field; a crash, or a request without an end, fails the run. That
one is printed. The requests of a seed are the same each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from measure import cpu_alone

from autonomousai import LlamaCpp
from autonomousai.errors import StatusError
from autonomousai.result import AsyncResult

#: Seconds of the engine's CPU that may go by during one request: the clock says more of a busy machine than of the request.
PATIENCE = 120

#: Seconds between two looks at that, and how many there are at most.
LOOK, LOOKS = 5, 360

PATTERNS = ("^a{1,100}$", "(a|b)*c", "((a{1,50}){1,50}){1,50}", "(?=a)", ".*.*.*.*b", "(((a*)*)*)*", "^(a?){90}a{90}$", "([")
LEAVES: tuple[Any, ...] = (
    *({"type": name} for name in ("string", "integer", "number", "boolean", "null", "oops")),
    *({"type": "string", "pattern": pattern} for pattern in PATTERNS),
    *({"type": "string", "minLength": low, "maxLength": high} for low, high in ((0, 3), (500, 10_000), (10**9, 10**9), (9, 2))),
    *({"type": "string", "format": name} for name in ("date", "uuid", "email", "ipv6", "nonsense")),
    *({"type": "integer", "minimum": low, "maximum": high} for low, high in ((-(10**14), 10**14), (5, 2), (0, 7))),
    *({"$ref": place} for place in ("#", "#/$defs/a", "#/$defs/zz", "http://x")),
    {"type": "number", "multipleOf": 1e-9},
    {"enum": [str(number) for number in range(300)]},
    {"const": 'a"\\\n</tool_call>'},
    {"not": {}},
    {},
    True,
    False,
)


class Fuzzer:
    """Makes requests from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._left = 0

    def request(self) -> dict[str, Any]:
        """Return the fields of one."""
        rng = self._rng
        fields: dict[str, Any] = {"max_tokens": rng.choice((1, 8, 24)), "temperature": rng.choice((0, 1, 2))}
        if rng.random() < 0.9:
            fields["tools"] = [self._tool(number) for number in range(rng.choice((1, 1, 1, 1, 2, 5, 40, 129)))]
            function = {"type": "function", "function": {"name": "f0"}}
            some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function]}}
            fields["tool_choice"] = rng.choice(("required", "required", "auto", "none", function, some))
            fields["parallel_tool_calls"] = rng.random() < 0.9
        if rng.random() < 0.2:
            self._left = 100
            schema = {"type": "object", "properties": {"a": self._schema(1)}}
            fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        if rng.random() < 0.1:
            fields |= rng.choice(({"n": 2}, {"n": 10**6}, {"stop": ["a"] * 65}, {"logprobs": True, "top_logprobs": 20}))
        return fields

    def _tool(self, number: int) -> dict[str, Any]:
        rng = self._rng
        self._left = rng.choice((5, 30, 200, 1200))
        argument = self._nested(rng.choice((10, 61, 64, 500))) if rng.random() < 0.15 else self._schema(0)
        parameters = {"type": "object", "properties": {"v": argument}, "required": ["v"], "$defs": {"a": self._schema(3)}}
        strict = {"strict": True} if rng.random() < 0.15 else {}
        return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters, **strict}}

    def _schema(self, depth: int) -> Any:
        rng = self._rng
        self._left -= 1
        if self._left < 0 or rng.random() < 0.25 or depth > rng.choice((2, 4, 8, 60)):
            return rng.choice(LEAVES)
        form = rng.random()
        if form < 0.5:
            count = rng.choice((0, 1, 2, 3, 20))
            properties = {f'k"{number}': self._schema(depth + 1) for number in range(count)}
            return {"type": "object", "properties": properties, "required": list(properties)[:1]}
        if form < 0.75:
            bounds = {"minItems": rng.choice((0, 1, 50, 9999)), "maxItems": rng.choice((1, 60, 10_000))}
            return {"type": "array", "items": self._schema(depth + 1), **bounds}
        keyword = rng.choice(("anyOf", "oneOf", "allOf"))
        return {keyword: [self._schema(depth + 1) for _ in range(rng.choice((1, 2, 3, 40)))]}

    def _nested(self, levels: int) -> Any:
        schema: Any = {"type": "string"}
        for _ in range(levels):
            schema = self._rng.choice(({"type": "object", "properties": {"a": schema}}, {"type": "array", "items": schema}))
        return schema


async def in_time(result: AsyncResult, engine: LlamaCpp) -> None:
    """Wait for the end of an answer. Raises `TimeoutError` where the engine worked too long meanwhile."""
    answering, pid = asyncio.ensure_future(result.text()), engine.pid
    began = None if pid is None else cpu_alone(pid)
    for _ in range(LOOKS):
        await asyncio.wait([answering], timeout=LOOK)
        if answering.done():
            answering.result()
            return
        with contextlib.suppress(OSError):  # it may crash just now, which is counted
            if pid is not None and began is not None and cpu_alone(pid) - began > PATIENCE:
                break
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    raise TimeoutError


async def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Return how often requests ended in which way."""
    ends: Counter[str] = Counter()
    fuzzer, until = Fuzzer(seed), time.monotonic() + seconds
    async with LlamaCpp(slots=2, context=1024) as engine:

        async def ask_on() -> None:
            while time.monotonic() < until:
                messages = [{"role": "user", "content": "Call it."}]
                fields = fuzzer.request()
                result = engine.create_async_generator("llama", messages, stream=True, **fields)
                try:
                    await in_time(result, engine)
                    ends[f"answered: {result.finish.reason if result.finish else None}"] += 1
                except StatusError as error:
                    ends[f"{error.status} {(error.param or '').partition('[')[0]}: {error.code}"] += 1
                except TimeoutError:
                    ends["no end"] += 1
                    print(f"no end: {json.dumps(fields)}", file=sys.stderr, flush=True)

        await asyncio.gather(ask_on(), ask_on())
        ends["crashes"] = int((await engine.metrics())["crashes_total"])
    return ends


def main() -> int:
    """Run for so many seconds, an hour unless given, and print the counts."""
    seconds, seed = [*map(float, sys.argv[1:3]), *(3600.0, 1.0)[len(sys.argv) - 1 :]][:2]
    ends = asyncio.run(fuzz(seconds, int(seed)))
    for end, count in sorted(ends.items()):
        print(f"{count:6} {end}")
    return 1 if ends["crashes"] or ends["no end"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
