"""The one function for blocking callers."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autonomousai import AsyncGeneratorProvider, AutonomousAI, FinishReason, IncompleteStreamError, OpenAICompatible
from autonomousai.batches import BatchStream, GeneratedBatches
from autonomousai.blocking import BackgroundLoop
from autonomousai.events import Batch
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.testing import Head, Pause, Script, ScriptedProvider, ScriptedServer, Send, answer, chunks
from tests.support.thread import served

HELLO = [{"role": "user", "content": "Hello"}]


def test_it_yields_the_same_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a running loop: text, and last the finish reason; on the class too."""
    with served(Script.stream("Hel", "lo")) as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url)
        found = list(AutonomousAI.create_completion("llama", HELLO, stream=True))

    assert ["Hel", "lo"] == found[:2]
    assert [FinishReason] == [type(chunk) for chunk in found[2:]]


async def test_it_works_inside_a_running_loop() -> None:
    """Inside a running loop it blocks that loop, as a blocking function does, and still answers."""
    with served(Script.stream("Hel", "lo")) as server:
        found = "".join(map(str, AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)))

    assert found == "Hello"


class InBatches(AsyncGeneratorProvider):
    """Answers in batches, and notes each that is wanted."""

    def __init__(self) -> None:
        self.wanted = 0

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        async def batches() -> AsyncGenerator[Batch]:
            for batch in (["Hel"], ["lo", " "], ["world"], [FinishReason("stop", "done")]):
                self.wanted += 1
                yield batch  # type: ignore[misc]  # lists of one kind are batches

        return GeneratedBatches(batches)


def test_one_task_reads_an_answer_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is read when the caller wants its first chunk, by the one task that is begun for the answer."""
    begun: list[Coroutine[Any, Any, Any]] = []
    submit = BackgroundLoop.submit

    def note(background: BackgroundLoop, work: Coroutine[Any, Any, Any]) -> Any:
        begun.append(work)
        return submit(background, work)

    monkeypatch.setattr(BackgroundLoop, "submit", note)
    with InBatches() as provider:
        found = [(str(chunk), provider.wanted) for chunk in provider.create_completion("any", HELLO, stream=True)]

    assert [("Hel", 1), ("lo", 2), (" ", 2), ("world", 3), ("", 4)] == found
    assert 1 == len(begun)


def test_errors_come_through() -> None:
    """A cut stream raises in the blocking caller's loop, after the text."""
    with served(Script.cut("Hel", "lo")) as server:
        found: list[str] = []
        with pytest.raises(IncompleteStreamError) as caught:
            for chunk in AutonomousAI(server.url).create_completion("llama", HELLO, stream=True):
                found.append(str(chunk))

    assert ("Hello", "Hello") == ("".join(found), caught.value.partial)


def test_leaving_closes_the_response() -> None:
    """Closing the iterator closes the response and ends its thread."""
    with served(Script.stall("Hi")) as server:
        chunks = AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)
        first = next(chunks)
        chunks.close()
        end = server.run(server.scripted.requests[0].over)

    assert ("Hi", "left") == (first, end)


def test_another_thread_closes_the_response() -> None:
    """A button that stops an answer: who waits for more of it gets an error with what had come, and the server learns."""
    with served(Script.stall("Hi")) as server, ThreadPoolExecutor(1) as pool:
        chunks = AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)
        first = next(chunks)
        waiting = pool.submit(chunks.__next__)
        while not chunks._chunks.gi_running:  # type: ignore[attr-defined]
            pass
        chunks.close()
        with pytest.raises(IncompleteStreamError, match="closed") as raised:
            waiting.result(30)
        end = server.run(server.scripted.requests[0].over)

    assert ("Hi", "Hi", "left") == (first, raised.value.partial, end)


def test_an_unknown_model_raises_at_the_call() -> None:
    """ValueError at the call, not at the first chunk."""
    with pytest.raises(ValueError, match="gpt-9"):
        AutonomousAI.create_completion("gpt-9", HELLO)


async def test_never_iterated_starts_nothing() -> None:
    """An iterator that nobody reads starts no thread and makes no request."""
    async with ScriptedServer() as server:
        AutonomousAI(server.url).create_completion("llama", HELLO)
        await asyncio.sleep(0)

    assert server.requests == []


