"""LiteLLM's SDK."""

from __future__ import annotations

import litellm
from caller import MESSAGES, UPSTREAM, serve

litellm.telemetry = False
PLACE = {"model": "openai/bench", "api_base": f"{UPSTREAM}/v1", "api_key": "none", "messages": MESSAGES}


async def ask(stream: bool) -> list[str]:
    if not stream:
        answer = await litellm.acompletion(**PLACE)
        return [answer.choices[0].message.content]
    parts: list[str] = []
    finish = None
    async for chunk in await litellm.acompletion(**PLACE, stream=True):
        parts.append(chunk.choices[0].delta.content or "")
        finish = chunk.choices[0].finish_reason or finish
    return parts if finish == "stop" else ["no finish reason"]


serve(ask)
