"""aiohttp, and nothing parsed: the bytes are taken as they come. The floor for whoever builds on aiohttp."""

from __future__ import annotations

import json

import aiohttp
from caller import MESSAGES, UPSTREAM, serve

BODIES = {stream: json.dumps({"model": "bench", "messages": MESSAGES, "stream": stream}).encode() for stream in (True, False)}
HEADERS = {"Content-Type": "application/json"}

session: aiohttp.ClientSession | None = None


async def ask(stream: bool) -> list[bytes]:
    global session  # noqa: PLW0603  made in the loop
    if session is None:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=600))
    async with session.post(f"{UPSTREAM}/v1/chat/completions", data=BODIES[stream], headers=HEADERS) as response:
        if not stream:
            return [await response.read()]
        return [data async for data in response.content.iter_any()]


serve(ask)
