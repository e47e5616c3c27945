"""`ScriptedServer`, as a client with a bare socket sees it: every fault is what its name says, and the log tells the truth."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autonomousai.events import Usage
from autonomousai.testing import FAULTS, Pause, Raw, Request, Script, ScriptedServer, Send, chunks, completion
from autonomousai.testing.texts import text_of
from tests.support.sockets import PATIENCE
from tests.support.tls import client_context, server_context

POST = b'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"stream":true}'


class Client:
    """A bare socket; what it reads is exactly what came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = POST) -> None:
        self.writer.write(request)
        await self.writer.drain()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunk(self) -> bytes:
        """One chunk of a chunked body; b"" is the terminator."""
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self) -> bytes:
        """A chunked body up to its terminator."""
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@asynccontextmanager
async def connect(server: ScriptedServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_answers_stream_by_stream_and_document_by_document_without_a_script() -> None:
    """With nothing scripted the answer has the form that was asked for."""
    async with ScriptedServer() as server, connect(server) as client:
        await client.ask()
        streamed_head, streamed = await client.head(), await client.body()
        await client.ask(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        document_head = await client.head()
        document = await client.reader.readexactly(len(completion("Hello world")))

    assert "text/event-stream" in streamed_head
    assert chunks("Hello", " world") == streamed
    assert "application/json" in document_head
    assert completion("Hello world") == document


@pytest.mark.parametrize(
    ("request_line", "body", "status", "holds"),
    [
        ("GET /v1/models", b"", 200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]}),
        ("GET /models?limit=3", b"", 200, {"object": "list"}),
        ("POST /v1/chat/completions", b"{}", 200, {"object": "chat.completion"}),
        ("POST /openai/deployments/m/chat/completions?api-version=1", b"{}", 200, {"object": "chat.completion"}),
        ("POST /v1/messages?beta=true", b"{}", 200, {"type": "message"}),
        ("POST /v1/chat/completion", b"{}", 404, {"error": {"type": "invalid_request_error"}}),
        ("GET /v1/files", b"", 404, {"error": {"type": "invalid_request_error"}}),
        ("POST /v1/chat/completions", b'{"stream": tru', 400, {"error": {"type": "invalid_request_error"}}),
        ("POST /v1/messages", b"[]", 400, {"type": "error"}),
    ],
)
async def test_a_server_without_scripts_answers_as_the_paths_api_would(
    request_line: str, body: bytes, status: int, holds: dict[str, Any]
) -> None:
    """A list of models; 404 for a path of no API, 400 for a body that is no JSON object; a query changes nothing."""
    async with ScriptedServer() as server, connect(server) as client:
        await client.ask(f"{request_line} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await client.head()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        document = json.loads(await client.reader.readexactly(length))

    def has(document: Any, holds: Any) -> bool:
        if isinstance(holds, dict):
            return all(has(document[name], value) for name, value in holds.items())
        return all(map(has, document, holds)) if isinstance(holds, list) else bool(document == holds)

    assert f" {status} " in head.split("\r\n")[0]
    assert has(document, holds), document


async def test_what_was_played_answers_on_any_path() -> None:
    """Only a server to which nothing was played knows paths."""
    async with ScriptedServer(Script.status(204, "")) as server, connect(server) as client:
        await client.ask(b"GET /v1/files HTTP/1.1\r\n\r\n")

        assert " 204 " in await client.head()


async def test_the_log_holds_the_request_as_it_came() -> None:
    """Method, path, headers in lower case, body, and which connection."""
    async with ScriptedServer() as server:
        for _ in range(2):
            async with connect(server) as client:
                await client.ask(b'POST /a?b HTTP/1.1\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 8\r\n\r\n{"a": 1}')
                await client.head()

    first, second = server.requests
    assert ("POST", "/a?b", "1, 2", {"a": 1}) == (first.method, first.path, first.headers["x-one"], first.json())
    assert first.head.startswith(b"POST /a?b HTTP/1.1\r\nX-One: 1")
    assert (0, 1) == (first.connection, second.connection)
    assert 2 == server.connections


async def test_reads_a_chunked_request() -> None:
    """A request body may be chunked, and arrive in pieces."""
    async with ScriptedServer() as server, connect(server) as client:
        await client.ask(b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3;x\r\n')
        await client.ask(b" 1}\r\n0\r\n\r\n")
        request = await server.request(0)

    assert {"a": 1} == request.json()


async def test_scripts_are_taken_in_order_and_the_last_is_repeated() -> None:
    """One script a request; then the last one for ever."""
    statuses = []
    async with ScriptedServer(Script.status(500), "rate_limited") as server, connect(server) as client:
        for _ in range(3):
            await client.ask()
            head = await client.head()
            statuses.append(head.split(" ")[1])
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            await client.reader.readexactly(length)

    assert ["500", "429", "429"] == statuses


async def test_a_path_has_its_own_queue() -> None:
    """Scripts for one path leave the common queue alone."""
    async with ScriptedServer(Script.status(500)) as server, connect(server) as client:
        server.play(Script.status(404, ""), path="/v1/models")
        await client.ask(b"GET /v1/models HTTP/1.1\r\n\r\n")
        other = await client.head()
        await client.ask()
        common = await client.head()

    assert "404" in other
    assert "500" in common


async def test_a_script_may_depend_on_the_request() -> None:
    """A function of the request returns the script."""

    def script(request: Request) -> Script:
        return Script.body(request.body)

    async with ScriptedServer(script) as server, connect(server) as client:
        await client.ask()
        await client.head()
        body = await client.body()

    assert b'{"stream":true}' == body


async def test_a_status_carries_body_headers_and_retry_after() -> None:
    """`Script.status` says everything that an error answer can say."""
    async with ScriptedServer(Script.status(429, "slow down", headers={"X-Request-Id": "r1"}, retry_after=7)) as server:
        async with connect(server) as client:
            await client.ask()
            head = await client.head()
            body = await client.reader.readexactly(9)

    assert {"Retry-After: 7", "X-Request-Id: r1", "HTTP/1.1 429 Scripted"} <= set(head.split("\r\n"))
    assert b"slow down" == body


@pytest.mark.parametrize("fault", ["reset_before_headers", "reset_after_headers", "reset_after_text"])
async def test_a_reset_is_a_reset(fault: str) -> None:
    """The client's socket sees RST, not an orderly end; the log says so."""
    async with ScriptedServer(fault) as server, connect(server) as client:
        await client.ask()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        request = await server.request(0)

    assert "reset" == await request.over()


async def test_text_before_a_reset_arrives() -> None:
    """A reset after text does not swallow the text of a client that reads."""
    async with ScriptedServer("reset_after_text") as server, connect(server) as client:
        await client.ask()
        await client.head()
        body = await client.chunk()

    assert chunks("Hello", " wor", finish=None, done=False) == body


@pytest.mark.parametrize("fault", ["hang_up", "cut", "cut_document", "not_http"])
async def test_a_closed_connection_ends_in_order(fault: str) -> None:
    """The client sees an end of the stream, without a chunked body's terminator."""
    async with ScriptedServer(fault) as server, connect(server) as client:
        await client.ask()
        data = await client.reader.read()
        request = await server.request(0)

    assert not data.endswith(b"0\r\n\r\n")
    assert "closed" == await request.over()


async def test_a_cut_with_terminator_is_a_whole_body_without_evidence() -> None:
    """Only the missing finish reason and [DONE] betray it."""
    async with ScriptedServer("cut_with_terminator") as server, connect(server) as client:
        await client.ask()
        await client.head()
        body = await client.body()
        request = await server.request(0)

    assert chunks("Hello", " wor", finish=None, done=False) == body
    assert "finished" == await request.over()


@pytest.mark.parametrize("fault", ["silence", "stall", "stall_before_text", "lingering", "lingering_without_done"])
async def test_a_hanging_answer_hangs_until_the_client_leaves(fault: str) -> None:
    """The server notices the client's leaving, and says `left`."""
    async with ScriptedServer(fault) as server, connect(server) as client:
        await client.ask()
        request = await server.request(0)
        before = request.end
        await client.leave()
        end = await request.over()
        await server.all_closed()

    assert before is None
    assert "left" == end
    assert request.left


@pytest.mark.parametrize("head_first", [True, False])
async def test_a_slow_first_token_waits_for_its_release(head_first: bool) -> None:
    """The test, not a clock, lets the answer go on."""
    pause = Pause()
    async with ScriptedServer(Script.slow_first_token(pause, "Hi", head_first=head_first)) as server:
        async with connect(server) as client:
            await client.ask()
            await pause.reached.wait()
            request = await server.request(0)
            sent_before = request.sent
            pause.release()
            await client.head()
            body = await client.body()

    assert 0 == sent_before
    assert chunks("Hi") == body


async def test_the_end_of_an_answer_is_a_change_although_its_connection_stays() -> None:
    """Who waits until nothing is being answered is woken by it, and not by the next request alone."""
    pause = Pause()
    async with ScriptedServer(Script.slow_first_token(pause, "Hi")) as server, connect(server) as client:
        await client.ask()
        await pause.reached.wait()
        request = await server.request(0)

        async def ended() -> None:
            while request.end is None:
                await server.change()

        waiting = asyncio.create_task(ended())
        await asyncio.sleep(0)
        pause.release()
        await asyncio.wait_for(waiting, PATIENCE)

        assert len(server.open) == 1


async def test_a_pause_may_release_itself() -> None:
    """With seconds it needs no test to release it."""
    async with ScriptedServer(Script.slow_first_token(Pause(seconds=0), "Hi")) as server, connect(server) as client:
        await client.ask()
        await client.head()
        body = await client.body()

    assert chunks("Hi") == body


async def test_split_writes_come_one_by_one() -> None:
    """A client in the same loop reads each piece by itself, and together they are the answer."""
    answer = chunks("Hello")
    async with ScriptedServer(Script.split("Hello", at=[3, 50])) as server, connect(server) as client:
        await client.ask()
        await client.head()
        pieces = [await client.chunk() for _ in range(4)]

    assert [answer[:3], answer[3:50], answer[50:], b""] == pieces


async def test_a_trickle_is_a_write_a_byte() -> None:
    """Every byte is a chunk of its own."""
    answer = chunks("Hello", " world")
    async with ScriptedServer("trickle") as server, connect(server) as client:
        await client.ask()
        await client.head()
        pieces = [await client.chunk() for _ in range(len(answer) + 1)]

    assert [*(bytes([byte]) for byte in answer), b""] == pieces


async def test_an_error_event_ends_a_stream_without_done() -> None:
    """The error object travels as an event; nothing that looks like an end follows."""
    async with ScriptedServer("error_event") as server, connect(server) as client:
        await client.ask()
        await client.head()
        body = await client.body()

    last = body.rstrip().split(b"\n\n")[-1]
    assert "scripted failure" == json.loads(last.removeprefix(b"data: "))["error"]["message"]
    assert b"[DONE]" not in body


async def test_a_malformed_event_is_followed_by_a_whole_answer() -> None:
    """Who skips what it cannot read would take the rest for a success."""
    async with ScriptedServer("malformed_event") as server, connect(server) as client:
        await client.ask()
        await client.head()
        events = (await client.body()).split(b"\n\n")

    unreadable = [event for event in events[:-2] if not _readable(event)]
    assert 1 == len(unreadable)
    assert b"data: [DONE]" == events[-2]


def _readable(event: bytes) -> bool:
    try:
        json.loads(event.removeprefix(b"data: "))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_stops_cleanly_while_the_client_still_hangs(fault: str) -> None:
    """Leaving the server ends every connection, and leaves nothing behind that would warn."""
    async with ScriptedServer(fault) as server:
        async with connect(server) as client:
            await client.ask()
            request = await server.request(0)
            await asyncio.sleep(0)
            await server.__aexit__(None, None, None)
            over = await request.over()

            assert over is not None
            assert 0 == len(server.open)


PATHS = {"/v1/chat/completions": b'"chat.', "/v1/messages?beta=true": b'"message', "/v1/responses": b'"response',
         "/v1beta/models/m:streamGenerateContent?alt=sse": b'"candidates'}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_by_name_speaks_the_api_of_the_path(fault: str) -> None:
    """To a client of another API it would be an answer without a word. It says the same everywhere, and is as broken."""
    scripts = {path: ScriptedServer(fault).take(Request("POST", path, {}, b"{}", b"", 0)) for path in PATHS}
    bodies = {path: b"".join(step.data for step in each.steps if isinstance(step, Send)) for path, each in scripts.items()}
    steps = {tuple(type(step) for step in each.steps if not isinstance(step, Send)) for each in scripts.values()}

    assert 1 == len({text_of(body) for body in bodies.values()})
    assert 1 == len(steps)
    if text_of(bodies["/v1/responses"]):
        assert all(mark in bodies[path] for path, mark in PATHS.items())


#: What a server without scripts is asked over the Gemini API -> what its answer holds.
GEMINI = {
    ":streamGenerateContent?alt=sse": b'{"text": " world"}',
    ":generateContent": b'{"text": "Hello world"}',
    ":countTokens": b'"totalTokens": 3',
    ":embedContent": b'"embedding": {"values"',
    ":batchEmbedContents": b'"embeddings": [{"values"',
}


@pytest.mark.parametrize("method", GEMINI)
def test_without_a_script_the_gemini_api_is_answered_too(method: str) -> None:
    """As the other APIs are; its paths name the model."""
    body = json.dumps({"contents": [], "requests": [{}]}).encode()
    script = ScriptedServer().take(Request("POST", f"/v1beta/models/m{method}", {}, body, b"", 0))
    answer = b"".join(step.data for step in script.steps if isinstance(step, Send))

    assert GEMINI[method] in answer
    assert text_of(answer) == ("Hello world" if "generate" in method.lower() else "")


def test_what_pytest_shows_of_a_request_holds_no_secret() -> None:
    """Neither a header nor the query's key, nor the prompt: a failed test is read in a public log."""
    head = b"POST /v1/x?key=sk-hidden HTTP/1.1\r\nauthorization: Bearer sk-hidden\r\n"
    request = Request("POST", "/v1/x?key=sk-hidden&alt=sse", {"authorization": "Bearer sk-hidden"}, b"secret", head, 0)

    assert "<Request POST /v1/x?alt=sse&key=*** -> no answer, still open>" == repr(request)


async def test_a_failure_of_the_script_itself_is_heard_of() -> None:
    """A broken script function fails the test, not only the client."""

    def broken(request: Request) -> Script:
        raise KeyError(request.path)

    server = ScriptedServer(broken)
    await server.__aenter__()
    async with connect(server) as client:
        await client.ask()
        await client.reader.read()

    with pytest.raises(KeyError, match="/v1"):
        await server.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([Script.stream("a")], "a script is a Script, the name of a fault or a function of the request, not list"),
        ({"a": 1}, "not dict"),
        (ValueError("no"), "not ValueError"),
    ],
)
def test_what_is_no_script_is_refused_at_once(script: Any, said: str) -> None:
    """Before any client asks."""
    with pytest.raises(TypeError, match=said):
        ScriptedServer(script)


