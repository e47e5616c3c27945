"""A recorded stream, cut at every byte offset and ended in four ways, through the client and through the server.

Not one wrong success, and never a missing or invented character in the partial text. What is right is decided by a plain
reading of the bytes that were sent, with nothing of ours in it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from autonomousai import Anthropic, AutonomousAI, FinishReason, HTTPError, OpenAICompatible
from autonomousai.config import RetryConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import Close, End, Hang, Head, Reset, Script, ScriptedServer, Send, event
from tests.support.sockets import listening

from .sample import sample

HELLO = [{"role": "user", "content": "Hello"}]
PIECES = ("The", " sky", " is", " bl\u00fce", " \U0001f44b", ' "data: [DONE]"\n\n', "end")

#: Long enough for a busy machine to deliver what was sent, short enough to wait for hundreds of times.
SILENCE = {"first_token": 1.0, "idle": 1.0, "total": 60}
AT_ONCE = 40

ERROR = event({"error": {"message": "overloaded", "type": "server_error", "code": None}})


def recorded() -> bytes:
    """A stream as an OpenAI-compatible server sends it: role, pieces, finish reason, usage, [DONE]."""

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more})

    usage = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    return b"".join(
        [
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"content": piece}) for piece in PIECES),
            chunk({}, "stop"),
            event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}),
            event("[DONE]"),
        ]
    )


STREAM = recorded()
TEXT = "".join(PIECES)
ENDINGS: dict[str, list[Any]] = {
    "clean end": [End()],
    "reset": [Reset()],
    "error event": [Send(b"\n\n" + ERROR), End()],
    "silence": [Hang()],
    "closed in the middle of a chunked body": [Close()],
}


class Truth(NamedTuple):
    """What the bytes that were sent say: the text of their whole events, and whether they prove the end."""

    text: str
    proven: bool


def truth(sent: bytes, *, in_good_order: bool) -> Truth:
    """A last event without its blank line counts where the body ended in good order and its data is complete."""
    text, proven = "", False
    *blocks, last = sent.split(b"\n\n")
    for block in [*blocks, last] if in_good_order else blocks:
        data = block.strip().removeprefix(b"data: ")
        if data == b"[DONE]":
            return Truth(text, True)
        try:
            chunk = json.loads(data)
        except ValueError:
            return Truth(text, proven)
        for choice in chunk.get("choices", []):
            text += choice["delta"].get("content") or ""
            proven = proven or choice["finish_reason"] is not None
    return Truth(text, proven)


class Seen(NamedTuple):
    """What a caller saw."""

    text: str
    finish: FinishReason | None
    partial: str | None


async def ask(provider: AsyncGeneratorProvider) -> Seen:
    texts: list[str] = []
    try:
        async with provider.create_async_generator("llama", HELLO, stream=True) as result:
            async for chunk in result:
                texts.append(str(chunk))
    except HTTPError as error:
        return Seen("".join(texts), None, error.partial)
    return Seen("".join(texts), result.finish, None)


def script(offset: int, ending: str) -> Script:
    return Script(Head(), Send(STREAM[:offset]), *ENDINGS[ending])


def verdict(seen: Seen, sent: bytes, ending: str) -> str | None:
    """What is wrong with it, or None."""
    lossy = ending == "reset"
    right = truth(sent, in_good_order=ending == "clean end")
    if seen.finish is not None:
        if not right.proven:
            return f"success without evidence: {seen}"
        return None if seen.text == right.text == TEXT else f"a success with another text: {seen.text!r}"
    if seen.partial != seen.text:
        return f"the partial text is not what was delivered: {seen}"
    # A reset makes the kernel throw away what the reader had not yet read: nobody can know of that.
    whole = right.text.startswith(seen.text) if lossy else right.text == seen.text
    return None if whole else f"characters are missing or invented: {seen.text!r}, not {right.text!r}"


OFFSETS = sample(range(len(STREAM) + 1), 60)


def over_responses(url: str) -> OpenAICompatible:
    """A client that asks over the Responses API."""
    return OpenAICompatible(url, api="responses", timeout=SILENCE, retries=0)


#: Who asks our server, over each of its streamed wires, and where the upstream's stream is cut then.
CALLERS = [
    (AutonomousAI, OFFSETS),
    *((caller, sample(OFFSETS, 20)) for caller in (OpenAICompatible, Anthropic, over_responses)),
]


async def wrong(ask_one: Any, offsets: list[int], ending: str) -> list[str]:
    """All that went wrong at these offsets, many of them at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(offset: int) -> str | None:
        async with gate:
            seen = await ask_one(script(offset, ending))
        sent = STREAM[:offset] + (b"\n\n" + ERROR if ending == "error event" else b"")
        problem = verdict(seen, sent, ending)
        return problem and f"offset {offset}: {problem}"

    return [problem for problem in await asyncio.gather(*map(one, offsets)) if problem]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_client_is_never_wrong(ending: str) -> None:
    """Cut anywhere and ended in any way: a success only where the bytes prove it, and the text of the bytes alone."""

    async def ask_one(played: Script) -> Seen:
        async with ScriptedServer(played) as server, AutonomousAI(server.url, timeout=SILENCE) as provider:
            return await ask(provider)

    assert await wrong(ask_one, OFFSETS, ending) == []


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("caller", "offsets"), CALLERS)
async def test_the_server_is_never_wrong(
    caller: Callable[[str], AsyncGeneratorProvider], offsets: list[int], ending: str
) -> None:
    """The same through our server, over whichever wire: it writes no end of an answer that no upstream gave evidence for."""

    async def ask_one(played: Script) -> Seen:
        async with ScriptedServer(played) as upstream:
            source = OpenAICompatible(upstream.url, timeout=SILENCE, prefill="no", retries=0)
            gateway = Gateway([Upstream("u", source)], {"llama": ["u"]}, retry=RetryConfig(attempts=1))
            async with listening(create_app(provider=gateway)) as server, caller(server.url) as provider:
                return await ask(provider)

    assert await wrong(ask_one, offsets, ending) == []
