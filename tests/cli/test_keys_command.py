"""`autonomousai keys`: over HTTP at a running server, and in the database of a config without one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from autonomousai.config import Config, LedgerConfig, Secret, ServerConfig
from autonomousai.events import Usage
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider, answer
from tests.support.program import Ended, run
from tests.support.sockets import CHAT, HELLO, Listening, ask, listening, request

ADMIN = "sk-admin"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Listening]:
    """A server with an admin key, whose ledger is in a file."""
    config = Config(
        server=ServerConfig(admin_keys=(Secret(ADMIN),)), ledger=LedgerConfig(url=str(tmp_path / "ledger.db"), flush_s=0.01)
    )
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(listening(create_app(config, provider=ScriptedProvider())))


@pytest.fixture
def here(env: dict[str, str], place: Listening) -> dict[str, str]:
    """The environment of that server's administrator."""
    return {**env, "AUTONOMOUSAI_BASE_URL": place.url, "AUTONOMOUSAI_ADMIN_KEY": ADMIN}


async def chat(place: Listening, secret: str) -> int:
    return (await ask(place.port, request("POST", CHAT, HELLO, authorization=f"Bearer {secret}"))).status


async def test_the_life_of_a_key(here, place):
    """Made, listed, shown, disabled, enabled, rotated and deleted; only the key itself is on stdout."""
    await place.app.start()
    options = ("--models", "llama,hermes", "--requests-per-minute", "60", "--budget", "5", "--label", "team=shop")
    made = await run("keys", "create", "shop", *options, env=here)
    secret = made.out.strip()
    opens = await chat(place, secret)
    listed = await run("keys", env=here)
    shown = await run("keys", "show", "shop", "--json", env=here)
    disabled = await run("keys", "disable", "shop", env=here)
    closed = await chat(place, secret)
    enabled = await run("keys", "enable", "shop", env=here)
    rotated = await run("keys", "rotate", "shop", env=here)
    deleted = await run("keys", "delete", "shop", env=here)
    nothing = await run("keys", "list", env=here)

    assert (0, 403, 401) == (made.code, opens, closed), "a budget in money, and no price"
    assert secret.startswith("sk-aai-")
    assert "shown this once" in made.err
    heading, row = listed.out.splitlines()
    assert ["NAME", "SOURCE", "STATE", "MODELS", "LIMITS", "LABELS"] == heading.split()
    assert "requests_per_minute 60, budget 5.0" in row
    assert {"team": "shop"} == json.loads(shown.out)["labels"]
    assert ("autonomousai: shop: disabled\n", "autonomousai: shop: enabled\n") == (disabled.err, enabled.err)
    assert rotated.out.strip() not in ("", secret)
    assert "shop: deleted" in deleted.err
    assert (0, "") == (nothing.code, nothing.out)
    assert "there is no key with a name" in nothing.err
    assert secret not in listed.out + shown.out + listed.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", "a/b"), 1, "cannot be a key's name"),
        (("create", "shop", "--wires", "soap"), 1, "is no API of this server"),
        (("create", "shop", "--expires", "soon"), 1, "is no time"),
        (("create", "shop", "--requests-per-minute", "0"), 2, "is not a whole number of 1 or more"),
        (("create", "shop", "--budget", "-1"), 2, "is not an amount above 0"),
        (("create", "shop", "--label", "x"), 2, "is not NAME=VALUE"),
        (("show", "nothing"), 1, "there is no key 'nothing'"),
        (("delete", "nothing"), 1, "autonomousai keys list shows those that there are"),
        (("list", "--admin-key", "sk-wrong"), 3, "set AUTONOMOUSAI_ADMIN_KEY to one of its admin_keys"),
        (("list", "--base-url", "http://127.0.0.1:9"), 1, "127.0.0.1:9"),
        (("list", "--config", "x.toml", "--base-url", "http://127.0.0.1:9"), 2, "--config opens the database itself"),
    ],
)
async def test_what_is_wrong_is_said(here, place, arguments, code, says):
    """With the exit code that goes with it."""
    await place.app.start()
    ended = await run("keys", *arguments, env=here)

    assert code == ended.code, ended.err
    assert says in ended.err
    assert "the model's name" not in ended.err


