"""Usage in each chunk: it comes through to a caller who asked for it, and to nobody else, however the stream is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from autonomousai.config import Config, ModelConfig, OpenAIConfig
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.openai_chat.wire import ContinuousUsageDecoder, asks_for_usage
from tests.support.sockets import CHAT, ask, listening, request
from tests.wires.cutting import cuts, pieces

Json = dict[str, Any]

TEXTS = ["one", " two", " three"]


def usage(completion: int) -> Json:
    return {"prompt_tokens": 5, "completion_tokens": completion, "total_tokens": 5 + completion}


def chunk(delta: Json, completion: int, reason: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage(completion),
        **more,
    }


#: As vLLM counts: in the first chunk, in each, in the one with the reason, and once more without choices.
CHUNKS = [
    chunk({"role": "assistant", "content": ""}, 0),
    *[chunk({"content": text}, number) for number, text in enumerate(TEXTS, start=1)],
    chunk({"reasoning_content": "hm"}, 4, citations=["x"]),
    chunk({}, 4, "stop"),
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage(4)},
]
STREAM = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in CHUNKS) + b"data: [DONE]\n\n"


def through(decoder: ChatStreamDecoder, parts: list[bytes], include_usage: bool = True) -> list[Json]:
    encoder = ChatStreamEncoder(id="c", created=1, model="m", include_usage=include_usage)
    written = b"".join([encoder.write(decoder.feed(part)) for part in parts]) + encoder.end(decoder.finish())
    return [json.loads(event[6:]) for event in written.split(b"\n\n")[:-2]]


@given(cuts)
def test_each_chunk_counts_as_it_did(cuts: list[int]) -> None:
    """In place, beside what the chunk says; a role alone says nothing yet."""
    got = through(ContinuousUsageDecoder(), pieces(STREAM, cuts))

    said = [(each["choices"][0]["delta"] if each["choices"] else None, each["usage"]) for each in got]
    expected: list[Any] = [({"role": "assistant", "content": ""}, None)]
    expected += [({"content": text}, usage(number)) for number, text in enumerate(TEXTS, start=1)]
    expected += [({"reasoning_content": "hm"}, usage(4)), ({}, usage(4)), (None, usage(4))]
    assert expected == said
    assert [["x"]] == [each["citations"] for each in got if "citations" in each]


@pytest.mark.parametrize("include_usage", [True, False])
def test_nobody_else_hears_of_it(include_usage: bool) -> None:
    """Where it was not asked for, it is null or absent until the end."""
    got = through(ChatStreamDecoder(), [STREAM], include_usage)

    assert ({None, "absent"} if not include_usage else {None}) >= {
        each.get("usage", "absent") for each in got if each["choices"]
    }


def test_usage_in_each_chunk_without_the_one_at_the_end() -> None:
    """As it was asked for."""
    got = through(ContinuousUsageDecoder(), [STREAM], include_usage=False)

    assert [usage(1), usage(2), usage(3), usage(4), usage(4)] == [each["usage"] for each in got if "usage" in each]
    assert all(each["choices"] for each in got)


@pytest.mark.parametrize(
    ("fields", "asks"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {"continuous_usage_stats": False}}, False),
        ({"stream_options": {"continuous_usage_stats": True}}, True),
    ],
)
def test_who_asks(fields: Json, asks: bool) -> None:
    """By the option of that name."""
    assert asks == asks_for_usage(fields)


CALLERS: list[tuple[Json, Callable[[Json], bool]]] = [
    ({"include_usage": True, "continuous_usage_stats": True}, lambda each: each["usage"] is not None),
    ({"include_usage": True}, lambda each: each["usage"] is None),
    ({}, lambda each: "usage" not in each),
]


@pytest.mark.parametrize(("options", "is_right"), CALLERS, ids=["each", "last", "none"])
async def test_a_servers_caller_gets_what_it_asked_for(options: Json, is_right: Callable[[Json], bool]) -> None:
    """Of an upstream that counts in each chunk."""
    async with ScriptedServer(Script.body(STREAM)) as upstream:
        config = Config(upstreams={"far": OpenAIConfig(f"{upstream.url}/v1")}, models={"big": ModelConfig(route=("far",))})
        async with listening(create_app(config)) as place:
            body = {
                "model": "big",
                "messages": [{"role": "user", "content": "Hello"}],
                "stream": True,
                "stream_options": options,
            }
            got = await ask(place.port, request("POST", CHAT, body))
    events = [json.loads(line[6:]) for line in got.body.decode().splitlines() if line.startswith("data: {")]

    assert all(is_right(each) for each in events if each["choices"] and each["choices"][0]["delta"].get("content"))
    assert [usage(4)] * ("include_usage" in options) == [each["usage"] for each in events if not each["choices"]]
