"""A usual request of a caller with a key is sent without a task too. What it reserves is settled once, by either way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autonomousai.keys.counters import KeyCounters
from autonomousai.keys.stores import MemoryCounters
from autonomousai.ledger.entry import LedgerEntry
from autonomousai.ledger.whole import WholeAnswer
from autonomousai.server import App
from tests.support.flights import UNUSUAL, WHOLE, Tasks, ask_thrice, metrics, serving, stop_time, told, whole
from tests.support.raw import RawConnection
from tests.support.sockets import CHAT, HELLO, PATIENCE, Answer, Connection, request

SECRET = "sk-aai-DGqvQhGvw2mkrFFXFsNYBKMlBSPBs4yhjJ9KJLQvYwE"
BEARER = {"authorization": f"Bearer {SECRET}"}
ADMIN = {"authorization": "Bearer sk-all"}

#: Every limit, none of which is reached.
LIMITS = """requests_per_minute = 100
tokens_per_minute = 100000
max_concurrency = 1
budget = 10
token_budget = 100000
labels = { team = "shop" }
"""


def key(limits: str = LIMITS, server: str = "") -> str:
    prices = '[prices]\n"*" = { input = 1, output = 2 }\n[ledger]\nurl = "off"\n'
    return f'[server]\napi_keys = ["sk-all"]\n{server}[keys.shop]\nkey = "{SECRET}"\n{limits}{prices}'


class Books:
    """What a server has noted of its answers, and counted for its one key."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.entries: list[LedgerEntry] = []
        app.accounts.subscribe(self.entries.append)
        stop_time(app)

    @property
    def counters(self) -> KeyCounters:
        store = self._app._keys._quotas._store
        assert isinstance(store, MemoryCounters)
        (record,) = self._app.keys.records()
        return store.keys[record.id]

    def noted(self) -> list[dict[str, Any]]:
        """The entries without what differs each time."""
        entries = [msgspec.to_builtins(entry) for entry in self.entries]
        for entry in entries:
            for name in ("id", "time", "first_ms", "total_ms"):
                del entry[name]
            for attempt in entry["attempts"]:
                del attempt["ms"]
        return entries

    def counted(self) -> dict[str, Any]:
        """The counters without the seconds in which they counted. Nothing is held any more."""
        counters: dict[str, Any] = msgspec.to_builtins(self.counters)
        assert ({}, 0, 0) == (counters["holds"], counters["held_tokens"], counters["held_nano"])
        assert not self._app._keys._quotas._live
        for name in ("current", "earliest", "requests", "tokens", "period"):
            del counters[name]
        return counters


def headers(answer: Answer) -> list[tuple[str, str]]:
    """The headers without what differs each time."""
    each_time = ("date", "x-request-id", "content-length", "retry-after")
    return sorted((name, "" if name in each_time or "reset" in name else value) for name, value in answer.headers)


async def asked(upstream: Any, limits: str, *, launches: bool, cheaper: bool = False) -> tuple[Any, Tasks]:
    """All that three requests leave behind, by either way."""
    with pytest.MonkeyPatch.context() as patch:
        async with serving(upstream, key(limits), cheaper=cheaper) as (listener, server):
            books = Books(listener.app)
            tasks = Tasks(listener.app, patch)
            if not launches:
                patch.setattr(listener.app, "launch", lambda exchange: False)
            answers = await ask_thrice(listener.port, **BEARER)
            begun = tasks.begun
            seen = [told(answer) for answer in answers], [headers(answer) for answer in answers]
            left = seen, server.asked, books.noted(), books.counted(), await metrics(listener.port, **ADMIN)
            tasks.begun = begun
    return left, tasks


@pytest.mark.parametrize("limits", ["", LIMITS, 'models = ["ll*"]\nwires = ["openai_chat"]\n'])
async def test_both_ways_give_and_count_the_same(limits: str) -> None:
    """The answer, its headers, the ledger's lines, the key's counters and the metrics; and the short way makes no task."""
    short, tasks = await asked(whole, limits, launches=True)
    long, _ = await asked(whole, limits, launches=False)

    assert long == short
    assert 3 == len(short[2])
    assert (0, 1) == (tasks.begun, tasks.handed_over)  # the first, which opens the upstream's connection


