"""Recording and replaying over sockets, by whatever client, and what the doubles assert of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic import Anthropic as TheirAnthropic
from anthropic import APIStatusError, AsyncAnthropic
from openai import AsyncOpenAI, BadRequestError, OpenAI

from autonomousai import OpenAICompatible
from autonomousai.testing import (
    Close,
    Double,
    Head,
    MissingRecordingError,
    Pause,
    Recording,
    Script,
    Send,
    chunks,
    live,
    record,
    replay,
    scripted,
)

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
KEY = "sk-not-to-be-written-down"


def ask(url: str, text: str = "Hello", *, method: str = "POST", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One request by the standard library's client, with the body as far as it came."""
    address, _, base = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=30)
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": text}]})
    try:
        path = f"/{base}/chat/completions" if base else "/chat/completions"
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as error:
            return response.status, error.partial
    finally:
        connection.close()


def openai_says(url: str) -> str:
    """The text that openai-python has of a streamed answer."""
    with OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        with client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_what_is_recorded_is_replayed_without_the_upstream(tmp_path: Path) -> None:
    """By the same client; and the key is nowhere in the file."""
    path = tmp_path / "hello.toml"
    with scripted(Script.stream("Grüße", " 😀")) as upstream, record(path, f"{upstream.url}/v1") as proxy:
        recorded = openai_says(proxy.url)
        sent = upstream.assert_sent(path="/v1/chat/completions", headers={"authorization": f"Bearer {KEY}"}, model="m")
    with replay(path) as double:
        replayed = openai_says(double.url)

    assert "Grüße 😀" == recorded == replayed
    assert "gzip" not in sent.headers["accept-encoding"]
    assert KEY not in path.read_text(encoding="utf-8")
    assert "data: [DONE]" in path.read_text(encoding="utf-8")


def test_other_clients_are_recorded_alike(tmp_path: Path) -> None:
    """anthropic and this package's own, each with its API's paths and keys."""
    with scripted() as upstream:
        upstream.play(Script.messages("Hel", "lo"), path="/v1/messages")

        def theirs(url: str) -> str:
            with TheirAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
                with client.messages.stream(model="m", messages=MESSAGES, max_tokens=9) as stream:
                    return "".join(stream.text_stream)

        def ours(url: str) -> str:
            async def said() -> str:
                async with OpenAICompatible(f"{url}/v1", api_key=KEY) as provider:
                    return await provider.create_async_generator("m", MESSAGES, stream=True).text()

            return asyncio.run(said())

        calls: list[tuple[str, Callable[[str], str]]] = [("theirs", theirs), ("ours", ours)]
        for name, say in calls:
            with record(tmp_path / name, upstream.url) as proxy:
                recorded = say(proxy.url)
            with replay(tmp_path / name) as double:
                replayed = say(double.url)

            assert {"theirs": "Hello", "ours": "Hello world"}[name] == recorded == replayed
            assert KEY not in (tmp_path / name).read_text(encoding="utf-8")


def test_answers_are_replayed_in_order(tmp_path: Path) -> None:
    """The same request gets its first answer, then its second; others may come between."""
    path = tmp_path / "x.toml"
    with scripted(Script.status(429), Script.stream("b"), Script.stream("a")) as upstream:
        with record(path, upstream.url) as proxy:
            recorded = [ask(proxy.url, text) for text in ("a", "b", "a")]
    with replay(path) as double:
        replayed = [ask(double.url, text) for text in ("a", "a", "b")]

    assert [recorded[0], recorded[2], recorded[1]] == replayed
    assert [429, 200, 200] == [status for status, _ in recorded]


def test_one_name_that_does_not_count_may_be_a_text(tmp_path: Path) -> None:
    """And one further member that is a secret; neither is a list of its letters."""
    path = tmp_path / "x.toml"

    def ask_as(url: str, run_id: str) -> int:
        body = json.dumps({"metadata": {"run_id": run_id}, "pin": "four-digits", "p": "kept"}).encode()
        request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return int(response.status)

    with scripted() as upstream, record(path, f"{upstream.url}/v1", secret_fields="pin") as proxy:
        ask_as(proxy.url, "one")
    with replay(path, ignore="metadata.run_id", secret_fields="pin") as double:
        assert 200 == ask_as(double.url, "two")
    assert "four-digits" not in path.read_text()
    assert "kept" in path.read_text()


