"""Responses that are kept, as OpenAI's client sees them: polled, read on, cancelled, deleted, continued from; in each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from autonomousai.config import Config, ResumeConfig, Secret, ServerConfig
from autonomousai.errors import HTTPError
from autonomousai.events import Batch, Reasoning, ToolCallDelta
from autonomousai.server import create_app
from autonomousai.streams.stores.memory import MemoryStore
from autonomousai.streams.stores.redis import RedisStore
from autonomousai.streams.stores.sqlite import SqliteStore
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.redis import redis_server
from tests.support.sockets import PATIENCE, Listening, listening

Serving = Callable[..., Awaitable[openai.AsyncOpenAI]]

FINISH = answer()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place for streams, each in turn."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'state.db'}"


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """Start a server around a provider, and return a client of it."""
    async with AsyncExitStack() as stack:

        async def start(
            provider: ScriptedProvider,
            *,
            state: str = "memory:",
            keys: tuple[str, ...] = (),
            key: str = "k",
            places: int = 100,
            **resume: Any,
        ) -> openai.AsyncOpenAI:
            server = ServerConfig(state=state, api_keys=tuple(Secret(each) for each in keys), max_concurrency=places)
            config = Config(server=server, resume=ResumeConfig(**resume))
            place: Listening = await stack.enter_async_context(listening(create_app(config, provider=provider)))
            return await stack.enter_async_context(client_of(place.port, key))

        yield start


def client_of(port: int, key: str = "k") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)


async def until(client: openai.AsyncOpenAI, id: str, *statuses: str) -> Any:
    """Poll until the response has one of these statuses."""
    async with asyncio.timeout(PATIENCE):
        while (response := await client.responses.retrieve(id)).status not in statuses:
            await asyncio.sleep(0)
    return response


async def test_a_response_in_the_background_is_polled(serve: Serving, state: str) -> None:
    """It is queued at once, shows what has come, and is completed; all of it is the same response."""
    pause = Pause()
    client = await serve(ScriptedProvider(["Hello", pause, *answer(" world")]), state=state)

    queued = await client.responses.create(model="llama", input="Hi", background=True)
    running = await until(client, queued.id, "in_progress")
    pause.release()
    completed = await until(client, queued.id, "completed")

    assert (queued.status, queued.background, queued.output) == ("queued", True, [])
    assert (queued.id, queued.created_at) == (running.id, running.created_at) == (completed.id, completed.created_at)
    assert completed.output_text == "Hello world"
    assert completed.to_dict()["store"] is True


async def test_a_response_is_kept_whether_or_not_it_was_streamed(serve: Serving, state: str) -> None:
    """What was answered can be asked for again, and is equal."""
    client = await serve(ScriptedProvider(answer("Hello", " world")), state=state)

    whole = await client.responses.create(model="llama", input="Hi")
    async with client.responses.stream(model="llama", input="Hi") as stream:
        streamed = (await stream.get_final_response()).id

    assert (await client.responses.retrieve(whole.id)).to_dict() == whole.to_dict()
    assert (await client.responses.retrieve(streamed)).output_text == "Hello world"


async def test_a_stream_is_read_on_after_an_event(serve: Serving, state: str) -> None:
    """From any sequence number, the events that follow are those that came the first time."""
    client = await serve(ScriptedProvider(answer("Hello", " world")), state=state)
    events = [event async for event in await client.responses.create(model="llama", input="Hi", stream=True)]
    name = events[0].response.id  # type: ignore[union-attr]

    for last in (None, 0, 4, events[-1].sequence_number - 1, events[-1].sequence_number):
        after: dict[str, Any] = {} if last is None else {"starting_after": last}
        rest = [event async for event in await client.responses.retrieve(name, stream=True, **after)]

        assert rest == events[0 if last is None else last + 1 :]


async def test_a_stream_in_the_background_goes_on_without_its_reader(serve: Serving, state: str) -> None:
    """The connection breaks, and another one gets what the first one missed."""
    pause = Pause()
    client = await serve(ScriptedProvider(["Hello", pause, *answer(" world")]), state=state)
    stream = await client.responses.create(model="llama", input="Hi", stream=True, background=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    created = await until(client, await only_id(client, event), "in_progress")

    pause.release()
    rest = [
        event async for event in await client.responses.retrieve(created.id, stream=True, starting_after=event.sequence_number)
    ]

    assert [event.sequence_number for event in rest] == list(range(rest[0].sequence_number, rest[-1].sequence_number + 1))
    assert rest[0].sequence_number == event.sequence_number + 1
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == "Hello world"


async def only_id(client: openai.AsyncOpenAI, event: Any) -> str:
    """Return the id of the response that an item belongs to."""
    return "resp_" + event.item_id.split("_")[1]


async def test_a_response_in_the_background_is_cancelled(serve: Serving, state: str) -> None:
    """The upstream is left, what had come is kept, and a second time changes nothing."""
    provider = ScriptedProvider(["Hello", Pause()])
    client = await serve(provider, state=state)
    response = await client.responses.create(model="llama", input="Hi", background=True)
    await until(client, response.id, "in_progress")
    reader = await client.responses.retrieve(response.id, stream=True)

    cancelled = await client.responses.cancel(response.id)
    again = await client.responses.cancel(response.id)
    last = [event async for event in reader][-1]

    assert await asyncio.wait_for(provider.calls[0].over(), PATIENCE) == "cancelled"
    assert (cancelled.status, cancelled.output_text, cancelled.error) == ("cancelled", "Hello", None)
    assert again.to_dict() == cancelled.to_dict()
    assert last.type == "response.failed"
    assert (await client.responses.retrieve(response.id)).status == "cancelled"


async def test_only_a_response_in_the_background_can_be_cancelled(serve: Serving) -> None:
    """Another one is answered while its caller waits: 400."""
    client = await serve(ScriptedProvider())
    response = await client.responses.create(model="llama", input="Hi")

    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(response.id)


async def test_a_response_is_deleted(serve: Serving, state: str) -> None:
    """Then nothing of it is found, by any way."""
    client = await serve(ScriptedProvider(), state=state)
    response = await client.responses.create(model="llama", input="Hi")

    said = await client.delete(f"/responses/{response.id}", cast_to=dict)
    await not_found(client, response.id)

    assert said == {"id": response.id, "object": "response", "deleted": True}


async def test_one_that_is_generated_is_deleted(serve: Serving) -> None:
    """Its upstream is left."""
    provider = ScriptedProvider(["Hello", Pause()])
    client = await serve(provider)
    response = await client.responses.create(model="llama", input="Hi", background=True)
    await until(client, response.id, "in_progress")

    await client.responses.delete(response.id)

    assert await asyncio.wait_for(provider.calls[0].over(), PATIENCE) == "cancelled"
    await not_found(client, response.id)


async def not_found(client: openai.AsyncOpenAI, id: str) -> None:
    """A response of that id is 404, whatever is asked of it."""
    asking: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.responses.retrieve(id),
        lambda: client.responses.retrieve(id, stream=True),
        lambda: client.responses.cancel(id),
        lambda: client.responses.delete(id),
        lambda: client.responses.input_items.list(id),
    ]
    for ask in asking:
        with pytest.raises(openai.NotFoundError) as caught:
            await ask()
        assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.create(model="llama", input="Hi", previous_response_id=id)
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize("id", ["resp_" + "0" * 32, "resp_", "x", "resp_../../healthz", "%00"])
async def test_an_unknown_response_is_not_found(serve: Serving, id: str) -> None:
    """In OpenAI's shape."""
    client = await serve(ScriptedProvider())

    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="llama", input="Hi", previous_response_id=id)