@pytest.mark.parametrize("upstream", UNUSUAL, ids=lambda each: each.__name__)
async def test_what_is_handed_over_is_settled_once(upstream: Any) -> None:
    """Pieces, refusals, documents, breaks and stale connections cost what they cost a request that was never launched."""
    short, tasks = await asked(upstream, LIMITS, launches=True)
    long, _ = await asked(upstream, LIMITS, launches=False)

    assert long == short
    assert 0 == tasks.begun
    assert tasks.handed_over >= 2


REFUSING = {
    "requests": "requests_per_minute = 1\n",
    "tokens": "tokens_per_minute = 10\n",
    "token_budget": "token_budget = 10\n",
    "budget": "budget = 0.00001\n",
    "model": 'models = ["other"]\n',
    "API": 'wires = ["anthropic_messages"]\n',
}


@pytest.mark.parametrize("limits", REFUSING.values(), ids=REFUSING)
async def test_a_refusal_is_the_same_and_counted_once(limits: str) -> None:
    """By each limit, and for a model or an API that the key may not use."""
    short, _ = await asked(whole, limits, launches=True)
    long, _ = await asked(whole, limits, launches=False)

    assert long == short
    assert 200 != short[0][0][-1]["status"]


@pytest.mark.parametrize("limits", [REFUSING["token_budget"], REFUSING["budget"]])
async def test_a_spent_budget_falls_to_the_cheaper_route(limits: str) -> None:
    """Which is asked in a task."""
    short, _ = await asked(whole, limits, launches=True, cheaper=True)
    long, _ = await asked(whole, limits, launches=False, cheaper=True)

    assert long == short
    assert [200] * 3 == [answer["status"] for answer in short[0][0]]
    assert "cheap" == short[0][0][-1]["x_autonomousai"]["upstream"]


async def test_a_second_request_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way holds its part of the limits; who leaves gives it back, and is noted once."""
    heard = asyncio.Event()

    async def silent(connection: RawConnection) -> None:
        if connection.heard == 1:
            await connection.send(WHOLE)
            return
        heard.set()
        await connection.reader.read()
        connection.close()

    async with serving(silent, key()) as (listener, _):
        books = Books(listener.app)
        tasks = Tasks(listener.app, monkeypatch)
        async with Connection(listener.port) as connection, Connection(listener.port) as other:
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            handed_over = tasks.handed_over
            await connection.send(request("POST", CHAT, HELLO, **BEARER))
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
            assert handed_over == tasks.handed_over
            assert 1 == len(books.counters.holds)
            refused = await other.ask(request("POST", CHAT, HELLO, **BEARER))
        async with asyncio.timeout(PATIENCE):
            await listener.app.empty()
        counted = await metrics(listener.port, **ADMIN)

    assert 429 == refused.status
    assert ["ok", "left"] == [entry.outcome for entry in books.entries]
    assert books.counted()["request_sum"] == 2
    assert [line for line in counted if "key_refusals" in line] == [
        'autonomousai_key_refusals_total{key="shop",limit="concurrency"} 1.0'
    ]


async def test_a_caller_who_does_not_read_keeps_what_it_holds() -> None:
    """Until it reads: its request is under way until then."""
    async with serving(whole, key()) as (listener, _):
        books = Books(listener.app)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            (protocol,) = listener.connections.connections
            protocol.pause_writing()  # type: ignore[attr-defined]  # as the transport does
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            held, noted = len(books.counters.holds), len(books.entries)
            protocol.resume_writing()  # type: ignore[attr-defined]
            async with asyncio.timeout(PATIENCE):
                await listener.app.empty()

    assert (1, 1) == (held, noted)
    assert ["ok", "ok"] == [entry.outcome for entry in books.entries]
    assert 2 == books.counted()["request_sum"]


@pytest.mark.parametrize("where", ["autonomousai.server.flight.provenance_of", "autonomousai.gateway.gateway.launch"])
async def test_a_bug_leaves_nothing_reserved(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it is, it is reported once."""
    async with serving(whole, key()) as (listener, _):
        books = Books(listener.app)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            with monkeypatch.context() as patch:
                patch.setattr(where, lambda *arguments, **named: 1 / 0)
                broken = await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            after = await connection.ask(request("POST", CHAT, HELLO, **BEARER))

    assert (500, "internal_error") == broken.told
    assert 200 == after.status
    assert 3 == books.counted()["request_sum"]
    assert 1 == caplog.text.count("a bug, please report it")


