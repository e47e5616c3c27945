"""Our clients, as a user iterates them: `AutonomousAI`, or with a second word `OpenAICompatible`."""

from __future__ import annotations

import sys

from caller import MESSAGES, UPSTREAM, serve

from autonomousai import AutonomousAI, FinishReason, OpenAICompatible

client = OpenAICompatible(f"{UPSTREAM}/v1") if sys.argv[2:] == ["openai"] else AutonomousAI(UPSTREAM)
model = "bench" if sys.argv[2:] == ["openai"] else "llama"


async def ask(stream: bool) -> list[str]:
    parts: list[str] = []
    finish = None
    async with client.create_async_generator(model, MESSAGES, stream=stream) as result:
        async for chunk in result:
            if type(chunk) is str:
                parts.append(chunk)
            elif type(chunk) is FinishReason:
                finish = chunk.reason
    return parts if finish == "stop" else ["no finish reason"]


serve(ask)