async def test_the_response_of_another_key_is_not_found(serve: Serving, state: str) -> None:
    """Each key sees its own responses alone."""
    client = await serve(ScriptedProvider(), state=state, keys=("mine", "theirs"), key="mine")
    response = await client.responses.create(model="llama", input="Hi")

    await not_found(client.with_options(api_key="theirs"), response.id)

    assert (await client.responses.retrieve(response.id)).id == response.id


async def test_a_response_that_is_not_to_be_kept_is_not(serve: Serving) -> None:
    """With ``store: false`` there is nothing to find, and nothing in the background."""
    client = await serve(ScriptedProvider())
    response = await client.responses.create(model="llama", input="Hi", store=False)

    await not_found(client, response.id)

    assert response.to_dict()["store"] is False
    with pytest.raises(openai.BadRequestError, match="store"):
        await client.responses.create(model="llama", input="Hi", store=False, background=True)


CALL: Batch = [ToolCallDelta(0, "call_1", "f", "{}")]


async def test_a_conversation_is_continued(serve: Serving, state: str) -> None:
    """What was asked and answered before stands before what is asked now, calls and their outputs too; instructions do not."""
    provider = ScriptedProvider([CALL, *answer(finish="tool_calls")], answer("one"), answer("two"))
    client = await serve(provider, state=state)
    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    first = await client.responses.create(model="llama", input="Hi", instructions="Be brief.", tools=[tool])
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "1"}

    second = await client.responses.create(model="llama", input=[output], previous_response_id=first.id)
    third = await client.responses.create(model="llama", input="More", previous_response_id=second.id, store=False)

    assert third.previous_response_id == second.id
    assert provider.calls[-1].messages == [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "More"},
    ]


