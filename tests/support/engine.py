"""What tests ask the embedded engine beside its provider: its own tokenizer, its own template, its own counters."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Any

import aiohttp

from autonomousai.engine.provider import LlamaCpp
from autonomousai.events import Messages

#: More than any of the tests needs; each probe is an answer of the engine, or a step of the event loop.
PROBES = 20_000


async def ask_engine(engine: LlamaCpp, path: str, body: dict[str, Any]) -> Any:
    """POST *body* to the engine's socket, past its provider."""
    current = engine._engines.current()
    assert current is not None
    settings = current.supervisor.settings
    headers = {"Authorization": f"Bearer {settings.api_key}", "Connection": "close"}
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=settings.socket), headers=headers) as session:
        async with session.post(f"http://engine{path}", json=body) as response:
            return await response.json()


async def tokenize(engine: LlamaCpp, text: str, *, special: bool = False) -> list[int]:
    """The tokens of *text*; with *special*, control tokens in it are read as such."""
    answer = await ask_engine(engine, "/tokenize", {"content": text, "parse_special": special})
    tokens: list[int] = answer["tokens"]
    return tokens


async def apply_template(engine: LlamaCpp, messages: Messages) -> str:
    """The text that the model reads for *messages*."""
    answer = await ask_engine(engine, "/apply-template", {"messages": messages})
    prompt: str = answer["prompt"]
    return prompt


async def eventually(engine: LlamaCpp, seen: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Ask the engine for its counters until they are as *seen* wants them."""
    for _ in range(PROBES):
        counters = await engine.metrics()
        if seen(counters):
            return counters
    raise AssertionError(f"the engine never came to that; its counters are {counters}")


async def until(reached: Callable[[], bool]) -> None:
    """Let the event loop run until *reached*."""
    while not reached():
        await asyncio.sleep(0)


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that need not be our child, and may become a zombie that nobody buries."""
    try:
        if hasattr(os, "pidfd_open"):
            process = os.pidfd_open(pid)
            select.select([process], [], [])
            os.close(process)
        else:
            while True:
                os.kill(pid, 0)
                os.sched_yield()
    except ProcessLookupError:
        return