def test_the_base_url_has_the_path_of_the_upstreams() -> None:
    """A server of scripts has every API, and so no path of its own: its base URL for OpenAI's clients is `url` + "/v1"."""
    with scripted() as server:
        with live(f"{server.url}/v1") as proxy:
            assert "/v1" == proxy.url.removeprefix(proxy.server.url)
            assert "Hello world" == openai_says(proxy.url)
        assert server.server.url == server.url
        assert "Hello world" == openai_says(f"{server.url}/v1")


def test_an_answer_is_replayed_once_unless_it_may_repeat(tmp_path: Path) -> None:
    """A request too many is an error that says so."""
    path = tmp_path / "x.toml"
    with scripted() as upstream, record(path, upstream.url) as proxy:
        ask(proxy.url)
    with replay(path, repeat=True) as double:
        assert [200, 200] == [ask(double.url)[0] for _ in range(2)]

    with (
        pytest.raises(AssertionError, match="recorded 1 time, and each answer was replayed"),
        replay(path) as double,
    ):
        assert [200, 400] == [ask(double.url)[0] for _ in range(2)]


def test_an_unmatched_request_says_what_differs(tmp_path: Path) -> None:
    """To the client at once, without a retry; and to the test, even if its client kept silent."""
    path = tmp_path / "x.toml"
    with scripted() as upstream, record(path, f"{upstream.url}/v1") as proxy:
        openai_says(proxy.url)

    with pytest.raises(AssertionError) as failure, replay(path) as double, OpenAI(base_url=double.url, api_key=KEY) as client:
        with pytest.raises(BadRequestError, match="is not in the recording"):
            client.chat.completions.create(model="another", messages=MESSAGES, stream=True)
        double.assert_requests(1)

    assert '-  "model": "m",\n+  "model": "another",' in str(failure.value)


def test_timing_is_recorded_and_replayed(tmp_path: Path) -> None:
    """Pieces stay apart, with the time between them; a replay takes that time, a part of it, or none."""
    path = tmp_path / "x.toml"
    body = chunks("Hello", " world")
    pause = Pause(seconds=0.05)
    with scripted(Script(Head(), Send(body[:100]), pause, Send(body[100:]))) as upstream, record(path, upstream.url) as proxy:
        ask(proxy.url)
    (answer,) = Recording.load(path).answers
    pauses = [step.seconds for step in answer.script(2).steps if isinstance(step, Pause)]

    assert [100, len(body) - 100] == [len(data) for _, data in answer.pieces]
    assert sum(milliseconds for milliseconds, _ in answer.pieces) >= 49  # however they are shared out
    assert answer.pieces[1][0] / 2000 == pauses[-1]
    assert not [step for step in answer.script().steps if isinstance(step, Pause)]
    with replay(path, speed=100) as double:
        assert body == ask(double.url)[1]


def test_an_upstream_that_breaks_off_is_recorded_so(tmp_path: Path) -> None:
    """The same part comes in the replay, and then the end of the connection."""
    path = tmp_path / "x.toml"
    with (
        scripted(Script.cut("Hel")) as upstream,
        pytest.raises(AssertionError, match="broke off"),
        record(path, upstream.url) as proxy,
    ):
        recorded = ask(proxy.url)
        proxy.tape.save()  # type: ignore[union-attr]  # which a block that fails does not
    with replay(path) as double:
        replayed = ask(double.url)

    assert chunks("Hel", finish=None, done=False) == recorded[1] == replayed[1]
    assert "closed" == Recording.load(path).answers[0].end


def test_an_answer_that_the_client_left_is_recorded_so(tmp_path: Path) -> None:
    """Its rest is not known: the replay stays open behind what had come."""
    path = tmp_path / "x.toml"
    with scripted(Script.stall("Hel")) as upstream, record(path, upstream.url) as proxy:
        leave_early(proxy)
        upstream.assert_cancelled()
    with replay(path) as double:
        leave_early(double)
        double.assert_cancelled()

    assert "left" == Recording.load(path).answers[0].end