async def test_a_conversation_may_be_continued_without_more_input(serve: Serving, state: str) -> None:
    """What was said before is the whole conversation then."""
    provider = ScriptedProvider(answer("one"), answer("two"))
    client = await serve(provider, state=state)
    first = await client.responses.create(model="llama", input="Hi")

    for more in ({}, {"input": []}):
        await client.responses.create(model="llama", previous_response_id=first.id, **more)  # type: ignore[call-overload]

        assert [("user", "Hi"), ("assistant", "one")] == [
            (said["role"], said["content"]) for said in provider.calls[-1].messages
        ]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that each write to a store has brought, in any of them."""
    sizes: list[int] = []

    def counting(store: Any, name: str, place: int) -> None:
        method = getattr(store, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            value = arguments[place]
            sizes.append(value if isinstance(value, int) else len(value))
            return method(*arguments, **more)

        monkeypatch.setattr(store, name, counted)

    for store in (MemoryStore, SqliteStore, RedisStore):
        counting(store, "create", 3)
        if store is MemoryStore:
            counting(store, "append_now", 5)
        else:
            counting(store, "append", 4)
    return sizes


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"background": True}], ids=["whole", "streamed", "in the background"])
async def test_a_long_conversation_is_stored_once(serve: Serving, state: str, stored: list[int], more: dict[str, Any]) -> None:
    """Fifty turns, each continued from the one before: the last take no more room than the first, and each turn's request holds
    all of it."""
    turns = 50
    provider = ScriptedProvider(*(answer(f"{turn} {'said ' * 40}") for turn in range(turns)))
    client = await serve(provider, state=state)
    grown: list[int] = []
    last: Any = None
    for turn in range(turns):
        before = sum(stored)
        last = await client.responses.create(
            model="llama", input=f"{turn} {'asked ' * 40}", previous_response_id=last and last.id, **more
        )
        if more.get("stream"):
            *_, end = [each async for each in last]
            last = end.response
        last = await until(client, last.id, "completed")
        grown.append(sum(stored) - before)

    assert sum(grown[-10:]) < 1.1 * sum(grown[1:11])
    said = provider.calls[-1].messages
    assert [f"{place // 2}" for place in range(2 * turns - 1)] == [each["content"].partition(" ")[0] for each in said]
    assert 2 * turns - 1 == len([each async for each in await client.responses.input_items.list(last.id, limit=100)])


@pytest.mark.parametrize("gone", [1, 3])
async def test_a_conversation_outlives_its_beginning(serve: Serving, state: str, gone: int) -> None:
    """Each response lives for itself: the others keep what was said before them, and it can be continued from any of them."""
    provider = ScriptedProvider(*(answer(f"answer {turn}") for turn in range(5)))
    client = await serve(provider, state=state)
    responses: list[Any] = []
    for turn in range(4):
        previous = responses[-1].id if responses else None
        responses.append(await client.responses.create(model="llama", input=f"turn {turn}", previous_response_id=previous))
    for response in responses[:gone]:
        await client.responses.delete(response.id)

    fork = await client.responses.create(model="llama", input="fork", previous_response_id=responses[-1].id)

    whole = [said for turn in range(4) for said in (f"turn {turn}", f"answer {turn}")]
    assert [*whole, "fork"] == [said["content"] for said in provider.calls[-1].messages]
    items = [item.to_dict() async for item in await client.responses.input_items.list(fork.id, order="asc")]
    assert [*whole, "fork"] == [item["content"][0]["text"] for item in items]  # type: ignore[index]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(responses[0].id)


def referring(*ids: str) -> Any:
    """Return an input that refers to these items, with a type and without in turn, and then asks."""
    kinds: Any = ({"type": "item_reference"}, {}, {"type": None})
    return [*({"id": name, **kinds[index % 3]} for index, name in enumerate(ids)), {"role": "user", "content": "More"}]


async def test_items_that_are_referred_to_stand_in_their_place(serve: Serving, state: str) -> None:
    """Of what was asked and of what was answered, of any response that is kept; reasoning is told beside, and ids that are not
    this server's are not its to judge."""
    provider = ScriptedProvider(
        [Reasoning("hm"), CALL, *answer(finish="tool_calls")], answer("one"), answer("two"), answer("three"), answer("four")
    )
    client = await serve(provider, state=state)
    first = await client.responses.create(model="llama", input="Hi")
    thought, call = (item.id for item in first.output)
    (asked,) = (item.id for item in (await client.responses.input_items.list(first.id)).data)
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    assert asked is not None
    assert thought is not None
    assert call is not None
    second = await client.responses.create(model="llama", input=[*referring(asked, thought, call)[:3], output])

    third = await client.responses.create(
        model="llama", input=referring(second.output[0].id or ""), previous_response_id=first.id
    )
    last = await client.responses.create(
        model="llama", input=referring("msg_of_the_upstream", second.output[0].id or ""), store=False
    )

    called = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    before = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [called]},
    ]
    more = {"role": "user", "content": "More"}
    assert [*before, {"role": "tool", "tool_call_id": "call_1", "content": "1"}] == provider.calls[1].messages
    assert ["Hi", "one", "(no result)", "More"] == [
        message["content"] for message in provider.calls[2].messages if message["content"]
    ]
    assert [{"role": "assistant", "content": "one"}, more] == provider.calls[3].messages
    assert ("two", "three") == (third.output_text, last.output_text)
    await client.responses.create(model="llama", input=referring(asked)[:1])
    assert before[:1] == provider.calls[4].messages
    listed = (await client.responses.input_items.list(second.id, order="asc")).data
    assert ["message", "reasoning", "function_call", "function_call_output"] == [item.type for item in listed]


