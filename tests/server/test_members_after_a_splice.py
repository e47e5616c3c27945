"""An answer that another upstream continues: what each chunk says of its maker is said of the upstream that made it; what
names the answer stays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import Config, ModelConfig, OpenAIConfig
from autonomousai.ledger.entry import LedgerEntry
from autonomousai.server import create_app
from autonomousai.settings import PriceConfig, RetryConfig
from autonomousai.testing import Head, Script, ScriptedServer, Send, chunks
from tests.support.sockets import CHAT, HELLO, Answer, Listening, ask, listening, request

Json = dict[str, Any]

FIRST: Json = {"model": "first-8b", "system_fingerprint": "fp_1", "provider": "One", "service_tier": "default"}
SECOND: Json = {"model": "second-70b", "system_fingerprint": "fp_2", "provider": "Two"}
WORDS = ("The", " sky", " is", " blue", ".")


def with_members(data: bytes, members: Mapping[str, Any]) -> bytes:
    """Return the chunks of *data*, each with *members*."""
    events = []
    for event in data.split(b"\n\n")[:-1]:
        said = event.removeprefix(b"data: ")
        events.append(said if said == b"[DONE]" else json.dumps({**json.loads(said), **members}).encode())
    return b"".join(b"data: " + event + b"\n\n" for event in events)


def broken() -> Script:
    return Script(Head(), Send(with_members(chunks(*WORDS[:3], finish=None, done=False), FIRST)))


def complete(members: Json, *words: str) -> Script:
    usage = {"prompt_tokens": 1_000, "completion_tokens": len(words), "total_tokens": 1_000 + len(words)}
    return Script(Head(), Send(with_members(chunks(*words, usage=usage), members)))


@asynccontextmanager
async def serving(
    *scripts: Script, prices: dict[str, PriceConfig] | None = None
) -> AsyncIterator[tuple[Listening, list[LedgerEntry]]]:
    """Serve a model by an upstream for each script, which continues no answer but gives the same once more."""
    entries: list[LedgerEntry] = []
    async with ScriptedServer(scripts[0]) as first, ScriptedServer(scripts[1]) as second:
        config = Config(
            upstreams={
                "u0": OpenAIConfig(base_url=f"{first.url}/v1", prefill="no"),
                "u1": OpenAIConfig(base_url=f"{second.url}/v1", prefill="no"),
            },
            models={"llama": ModelConfig(route=("u0", "u1"))},
            retry=RetryConfig(attempts=1, backoff=0),
            prices=prices or {},
        )
        app = create_app(config)
        app.accounts.subscribe(entries.append)
        async with listening(app) as place:
            yield place, entries


async def post(place: Listening, body: Mapping[str, Any], path: str = CHAT, **headers: str) -> Answer:
    return await ask(place.port, request("POST", path, {**HELLO, **body}, **headers))


def chunks_of(answer: Answer) -> list[Json]:
    """Return the chunks of a stream that has come to its end."""
    said = [line.removeprefix(b"data: ") for line in answer.body.splitlines() if line.startswith(b"data: ")]
    assert b"[DONE]" == said.pop()
    return [json.loads(each) for each in said]


def text_of(chunk: Json) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


@pytest.mark.parametrize("headers", [{}, {"x-stream-resumable": "1"}], ids=["plain", "resumable"])
@pytest.mark.parametrize("usage", [False, True])
async def test_from_the_splice_on_chunks_are_the_continuing_upstreams(usage: bool, headers: dict[str, str]) -> None:
    """``system_fingerprint`` and what else each chunk repeats; ``id``, ``created`` and ``model`` name the answer, and stay."""
    async with serving(broken(), complete(SECOND, *WORDS)) as (place, _):
        answer = await post(place, {"stream": True, "stream_options": {"include_usage": usage}}, **headers)

    made = chunks_of(answer)
    assert "The sky is blue." == "".join(map(text_of, made))
    by_first = [chunk for chunk in made if text_of(chunk) in WORDS[:3]]
    by_second = made[made.index(by_first[-1]) + 1 :]
    assert {("fp_1", "One", "default")} == {members_of(chunk) for chunk in by_first}
    assert {("fp_2", "Two", None)} == {members_of(chunk) for chunk in by_second}
    assert 1 == len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in made})
    assert "first-8b" == made[0]["model"]
    assert all(("usage" in chunk) is usage for chunk in made)


def members_of(chunk: Json) -> tuple[Any, ...]:
    return tuple(chunk.get(name) for name in ("system_fingerprint", "provider", "service_tier"))


async def test_nothing_is_said_of_an_upstream_that_says_nothing_of_itself() -> None:
    """The first one's fingerprint is not that of the rest."""
    async with serving(broken(), complete({}, *WORDS)) as (place, _):
        answer = await post(place, {"stream": True})

    made = chunks_of(answer)
    assert [True] * 4 + [False] * 3 == ["system_fingerprint" in chunk for chunk in made]


async def test_a_reader_who_comes_back_gets_the_same() -> None:
    """From any event on, what follows is what the first reader got."""
    async with serving(broken(), complete(SECOND, *WORDS)) as (place, _):
        first = await post(place, {"stream": True}, **{"x-stream-resumable": "1"})
        whole = first.body.split(b"\n\n")
        again = [
            await ask(place.port, request("GET", f"/v1/streams/{first['x-stream-id']}", **{"last-event-id": f"{after}"}))
            for after in range(1, len(whole) - 1)
        ]

    assert b"fp_1" in first.body
    assert b"fp_2" in first.body
    assert [b"\n\n".join(whole[after:]) for after in range(1, len(whole) - 1)] == [each.body for each in again]


async def test_a_caller_without_streaming_gets_what_the_answering_upstream_says() -> None:
    """All of the answer is the second one's, who alone is named."""
    async with serving(broken(), complete(SECOND, *WORDS)) as (place, _):
        document = json.loads((await post(place, {})).body)

    assert ("second-70b", "fp_2", "Two", None) == (document["model"], *members_of(document))


async def test_another_api_shows_one_answer() -> None:
    """Messages have one beginning, whatever was spliced."""
    async with serving(broken(), complete(SECOND, *WORDS)) as (place, _):
        answer = await post(place, {"stream": True, "max_tokens": 99}, "/v1/messages")

    kinds = (b"event: message_start\n", b"event: content_block_start\n", b"event: message_stop\n")
    assert (1, 1, 1) == tuple(answer.body.count(kind) for kind in kinds)


async def test_each_upstream_is_paid_by_the_model_that_it_names() -> None:
    """The rest of an answer costs what the model costs that made it, not the one that began."""
    prices = {"first-8b": PriceConfig(input=1.0), "second-70b": PriceConfig(input=100.0)}
    async with serving(broken(), complete(SECOND, *WORDS), prices=prices) as (place, entries):
        await post(place, {"stream": True})

    assert [("u0", "cut"), ("u1", "ok")] == [(each.upstream, each.outcome) for each in entries[0].attempts]
    assert pytest.approx(0.1) == entries[0].attempts[1].cost