@pytest.mark.parametrize("launches", [True, False])
async def test_an_answer_that_a_bug_kept_from_its_caller_is_paid(launches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream has generated it: it has a line in the ledger, and the key has used what it took."""
    where = "autonomousai.server.flight.provenance_of" if launches else "autonomousai.server.endpoint.provenance_of"
    async with serving(whole, key()) as (listener, _):
        books = Books(listener.app)
        if not launches:
            monkeypatch.setattr(listener.app, "launch", lambda exchange: False)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            monkeypatch.setattr(where, lambda *arguments, **named: 1 / 0)
            broken = await connection.ask(request("POST", CHAT, HELLO, **BEARER))

    fine, paid = books.noted()
    assert (500, "internal_error") == broken.told
    assert ("ok", "bug") == (fine.pop("outcome"), paid.pop("outcome"))
    assert fine == paid
    assert 10 == books.counted()["spent_tokens"]


@pytest.mark.parametrize("where", ["make_entry", "whole_answer", "log"])
async def test_a_bug_of_the_books_leaves_no_answer_out(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has the answer, the key has used its tokens, and the bug is logged."""
    async with serving(whole, key()) as (listener, _):
        books = Books(listener.app)
        async with Connection(listener.port) as connection:
            await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            if where == "make_entry":
                monkeypatch.setattr("autonomousai.ledger.accounts.whole_answer", lambda *arguments: None)
            if where != "log":
                monkeypatch.setattr(f"autonomousai.ledger.accounts.{where}", lambda *arguments: 1 / 0)
            else:
                monkeypatch.setattr(listener.app._metrics, "request", lambda *arguments: 1 / 0)
            answer = await connection.ask(request("POST", CHAT, HELLO, **BEARER))
            async with asyncio.timeout(PATIENCE):
                await listener.app.empty()

    assert 200 == answer.status
    assert (3, 2) == (books.entries[1].prompt_tokens, books.entries[1].completion_tokens)
    assert ("bug" if where == "make_entry" else "ok") == books.entries[1].outcome
    assert 10 == books.counted()["spent_tokens"]
    assert 1 == caplog.text.count("a bug, please report it")


@pytest.mark.parametrize("body", [HELLO, {**HELLO, "stream": True}], ids=["document", "stream"])
async def test_the_entry_of_a_complete_answer_is_made_when_it_is_written(body: dict[str, Any]) -> None:
    """Until then the ledger keeps what it is made of, without the texts."""
    kept: list[Any] = []
    async with serving(whole, key()) as (listener, _):
        listener.app.accounts.keep(kept.append)
        async with Connection(listener.port) as connection:
            for _ in range(3):
                await connection.ask(request("POST", CHAT, body, **BEARER))
        async with asyncio.timeout(PATIENCE):
            await listener.app.empty()

    assert [LedgerEntry, WholeAnswer, WholeAnswer] == list(map(type, kept))


async def test_a_store_that_others_share_is_waited_for_in_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a request is launched by none."""
    async with serving(whole, key(LIMITS, f'state = "sqlite:{tmp_path}/state.db"\n')) as (listener, _):
        tasks = Tasks(listener.app, monkeypatch)
        answers = await ask_thrice(listener.port, **BEARER)

    assert [200] * 3 == [answer.status for answer in answers]
    assert (3, 0) == (tasks.begun, tasks.handed_over)


async def test_answers_of_callers_without_a_name_are_accounted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a ledger: the same lines by both ways."""
    noted = []
    for launches in (True, False):
        with monkeypatch.context() as patch:
            async with serving(whole) as (listener, _):
                books = Books(listener.app)
                tasks = Tasks(listener.app, patch)
                if not launches:
                    patch.setattr(listener.app, "launch", lambda exchange: False)
                await ask_thrice(listener.port)
                noted.append(books.noted())
                begun = tasks.begun
        assert (1 if launches else 3) == begun

    assert noted[0] == noted[1]
    assert 3 == len(noted[0])


@pytest.mark.parametrize(
    "change", [{"disabled": True}, {"wires": ("anthropic_messages",)}, {"models": ("other",)}, None], ids=str
)
async def test_a_head_that_is_known_opens_no_longer_than_its_key(change: dict[str, Any] | None) -> None:
    """However often it came before: a key that has changed, or is gone, is another one."""
    async with serving(whole, key()) as (listener, _):
        ring = listener.app.keys
        (record,) = ring.records()
        async with Connection(listener.port) as connection:
            before = [await connection.ask(request("POST", CHAT, HELLO, **BEARER)) for _ in range(4)]
            known = [head for head in ring.remembered if not isinstance(head, bytes)]
            ring.replace_config({})
            if change is not None:
                ring.replace_made([msgspec.structs.replace(record, policy=msgspec.structs.replace(record.policy, **change))])
            after = [await connection.ask(request("POST", CHAT, HELLO, **BEARER)) for _ in range(2)]

    assert [200] * 4 == [answer.status for answer in before]
    assert 1 == len(known)
    assert {True} == {answer.status in (401, 403, 404) for answer in after}
    assert "x-ratelimit-limit-tokens" in dict(before[-1].headers)


@pytest.mark.parametrize("change", [{"disabled": True}, {"wires": ("anthropic_messages",)}, None], ids=str)
async def test_a_stream_whose_head_is_known_is_its_callers(change: dict[str, Any] | None) -> None:
    """Its key is looked up again as soon as any has changed; and its limits are those of before until then."""
    body = {**HELLO, "stream": True}
    async with serving(whole, key()) as (listener, _):
        ring = listener.app.keys
        (record,) = ring.records()
        async with Connection(listener.port) as connection:
            before = [await connection.ask(request("POST", CHAT, body, **BEARER)) for _ in range(4)]
            ring.replace_config({})
            if change is not None:
                ring.replace_made([msgspec.structs.replace(record, policy=msgspec.structs.replace(record.policy, **change))])
            after = [await connection.ask(request("POST", CHAT, body, **BEARER)) for _ in range(2)]

    assert [200] * 4 == [answer.status for answer in before]
    left = [dict(answer.headers)["x-ratelimit-remaining-requests"] for answer in before]
    assert ["99", "98", "97", "96"] == left
    assert {"text/event-stream; charset=utf-8"} == {answer["content-type"] for answer in before}
    assert {True} == {answer.status in (401, 403) for answer in after}


async def test_a_stream_whose_head_is_known_is_refused_while_closing() -> None:
    """As any other; and a body that is too large is, too."""
    body = {**HELLO, "stream": True}
    async with serving(whole, key(LIMITS, "max_body = 1000\n")) as (listener, _), Connection(listener.port) as connection:
        for _ in range(3):
            assert 200 == (await connection.ask(request("POST", CHAT, body, **BEARER))).status
        large = await connection.ask(request("POST", CHAT, {**body, "user": 2000 * "x"}, **BEARER))
        async with Connection(listener.port) as other:
            assert 200 == (await other.ask(request("POST", CHAT, body, **BEARER))).status
            listener.app.drain()
            closing = await other.ask(request("POST", CHAT, body, **BEARER))

    assert (413, 503) == (large.status, closing.status)
