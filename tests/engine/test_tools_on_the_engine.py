"""Tools on real weights: what the model may write is held to the tools, whichever it is; and a template that knows tools."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
import pytest_asyncio

from autonomousai.answer import Answer
from autonomousai.engine import weights
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import StatusError
from autonomousai.events import Messages, ToolCallDelta
from autonomousai.gateway import Gateway, Upstream
from autonomousai.result import AsyncResult
from autonomousai.wires.raw import COMPLETIONS_WIRE, raw_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Its template knows tools; SmolLM2's knows none.
CODER = "qwen2.5-coder-0.5b"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def coder() -> AsyncIterator[LlamaCpp]:
    """One slot of 1,024 tokens, on weights with a template for tools."""
    weights.pull(CODER)
    async with LlamaCpp(CODER, slots=1, context=1024) as engine:
        yield engine


def tool(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties), **more}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER = tool("get_weather", {"city": {"type": "string", "maxLength": 20}})
ADD = tool("add", {"a": {"type": "integer"}, "b": {"type": "integer"}})


def user(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def ask(engine: LlamaCpp | Gateway, messages: Messages | str, *tools: dict[str, Any], **fields: Any) -> AsyncResult:
    messages = user(messages) if isinstance(messages, str) else messages
    given = {"tools": list(tools), "temperature": 0, "max_tokens": 64, **fields}
    return engine.create_async_generator("llama", messages, stream=True, **given)


async def answered(engine: LlamaCpp | Gateway, messages: Messages | str, *tools: dict[str, Any], **fields: Any) -> Answer:
    answer = Answer()
    async for batch in ask(engine, messages, *tools, **fields).batches():
        answer.add(batch)
    return answer


def calls_of(answer: Answer) -> list[tuple[str, Any]]:
    calls = answer.tool_calls
    return [(call.name, json.loads(call.arguments)) for call in calls.calls] if calls is not None else []


# ---- any weights ------------------------------------------------------------------------------------------------------

CODE = {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}
HARD: dict[str, dict[str, Any]] = {
    "bounds": {"age": {"type": "integer", "minimum": 18, "maximum": 29}, "share": {"type": "number", "exclusiveMinimum": 0.5}},
    "values": {"unit": {"enum": ["K", 7, None]}, "kind": {"const": 'x"y'}},
    "alternatives": {"id": {"anyOf": [CODE, {"type": "integer", "maximum": -5}]}, "at": {"type": "string", "format": "date"}},
    "lists": {"words": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3}},
    "references": {
        "first": {"type": "array", "items": CODE, "minItems": 1, "maxItems": 1},
        "second": {"$ref": "#/properties/first/items"},
        "third": {"anyOf": [{"$ref": "#/properties/first"}, {"type": "null"}]},
    },
    "names": {"map": {"type": "object", "propertyNames": {"pattern": "^[a-c]$"}, "additionalProperties": {"const": 1}}},
    "objects": {"place": {"type": "object", "properties": {"code": CODE}, "required": ["code"]}},
}


@pytest.mark.parametrize("name", HARD)
async def test_arguments_obey_the_schema(name: str, engine: LlamaCpp) -> None:
    """Sampled wildly, by weights that know nothing of tools."""
    made = tool(f"save_{name}", HARD[name])

    answer = await answered(engine, "Hello", made, tool_choice="required", temperature=2, seed=1, parallel_tool_calls=False)

    ((called, arguments),) = calls_of(answer)
    jsonschema.validate(arguments, {**made["function"]["parameters"], "additionalProperties": False})
    assert answer.finish is not None
    assert ("", f"save_{name}", "tool_calls") == (answer.text, called, answer.finish.reason)


async def test_what_holds_itself_is_referred_to_as_the_root(engine: LlamaCpp) -> None:
    """As OpenAI documents it and C#'s exporter writes it; in tools, and as the form of an answer."""
    node = {"n": {"enum": [1, 2]}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    held = {"type": "object", "properties": node, "required": ["n", "next"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": held, "strict": True}}

    for given in ({"response_format": form}, {"tools": [tool("save", node)], "tool_choice": "required"}):
        for seed in range(3):
            answer = Answer()
            fields = {"temperature": 2, "max_tokens": 200, "seed": seed, **given}
            async for batch in engine.create_async_generator("llama", user("Hello"), stream=True, **fields).batches():
                answer.add(batch)
            if answer.finish is not None and answer.finish.reason != "length":
                jsonschema.validate(calls_of(answer)[0][1] if "tools" in given else json.loads(answer.text), held)


async def test_the_choice_of_a_tool_is_kept(engine: LlamaCpp) -> None:
    """One that is named, one of several that are allowed, none."""
    named = await answered(
        engine, "Weather in Rome?", WEATHER, ADD, tool_choice={"type": "function", "function": {"name": "add"}}
    )
    tools = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}
    allowed = await answered(
        engine,
        "What is 1 + 2?",
        WEATHER,
        ADD,
        tool_choice={"type": "allowed_tools", "allowed_tools": tools},
        parallel_tool_calls=False,
    )
    none = await answered(engine, "What is 1 + 2?", WEATHER, ADD, tool_choice="none", max_tokens=4)

    assert [["add"], ["get_weather"], []] == [[name for name, _ in calls_of(each)] for each in (named, allowed, none)]
    assert none.text


@pytest.mark.parametrize("stop", [["\n"], ["}", '"city"']])
async def test_texts_to_end_at_end_no_call(stop: list[str], engine: LlamaCpp) -> None:
    """They stand in each: it was a 400 that blamed the tools, or arguments that no reader of JSON takes."""
    fields = {"tool_choice": "required", "parallel_tool_calls": False, "stop": stop}
    answer = await answered(engine, "Weather in Rome?", WEATHER, **fields)

    ((name, arguments),) = calls_of(answer)
    assert ("get_weather", {"city"}) == (name, set(arguments))
    assert answer.finish is not None
    assert "tool_calls" == answer.finish.reason


async def test_a_call_may_be_cut_before_its_name(engine: LlamaCpp) -> None:
    """Then there is nothing but the reason."""
    answer = await answered(engine, "Hello", WEATHER, tool_choice="required", max_tokens=4)

    assert answer.finish is not None
    assert ("", None, "length") == (answer.text, answer.tool_calls, answer.finish.reason)


IMPOSSIBLE = tool("never", {"v": {"type": "string", "minLength": 9, "maxLength": 2}})


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_a_schema_that_cannot_be_kept_is_a_400(choice: str, engine: LlamaCpp) -> None:
    """The engine says nothing of it, and would generate freely; it names the tool."""
    with pytest.raises(StatusError, match="is no schema that the embedded engine can be held to") as caught:
        await answered(engine, "Call it.", WEATHER, IMPOSSIBLE, tool_choice=choice)

    assert (400, "tools[1].function.parameters") == (caught.value.status, caught.value.param)


async def test_a_grammar_is_tried_once(engine: LlamaCpp) -> None:
    """What is asked again costs no further answer of the engine."""
    tools = [tool("only_here", {"city": {"type": "string", "maxLength": 3}})]
    counted = []
    for _ in range(3):
        before = (await engine.metrics())["tokens_predicted_total"]
        await answered(engine, "Call it.", *tools, max_tokens=2, tool_choice="required")
        counted.append((await engine.metrics())["tokens_predicted_total"] - before)

    assert [counted[1] + 1, counted[1], counted[1]] == counted


async def test_a_schema_that_cannot_be_kept_is_tried_once(engine: LlamaCpp) -> None:
    """Sent again, it costs the engine nothing, as one that can be kept."""
    counted = []
    for _ in range(2):
        before = (await engine.metrics())["tokens_predicted_total"]
        with pytest.raises(StatusError, match="can be held to"):
            await answered(engine, "Call it.", WEATHER, tool("other", IMPOSSIBLE["function"]["parameters"]["properties"]))
        counted.append((await engine.metrics())["tokens_predicted_total"] - before)

    assert counted[0] > counted[1] == 0


async def test_a_child_that_dies_in_a_call_costs_no_character(engine: LlamaCpp) -> None:
    """The call is generated again: the same arguments, each piece told once."""
    gateway = Gateway([Upstream("embedded", engine)], {"llama": ["embedded"]})
    tools = [tool("write", {"story": {"type": "string", "minLength": 60, "maxLength": 90}})]
    fields = {"tool_choice": "required", "temperature": 1, "seed": 7}
    undisturbed = (await answered(gateway, "Write!", *tools, **fields)).tool_calls

    result, killed, answer = ask(gateway, "Write!", *tools, **fields), False, Answer()
    async for batch in result.batches():
        answer.add(batch)
        if not killed and sum(isinstance(event, ToolCallDelta) for event in answer.calls) > 5:
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            killed = True

    assert undisturbed is not None
    assert answer.tool_calls is not None
    assert [call.arguments for call in undisturbed.calls] == [call.arguments for call in answer.tool_calls.calls]
    assert result.report is not None
    assert (True, ["again"]) == (killed, result.report.ways)


# ---- weights with a template for tools --------------------------------------------------------------------------------


async def test_the_template_shows_tools_and_the_model_calls_one(coder: LlamaCpp) -> None:
    """Of its own accord, with arguments in pieces."""
    answer = await answered(coder, "What is 12 + 30? Use the tool.", ADD)

    assert answer.finish is not None
    assert [("add", {"a": 12, "b": 30})] == calls_of(answer)
    assert ("", "tool_calls") == (answer.text, answer.finish.reason)
    assert len(answer.calls) > 5


async def test_several_calls_at_once(coder: LlamaCpp) -> None:
    """Where the caller allows it, and one where not."""
    question = "What is the weather in Paris and in London?"
    several = await answered(coder, question, WEATHER, tool_choice="required")
    single = await answered(coder, question, WEATHER, tool_choice="required", parallel_tool_calls=False)

    assert [("get_weather", {"city": city}) for city in ("Paris", "London")] == calls_of(several)
    assert calls_of(several)[:1] == calls_of(single)


async def test_the_result_of_a_call_is_read(coder: LlamaCpp) -> None:
    """The template writes the call and its result, whether or not another may follow."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    turn = [*user("Weather in Rome?"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    turn += [{"role": "tool", "tool_call_id": "c1", "content": "41 degrees, hail"}]

    answer = await answered(coder, turn, WEATHER, max_tokens=24, tool_choice="none")

    assert "41" in answer.text


async def test_an_answer_without_a_call_may_have_to_obey_a_schema(coder: LlamaCpp) -> None:
    """Tools and a response format go together."""
    schema = {"type": "object", "properties": {"big": {"type": "boolean"}}, "required": ["big"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "size", "schema": schema}}

    answer = await answered(coder, "Is Paris big? Answer in JSON.", WEATHER, response_format=form)

    assert answer.tool_calls is not None or jsonschema.validate(json.loads(answer.text), schema) is None


async def test_the_same_weights_fill_in_what_is_missing(coder: LlamaCpp) -> None:
    """Between a prompt and its suffix, by tokens that were made for it."""
    document = {
        "prompt": "def add(a, b):\n    return ",
        "suffix": "\n\n\nprint(add(1, 2))\n",
        "max_tokens": 8,
        "temperature": 0,
    }

    answer = Answer()
    async for batch in coder.stream(raw_request(COMPLETIONS_WIRE, "", document)):
        answer.add(batch)

    assert answer.text.startswith("a + b\n")