@pytest.mark.parametrize("which", ["no response", "no item", "another key", "deleted"])
async def test_an_item_that_is_not_found(serve: Serving, state: str, which: str) -> None:
    """It is told by its id, whether or not there is such a response."""
    provider = ScriptedProvider()
    client = await serve(provider, state=state, keys=("k", "other"))
    response = await client.responses.create(model="llama", input="Hi")
    name = response.output[0].id or ""
    if which == "no response":
        name = f"msg_{'0' * 32}_0"
    elif which == "no item":
        name = name.rpartition("_")[0] + "_9"
    elif which == "another key":
        client = client.with_options(api_key="other")
    else:
        await client.responses.delete(response.id)

    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.create(model="llama", input=referring(name), store=False)

    assert caught.value.body == {
        "message": f"Item with id {name!r} not found.", "type": "invalid_request_error", "param": "input", "code": None
    }  # fmt: skip
    assert len(provider.calls) == 1


async def test_one_that_has_not_ended_is_not_continued_from(serve: Serving) -> None:
    """Nothing stands yet that could be continued: 400."""
    client = await serve(ScriptedProvider(["Hello", Pause()]))
    response = await client.responses.create(model="llama", input="Hi", background=True)

    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        await client.responses.create(model="llama", input="Hi", previous_response_id=response.id)


async def test_the_input_is_listed_in_pages(serve: Serving, state: str) -> None:
    """The latest first, or in order; each item has an id, to go on after."""
    client = await serve(ScriptedProvider(), state=state)
    items: Any = [{"role": "user", "content": str(number)} for number in range(5)]
    response = await client.responses.create(model="llama", input=items)

    def texts(page: Any) -> list[str]:
        return [item.content[0].text for item in page.data]

    listed = client.responses.input_items
    first = await listed.list(response.id, order="asc", limit=2)
    second = await listed.list(response.id, order="asc", limit=2, after=first.data[-1].id)
    everything = [item async for item in listed.list(response.id, limit=2)]

    assert texts(await listed.list(response.id)) == ["4", "3", "2", "1", "0"]
    assert (texts(first), texts(second)) == (["0", "1"], ["2", "3"])
    assert first.has_more
    assert len({item.id for item in everything}) == 5


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/input_items?limit=0", "limit"),
        ("/input_items?limit=101", "limit"),
        ("/input_items?limit=x", "limit"),
        ("/input_items?order=up", "order"),
        ("/input_items?after=nothing", "after"),
        ("?stream=true&starting_after=-1", "starting_after"),
        ("?stream=true&starting_after=x", "starting_after"),
    ],
)
async def test_a_wrong_parameter_is_named(serve: Serving, path: str, param: str) -> None:
    """By a 400 in OpenAI's shape."""
    client = await serve(ScriptedProvider())
    response = await client.responses.create(model="llama", input="Hi")

    with pytest.raises(openai.BadRequestError) as caught:
        await client.get(f"/responses/{response.id}{path}", cast_to=dict)

    assert caught.value.param == param


