"""Which choice of an answer a chunk belongs to: what servers number is not always the choices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import AsyncGeneratorProvider, AutonomousAI, OpenAICompatible
from autonomousai.answer import Answer
from autonomousai.events import ChoiceEvent, Chunk, FinishReason
from autonomousai.testing import Script, ScriptedServer
from autonomousai.wires.openai_completions.wire import OPENAI_COMPLETIONS
from tests.conftest import Serve
from tests.support.sockets import CHAT, ask, events, request, text_of
from tests.support.sockets import HELLO as SAY

HELLO = [{"role": "user", "content": "Hello"}]
CLIENTS = [OpenAICompatible, AutonomousAI]


def numbered(*chunks: tuple[int, Any], whole: bool = False, **more: Any) -> Script:
    """A stream whose chunks have these numbers of choices; with *whole*, the message stands beside the delta."""
    said = []
    for index, content in chunks:
        delta = {"role": "assistant", "content": content or ""}
        choice = {"index": index, "delta": delta, "finish_reason": None if content else "stop", **more}
        said.append({"model": "m", "choices": [{**choice, "message": delta} if whole else choice]})
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in said) + "data: [DONE]\n\n"
    return Script.status(200, body, headers={"Content-Type": "text/event-stream"})


async def read(kind: type[Any], script: Script, **fields: Any) -> tuple[str, FinishReason | None, list[Chunk]]:
    async with ScriptedServer(script) as server, kind(server.url) as provider:
        client: AsyncGeneratorProvider = provider
        result = client.create_async_generator("llama", HELLO, stream=True, **fields)
        chunks = [chunk async for chunk in result]
    return await result.text(), result.finish, chunks


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(
    "script",
    [
        numbered((1, "Hel"), (2, "lo"), (3, None)),
        numbered((0, "Hel"), (1, "lo"), (2, None), whole=True),
        numbered((1, "Hel"), (1, "lo"), (1, None)),
        numbered((0, "Hel"), (1, "lo"), (2, None), matched_stop=None),
    ],
    ids=["tokens are counted", "chunks are counted", "choices are counted from one", "with members of its own"],
)
async def test_one_choice_is_the_first_whatever_its_number(kind: type[Any], script: Script) -> None:
    """Servers count tokens (Text Generation Inference) or chunks (Foundry Local) where the choice's number should be:
    no word of the answer is lost."""
    text, finish, chunks = await read(kind, script)

    assert ("Hello", "stop") == (text, finish and finish.reason)
    assert not [chunk for chunk in chunks if isinstance(chunk, ChoiceEvent)]


@pytest.mark.parametrize("kind", CLIENTS)
async def test_several_choices_keep_their_numbers(kind: type[Any]) -> None:
    """Where several were asked for, a chunk belongs to the choice that it names."""
    text, _, chunks = await read(kind, numbered((1, "B"), (0, "A"), (0, None), (1, None)), n=2)

    assert "A" == text
    assert ChoiceEvent(1, "B") in chunks


@pytest.mark.parametrize(("prompt", "expected"), [("Say: ", "Hello"), (["Say: ", "Say: "], "")])
async def test_one_prompt_has_one_answer(prompt: Any, expected: str) -> None:
    """So it is with text completions; of several prompts each has one."""
    body = json.dumps({"model": "m", "prompt": prompt, "stream": True}).encode()
    asked = OPENAI_COMPLETIONS.decode_request(body, "/v1/completions")
    answer = Answer()
    async with ScriptedServer(numbered((1, "Hel"), (2, "lo"), (3, None))) as server, OpenAICompatible(server.url) as provider:
        async for batch in provider.stream(asked):
            answer.add(batch)

    assert expected == answer.text


async def test_a_server_hands_on_every_word(serve: Serve) -> None:
    """Also where it asks its upstream without a task."""
    script = numbered((1, "Hel"), (2, "lo"), (3, None))
    async with ScriptedServer(script) as upstream, OpenAICompatible(upstream.url) as provider:
        port = (await serve(provider)).port
        answers = [await ask(port, request("POST", CHAT, {**SAY, "stream": True})) for _ in range(3)]

    assert ["Hello"] * 3 == [text_of(events(answer.body)) for answer in answers]
