"""Run by gpt4free's own environment: its client is given our provider, and what it yields is printed as one JSON object.

Usage: ``python g4f_driver.py WAY PROMPT``, WAY being a function below. AUTONOMOUSAI_BASE_URL names the server. Any connection
but to loopback ends the run.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import g4f
import g4f.debug
from g4f.client import AsyncClient
from g4f.errors import ProviderNotWorkingError

from autonomousai import AutonomousAI

g4f.debug.version_check = False

FIXED: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 60}


def forbid_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            print(f"a connection to {address}", file=sys.stderr)
            os._exit(99)
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", "::1", None):
        print(f"a look-up of {arguments[0]}", file=sys.stderr)
        os._exit(99)


def messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


async def streamed(client: Any, prompt: str) -> dict[str, Any]:
    pieces, end = [], None
    async for chunk in client.chat.completions.create(messages(prompt), model="llama", stream=True, **FIXED):
        if content := chunk.choices[0].delta.content:
            pieces.append(content)
        end = chunk.choices[0].finish_reason or end
    return {"pieces": pieces, "finish": end}


async def instance(prompt: str) -> dict[str, Any]:
    """An instance pointed at a server, streamed."""
    async with AutonomousAI(base_url=os.environ["AUTONOMOUSAI_BASE_URL"]) as provider:
        return await streamed(AsyncClient(provider=provider), prompt)


async def instance_whole(prompt: str) -> dict[str, Any]:
    """The same without streaming, and with the default model."""
    async with AutonomousAI(base_url=os.environ["AUTONOMOUSAI_BASE_URL"]) as provider:
        answer = await AsyncClient(provider=provider).chat.completions.create(messages(prompt), **FIXED)
    return {
        "pieces": [answer.choices[0].message.content],
        "finish": answer.choices[0].finish_reason,
        "provider": answer.provider,
    }


async def the_class(prompt: str) -> dict[str, Any]:
    """The class itself, streamed: the client does not ask whether it works."""
    return await streamed(AsyncClient(provider=AutonomousAI), prompt)


async def the_class_ignoring_working(prompt: str) -> dict[str, Any]:
    """The class where its caller says `ignore_working`; without that it is refused."""
    refused = False
    try:
        g4f.ChatCompletion.create_async("llama", messages(prompt), AutonomousAI, stream=True)
    except ProviderNotWorkingError:
        refused = True
    answer = g4f.ChatCompletion.create_async("llama", messages(prompt), AutonomousAI, stream=True, ignore_working=True, **FIXED)
    pieces = [str(chunk) async for chunk in answer if chunk]
    return {"pieces": pieces, "finish": None, "refused": refused}


if __name__ == "__main__":
    sys.addaudithook(forbid_the_network)
    way = {way.__name__: way for way in (instance, instance_whole, the_class, the_class_ignoring_working)}[sys.argv[1]]
    print(json.dumps(asyncio.run(way(sys.argv[2]))))