def leave_early(double: Double) -> None:
    """Close the stream behind its first text."""
    with OpenAI(base_url=double.url, api_key=KEY) as client:
        with client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
            assert "Hel" == next(chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content)


def test_binary_and_documents_and_statuses_are_recorded_as_they_are(tmp_path: Path) -> None:
    """Bytes that are no text, a document with its length, an answer without a body, headers that a client acts on."""
    path = tmp_path / "x.toml"
    sound = bytes(range(256)) * 3
    scripts = [
        Script.body(sound, content_type="audio/mpeg"),
        Script.document("Hello"),
        Script(Head(204, None, length=0)),
        Script.status(503, retry_after=7, headers={"Set-Cookie": "a=b"}),
    ]
    with scripted(*scripts) as upstream, record(path, upstream.url) as proxy:
        recorded = [ask(proxy.url) for _ in scripts]
    with replay(path) as double:
        replayed = [ask(double.url) for _ in scripts]

    assert recorded == replayed
    assert sound == recorded[0][1]
    assert {"content-type": "application/json", "retry-after": "7"} == Recording.load(path).answers[3].headers


def test_modes(tmp_path: Path) -> None:
    """Once records what is missing, none never does, new_episodes adds, all begins anew."""
    path = tmp_path / "x.toml"
    with scripted(Script.stream("1"), Script.stream("2"), Script.stream("3")) as upstream:
        with pytest.raises(MissingRecordingError, match=r"x\.toml"):
            record(path, upstream.url, mode="none")
        with pytest.raises(ValueError, match="there are: once, none, all"):
            record(path, upstream.url, mode="often")  # type: ignore[arg-type]
        said = []
        for mode, text in (("once", "a"), ("once", "a"), ("new_episodes", "a"), ("new_episodes", "b"), ("all", "a")):
            with record(path, upstream.url, mode=mode) as proxy:  # type: ignore[arg-type]
                ask(proxy.url, text)
                said.append(proxy.requests[0].text)
        upstream.assert_requests(3)

    assert ["1", "1", "1", "2", "3"] == said
    assert 1 == len(Recording.load(path).answers)


def test_a_block_that_fails_records_nothing(tmp_path: Path) -> None:
    """Else what went wrong would be replayed for ever."""
    with scripted() as upstream:
        with pytest.raises(ZeroDivisionError), record(tmp_path / "x.toml", upstream.url) as proxy:
            ask(proxy.url)
            raise ZeroDivisionError
        with record(tmp_path / "x.toml", upstream.url):
            pass

    assert [] == list(tmp_path.iterdir())


def test_an_upstream_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As an answer of 502, and as the block's failure."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(AssertionError, match="cannot connect"), record(tmp_path / "x.toml", url) as proxy:
            assert 502 == ask(proxy.url)[0]

    assert [] == list(tmp_path.iterdir())


def test_redirects_lead_through_the_proxy(tmp_path: Path) -> None:
    """And a recording holds no address."""
    with scripted() as upstream:
        upstream.play(Script.status(307, headers={"Location": f"{upstream.url}/there?key=k"}))
        with record(tmp_path / "x.toml", upstream.url) as proxy:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.server.port)
            connection.request("GET", "/here")
            location = connection.getresponse().headers["location"]
            connection.close()
            url = proxy.url

    assert f"{url}/there?key=k" == location
    assert "/there?key=***" == Recording.load(tmp_path / "x.toml").answers[0].headers["location"]


def test_a_live_upstream_is_passed_on(tmp_path: Path) -> None:
    """With the path of its base URL, whatever the method."""
    with scripted() as upstream, live(f"{upstream.url}/v1") as proxy:
        assert "Hello world" == openai_says(proxy.url)
        assert 200 == ask(proxy.url, method="PUT")[0]
        assert ["/v1/chat/completions"] * 2 == [request.path for request in upstream.requests]
        assert "PUT" == upstream.requests[1].method


# ---- what is asserted


