"""`AsyncResult` never passes a part for the whole: whatever was done with it before, its text is complete or an error."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, get_type_hints

import pytest
from yarl import URL

from autonomousai import (
    Anthropic,
    AsyncResult,
    AutonomousAI,
    Completion,
    ConfigError,
    FinishReason,
    HTTPError,
    IncompleteStreamError,
    OpenAICompatible,
    ToolCall,
)
from autonomousai.batches import GeneratedBatches
from autonomousai.chat_fields import ChatFields
from autonomousai.events import Batch
from autonomousai.request import CALL_OPTIONS
from autonomousai.testing import Head, Pause, Script, ScriptedProvider, ScriptedServer, Send, answer
from autonomousai.wires.openai_chat.request import CHAT
from tests.support.raw import RawConnection, answering

HELLO = [{"role": "user", "content": "Hello"}]
CALL = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]}


async def break_off(result: AsyncResult) -> None:
    async for _ in result:
        break


async def leave(result: AsyncResult) -> None:
    async with result:
        await anext(result)


async def leave_unread(result: AsyncResult) -> None:
    async with result:
        pass


async def close_while_reading(result: AsyncResult) -> None:
    with pytest.raises(IncompleteStreamError):
        async for _ in result:
            await result.aclose()


Ending = Callable[[AsyncResult], Awaitable[None]]


@pytest.mark.parametrize("end", [break_off, leave, leave_unread, close_while_reading])
async def test_a_part_is_an_error(end: Ending) -> None:
    """With what had come in `.partial`, each time; and after its close, iterating raises too."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=True)
        await end(result)
        partials = []
        for _ in range(2):
            with pytest.raises(IncompleteStreamError) as caught:
                await result
            partials.append(caught.value.partial)
        await result.aclose()
        with pytest.raises((IncompleteStreamError, RuntimeError)):
            async for _ in result:
                pass

    assert [result.text_so_far] * 2 == partials
    assert ("" if end is leave_unread else "Hi") == result.text_so_far
    assert (None, None) == (result.finish, result.usage)


async def test_a_part_that_came_with_the_end_is_an_error_too() -> None:
    """Whether the network brought more than was read changes nothing."""
    result = ScriptedProvider(answer("Hel", "lo")).create_async_generator("llama", HELLO)
    await anext(result)

    with pytest.raises(IncompleteStreamError, match="not read to its end"):
        await result.text()


async def test_a_complete_answer_is_closed_without_another_read() -> None:
    """Nothing follows its `FinishReason`; what its generator does at its end is done all the same."""
    reads, closed = 0, False

    async def batches() -> AsyncGenerator[Batch]:
        nonlocal closed
        try:
            yield ["Hello"]
            yield [FinishReason("stop", "done")]
        finally:
            closed = True

    class Counted(GeneratedBatches):
        async def __anext__(self) -> Batch:
            nonlocal reads
            reads += 1
            return await super().__anext__()

    result = AsyncResult(Counted(batches))

    assert ["Hello", FinishReason("stop", "done")] == [chunk async for chunk in result]
    assert (2, True) == (reads, closed)
    assert [] == [chunk async for chunk in result]


async def test_a_break_at_the_end_is_none() -> None:
    """Who stops at the finish reason has read all."""
    async with ScriptedServer(Script.stream("Hel", "lo")) as server, AutonomousAI(server.url) as provider:
        async with provider.create_async_generator("llama", HELLO, stream=True) as result:
            async for chunk in result:
                if isinstance(chunk, FinishReason):
                    break

        assert ["Hello", "Hello"] == [await result, await result.text()]


async def test_an_error_is_the_same_each_time() -> None:
    """An answer that has failed fails again, for its text and for a further chunk: it never looks like an end."""
    async with ScriptedServer(Script.cut("Hel", "lo")) as server, AutonomousAI(server.url, retries=0) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=True)
        caught: list[HTTPError] = []
        for _ in range(2):
            with pytest.raises(IncompleteStreamError) as raised:
                await result.text()
            caught.append(raised.value)
        with pytest.raises(IncompleteStreamError) as raised:
            async for _ in result:
                pass

    assert caught[0] is caught[1] is raised.value
    assert "Hello" == caught[0].partial