async def test_without_an_admin_key_the_variable_is_named(env, place):
    """Nothing is asked."""
    ended = await run("keys", "list", env={**env, "AUTONOMOUSAI_BASE_URL": place.url})

    assert 3 == ended.code
    assert "AUTONOMOUSAI_ADMIN_KEY" in ended.err


async def test_a_server_without_admin_keys_says_how_to_have_one(env, tmp_path):
    """In its own words."""
    async with listening(create_app(Config(), provider=ScriptedProvider())) as place:
        ended = await run("keys", "list", "--base-url", place.url, "--admin-key", "x", env=env)

    assert 1 == ended.code
    assert "admin_keys" in ended.err


async def test_keys_are_made_in_a_database_without_a_server(env, tmp_path):
    """And a server that is started then, or runs already, has them."""
    ledger = tmp_path / "other.db"
    config = tmp_path / "server.toml"
    config.write_text(f"[server]\nadmin_keys = ['{ADMIN}']\n[ledger]\nurl = '{ledger}'\n[keys.office]\nkey = 'sk-office'\n")
    made: Ended = await run("keys", "create", "shop", "--config", str(config), env=env)
    listed = await run("keys", "list", "--config", str(config), env=env)
    settings = Config(server=ServerConfig(admin_keys=(Secret(ADMIN),)), ledger=LedgerConfig(url=str(ledger)))
    async with listening(create_app(settings, provider=ScriptedProvider())) as place:
        await place.app.start()
        before = await chat(place, made.out.strip())
        later = await run("keys", "create", "later", "--config", str(config), env=env)
        await place.app._keys._directory.refresh()
        after = await chat(place, later.out.strip())

    assert (0, 0) == (made.code, later.code), made.err + later.err
    assert ["later"] != [line.split()[0] for line in listed.out.splitlines()[1:]]
    assert ["office", "shop"] == sorted(line.split()[0] for line in listed.out.splitlines()[1:])
    assert [200, 200] == [before, after]


@pytest.mark.parametrize("state", ["memory:", "sqlite:{tmp}/state"])
async def test_what_a_key_has_used_is_shown(env, tmp_path, state):
    """By the server, and from what the config names: the file of its counters, or its ledger."""
    state, ledger = state.format(tmp=tmp_path), tmp_path / "ledger.db"
    config = tmp_path / "server.toml"
    config.write_text(f"[server]\nstate = '{state}'\nadmin_keys = ['{ADMIN}']\n[ledger]\nurl = '{ledger}'\n")
    settings = Config(
        server=ServerConfig(admin_keys=(Secret(ADMIN),), state=state), ledger=LedgerConfig(url=str(ledger), flush_s=0.01)
    )
    provider = ScriptedProvider(answer("Hi", usage=Usage(5, 7, 12)))
    async with listening(create_app(settings, provider=provider)) as place:
        await place.app.start()
        here = {**env, "AUTONOMOUSAI_BASE_URL": place.url, "AUTONOMOUSAI_ADMIN_KEY": ADMIN}
        made = await run("keys", "create", "shop", "--token-budget", str(2**53 - 1), "--budget-period", "day", env=here)
        assert 200 == await chat(place, made.out.strip())
        asked = await run("keys", "show", "shop", env=here)
    read = await run("keys", "show", "shop", "--config", str(config), env=env)
    shown = json.loads((await run("keys", "show", "shop", "--config", str(config), "--json", env=env)).out)

    period, until = shown["usage"]["period"], shown["usage"]["until"]
    used = f"used: 12 tokens and 0.0000 US dollars in {period}\nleft: {2**53 - 13:,} tokens, until {until}\n"
    assert used + "under way: 0\n" in asked.out, asked.err
    assert used + ("under way: 0\n" if state != "memory:" else "") in read.out, read.err
    assert ("under_way" in shown["usage"]) == (state != "memory:")


async def test_a_ledger_that_is_off_keeps_no_keys(env, tmp_path):
    """The error names the key of the config."""
    config = tmp_path / "server.toml"
    config.write_text("[ledger]\nurl = 'off'\n")
    ended = await run("keys", "create", "shop", "--config", str(config), env=env)

    assert 3 == ended.code
    assert "ledger.url" in ended.err
