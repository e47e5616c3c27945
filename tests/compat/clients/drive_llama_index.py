"""LlamaIndex, as its users write it. SERVER and SCRIPTED are base URLs; prints JSON."""

import asyncio
import json
import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from openai import APIError

QUESTION = "Say yes."
MESSAGES = [ChatMessage(role="system", content="You are brief."), ChatMessage(role="user", content=QUESTION)]


def model(name: str, base_url: str, **more: object) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=base_url,
        api_key="none",
        is_chat_model=True,
        context_window=4096,
        max_tokens=40,
        temperature=0,
        max_retries=0,
        additional_kwargs={"seed": 1},
        **more,
    )


def weather(place: str) -> str:
    """The weather at a place."""
    return "21 degrees"


async def main() -> dict[str, object]:
    seen: dict[str, object] = {}
    real, scripted = os.environ["SERVER"], os.environ["SCRIPTED"]
    llm = model("llama", real)
    whole = llm.chat(MESSAGES)
    seen["whole"] = whole.message.content
    seen["tokens"] = whole.raw.usage.completion_tokens
    seen["pieces"] = [piece.delta for piece in llm.stream_chat(MESSAGES)]
    seen["async pieces"] = [piece.delta async for piece in await llm.astream_chat(MESSAGES)]
    seen["complete"] = llm.complete(QUESTION).text

    tool = FunctionTool.from_defaults(weather)
    tooled = model("llama", scripted, is_function_calling_model=True)
    asked = tooled.chat_with_tools([tool], user_msg="How warm is it in Paris?")
    seen["called with"] = tooled.get_tool_calls_from_response(asked)[0].tool_kwargs["place"]
    returned = ChatMessage(role="tool", content="21 degrees", additional_kwargs={"tool_call_id": "call_1"})
    question = ChatMessage(role="user", content="How warm is it in Paris?")
    seen["tool answer"] = tooled.chat([question, asked.message, returned]).message.content

    try:
        list(model("broken", scripted).stream_chat(MESSAGES))
    except APIError as error:
        seen["broken"] = type(error).__name__
    return seen


print(json.dumps(asyncio.run(main())))