async def test_a_failure_in_the_background_is_told(serve: Serving, state: str) -> None:
    """With its code, and with what had come."""
    error = HTTPError("the upstream broke", status=500)
    client = await serve(ScriptedProvider(["Hello", error]), state=state)

    response = await client.responses.create(model="llama", input="Hi", background=True)
    failed = await until(client, response.id, "failed")

    assert failed.output_text == "Hello"
    assert failed.error is not None
    assert failed.error.message


async def test_an_error_while_the_caller_waits_has_its_status(serve: Serving) -> None:
    """As without keeping anything."""
    client = await serve(ScriptedProvider([HTTPError("busy", status=429)]))

    for stream in (False, True):
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(model="llama", input="Hi", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_stops_the_answer(serve: Serving, stream: bool) -> None:
    """As it does where nothing is kept; what had come is kept as cancelled."""
    provider = ScriptedProvider(["Hello", Pause()])
    client = await serve(provider)
    asking = asyncio.create_task(
        read_all(client.responses.create(model="llama", input="Hi", stream=stream))  # type: ignore[call-overload]
    )
    async with asyncio.timeout(PATIENCE):
        while not provider.calls or not provider.calls[0].read:
            await asyncio.sleep(0)
        asking.cancel()

        assert await provider.calls[0].over() == "cancelled"


async def read_all(asked: Awaitable[Any]) -> None:
    answered = await asked
    async for _ in answered:
        pass


async def test_the_background_is_bounded(serve: Serving) -> None:
    """More than twice as many as are answered at once are 503."""
    client = await serve(ScriptedProvider(["Hello", Pause()]), places=1)
    for _ in range(2):
        await client.responses.create(model="llama", input="Hi", background=True)

    with pytest.raises(openai.InternalServerError) as caught:
        await client.responses.create(model="llama", input="Hi", background=True)

    assert caught.value.status_code == 503


async def test_a_store_that_fails_costs_no_answer(serve: Serving, tmp_path: Path) -> None:
    """It comes, and says that it is not kept; in the background there is nowhere to put it."""
    client = await serve(ScriptedProvider(), state=f"sqlite:{tmp_path / 'state.db'}", max_bytes=1)

    response = await client.responses.create(model="llama", input="Hi")
    async with client.responses.stream(model="llama", input="Hi") as stream:
        streamed = await stream.get_final_response()

    for each in (response, streamed):
        assert (each.output_text, each.to_dict()["store"]) == ("Hello world", False)
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model="llama", input="Hi", background=True)


@pytest.mark.parametrize("state", ["sqlite", "redis"], indirect=True)
async def test_another_server_sees_and_cancels_what_one_generates(serve: Serving, state: str) -> None:
    """Two servers on one store: the response is polled, read on and cancelled at the other."""
    provider = ScriptedProvider(["Hello", Pause()])
    client = await serve(provider, state=state)
    other = await serve(ScriptedProvider(), state=state)
    response = await client.responses.create(model="llama", input="Hi", background=True)

    await until(other, response.id, "in_progress")
    cancelled = await other.responses.cancel(response.id)

    assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hello")
    assert (await client.responses.retrieve(response.id)).status == "cancelled"
    assert await asyncio.wait_for(provider.calls[0].over(), PATIENCE) == "cancelled"


async def test_the_head_alone_can_be_asked_for(serve: Serving) -> None:
    """As of any document."""
    client = await serve(ScriptedProvider())
    response = await client.responses.create(model="llama", input="Hi")

    for path, status in ((response.id, 200), (f"{response.id}/input_items", 200), ("resp_1", 404)):
        answered = await client._client.head(f"/responses/{path}")

        assert (answered.status_code, answered.content) == (status, b"")


async def test_images_of_an_earlier_turn_are_looked_at(serve: Serving) -> None:
    """Another model, which cannot see, is not sent them."""
    seeing = ScriptedProvider(vision=True)
    client = await serve(seeing)
    image: Any = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
    items: Any = [{"role": "user", "content": [image]}]
    response = await client.responses.create(model="llama", input=items)
    seeing.capabilities = ScriptedProvider().capabilities

    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="llama", input="And now?", previous_response_id=response.id)

    assert caught.value.code == "images_not_supported"


async def test_other_methods_are_not_allowed(serve: Serving) -> None:
    """405, with those that are."""
    client = await serve(ScriptedProvider())

    with pytest.raises(openai.APIStatusError) as caught:
        await client.put("/responses/resp_1", cast_to=dict)

    assert caught.value.status_code == 405
    assert "DELETE" in caught.value.response.headers["allow"]
