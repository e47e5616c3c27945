"""`GET /v1/usage` and `GET /admin/usage`: who sees what of the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autonomousai.config import Config, KeyConfig, LedgerConfig, Secret, ServerConfig
from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.ledger.entries import entry
from tests.support.sockets import Answer, ask, listening, request

ADMIN = "sk-admin-of-the-tests"
ALICE, BOB = "sk-alice-of-the-tests", "sk-bob-of-the-tests"


class Asked:
    """A server with a ledger of three answers."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __call__(self, path: str, key: str) -> Answer:
        return await ask(self.port, request("GET", path, authorization=f"Bearer {key}"))


@asynccontextmanager
async def asked(tmp_path: Path, **more: Any) -> AsyncIterator[Asked]:
    path = str(tmp_path / "ledger.db")
    place = place_of(path)
    assert place is not None
    database = Database(place)
    database.open()
    database.write([entry("1"), entry("2", key="bob"), entry("3", key="", model="other")])
    database.close()
    config = Config(
        server=ServerConfig(admin_keys=(Secret(ADMIN),), api_keys=(Secret("sk-plain-of-the-tests"),)),
        keys={"alice": KeyConfig(key=Secret(ALICE)), "bob": KeyConfig(key=Secret(BOB))},
        **{"ledger": LedgerConfig(url=path), **more},
    )
    async with listening(create_app(config, provider=ScriptedProvider())) as server:
        yield Asked(server.port)


async def test_a_key_sees_what_it_used_and_nothing_else(tmp_path: Path) -> None:
    """Whatever it asks for."""
    async with asked(tmp_path) as usage:
        own = await usage("/v1/usage?by=key", ALICE)
        others = await usage("/v1/usage?key=bob", ALICE)
        nameless = await usage("/v1/usage?by=key", "sk-plain-of-the-tests")

    assert (200, ["alice"], 1) == (own.status, [row["name"] for row in own.json()["data"]], own.json()["total"]["answers"])
    assert (400, "key") == (others.status, others.error["param"])
    assert [""] == [row["name"] for row in nameless.json()["data"]]
    assert "no-store" == own["cache-control"]


async def test_a_new_key_sees_nothing_of_a_deleted_one_with_its_name(tmp_path: Path) -> None:
    """The ledger keeps the old one's answers, for an admin."""
    async with asked(tmp_path) as usage:
        body = {"name": "carol"}
        made = await ask(usage.port, request("POST", "/admin/keys", body, authorization=f"Bearer {ADMIN}"))
        database = Database(place_of(str(tmp_path / "ledger.db")))  # type: ignore[arg-type]
        database.write([entry("4", key="carol"), entry("5", key="carol", time=made.json()["created"] + 9.0)])
        database.close()
        own = [await usage(f"/v1/usage{query}", made.json()["key"]) for query in ("", "?since=2026-01-01")]
        all_of_it = await usage("/admin/usage?key=carol", ADMIN)

    assert [1, 1, 2] == [each.json()["total"]["answers"] for each in (*own, all_of_it)]


async def test_an_admin_sees_all(tmp_path: Path) -> None:
    """Or of one key."""
    async with asked(tmp_path) as usage:
        everyone = await usage("/admin/usage?by=key&timezone=Europe/Berlin", ADMIN)
        one = await usage("/admin/usage?by=model&key=bob", ADMIN)
        refused = [(await usage("/admin/usage", key)).status for key in (ALICE, "sk-plain-of-the-tests", "")]

    assert {"alice", "bob", ""} == {row["name"] for row in everyone.json()["data"]}
    assert ("Europe/Berlin", "USD") == (everyone.json()["timezone"], everyone.json()["currency"])
    assert [("llama", 1)] == [(row["name"], row["answers"]) for row in one.json()["data"]]
    assert [401] * 3 == refused


@pytest.mark.parametrize(
    ("query", "param"),
    [("by=colour", "by"), ("since=then", "since"), ("until=1", "until"), ("timezone=Mars", "timezone"), ("b=1", "b")],
)
async def test_a_wrong_parameter_is_named(tmp_path: Path, query: str, param: str) -> None:
    """And what would be right."""
    async with asked(tmp_path) as usage:
        answer = await usage(f"/v1/usage?{query}", ALICE)

    assert (400, param) == (answer.status, answer.error["param"])


async def test_times_bound_it(tmp_path: Path) -> None:
    """From, and up to."""
    async with asked(tmp_path) as usage:
        before = await usage("/v1/usage?until=2026-01-01", ALICE)
        after = await usage("/v1/usage?since=2026-01-01&until=2027-01-01", ALICE)

    assert (0, 1) == (before.json()["total"]["answers"], after.json()["total"]["answers"])
    assert ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") == (after.json()["since"], after.json()["until"])


async def test_without_a_ledger_there_is_none(tmp_path: Path) -> None:
    """And the operator is told what to write."""
    async with asked(tmp_path, ledger=None) as usage:
        answer = await usage("/v1/usage", ALICE)

    assert (404, "no_ledger") == (answer.status, answer.error["code"])
    assert "[ledger]" in answer.error["message"]


async def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    """It is nothing that the caller did."""
    async with asked(tmp_path, ledger=LedgerConfig(url=f"postgresql://postgres@/x?host={tmp_path}")) as usage:
        answer = await usage("/v1/usage", ALICE)

    assert (503, "ledger_unavailable") == (answer.status, answer.error["code"])
