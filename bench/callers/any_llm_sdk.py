"""any-llm, by its class: the function makes a client for each request."""

from __future__ import annotations

from any_llm import AnyLLM
from caller import MESSAGES, UPSTREAM, serve

client = AnyLLM.create("openai", api_key="none", api_base=f"{UPSTREAM}/v1")


async def ask(stream: bool) -> list[str]:
    if not stream:
        answer = await client.acompletion(model="bench", messages=MESSAGES)
        return [answer.choices[0].message.content]
    parts: list[str] = []
    finish = None
    async for chunk in await client.acompletion(model="bench", messages=MESSAGES, stream=True):
        parts.append(chunk.choices[0].delta.content or "")
        finish = chunk.choices[0].finish_reason or finish
    return parts if finish == "stop" else ["no finish reason"]


serve(ask)
