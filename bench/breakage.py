"""What a gateway makes of an upstream that fails now and then, or always: ``python bench/breakage.py`` prints the tables of
docs/dependability.md. ``--sockets``: over real connections, in real time, instead of simulated ones.

The simulation runs the gateway as it is in an event loop whose time only passes when nothing is left to do; every draw is made
from the request's number, so that the same numbers come out each time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import selectors
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from autonomousai import OpenAICompatible
from autonomousai.batches import BatchStream, GeneratedBatches
from autonomousai.config import RetryConfig
from autonomousai.errors import ConnectError, HTTPError, IncompleteStreamError, ProviderError, StatusError
from autonomousai.events import Batch, FinishReason, Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.testing import Script, ScriptedServer

FAULTS = ("refused", "500", "503", "reset", "cut")
RATES = (10, 20, 30)
AT_ONCE = (1, 4, 40)

REQUESTS = 500
SOCKET_REQUESTS = 200

#: Seconds of a simulated answer: to a failure, to the first word, and between two words.
FAILS_S = 0.05
FIRST_S = 0.3
NEXT_S = 0.1
WORDS = ("The", " sky", " is", " blue", ".")
TEXT = "".join(WORDS)


class Row(NamedTuple):
    """What became of many requests: the percentage of whole answers, and the attempts a request at the first upstream."""

    whole: float
    attempts: float


class Draws:
    """Which attempts fail: drawn from the request's number and the attempt's, whatever comes between. ``asked``: how many."""

    def __init__(self, percent: int, seed: int = 1) -> None:
        self._percent = percent
        self._seed = seed
        self._of: Counter[str] = Counter()
        self.asked = 0

    def fails(self, number: str) -> bool:
        """Return whether this attempt of request *number* fails."""
        self.asked += 1
        self._of[number] += 1
        return random.Random(f"{self._seed} {number} {self._of[number]}").randrange(100) < self._percent


# ---- simulated


class _Skipping(selectors.DefaultSelector):
    """A selector that does not wait: what it would have waited is added to ``now``."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += max(timeout, 1e-6)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting: its time is that of its timers."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


ERRORS: dict[str, Callable[[], ProviderError]] = {
    "refused": lambda: ConnectError("refused"),
    "500": lambda: StatusError("broken", status=500),
    "503": lambda: StatusError("overloaded", status=503),
    "reset": lambda: HTTPError("reset", retryable=True),
    "cut": IncompleteStreamError,
}


class SimulatedUpstream(AsyncGeneratorProvider):
    """Answers after a while, or fails as *fault* says."""

    def __init__(self, fault: str, draws: Draws) -> None:
        self._fault = fault
        self._error = ERRORS[fault]
        self._draws = draws

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        return GeneratedBatches(lambda: self._answer(str(request.messages[0]["content"])))

    async def continues(self) -> bool:
        return False

    async def _answer(self, number: str) -> AsyncGenerator[Batch]:
        fails = self._draws.fails(number)
        if fails and self._fault != "cut":
            await asyncio.sleep(0 if self._fault == "refused" else FAILS_S)
            raise self._error()
        await asyncio.sleep(FIRST_S)
        yield [Started("m"), WORDS[0]]
        for index, word in enumerate(WORDS[1:]):
            await asyncio.sleep(NEXT_S)
            if fails and index == 1:
                raise self._error()
            yield [word]
        yield [FinishReason("stop", "finish_reason")]


def simulate(fault: str, percent: int, at_once: int, *, requests: int = REQUESTS, spare: bool = False) -> Row:
    """Return what becomes of so many *requests*, *at_once* at a time. *spare*: a second upstream never fails."""
    random.seed(1)
    draws = Draws(percent)
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        time = runner.get_loop().time
        upstreams = [Upstream("u0", SimulatedUpstream(fault, draws), time=time)]
        if spare:
            upstreams.append(Upstream("u1", SimulatedUpstream(fault, Draws(0)), time=time))
        whole = runner.run(_ask_all(_gateway(upstreams), requests, at_once))
    return Row(100 * whole / requests, draws.asked / requests)


# ---- over sockets


#: What a failing attempt is answered with; one that is to be refused is sent to a port where nobody listens.
SCRIPTS: dict[str, Callable[[], Script]] = {
    "500": lambda: Script.status(500),
    "503": lambda: Script.status(503),
    "reset": Script.reset_after_headers,
    "cut": lambda: Script.cut(*WORDS[:3]),
}


