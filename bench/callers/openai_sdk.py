"""openai-python."""

from __future__ import annotations

from caller import MESSAGES, UPSTREAM, serve
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url=f"{UPSTREAM}/v1", api_key="none")


async def ask(stream: bool) -> list[str]:
    if not stream:
        answer = await client.chat.completions.create(model="bench", messages=MESSAGES)
        return [answer.choices[0].message.content or ""]
    parts: list[str] = []
    finish = None
    async for chunk in await client.chat.completions.create(model="bench", messages=MESSAGES, stream=True):
        parts.append(chunk.choices[0].delta.content or "")
        finish = chunk.choices[0].finish_reason or finish
    return parts if finish == "stop" else ["no finish reason"]


serve(ask)
