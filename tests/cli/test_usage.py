"""`autonomousai usage`: the sums of a ledger, as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest

from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from tests.ledger.entries import entry
from tests.support.program import environment, run, without


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    """Three answers: two of now, one of long ago."""
    path = str(tmp_path / "ledger.db")
    place = place_of(path)
    assert place is not None
    database = Database(place)
    database.open()
    now = time.time()
    database.write(
        [
            entry("1", time=now, model="a", prompt_tokens=1200),
            entry("2", time=now, model="=cmd|b", cost=None, outcome="cut"),
            entry("3", time=0.0),
        ]
    )
    database.close()
    return path


async def test_it_prints_a_table(ledger: str, env: dict[str, str]) -> None:
    """With a total, and a word about what has no price. By itself it is of the last thirty days."""
    ended = await run("usage", "--ledger", ledger, "--by", "model", env=env)

    assert (0, "") == (ended.code, ended.err)
    assert [
        ["MODEL", "ANSWERS", "FAILED", "PROMPT", "CACHED", "COMPLETION", "LOST", "COST USD", "FIRST MS"],
        ["a", "1", "0", "1,200", "0", "2", "1", "0.5000", "3"],
        ["=cmd|b", "1", "1", "7", "0", "2", "1", "0.0000+?", "3"],
        ["total", "2", "1", "1,207", "0", "4", "2", "0.5000+?", "3"],
    ] == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in ended.out.splitlines()[:4]]
    assert "1 answers have no known price" in ended.out


async def test_it_prints_csv(ledger: str, env: dict[str, str]) -> None:
    """For a spreadsheet, which runs nothing of it."""
    ended = await run("usage", "--ledger", ledger, "--by", "model", "--csv", "--since", "1d", env=env)

    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [("a", "1200", "0.5"), ("'=cmd|b", "7", "0.0")] == [
        (row["model"], row["prompt_tokens"], row["cost"]) for row in rows
    ]


async def test_it_prints_json(ledger: str, env: dict[str, str]) -> None:
    """Of a config's ledger, too, and of one key."""
    path = Path(ledger).parent / "config.toml"
    path.write_text(f'[ledger]\nurl = "{ledger}"\n')

    ended = await run("usage", "--config", str(path), "--json", "--since", "1970-01-01", "--key", "alice", env=env)

    said = json.loads(ended.out)
    assert ("usage", "day", 3, 2) == (said["object"], said["by"], said["total"]["answers"], len(said["data"]))
    assert "1970-01-01" == said["data"][0]["name"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--ledger", "nowhere.db"), 3, "there is no ledger at nowhere.db"),
        ((), 3, "a server keeps one where its config has [ledger]"),
        (("--ledger", "off"), 3, "the ledger is off"),
        (("--since", "yesterday"), 2, "write 7d, 24h"),
        (("--timezone", "Mars/Phobos"), 2, "is no time zone"),
        (("--by", "colour"), 2, "invalid choice"),
        (("--csv", "--json"), 2, "not allowed with"),
    ],
)
async def test_what_cannot_be_is_said(arguments: tuple[str, ...], code: int, says: str, env: dict[str, str]) -> None:
    """With what to do; no file is made."""
    ended = await run("usage", *arguments, env=env)

    assert code == ended.code
    assert says in ended.err
    assert [] == list(Path(env["HOME"]).rglob("*.db"))


async def test_without_the_extra_it_says_what_to_install(ledger: str, env: dict[str, str]) -> None:
    """In one line."""
    ended = await run("usage", "--ledger", ledger, env=env, program=without("sqlalchemy"))

    assert 3 == ended.code
    assert "pip install 'autonomousai[ledger]'" in ended.err
