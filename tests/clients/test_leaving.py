"""Every way of leaving an answer closes its HTTP response at once, and warns nobody. (Warnings are errors in this suite.)"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import pytest

from autonomousai import AutonomousAI, IncompleteStreamError
from autonomousai.http.pool import _LoopTransports
from autonomousai.testing import Pause, Script, ScriptedProvider, ScriptedServer, answer

pytestmark = pytest.mark.usefixtures("transport")

HELLO = [{"role": "user", "content": "Hello"}]


async def first_of(provider: AutonomousAI) -> str:
    """One chunk, and out: the iterator is dropped."""
    async for chunk in provider.create_async_generator("llama", HELLO, stream=True):
        return str(chunk)
    return ""


async def test_break_in_a_with_block_closes_the_response() -> None:
    """Breaking out of the loop inside `async with` closes the response before the next statement."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        async with provider.create_async_generator("llama", HELLO, stream=True) as result:
            async for _ in result:
                break
        end = await server.requests[0].over()

    assert end == "left"


async def test_dropping_the_iterator_closes_the_response() -> None:
    """A plain `async for` that is left closes the response as soon as the iterator is gone."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        text = await first_of(provider)
        end = await server.requests[0].over()

    assert (text, end) == ("Hi", "left")


async def test_an_exception_closes_the_response() -> None:
    """An exception in the caller's loop closes the response."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(KeyError):
            async with provider.create_async_generator("llama", HELLO, stream=True) as result:
                async for _ in result:
                    raise KeyError
        end = await server.requests[0].over()

    assert end == "left"


@pytest.mark.parametrize("script", [Script.stall("Hi"), Script.silence()], ids=["in the stream", "before the head"])
async def test_cancelling_closes_the_response(script: Script) -> None:
    """Cancelling the task closes the connection, in the stream and before its first byte."""
    async with ScriptedServer(script) as server, AutonomousAI(server.url) as provider:
        task = asyncio.create_task(provider.create_async_generator("llama", HELLO, stream=True).text())
        request = await server.request(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        end = await request.over()

    assert end == "left"


async def test_never_iterating_does_nothing() -> None:
    """A result that nobody reads makes no request."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        provider.create_async_generator("llama", HELLO)
        async with provider.create_async_generator("llama", HELLO):
            pass
        await provider.create_async_generator("llama", HELLO).aclose()
        gc.collect()

    assert server.requests == []


async def test_a_finished_answer_leaves_its_connection_to_the_next() -> None:
    """Calls share a pool: answers one after another use one connection."""
    async with ScriptedServer(Script.stream("Hi")) as server, AutonomousAI(server.url) as provider:
        for _ in range(3):
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (len(server.requests), server.connections) == (3, 1)


async def test_closing_twice_and_late_is_harmless() -> None:
    """aclose() may come again, and after the end."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO)
        text = await result.text()
        await result.aclose()
        await result.aclose()

    assert text == "Hello world"


async def test_reading_twice_is_refused() -> None:
    """An answer is read once; batches of one that is being read are refused in words."""
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO)
        await result.text()
        with pytest.raises(RuntimeError, match="make a new one"):
            result.batches()


def test_the_loops_end_closes_the_default_instance() -> None:
    """Two event loops one after another, and no close: nothing warns, not even with every warning an error."""
    code = """
import asyncio, os
from autonomousai import AutonomousAI
from autonomousai.testing import ScriptedServer

async def main():
    async with ScriptedServer() as server:
        os.environ["AUTONOMOUSAI_BASE_URL"] = server.url
        async for chunk in AutonomousAI.create_async_generator("llama", [{"role": "user", "content": "x"}]):
            print(chunk, end="")

asyncio.run(main())
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr, done.returncode) == ("Hello worldHello world", "", 0)


@pytest.mark.parametrize("road", ["chunks", "batches"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("begins", [True, False], ids=["in the stream", "before the head"])
async def test_closing_from_another_task(begins: bool, stream: bool, road: str) -> None:
    """`aclose()` while another task reads closes the response at once, as often as it is called; the reader is told, with what
    it had got, and is not cancelled."""
    script = Script.stall("Hi") if begins else Script.silence()
    async with ScriptedServer(script) as server, AutonomousAI(server.url, timeout=5) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=stream)
        got: list[object] = []

        async def read() -> None:
            async for part in result if road == "chunks" else result.batches():
                got.append(part)

        reading = asyncio.create_task(read())
        request = await server.request(0)
        while begins and not (got if stream else request.sent):
            await asyncio.sleep(0)
        await asyncio.gather(result.aclose(), result.aclose())
        with pytest.raises(IncompleteStreamError, match="the answer was closed"):
            await reading
        await result.aclose()
        end = await request.over()

    assert (end, reading.cancelling()) == ("left", 0)


async def test_closing_while_the_reader_is_cancelled_cancels_it() -> None:
    """Who is cancelled and woken at once is cancelled."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        result = provider.create_async_generator("llama", HELLO, stream=True)
        reading = asyncio.create_task(result.text())
        request = await server.request(0)
        reading.cancel()
        await result.aclose()
        with pytest.raises(asyncio.CancelledError):
            await reading
        end = await request.over()

    assert end == "left"


async def test_closing_a_provider_that_cannot_be_woken() -> None:
    """A generator that another task reads goes on to its next batch, and no further."""
    pause = Pause()
    provider = ScriptedProvider(["a", pause, "b", pause, *answer("c")])
    result = provider.create_async_generator("llama", HELLO, stream=True)
    got: list[str] = []

    async def read() -> None:
        async for chunk in result:
            got.append(str(chunk))

    reading = asyncio.create_task(read())
    while not got:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await result.aclose()
    pause.release()
    with pytest.raises(IncompleteStreamError) as caught:
        await reading

    assert (got, caught.value.partial, provider.calls[0].left) == (["a"], "a", "closed")


def test_connections_that_no_loop_has_closed_end_in_silence() -> None:
    """A notebook's loop never ends as `asyncio.run` has it: nothing can be waited for when the interpreter does."""

    class Transport:
        async def aclose(self) -> None:
            await asyncio.sleep(0)

    home = _LoopTransports(None, None)
    with pytest.raises(StopIteration):
        home.lifetime.asend(None).send(None)
    home._plain = Transport()  # type: ignore[assignment]
    with pytest.raises(StopIteration):  # a value would be something that is waited for
        home.lifetime.aclose().send(None)

    assert home.closed