async def _choose(request: Request) -> Script:
    return Script.stream("a")


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (lambda request: None, "not NoneType"),
        (lambda request: "Hello", "Script.stream('Hello') says it"),
        (_choose, "write it without async"),
    ],
)
async def test_a_function_that_returns_no_script_is_heard_of(choose: Any, said: str) -> None:
    """In words, where the server is left; of an async function no coroutine stays behind."""
    server = ScriptedServer(choose)
    await server.__aenter__()
    async with connect(server) as client:
        await client.ask()
        await client.reader.read()

    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        await server.__aexit__(None, None, None)


async def test_a_function_may_name_a_fault() -> None:
    """As `play` takes it."""
    async with ScriptedServer(lambda request: "rate_limited") as server, connect(server) as client:
        await client.ask()

        assert "429" in await client.head()


def test_arguments_that_make_no_answer_are_refused() -> None:
    """A status of two digits, and a body that is an object; text is a body."""
    with pytest.raises(ValueError, match="99 is no HTTP status"):
        Script.status(99)
    with pytest.raises(TypeError, match="must be bytes or text, not dict"):
        Script.body({"a": 1})  # type: ignore[arg-type]
    assert Script.body(b"Gr\xc3\xbc\xc3\x9fe").steps == Script.body("Grüße").steps