async def test_an_iterator_that_a_timeout_left_never_just_stops() -> None:
    """A reader that bounds each wait, and reads on with the same iterator, gets an error: an end would look complete."""
    async with ScriptedServer(Script.stall("Hel")) as server, OpenAICompatible(f"{server.url}/v1", retries=0) as provider:
        chunks = aiter(provider.chat("m", HELLO))
        assert "Hel" == await anext(chunks)
        reading = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

        for _ in range(2):
            with pytest.raises(IncompleteStreamError) as raised:
                await anext(chunks)

            assert "Hel" == raised.value.partial


async def test_an_iterator_raises_the_same_error_again() -> None:
    """Who swallows the error of one step and takes the next one gets it again, and no end."""
    async with ScriptedServer(Script.cut("Hel")) as server, OpenAICompatible(f"{server.url}/v1", retries=0) as provider:
        chunks = aiter(provider.chat("m", HELLO))
        assert "Hel" == await anext(chunks)
        with pytest.raises(IncompleteStreamError) as first:
            await anext(chunks)
        with pytest.raises(IncompleteStreamError) as second:
            await anext(chunks)

        assert first.value is second.value


async def test_the_texts_alone_can_be_joined_and_sent_on() -> None:
    """What else comes is there at the end."""
    scripts = [Script.stream({"reasoning_content": "Hm"}, "Hel", "lo", CALL, finish="tool_calls")]
    async with ScriptedServer(*scripts) as server, OpenAICompatible(server.url) as provider:
        result = provider.chat("m", HELLO)
        texts = [text async for text in result.texts()]

    assert ["Hel", "lo"] == texts
    assert ("Hm", "tool_calls") == (result.reasoning, result.finish and result.finish.reason)


async def test_texts_that_are_left_close_the_response() -> None:
    """By an explicit close, as a web framework does; and a part never passes for the whole."""
    async with (
        ScriptedServer(Script.stall("Hi"), Script.cut("Hi")) as server,
        OpenAICompatible(server.url, retries=0) as provider,
    ):
        async with aclosing(provider.chat("m", HELLO).texts()) as texts:
            first = await anext(texts)
        end = await server.requests[0].over()
        with pytest.raises(IncompleteStreamError):
            [text async for text in provider.chat("m", HELLO).texts()]

    assert ("Hi", "left") == (first, end)


async def test_what_is_there_at_the_end() -> None:
    """Text, calls and usage; and the message that goes on with the conversation is accepted where it goes."""
    end: dict[str, Any] = {"finish": "tool_calls", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    async with (
        ScriptedServer(Script.stream("Hi", CALL, **end), Script.stream("2")) as server,
        AutonomousAI(server.url) as provider,
    ):
        result = provider.chat("llama", HELLO)
        text = await result
        messages = [*HELLO, result.as_message(), {"role": "tool", "tool_call_id": "call_1", "content": "2"}]
        after = await provider.chat("llama", messages)

    assert ("Hi", "2") == (text, after)
    assert (ToolCall("call_1", "add", '{"a": 1}'),) == result.tool_calls
    assert result.usage is not None
    assert result.usage.completion_tokens == 4
    assert [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}] == messages[1][
        "tool_calls"
    ]


