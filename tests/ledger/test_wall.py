"""The ledger against the scripted upstreams' own logs, over the wall of faults: each answer one entry, and in it the tokens of
each request that an upstream saw, to the token."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from autonomousai.ledger.entry import LedgerEntry
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer, chunks
from tests.proof.test_faults import CASES, WAYS, Way, ask, ends, gateway
from tests.support.sockets import listening

USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def healthy(*, counts: bool) -> Script:
    """An upstream that answers, and may count its tokens."""
    return Script.body(chunks("Hello", " world", usage=USAGE if counts else None))


def generated(body: bytes) -> int:
    """The tokens of what an upstream sent, as its log has it: its own count of a complete answer, or the pieces of text that
    are in complete events."""
    texts = []
    *events, rest = body.replace(b"\r\n", b"\n").split(b"\n\n")
    documents = [line for event in events for line in event.split(b"\n")]
    for line in [*documents, *([] if rest.startswith(b"data:") else [rest])]:
        try:
            document = json.loads(line.removeprefix(b"data: "))
        except ValueError:
            if line.startswith(b"data: {"):
                break  # what comes after an unreadable event is not read
            continue
        if not isinstance(document, dict) or "choices" not in document:
            continue
        if (usage := document.get("usage")) is not None:
            return int(usage["completion_tokens"])
        for choice in document["choices"]:
            texts.append(choice.get("delta", choice.get("message", {})).get("content"))
    return len([text for text in texts if text])


def log_of(*servers: ScriptedServer) -> list[int]:
    """The tokens of each request, in the order in which the upstreams are asked."""
    return [generated(bytes(request.answer)) for server in servers for request in server.requests]


class Told:
    """What the ledger says of an answer, and what the upstreams' logs and the caller say."""

    def __init__(self, entries: list[LedgerEntry], log: list[int], got: int) -> None:
        (entry,) = entries
        self.ledger = ([each.tokens for each in entry.attempts], entry.completion_tokens, entry.lost_tokens)
        self.truth = (log, got, sum(log) - got)


async def told(way: Way, upstreams: list[ScriptedServer], clocks: dict[str, float]) -> Told:
    """Ask that way, and compare."""
    entries: list[LedgerEntry] = []
    app = create_app(provider=gateway(upstreams, clocks))
    app.accounts.subscribe(entries.append)
    async with listening(app) as server:
        seen, _ = await ask(server.port, *way)
    for upstream in upstreams:
        await ends(upstream)
    log = log_of(*upstreams)
    # A complete answer is the last try's; of a broken one the caller got the pieces that had come.
    got = log[-1] if seen.finish is not None else len(seen.text.split())
    return Told(entries, log, got)


@pytest.mark.parametrize("fault", CASES)
async def test_an_upstream_alone(fault: str) -> None:
    """Also what came to nothing."""
    script, right = CASES[fault]

    async def one(way: Way) -> Told:
        async with ScriptedServer(script()) as upstream:
            return await told(way, [upstream], right.clocks)

    all_told = await asyncio.gather(*(one(way) for way in WAYS))
    assert [each.truth for each in all_told] == [each.ledger for each in all_told]


@pytest.mark.parametrize("counts", [True, False], ids=["counted", "estimated"])
@pytest.mark.parametrize("fault", CASES)
async def test_an_upstream_with_a_healthy_one_after_it(fault: str, counts: bool) -> None:
    """Whether that one counts its tokens, or sends each as a piece."""
    script, right = CASES[fault]

    async def one(way: Way) -> Told:
        async with ScriptedServer(script()) as upstream, ScriptedServer(healthy(counts=counts)) as other:
            return await told(way, [upstream, other], right.clocks)

    all_told = await asyncio.gather(*(one(way) for way in WAYS))
    assert [each.truth for each in all_told] == [each.ledger for each in all_told]


async def test_all_of_the_wall_in_one_ledger(url: str) -> None:
    """Many faults over every way, at one server: as many entries as answers, and the tokens of all are the upstreams'."""
    from autonomousai.config import Config, LedgerConfig  # noqa: PLC0415  beside what it is for

    from .test_writer import rows_in  # noqa: PLC0415  beside what it is for

    faults = [name for name, (_, right) in CASES.items() if right.retry_after is None and not right.clocks["idle"] < 1]
    scripts = [CASES[name][0]() for name in faults for _ in WAYS]
    async with ScriptedServer(*scripts) as flaky, ScriptedServer(healthy(counts=True)) as other:
        app = create_app(Config(ledger=LedgerConfig(url=url)), provider=gateway([flaky, other], {"idle": 30}))
        async with listening(app) as server:
            asked: list[Any] = []
            for way in WAYS * 6:
                asked.append(await ask(server.port, *way))
        await ends(flaky)
        log = log_of(flaky, other)

    rows = rows_in(url)
    assert len(asked) == len(rows) == len({row.id for row in rows})
    assert sum(log) == sum(row.completion_tokens + row.lost_tokens for row in rows)
    per_upstream: Counter[str] = Counter()
    for row in rows:
        for attempt in json.loads(row.attempts):
            per_upstream[attempt["upstream"]] += attempt["tokens"]
    assert {"u0": sum(log_of(flaky)), "u1": sum(log_of(other))} == per_upstream