def test_nothing_open_names_what_is_open() -> None:
    """A client that is not closed, an answer that is not left; and passes once both are."""
    with scripted(Script.stall("Hel")) as double:
        client = OpenAI(base_url=f"{double.url}/v1", api_key=KEY)
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(AssertionError, match=r"(?s)1 connection still open.*is being answered.*with stream:"):
            double.assert_nothing_open(timeout=0.01, idle_ok=True)
        stream.close()
        client.close()

        double.assert_nothing_open()
        double.assert_cancelled()


def test_a_connection_without_an_answer_may_be_allowed() -> None:
    """Clients keep them for their next request."""
    with scripted() as double, OpenAI(base_url=f"{double.url}/v1", api_key=KEY) as client:
        client.chat.completions.create(model="m", messages=MESSAGES)

        double.assert_nothing_open(idle_ok=True)
        with pytest.raises(AssertionError, match="idle since POST /v1/chat/completions"):
            double.assert_nothing_open(timeout=0.01)


async def test_in_an_event_loop_what_waits_is_awaited() -> None:
    """The other kind would block the loop that the client needs, and says so."""
    async with scripted(Script.stall("Hel")) as double:
        async with AsyncOpenAI(base_url=f"{double.url}/v1", api_key=KEY) as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            await anext(aiter(stream))
            with pytest.raises(RuntimeError, match=r"await llm\.aassert_nothing_open\(\)"):
                double.assert_nothing_open()
            await stream.close()
            await double.aassert_cancelled()

        await double.aassert_nothing_open()


async def test_faults_by_name_reach_the_clients_of_each_api() -> None:
    """An error in the stream is one to Anthropic's client too, and an event to OpenAI's over Responses."""
    async with scripted("error_event") as double:
        async with AsyncAnthropic(base_url=double.url, api_key=KEY, max_retries=0) as client:
            with pytest.raises(APIStatusError, match="scripted failure"):
                async with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
                    await stream.get_final_text()
        async with AsyncOpenAI(base_url=f"{double.url}/v1", api_key=KEY, max_retries=0) as theirs:
            events = [event async for event in await theirs.responses.create(model="m", input="Hello", stream=True)]

    assert "error" == events[-1].type
    assert ["Hello wor", "Hello wor"] == [request.text for request in double.requests]


def test_logs_show_no_key_of_a_query() -> None:
    """As Google's API has it."""
    with scripted(Script.stream("Hi")) as double:
        with urllib.request.urlopen(f"{double.url}/v1beta/models/m:generate?key={KEY}") as answer:
            answer.read()
        with pytest.raises(AssertionError) as failed:
            double.assert_requests(2)

    assert "GET /v1beta/models/m:generate?key=*** -> 200" in str(failed.value)
    assert KEY not in str(failed.value)


def test_in_trios_event_loop_it_is_awaited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """anyio's plugin runs a test in asyncio's loop and in trio's, which is not installed here: a stand-in runs it."""

    async def run_sync(work: Callable[[], Any]) -> Any:
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(work()))
        thread.start()
        thread.join()
        return done[0]

    def current_trio_token() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("must be called from async context")

    async def test() -> None:
        async with scripted("stall") as double:
            with socket.create_connection(("127.0.0.1", int(double.url.rpartition(":")[2]))) as client:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
                client.recv(1)
                with pytest.raises(RuntimeError, match=r"await llm\.aassert_nothing_open\(\)"):
                    double.assert_nothing_open()
            await double.aassert_cancelled()
            await double.aassert_nothing_open()

    trio = SimpleNamespace(
        to_thread=SimpleNamespace(run_sync=run_sync), lowlevel=SimpleNamespace(current_trio_token=current_trio_token)
    )
    monkeypatch.setitem(sys.modules, "trio", trio)
    with pytest.raises(StopIteration):
        test().send(None)


def test_a_script_that_answered_no_request_can_be_found() -> None:
    """As other doubles find it: a retry that was scripted and never came, also for one path alone."""
    with scripted(Script.status(429), Script.stream("Hi")) as double:
        double.play(Script.status(200, {}), path="/v1/models")
        ask(double.url)
        with pytest.raises(AssertionError, match="2 scripts answered no request: 1 came\n"):
            double.assert_all_played()
        ask(double.url)
        with pytest.raises(AssertionError, match="1 script answered no request: 2 came\n"):
            double.assert_all_played()
        urllib.request.urlopen(f"{double.url}/v1/models").close()

        double.assert_all_played()