@pytest.mark.parametrize("client", [AutonomousAI, OpenAICompatible])
@pytest.mark.parametrize(
    ("sent", "reason", "arguments"),
    [
        ("", "tool_calls", "{}"),
        ("", "stop", "{}"),
        ("", "length", ""),
        ("null", "tool_calls", "{}"),
        ('"null"', "stop", '"null"'),
    ],
)
async def test_a_call_without_arguments_is_readable(client: type[Any], sent: str, reason: str, arguments: str) -> None:
    """Servers send a text of nothing, which no JSON reader takes, or null; but of a call that was cut, nothing is known."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": sent}}
    async with (
        ScriptedServer(Script.stream({"tool_calls": [call]}, finish=reason)) as server,
        client(server.url) as provider,
    ):
        result = provider.chat("llama", HELLO)
        *_, calls, _ = [chunk async for chunk in result]

    assert arguments == calls.calls[0].arguments
    assert calls.calls == result.tool_calls
    assert arguments == result.as_message()["tool_calls"][0]["function"]["arguments"]


async def test_calls_go_back_as_they_were_given() -> None:
    """Who puts the next turn together takes them from the answer."""
    scripts = [Script.stream(CALL, finish="tool_calls"), Script.stream("2")]
    async with ScriptedServer(*scripts) as server, OpenAICompatible(server.url) as provider:
        first = provider.chat("m", HELLO)
        await first
        calls: Any = {"role": "assistant", "content": None, "tool_calls": first.tool_calls}
        await provider.chat("m", [*HELLO, calls, {"role": "tool", "tool_call_id": "call_1", "content": "2"}])

    assert first.as_message() == server.requests[1].json()["messages"][1]


async def test_a_custom_tools_call_is_a_message() -> None:
    """It has no function, in what the server sent as in what goes back."""
    call = {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    async with ScriptedServer(Script.stream({"tool_calls": [call]}, finish="tool_calls")) as server:
        async with OpenAICompatible(server.url) as provider:
            result = provider.chat("m", HELLO)
            await result

    assert [{"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "ls"}}] == result.as_message()["tool_calls"]


async def test_thoughts_go_back_with_calls() -> None:
    """Models that think between their calls want them; beside a text no server does."""
    thought = {"reasoning_content": "Hm"}
    scripts = [Script.stream(thought, CALL, finish="tool_calls"), Script.stream(thought, "Hi")]
    async with ScriptedServer(*scripts) as server, OpenAICompatible(server.url) as provider:
        results = [provider.chat("m", HELLO) for _ in scripts]
        for result in results:
            await result

    assert ["Hm", None] == [result.as_message().get("reasoning_content") for result in results]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize("body", [b"", b" \n\n"])
async def test_a_body_of_nothing_is_said(stream: bool, status: int, body: bytes) -> None:
    """It is no answer that was cut, and trying again is not all that can help."""
    async with ScriptedServer(Script.status(status, "" if status == 204 else body.decode())) as server:
        async with OpenAICompatible(server.url, retries=0) as provider:
            with pytest.raises(IncompleteStreamError, match=f"answered {status} with an empty body .* check base_url"):
                await provider.chat("m", HELLO, stream=stream)


DOCUMENT = json.dumps({"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}).encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(DOCUMENT), DOCUMENT)

FRAMED = {
    "short of its length": b"Content-Length: %d\r\n\r\n%b" % (len(DOCUMENT) + 5, DOCUMENT),
    "chunks without their end": CHUNKED + CHUNK,
    "chunks with half of their end": CHUNKED + CHUNK + b"0\r\n",
    "garbage behind the chunks": CHUNKED + CHUNK + b"xyz\r\n\r\n",
}


@pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED)
async def test_a_document_that_is_complete_counts_however_it_is_framed(framed: bytes) -> None:
    """Its last bracket proves more than what its head says of its length; one that is cut has none."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framed)
        connection.close()

    async with answering(serve) as server, OpenAICompatible(server.url, retries=0) as provider:
        assert "Hello" == await provider.chat("m", HELLO, stream=False)
        framed = framed.replace(b'"}]}', b'"}] ')
        with pytest.raises(IncompleteStreamError):
            await provider.chat("m", HELLO, stream=False)


ENCODED = {
    "GBK": ("charset=gbk", "gbk", "你好"),
    "in quotes": ('charset="GB2312"', "gbk", "你好"),
    "Latin-1": ("charset=ISO-8859-1", "latin-1", "Été"),
    "named by default, and not meant": ("charset=ISO-8859-1", "utf-8", "你好"),
}


@pytest.mark.parametrize(("named", "encoding", "text"), ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("status", [200, 400])
async def test_a_document_in_another_encoding(status: int, named: str, encoding: str, text: str) -> None:
    """Of an answer as of an error: what its type names counts where it is no UTF-8."""
    document = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]} if status == 200 else {"error": text}
    packed = json.dumps(document, ensure_ascii=False).encode(encoding)
    script = Script(Head(status, f"application/json; {named}", length=len(packed)), Send(packed))
    async with ScriptedServer(script) as server, OpenAICompatible(server.url, retries=0) as provider:
        result = provider.chat("m", HELLO, stream=False)
        said = await result if status == 200 else str(await raised_by(result))

    assert text in said


async def raised_by(result: AsyncResult) -> HTTPError:
    with pytest.raises(HTTPError) as raised:
        await result
    return raised.value