def test_calls_share_their_connection() -> None:
    """One after the other, they come over one."""
    with served(Script.stream("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)
        for _ in range(3):
            list(provider.create_completion("llama", HELLO, stream=True))
        provider.close()

    assert [0, 0, 0] == [request.connection for request in server.scripted.requests]


def test_a_closed_provider_answers_nothing() -> None:
    """Whichever way it is asked: `RuntimeError`, no connection, no thread, which no call would end. Closing again is none."""
    provider = AutonomousAI("http://127.0.0.1:9")
    unread = provider.create_completion("llama", HELLO)
    provider.close()
    provider.close()

    for ask in (provider.create_completion, provider.create_async_generator, provider.chat):
        with pytest.raises(RuntimeError, match="was closed"):
            ask("llama", HELLO)
    with pytest.raises(RuntimeError, match="was closed"):
        asyncio.run(provider.embed("llama", "Hello"))
    with pytest.raises(RuntimeError, match="was closed"):
        provider.create_embeddings("llama", "Hello")
    with pytest.raises(RuntimeError, match="was closed"):
        unread.text()
    assert provider._background is None


def test_a_provider_closes_itself_behind_a_block() -> None:
    """`with`, for blocking code."""
    with ScriptedProvider(answer("Hello")) as provider:
        assert "Hello" == provider.complete("llama", HELLO).text()
    with pytest.raises(RuntimeError, match="was closed"):
        provider.complete("llama", HELLO)


def test_the_text_is_the_same_each_time() -> None:
    """Read once, and told again; with what else there is at the end."""
    script = Script.stream("Hel", "lo", usage={"prompt_tokens": 1, "completion_tokens": 2})
    with served(script) as server, AutonomousAI(server.url).create_completion("llama", HELLO, stream=True) as completion:
        texts = [completion.text(), completion.text(), completion.text_so_far]

    assert ["Hello"] * 3 == texts
    assert completion.finish is not None
    assert completion.finish.reason == "stop"
    assert completion.usage == completion.finish.usage is not None
    assert ((), "") == (completion.tool_calls, completion.reasoning)
    assert completion.as_message() == {"role": "assistant", "content": "Hello"}
    assert list(completion) == []


def test_several_threads_may_want_the_text() -> None:
    """One reads, and each gets all of it, whichever comes first."""
    with served(Script.stream(*["word "] * 500)) as server, AutonomousAI(server.url) as provider:
        completion = provider.create_completion("llama", HELLO, stream=True)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: completion.text(), range(4)))

    assert ["word " * 500] * 4 == found


def test_pieces_of_text_can_be_joined() -> None:
    """`texts()` has no finish reason; that is beside it."""
    with served(Script.stream("Hel", "lo")) as server:
        completion = AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)
        found = "".join(completion.texts())

    assert ("Hello", "Hello") == (found, completion.text())


