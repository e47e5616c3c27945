"""pydantic-ai, as its users write it. SERVER and SCRIPTED are base URLs; prints JSON."""

import asyncio
import json
import os

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

FIXED = ModelSettings(temperature=0, seed=1, max_tokens=40)
QUESTION = "Say yes."


class City(BaseModel):
    name: str = Field(max_length=30)
    people: int
    coast: bool


def model(name: str, base_url: str) -> OpenAIChatModel:
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=base_url, api_key="none"))


async def main() -> dict[str, object]:
    seen: dict[str, object] = {}
    real, scripted = os.environ["SERVER"], os.environ["SCRIPTED"]
    agent = Agent(model("llama", real), system_prompt="You are brief.", model_settings=FIXED)
    whole = await agent.run(QUESTION)
    seen["whole"] = whole.output
    seen["tokens"] = whole.usage.output_tokens
    async with agent.run_stream(QUESTION) as stream:
        seen["pieces"] = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    again = await agent.run("And one more?", message_history=whole.all_messages())
    seen["history"] = [len(again.all_messages()), again.output]

    structured = Agent(model("llama", real), output_type=NativeOutput(City), model_settings={**FIXED, "max_tokens": 120})
    seen["city"] = (await structured.run("Describe a city.")).output.model_dump()

    tooled = Agent(model("llama", scripted))

    @tooled.tool_plain
    def weather(place: str) -> str:
        """The weather at a place."""
        seen["called with"] = place
        return "21 degrees"

    seen["tool answer"] = (await tooled.run("How warm is it in Paris?")).output

    try:
        await agent.run(QUESTION, model=model("gpt-5", real))
    except ModelHTTPError as error:
        seen["unknown model"] = error.status_code
    try:
        async with Agent(model("broken", scripted)).run_stream(QUESTION) as stream:
            await stream.get_output()
    except ModelAPIError as error:
        seen["broken"] = type(error).__name__
    except Exception as error:
        seen["broken"] = f"{type(error).__module__}.{type(error).__name__}"
    return seen


print(json.dumps(asyncio.run(main())))