async def test_no_message_of_a_part() -> None:
    """What is not complete does not become a turn of the conversation unnoticed."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        async with provider.chat("llama", HELLO) as result:
            await anext(result)
        with pytest.raises(IncompleteStreamError):
            result.as_message()


def test_a_finish_reason_is_a_usual_value() -> None:
    """True, with a repr that says what it is; only its place in a joined text is empty."""
    finish = FinishReason("stop", "finish_reason")

    assert finish
    assert "FinishReason(reason='stop', evidence='finish_reason'" in repr(finish)
    assert "" == str(finish)


class Modelled:
    """What a pydantic model of an SDK shows."""

    def __init__(self, **members: Any) -> None:
        self.members = members

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"type": "object"}

    def model_dump(self, *, mode: str, exclude_none: bool) -> dict[str, Any]:
        assert (mode, exclude_none) == ("json", True)
        return {name: value for name, value in self.members.items() if value is not None}


@dataclass
class Noted:
    """A message as a program of one's own may keep it."""

    role: str
    content: str
    name: str | None = None


async def test_messages_may_be_any_sequence_of_any_mappings() -> None:
    """Tuples, read-only mappings, models of other SDKs, also nested: what is sent is plain."""
    parts = (MappingProxyType({"type": "text", "text": "How many?"}),)
    said = Modelled(role="assistant", content=None, tool_calls=[Modelled(**CALL["tool_calls"][0])], refusal=None)
    messages = (
        MappingProxyType({"role": "user", "content": parts}),
        said,
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        Noted("user", "And now?"),
    )
    async with ScriptedServer(Script.stream("2")) as server, OpenAICompatible(server.url, model="m") as provider:
        text = await provider.chat("llama", messages)  # type: ignore[arg-type]  # a model is no mapping
        sent = server.requests[0].json()["messages"]

    assert "2" == text
    assert [
        {"role": "user", "content": [{"type": "text", "text": "How many?"}]},
        {"role": "assistant", "tool_calls": CALL["tool_calls"]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        {"role": "user", "content": "And now?"},
    ] == sent


def test_the_typed_fields_are_those_of_the_table() -> None:
    """With the options of a call, and without what is a parameter of its own."""
    assert set(get_type_hints(ChatFields)) == {
        *(set(CHAT.rows) - {"model", "messages", "stream"}),
        *(CALL_OPTIONS - {"proxy"}),
        "extra_body",
    }


def test_the_plain_names_ask_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """`complete` is `chat` for blocking code, on an instance and on a class that can be called."""
    monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", "http://127.0.0.1:9")
    provider = ScriptedProvider(answer("Hello"))
    with provider.complete("llama", HELLO, temperature=0.5, extra_body={"top_a": 1}) as completion:
        assert "Hello" == completion.text()
    provider.close()
    (call,) = provider.calls

    assert ({"temperature": 0.5, "top_a": 1}, True) == (call.kwargs, call.stream)
    assert type(AutonomousAI.complete("llama", HELLO)) is Completion


@pytest.mark.parametrize("name", ["chat", "create_async_generator", "complete", "create_completion"])
async def test_other_members_go_into_extra_body(name: str) -> None:
    """They are sent beside the others, as members of the request."""
    async with ScriptedServer(Script.stream("Hi")) as server, OpenAICompatible(server.url, model="m") as provider:
        extra = {"guided_json": {"type": "object"}}
        answer = getattr(provider, name)("llama", HELLO, stream=True, temperature=0, extra_body=extra)
        await (asyncio.to_thread(answer.text) if isinstance(answer, Completion) else answer.text())
        sent = server.requests[0].json()

    assert (0, {"type": "object"}) == (sent["temperature"], sent["guided_json"])
    assert "extra_body" not in sent


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("extra_headers", "headers="),
        ("extra_query", "the query of the provider's base_url"),
        ("max_retries", "retries="),
        ("num_retries", "retries="),
        ("base_url", "the provider's base_url"),
        ("api_base", "the provider's base_url"),
        ("vendor", "the provider's vendor"),
    ],
)
async def test_options_of_other_clients_are_not_sent(name: str, meant: str) -> None:
    """They would go into the body, a secret in a header too: each is refused at the call, with what is meant."""
    async with ScriptedServer() as server, OpenAICompatible(server.url, model="m") as provider:
        given: dict[str, Any] = {name: {"Authorization": "Bearer secret"}}
        words = f"{name}= is no argument of a call here; use {meant}"
        for call in (provider.chat, provider.complete, provider.create_completion, provider.create_async_generator):
            with pytest.raises(TypeError, match=words):
                call("m", HELLO, **given)
        for counted in (provider.count_prompt("m", HELLO, **given), provider.embed("m", "x", **given)):
            with pytest.raises(TypeError, match=words):
                await counted

    assert [] == server.requests


