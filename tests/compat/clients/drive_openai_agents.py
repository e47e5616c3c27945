"""The OpenAI Agents SDK, as its users write it. SERVER and SCRIPTED are base URLs, WIRE is chat or responses; prints JSON."""

import asyncio
import json
import os

from agents import (
    Agent,
    ModelBehaviorError,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import APIError, AsyncOpenAI
from pydantic import BaseModel, Field

set_tracing_disabled(True)
FIXED = ModelSettings(temperature=0, max_tokens=40)
QUESTION = "Say yes."


class City(BaseModel):
    name: str = Field(max_length=30)
    people: int
    coast: bool


def model(name: str, base_url: str) -> OpenAIChatCompletionsModel | OpenAIResponsesModel:
    kind = OpenAIResponsesModel if os.environ["WIRE"] == "responses" else OpenAIChatCompletionsModel
    return kind(name, openai_client=AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0))


async def streamed(agent: Agent) -> list[str]:
    result = Runner.run_streamed(agent, QUESTION)
    return [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]


async def main() -> dict[str, object]:
    seen: dict[str, object] = {}
    real, scripted = os.environ["SERVER"], os.environ["SCRIPTED"]
    agent = Agent(name="colours", instructions="You are brief.", model=model("llama", real), model_settings=FIXED)
    whole = await Runner.run(agent, QUESTION)
    seen["whole"] = whole.final_output
    seen["tokens"] = whole.context_wrapper.usage.output_tokens
    seen["pieces"] = await streamed(agent)

    describer = Agent(
        name="city", model=model("llama", real), output_type=City, model_settings=ModelSettings(temperature=0, max_tokens=120)
    )
    seen["city"] = (await Runner.run(describer, "Describe a city.")).final_output.model_dump()

    @function_tool
    def weather(place: str) -> str:
        """The weather at a place."""
        seen["called with"] = place
        return "21 degrees"

    tooled = Agent(name="weather", model=model("llama", scripted), tools=[weather])
    seen["tool answer"] = (await Runner.run(tooled, "How warm is it in Paris?")).final_output

    try:
        await streamed(Agent(name="broken", model=model("broken", scripted)))
    except (APIError, ModelBehaviorError) as error:
        seen["broken"] = type(error).__name__
    return seen


print(json.dumps(asyncio.run(main())))