def test_cancelled_fails_for_an_answer_that_ended() -> None:
    """And says how it did."""
    with scripted() as double:
        ask(double.url)

        with pytest.raises(AssertionError, match="it ended otherwise: finished"):
            double.assert_cancelled()
        with pytest.raises(AssertionError, match="there is no request 5: 1 came"):
            double.assert_cancelled(5)


def test_retries_are_counted_by_request() -> None:
    """Different requests are no retries."""
    with scripted("server_error", Script.stream("a"), Script.stream("b")) as double:
        for text in ("a", "a", "b"):
            ask(double.url, text)

        double.assert_requests(3)
        double.assert_retried_at_most(1)
        with pytest.raises(AssertionError, match=r"was sent 2 times, so it was retried 1 times, not 0 at most"):
            double.assert_retried_at_most(0)
        with pytest.raises(AssertionError, match="1 request expected, 3 came"):
            double.assert_requests(1)


def test_what_was_sent_is_found_and_what_is_missing_named() -> None:
    """Path, headers and members of the body; never a header's value."""
    with scripted() as double:
        with pytest.raises(AssertionError, match="no request came at all"):
            double.assert_sent(stream=True)
        ask(double.url, headers={"X-Key": KEY})

        assert double.requests[0] is double.assert_sent(path="/chat/completions", headers={"X-Key": KEY}, stream=True)
        with pytest.raises(AssertionError) as failure:
            double.assert_sent(number=0, path="/x", headers={"x-key": "k", "a": "b"}, stream=False, temperature=0)

    for told in (
        "the path is not /x",
        "x-key is another one",
        "a is absent",
        "stream is True, not False",
        "temperature is absent",
    ):
        assert told in str(failure.value)
    assert KEY not in str(failure.value)


def test_the_text_is_compared_with_what_was_sent() -> None:
    """Missing, too much, other; after a reset a part is right."""
    with scripted(Script.cut("Hel", "lo"), Script.reset_after_headers("Hel", "lo")) as double:
        ask(double.url)
        double.assert_text("Hello")
        for text, told in (
            ("Hel", "last 2 characters are missing"),
            ("HelloHello", "5 characters more"),
            ("Hollo", "character 1"),
        ):
            with pytest.raises(AssertionError, match=told):
                double.assert_text(text)
        with pytest.raises(ConnectionResetError):
            ask(double.url)

        double.assert_text("Hel")


def test_a_pause_is_released_from_another_thread() -> None:
    """The test's, while the server's waits."""
    pause = Pause()
    with scripted(Script.slow_first_token(pause, "Hello")) as double:
        answers: list[tuple[int, bytes]] = []
        asking = threading.Thread(target=lambda: answers.append(ask(double.url)))
        asking.start()
        double.run(pause.reached.wait)
        pause.release()
        asking.join(30)

    assert 200 == answers[0][0]


def test_a_request_that_waits_for_leave_gets_it() -> None:
    """`Expect: 100-continue`, as curl sends it before a large body (RFC 9110 section 10.1.1)."""
    with scripted() as double, socket.create_connection(("127.0.0.1", double.server.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(25)
        client.sendall(b"{}")

        assert client.recv(12) == b"HTTP/1.1 200"


def test_a_script_that_fails_fails_the_block() -> None:
    """Not in silence in another thread."""

    class Broken:
        async def play(self, line: object) -> None:
            raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        scripted(Script(Broken(), Close())) as double,
        pytest.raises(http.client.RemoteDisconnected),
    ):
        ask(double.url)


def test_a_server_has_an_address_once_it_is_entered() -> None:
    """Before, a client would be pointed at port 0; and it is entered once."""
    double = scripted()
    with pytest.raises(RuntimeError, match="has no address yet: enter it first"):
        _ = double.url
    with double as llm:
        assert not llm.url.endswith(":0")
    with pytest.raises(RuntimeError, match="was entered before; make another one"), double:
        pass