def test_half_an_answer_is_no_text() -> None:
    """After a break, after a close, and after an error: an error with what had come, each time, and never a remainder."""
    with served(Script.stall("Hi"), Script.stall("Hi"), Script.cut("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)
        left = provider.create_completion("llama", HELLO, stream=True)
        for _ in left:
            break
        closed = provider.create_completion("llama", HELLO, stream=True)
        next(closed)
        closed.close()
        cut = provider.create_completion("llama", HELLO, stream=True)
        problems = []
        for completion in (left, left, closed, closed, cut, cut):
            with pytest.raises(IncompleteStreamError) as caught:
                completion.text()
            problems.append(caught.value.partial)
        for completion in (closed, cut):
            with pytest.raises(IncompleteStreamError):
                next(completion)
        provider.close()

    assert ["Hi"] * 4 + ["Hello"] * 2 == problems


def test_many_threads_may_call_at_once() -> None:
    """Each gets its own answer."""
    with served(Script.stream("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)

        def ask(_: int) -> str:
            return "".join(map(str, provider.create_completion("llama", HELLO, stream=True)))

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(ask, range(24)))
        provider.close()

    assert ["Hello"] * 24 == found


def test_who_reads_while_the_provider_is_closed_is_told() -> None:
    """With the text that had arrived; nobody hangs."""
    with served(Script.stall("Hi")) as server:
        provider = AutonomousAI(server.url)
        chunks = provider.create_completion("llama", HELLO, stream=True)
        next(chunks)
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(next, chunks)
            provider.close()
            with pytest.raises(IncompleteStreamError, match="was closed") as caught:
                reading.result(60)

    assert "Hi" == caught.value.partial


def test_who_reads_on_after_the_provider_was_closed_is_told() -> None:
    """The same for one who was busy with what had come, when it was closed."""
    with served(Script.stall("Hi")) as server:
        provider = AutonomousAI(server.url)
        chunks = provider.create_completion("llama", HELLO, stream=True)
        next(chunks)
        provider.close()
        with pytest.raises(IncompleteStreamError, match="was closed") as caught:
            next(chunks)

    assert "Hi" == caught.value.partial


def test_one_who_is_interrupted_leaves() -> None:
    """Ctrl-C while nothing comes: the response is closed, and the provider answers the next one."""
    with served(Script.stall("Hi"), Script.stream("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)
        chunks = provider.create_completion("llama", HELLO, stream=True)
        next(chunks)
        interrupting = threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            next(chunks)
        end = server.run(server.scripted.requests[0].over)
        again = "".join(map(str, provider.create_completion("llama", HELLO, stream=True)))
        provider.close()

    assert ("left", "Hello") == (end, again)


def test_a_dropped_provider_ends_its_thread() -> None:
    """And its connections with it; nobody closed anything."""
    with served(Script.stream("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)
        list(provider.create_completion("llama", HELLO, stream=True))
        background = provider._background
        assert background is not None
        thread = background._thread
        del provider, background
        gc.collect()
        thread.join(60)

        assert not thread.is_alive()


def test_a_second_thread_that_reads_harms_no_first() -> None:
    """It gets an error that says so; the thread that reads gets all of the answer. Who wants the text calls `text`."""
    pause = Pause()
    script = Script(Head(), Send(chunks("Hel", finish=None, done=False)), pause, Send(chunks("lo", finish="stop")))
    with served(script) as server, OpenAICompatible(server.url) as provider:
        completion = provider.create_completion("m", HELLO, stream=True)
        got = [next(completion)]
        reading = threading.Thread(target=lambda: got.extend(completion))
        reading.start()
        server.run(pause.reached.wait)
        while not getattr(completion._chunks, "gi_running", False):
            pass
        with pytest.raises(RuntimeError, match="another thread reads this answer"):
            next(completion)
        pause.release()
        reading.join(60)

    assert "Hello" == "".join(map(str, got)) == completion.text()


_AT_THE_END = """
import sys
from autonomousai import AutonomousAI

provider = AutonomousAI(sys.argv[1], retries=0)

class Late:
    def __del__(self, ask=provider.complete):
        try:
            print(ask("llama", [{"role": "user", "content": "Hello"}]).text())
        except RuntimeError as error:
            print("told:", error)

late = Late()
if "before" in sys.argv:
    print(provider.complete("llama", [{"role": "user", "content": "Hello"}]).text())
"""


@pytest.mark.parametrize("before", [(), ("before",)])
def test_a_call_at_the_interpreters_end_is_told(before: tuple[str, ...]) -> None:
    """By what is deleted last, when no thread can begin any more: it waited for ever for one."""
    with served(Script.stream("Hel", "lo")) as server:
        asked = [sys.executable, "-W", "error", "-c", _AT_THE_END, server.url, *before]
        ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)

    assert "told: the interpreter is ending" in ended.stdout
    assert ("Hello" if before else "told") == ended.stdout[:5].strip(": ")
    assert "" == ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="elsewhere nothing forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_there_is_another_thread() -> None:
    """A thread does not come along into the other process: there the next call begins anew, and does not wait for it."""
    with served(Script.stream("Hel", "lo")) as server:
        provider = AutonomousAI(server.url)
        list(provider.create_completion("llama", HELLO, stream=True))
        child = os.fork()
        if not child:
            signal.alarm(30)
            found = "".join(map(str, provider.create_completion("llama", HELLO, stream=True)))
            os._exit(0 if found == "Hello" else 1)
        status = os.waitpid(child, 0)[1]
        provider.close()

    assert 0 == status