def test_an_unknown_fault_is_refused_at_once() -> None:
    """The message lists the faults that there are."""
    with pytest.raises(ValueError, match="reset_before_headers"):
        ScriptedServer("explode")


async def test_serves_https() -> None:
    """With a TLS context the URL says https, and a client that trusts the authority gets its answer."""
    async with ScriptedServer(tls=server_context()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context())
        client = Client(reader, writer)
        await client.ask()
        await client.head()
        body = await client.body()
        await client.leave()

    assert server.url.startswith("https://127.0.0.1:")
    assert chunks("Hello", " world") == body


async def test_serves_a_unix_socket(tmp_path: Path) -> None:
    """An upstream may listen on a path."""
    async with ScriptedServer(uds=tmp_path / "s.sock"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s.sock"))
        client = Client(reader, writer)
        await client.ask()
        await client.head()
        body = await client.body()
        await client.leave()

    assert chunks("Hello", " world") == body


async def test_a_step_may_be_raw_bytes() -> None:
    """Heads that no `Head` would write can be played as bytes."""
    async with ScriptedServer(Script(Raw(b"HTTP/1.1 2OO ok\r\n\r\n"))) as server, connect(server) as client:
        await client.ask()
        head = await client.head()

    assert "HTTP/1.1 2OO ok\r\n\r\n" == head


def test_chunks_are_the_openai_wire() -> None:
    """The role first, then the text, the finish reason, the usage with no choices, and [DONE]."""
    events = chunks("Hel", {"tool_calls": []}, usage=Usage(3, 4)).decode().split("\n\n")

    payloads = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    deltas = [payload["choices"][0]["delta"] for payload in payloads[:-1]]
    assert [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"tool_calls": []}, {}] == deltas
    assert "stop" == payloads[-2]["choices"][0]["finish_reason"]
    assert ([], {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}) == (
        payloads[-1]["choices"],
        payloads[-1]["usage"],
    )
    assert ["data: [DONE]", ""] == events[-2:]


def test_chunks_may_end_without_evidence() -> None:
    """`finish=None, done=False` leaves out everything that proves an end."""
    body = chunks("a", finish=None, done=False)

    assert b"stop" not in body
    assert b"[DONE]" not in body


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("head", ["HTTP/1.0", "HTTP/1.1\r\nHost: x\r\nConnection: close"])
async def test_a_client_that_reads_to_the_end_of_the_connection_gets_it(head: str, streamed: bool) -> None:
    """As one of HTTP/1.0 does, which knows no chunks: a load tester, or nginx as it comes."""
    async with ScriptedServer(Script.stream("Hello") if streamed else Script.document("Hello")) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"POST /v1/chat/completions {head}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()

    assert (b"chunked" in answer) == (streamed and "1.1" in head)
    assert b"Hello" in answer
    assert "finished" == server.requests[0].end