async def test_a_refusal_is_there_at_the_end() -> None:
    """Apart from the text, of which there is none."""
    refusal = Script.stream({"refusal": "I can"}, {"refusal": "not."})
    async with ScriptedServer(refusal, Script.stream("Hi")) as server, OpenAICompatible(server.url, model="m") as provider:
        refused = provider.chat("m", HELLO)
        given = provider.chat("m", HELLO)
        assert ("", "I cannot.") == (await refused, refused.refusal)
        assert ("Hi", "") == (await given, given.refusal)


async def test_an_answer_that_is_read_in_the_wrong_way_names_the_right_one() -> None:
    """Blocking code is led to `complete`, asyncio code to `chat`."""
    provider = ScriptedProvider()
    result: Any = provider.chat("llama", HELLO)
    completion: Any = provider.complete("llama", HELLO)
    with pytest.raises(TypeError, match=r"blocking code calls complete\(\)"):
        iter(result)
    with pytest.raises(TypeError, match=r"blocking code calls complete\(\)"), result:
        pass
    with pytest.raises(TypeError, match=r"asyncio code calls chat\(\)"):
        aiter(completion)
    with pytest.raises(TypeError, match=r"asyncio code calls chat\(\)"):
        async with completion:
            pass


async def test_an_answer_that_is_printed_says_how_to_read_it() -> None:
    """It does not show the text, which may be long, or a secret."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        result = provider.chat("llama", HELLO)
        said = [repr(result)]
        await result
        said.append(repr(result))
        unread = repr(provider.complete("llama", HELLO))

    assert [
        "<AsyncResult incomplete, 0 characters so far; await it, or iterate it with async for>",
        "<AsyncResult complete, finish_reason 'stop', 11 characters>",
    ] == said
    assert "<Completion incomplete, 0 characters so far; iterate it, or call text()>" == unread


@pytest.mark.parametrize("kind", [AutonomousAI, OpenAICompatible, Anthropic])
def test_options_of_other_types_are_refused_or_read(kind: Any) -> None:
    """URLs of other libraries are read; what is no key and no header is named."""
    assert "http://127.0.0.1:9/v1" == OpenAICompatible(URL("http://127.0.0.1:9/v1")).base_url  # type: ignore[arg-type]
    for options, words in (
        ({"api_key": 5}, "api_key must be text, not int"),
        ({"headers": 5}, "headers must be a mapping, not int"),
        ({"headers": ["a"]}, "headers must be a mapping, not list"),
    ):
        with pytest.raises(ConfigError, match=words):
            kind("http://127.0.0.1:9", **options)
    with pytest.raises(ConfigError, match="is not a URL"):
        kind(b"http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="headers must be a mapping, not list"):
        kind("http://127.0.0.1:9").chat("llama", HELLO, headers=["a"])


@pytest.mark.parametrize(
    ("extra_body", "words"),
    [
        ({"stream": False}, "extra_body: 'stream' is a parameter of the call; give it there"),
        ({"messages": []}, "extra_body: 'messages' is a parameter"),
        ({"timeout": 5}, "extra_body: 'timeout' is a parameter"),
        ("top_a", "extra_body must be a mapping of members of the request, not str"),
    ],
)
def test_extra_members_that_are_none_are_named(extra_body: Any, words: str) -> None:
    """What the call itself says cannot be said a second time, nor its options in the request."""
    with pytest.raises(ValueError, match=words):
        AutonomousAI("http://127.0.0.1:9").chat("llama", HELLO, extra_body=extra_body)


async def test_an_answer_in_the_place_of_a_message_is_named() -> None:
    """Ours, and the whole document of another SDK."""
    provider = OpenAICompatible("http://127.0.0.1:9/v1", model="m")
    whole = Modelled(id="1", choices=[{"message": {"role": "assistant", "content": "Hello"}}])
    with pytest.raises(ValueError, match=r"not AsyncResult; its as_message\(\) is one"):
        provider.chat("m", [provider.chat("m", HELLO)])  # type: ignore[list-item]
    with pytest.raises(
        ValueError, match=r"role: is missing; .*; this is a complete answer, whose message is choices\[0\]\.message"
    ):
        provider.chat("m", [whole])  # type: ignore[list-item]


def test_a_class_in_the_place_of_a_schema_is_named() -> None:
    """As other SDKs take it; the error says what to write."""
    wanted = r'response_format\' is a class; write {"type": "json_schema", .*"schema": Modelled\.model_json_schema\(\)}}'
    with pytest.raises(ValueError, match=wanted):
        OpenAICompatible("http://127.0.0.1:9/v1", model="m").chat("m", HELLO, response_format=Modelled)  # type: ignore[arg-type]


async def test_several_tasks_may_want_the_text() -> None:
    """One reads, and each gets all of it."""
    provider = ScriptedProvider(answer("Hello", " world"))
    result = provider.create_async_generator("llama", HELLO, stream=True)

    assert ["Hello world"] * 3 == await asyncio.gather(result.text(), result.text(), result)


async def test_several_tasks_get_the_error_of_the_one_that_reads() -> None:
    """With what had come, each."""
    async with ScriptedServer(Script.cut("Hel", "lo")) as server, OpenAICompatible(server.url) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        errors = await asyncio.gather(result.text(), result.text(), return_exceptions=True)

    assert [IncompleteStreamError] * 2 == [type(error) for error in errors]
    assert ["Hello"] * 2 == [error.partial for error in errors if isinstance(error, IncompleteStreamError)]


async def test_a_task_that_reads_and_is_cancelled_leaves_no_other_waiting() -> None:
    """The answer is closed, and the other task is told so."""
    async with ScriptedServer(Script.stall("Hel")) as server, OpenAICompatible(server.url) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        reader = asyncio.create_task(result.text())
        while not result.text_so_far:
            await asyncio.sleep(0)
        other = asyncio.create_task(result.text())
        await asyncio.sleep(0)
        reader.cancel()

        with pytest.raises(IncompleteStreamError):
            await other
        assert reader.cancelled()


async def test_two_tasks_cannot_iterate_at_once() -> None:
    """The second is told so, and the first reads on."""
    pause = Pause()
    provider = ScriptedProvider(["Hel", pause, *answer("lo")])
    result = provider.create_async_generator("llama", HELLO, stream=True)
    assert "Hel" == await anext(result)
    reader = asyncio.ensure_future(anext(result))
    await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="being read by another task"):
        await anext(result)
    pause.release()
    assert "lo" == await reader
    assert "Hello" == "".join(["Hello", *[str(chunk) async for chunk in result]])


async def test_what_came_with_the_end_is_read_after_a_close() -> None:
    """Of a complete answer nothing is lost; of a part, no further chunk comes."""
    whole = AsyncResult(GeneratedBatches(partial(batches_of, ["Hel", "lo", FinishReason("stop", "done")])))
    part = AsyncResult(GeneratedBatches(partial(batches_of, ["Hel", "lo"], [FinishReason("stop", "done")])))
    for result in (whole, part):
        assert "Hel" == await anext(result)
        await result.aclose()

    assert ["lo", ""] == [str(chunk) async for chunk in whole]
    with pytest.raises(IncompleteStreamError) as raised:
        await anext(part)
    assert "Hello" == raised.value.partial


async def batches_of(*batches: Batch) -> AsyncGenerator[Batch]:
    for batch in batches:
        yield batch


async def test_the_batches_of_a_provider_stay_as_they_are() -> None:
    """One may give the same list with each answer."""
    batches: list[Batch] = [["a"], ["b", "c"], [FinishReason("stop", "done")]]
    given = [[*batch] for batch in batches]
    for _ in range(2):
        assert "abc" == await AsyncResult(GeneratedBatches(partial(batches_of, *batches)))

    assert given == batches


def test_a_result_that_was_dropped_after_its_loop_ended_is_silent() -> None:
    """There is nothing left to be closed, nor where it was never made."""

    async def begin() -> AsyncResult:
        result = AsyncResult(GeneratedBatches(partial(batches_of, ["Hel"], ["lo"])))
        assert "Hel" == await anext(result)
        return result

    result = asyncio.run(begin())
    del result
    with pytest.raises(TypeError):
        AsyncResult()  # type: ignore[call-arg]
    gc.collect()
