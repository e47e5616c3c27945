"""The server of an upstream, in a process of its own: it begins an answer, and falls silent after so many words.

Run as ``python tests/proof/upstream_process.py API WORDS``; its address is the first line that it writes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from autonomousai.testing import (
    Hang,
    Head,
    Request,
    Script,
    ScriptedServer,
    Send,
    chunks,
    message_events,
    response_events,
    text_chunks,
)

WORDS = [f" {number}" for number in range(40)]


def _openai(is_raw: bool) -> Callable[..., bytes]:
    return text_chunks if is_raw else chunks


#: How an answer is written, by the API that is asked; over OpenAI's a raw prompt has an API of its own.
APIS: dict[str, Callable[[bool], Callable[..., bytes]]] = {
    "openai": _openai,
    "anthropic": lambda is_raw: message_events,
    "responses": lambda is_raw: response_events,
}


def beginning(api: str, words: int) -> Callable[[Request], Script]:
    """Return how a request is answered: by so many words, and no end."""

    def play(request: Request) -> Script:
        is_raw = "prompt" in request.json()
        unfinished: dict[str, Any] = {"finish": None, **({"done": False} if api == "openai" else {})}
        return Script(Head(), Send(APIS[api](is_raw)(*WORDS[:words], **unfinished)), Hang())

    return play


async def main(api: str, words: str) -> None:
    async with ScriptedServer(beginning(api, int(words))) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
