"""An answer that is asked for its text after it was read, broke, or lost its event loop never passes for an empty one."""

from __future__ import annotations

import asyncio

import pytest

from autonomousai import IncompleteStreamError, OpenAICompatible
from autonomousai.result import AsyncResult
from autonomousai.testing import Script, ScriptedServer

HELLO = [{"role": "user", "content": "Hello"}]


async def test_the_text_is_all_of_it() -> None:
    """After it was iterated, and however often it is asked for."""
    async with ScriptedServer(Script.stream("Hel", "lo")) as server, OpenAICompatible(server.url) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        chunks = [str(chunk) async for chunk in result]
        texts = [await result.text(), await result.text()]

    assert ("Hello", ["Hello", "Hello"]) == ("".join(chunks), texts)


async def test_what_broke_is_broken() -> None:
    """The second question has no other answer than the first one."""
    async with ScriptedServer(Script.cut("Hel")) as server, OpenAICompatible(server.url, retries=0) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        for _ in range(2):
            with pytest.raises(IncompleteStreamError) as caught:
                await result.text()
            assert "Hel" == caught.value.partial


async def test_what_was_closed_is_not_whole() -> None:
    """By its reader, after the first word."""
    async with ScriptedServer(Script.cut("Hel")) as server, OpenAICompatible(server.url) as provider:
        result = provider.create_async_generator("m", HELLO, stream=True)
        await anext(result)
        await result.aclose()
        with pytest.raises(IncompleteStreamError):
            await result.text()


def test_what_lost_its_event_loop_is_told() -> None:
    """The loop's end closes what was open in it."""

    async def begin() -> AsyncResult:
        async with ScriptedServer(Script.cut("Hel")) as server:
            result = OpenAICompatible(server.url).create_async_generator("m", HELLO, stream=True)
            await anext(result)
            return result

    async def read(result: AsyncResult) -> str:
        return await result.text()

    result = asyncio.run(begin())
    with pytest.raises(IncompleteStreamError) as caught:
        asyncio.run(read(result))

    assert "Hel" == caught.value.partial
