"""A process is killed in mid-answer, with SIGKILL, over whichever wire it is asked: the engine's child, or the server of an
upstream. The text is byte for byte that of the undisturbed run, and its end is proven."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from autonomousai import LlamaCpp
from autonomousai.config import parse_config
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Request, Script, ScriptedServer
from tests.support.program import PATIENCE, environment
from tests.support.sockets import listening

from .kills import LENGTH, PROMPTS, SYSTEM, Kill, all_kills
from .sample import sample
from .upstream_process import APIS, WORDS
from .wires import WIRES, stream

#: Over each wire, a quarter of the same kills; a wire whose requests name no seed can be asked for the same again where it is
#: greedy alone.
WIRE_KILLS = [
    (name, kill)
    for name, wire in WIRES.items()
    for kill in sample([kill for kill in all_kills()[:50] if wire.seeded or len(kill.sampling) == 1][:25], 1)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LlamaCpp]:
    async with LlamaCpp(slots=4, context=512) as engine:
        yield engine


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("name", "kill"), WIRE_KILLS, ids=lambda case: case if isinstance(case, str) else f"after {case.after}"
)
async def test_a_killed_engine_costs_no_character_over_any_wire(engine: LlamaCpp, name: str, kill: Kill) -> None:
    """Through the server, killed with SIGKILL: the undisturbed text, one proven end at its end, and no error."""
    wire = WIRES[name]
    messages = [SYSTEM, {"role": "user", "content": PROMPTS[kill.prompt]}]
    gateway = Gateway([Upstream("embedded", engine)], {"llama": ["embedded"]})

    async def kill_engine() -> None:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)

    async with listening(create_app(provider=gateway)) as server:
        expected = await stream(server.port, wire, messages, LENGTH, **dict(kill.sampling))
        after = min(kill.after, len(expected.pieces) - 1)  # an answer may be shorter than the others
        found = await stream(server.port, wire, messages, LENGTH, after=after, then=kill_engine, **dict(kill.sampling))

    assert (expected.ends, expected.errors) == (1, [])
    assert after > 0, expected
    assert (found.text, found.ends, found.errors) == (expected.text, 1, [])


# ---- the server of an upstream -------------------------------------------------------------------------------------------

TEXT = "".join(WORDS)


class ForeignKill(NamedTuple):
    """One case: how the upstreams are asked, whether they continue a beginning, after how many pieces one is killed."""

    api: str
    prefill: str
    after: int


FOREIGN_KILLS = [
    (name, kill)
    for name in WIRES
    for kill in sample(
        [
            ForeignKill(api, prefill, after)
            for api in APIS
            for prefill in ("no", "yes")
            for after in (2, 3, 20, len(WORDS) - 1)
            # A raw prompt is for upstreams of chat completions, and OpenAI's Responses have no word for a beginning.
            if not (name == "completions" and api != "openai") and not (api == "responses" and prefill == "yes")
        ],
        2,
    )
]


@asynccontextmanager
async def upstream_process(api: str, words: int, home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server in a process of its own, which falls silent after so many words; and its address."""
    program = Path(__file__).with_name("upstream_process.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), api, str(words), env=environment(home), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def rest_of(api: str) -> Any:
    """How the second upstream answers: with all of the text, or where it is given the beginning of it, with the rest."""

    def play(request: Request) -> Script:
        body = request.json()
        said = body["prompt"] if "prompt" in body else (body.get("messages") or body["input"])[-1]["content"]
        if isinstance(said, list):
            said = said[-1]["text"]
        begun = max(at for at in range(len(TEXT) + 1) if said.endswith(TEXT[:at]))
        return Script.body(APIS[api]("prompt" in body)(TEXT[begun:]))

    return play


def settings(name: str, api: str, url: str, prefill: str) -> str:
    kind, more = ("openai", 'api = "responses"\n') if api == "responses" else (api, "")
    root = "" if api == "anthropic" else "/v1"
    return f'[upstreams.{name}]\nkind = "{kind}"\nbase_url = "{url}{root}"\nprefill = "{prefill}"\n{more}'


@pytest.mark.parametrize(
    ("name", "kill"),
    FOREIGN_KILLS,
    ids=lambda case: case if isinstance(case, str) else f"{case.api}, prefill {case.prefill}, after {case.after}",
)
async def test_a_killed_upstream_costs_no_character_over_any_wire(name: str, kill: ForeignKill, tmp_path: Path) -> None:
    """Another upstream has the rest, asked for it or for all of it: the text is whole, with one proven end and no error."""
    async with (
        upstream_process(kill.api, kill.after, tmp_path) as (process, url),
        ScriptedServer(rest_of(kill.api)) as second,
    ):
        config = settings("first", kill.api, url, kill.prefill) + settings("second", kill.api, second.url, kill.prefill)

        async def kill_upstream() -> None:
            process.send_signal(signal.SIGKILL)
            await process.wait()

        async with listening(create_app(parse_config(f'{config}[models.llama]\nroute = ["first", "second"]\n', {}))) as server:
            messages = [{"role": "user", "content": "Count."}]
            found = await stream(server.port, WIRES[name], messages, LENGTH, after=kill.after, then=kill_upstream)
        answered = [request.text for request in second.requests]

    assert process.returncode == -signal.SIGKILL
    assert (found.text, found.ends, found.errors) == (TEXT, 1, [])
    assert 1 == len(answered)
    assert (kill.prefill == "yes" or name == "completions") == (answered[0] != TEXT)