class _Either(AsyncGeneratorProvider):
    """Asks *usual*, or, where the draw says so, *failing*."""

    def __init__(self, usual: OpenAICompatible, failing: OpenAICompatible, draws: Draws) -> None:
        self._usual = usual
        self._failing = failing
        self._draws = draws

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        fails = self._draws.fails(str(request.messages[0]["content"]))
        return (self._failing if fails else self._usual).stream(request, options)

    async def continues(self) -> bool:
        return False

    async def aclose(self) -> None:
        await self._usual.aclose()
        await self._failing.aclose()


async def measure(fault: str, percent: int, at_once: int, *, requests: int = SOCKET_REQUESTS, backoff: float = 0.05) -> Row:
    """Return the same over real connections, with so many seconds as `retry.backoff`."""
    draws = Draws(percent)
    async with AsyncExitStack() as stack:
        usual = await stack.enter_async_context(ScriptedServer(Script.stream(*WORDS)))
        if fault == "refused":
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))  # and nobody listens
                url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        else:
            url = (await stack.enter_async_context(ScriptedServer(SCRIPTS[fault]()))).url
        provider = await stack.enter_async_context(_Either(_client(usual.url), _client(url), draws))
        whole = await _ask_all(_gateway([Upstream("u0", provider)], RetryConfig(backoff=backoff)), requests, at_once)
    return Row(100 * whole / requests, draws.asked / requests)


def _client(url: str) -> OpenAICompatible:
    return OpenAICompatible(url, prefill="no", retries=0)


# ---- both


def _gateway(upstreams: Sequence[Upstream], retry: RetryConfig | None = None) -> Gateway:
    return Gateway(upstreams, {"llama": [upstream.name for upstream in upstreams]}, retry=retry)


async def _ask_all(gateway: Gateway, requests: int, at_once: int) -> int:
    """Return how many of the answers were whole."""
    numbers = iter(range(requests))
    whole = 0

    async def ask() -> None:
        nonlocal whole
        for number in numbers:
            messages = [{"role": "user", "content": str(number)}]
            try:
                text = await gateway.create_async_generator("llama", messages, stream=True).text()
            except ProviderError:
                continue
            whole += text == TEXT

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return whole


# ---- tables

NAMES = {
    "refused": "the connection is refused",
    "500": "status 500",
    "503": "status 503",
    "reset": "a reset before the first event",
    "cut": "cut in mid-answer",
}


def table_of_failing(rows: Mapping[tuple[str, int, int], Row]) -> str:
    """Return what becomes of requests to a single upstream that fails now and then, as Markdown."""
    heads = "".join(f" {at_once} at once |" for at_once in AT_ONCE)
    lines = [f"| of ten attempts fail |{heads}", "|---|" + "---|" * len(AT_ONCE)]
    for fault in FAULTS:
        for percent in RATES:
            cells = (f"{row.whole:.1f} %, {row.attempts:.2f}" for row in (rows[fault, percent, each] for each in AT_ONCE))
            lines.append(f"| {percent // 10}: {NAMES[fault]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of_dead(rows: Mapping[tuple[str, bool, int], Row]) -> str:
    """Return the attempts a request at a dead upstream, as Markdown. Keys: the fault, whether another is there."""
    heads = "".join(f" alone, {at_once} at once |" for at_once in AT_ONCE)
    heads += "".join(f" with another, {at_once} at once |" for at_once in AT_ONCE)
    lines = [f"| always |{heads}", "|---|" + "---|" * 2 * len(AT_ONCE)]
    for fault in FAULTS:
        cells = (f"{rows[fault, spare, at_once].attempts:.2f}" for spare in (False, True) for at_once in AT_ONCE)
        lines.append(f"| {NAMES[fault]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def simulated_tables() -> tuple[str, str]:
    """Return both tables as the simulation has them."""
    failing = {
        (fault, percent, at_once): simulate(fault, percent, at_once)
        for fault, percent, at_once in itertools.product(FAULTS, RATES, AT_ONCE)
    }
    dead = {
        (fault, spare, at_once): simulate(fault, 100, at_once, spare=spare)
        for fault, spare, at_once in itertools.product(FAULTS, (False, True), AT_ONCE)
    }
    return table_of_failing(failing), table_of_dead(dead)


async def measured_table() -> str:
    """Return the first table as it is over sockets."""
    return table_of_failing(
        {
            (fault, percent, at_once): await measure(fault, percent, at_once)
            for fault, percent, at_once in itertools.product(FAULTS, RATES, AT_ONCE)
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sockets", action="store_true", help="over real connections")
    tables = [asyncio.run(measured_table())] if parser.parse_args().sockets else simulated_tables()
    print("\n".join(tables), end="")


if __name__ == "__main__":
    main()
