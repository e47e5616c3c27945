"""Another config while the server runs: what changes, what stays, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autonomousai.config import RELOADED, Config, KeyConfig, ModelConfig, OpenAIConfig, Secret, ServerConfig, check_reload
from autonomousai.errors import ConfigError
from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from autonomousai.server import create_app
from autonomousai.server.app import App
from autonomousai.settings import BreakerConfig, EngineConfig, LedgerConfig, RetryConfig
from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send, chunks
from tests.ledger.entries import entry
from tests.support.program import PATIENCE, environment, finish, start
from tests.support.sockets import CHAT, HELLO, Connection, ask, listening, request

STREAM = {**HELLO, "stream": True}
ADMIN = {"authorization": "Bearer admin-key-of-the-tests"}


@pytest.fixture
async def first() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def second() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def config_of(**upstreams: ScriptedServer) -> Config:
    """Models ask the upstreams in their order."""
    return Config(
        upstreams={name: OpenAIConfig(base_url=f"{server.url}/v1") for name, server in upstreams.items()},
        models={"llama": ModelConfig(route=tuple(upstreams))},
    )


def answering(text: str) -> Script:
    return Script(Head(), Send(chunks(text)))


async def says(port: int, **fields: Any) -> str:
    answer = await ask(port, request("POST", CHAT, {**HELLO, **fields}))
    return str(answer.json()["choices"][0]["message"]["content"])


# ---- what changes


async def test_the_next_request_is_answered_by_the_new_config(first: ScriptedServer, second: ScriptedServer) -> None:
    """Upstreams, routes and models; the list of models and the metrics know them."""
    app = create_app(config_of(one=first))
    first.play(answering("first"))
    second.play(answering("second"), answering("second"))
    async with listening(app) as place:
        before = await says(place.port)
        new = config_of(two=second)
        reloaded = await app.reload(
            msgspec.structs.replace(new, models={**new.models, "mine": ModelConfig(aliases=("m",), route=("two",))})
        )
        after = [await says(place.port), await says(place.port, model="m")]
        listed = [each["id"] for each in (await ask(place.port, request("GET", "/v1/models"))).json()["data"]]
        counted = (await ask(place.port, request("GET", "/metrics"))).body.decode()

    assert ("first", ["second", "second"]) == (before, after)
    assert (["two"], [], ["one"], ["mine", "llama"]) == (
        reloaded.added,
        reloaded.changed,
        reloaded.removed,
        reloaded.models,
    )
    assert {"llama", "mine"} <= set(listed)
    assert 'model="mine",upstream="two"' in counted


async def test_what_was_begun_ends_as_it_began(first: ScriptedServer, second: ScriptedServer) -> None:
    """A stream, and one that can be resumed; then the connections of the upstream that is gone are closed."""
    pauses = [Pause(), Pause()]
    first.play(
        *(Script(Head(), Send(chunks("Hello", finish=None, done=False)), each, Send(chunks(" world"))) for each in pauses)
    )
    second.play(answering("second"))
    app = create_app(config_of(one=first))
    async with listening(app) as place:
        async with Connection(place.port) as plain, Connection(place.port) as kept:
            await plain.send(request("POST", CHAT, STREAM))
            began = await plain.until(b"Hello")
            await kept.send(request("POST", CHAT, STREAM, **{"x-stream-resumable": "1"}))
            began_too = await kept.until(b"Hello")
            old = app.provider.upstreams["one"].provider  # type: ignore[attr-defined]
            closed = asyncio.Event()
            close = old.aclose
            old.aclose = lambda: (closed.set(), close())[1]
            await app.reload(config_of(two=second))
            meanwhile = await says(place.port)
            is_open = not closed.is_set()
            for each in pauses:
                each.release()
            answers = [began + await plain.until(b"[DONE]"), began_too + await kept.until(b"[DONE]")]
        reloader = app._reloader
        assert reloader is not None
        await asyncio.gather(*reloader._retiring)

    assert is_open
    assert closed.is_set()
    assert ("second", 2) == (meanwhile, len(answers))
    for answer in answers:
        assert ["Hello", " world"] == re.findall(r'"content":"([^"]+)"', answer.decode())


async def test_an_upstream_that_did_not_change_stays(first: ScriptedServer, second: ScriptedServer) -> None:
    """The same object, with its connections and its breaker; one that changed is another."""
    app = create_app(config_of(one=first, two=second))
    async with listening(app):
        before = dict(app.provider.upstreams)  # type: ignore[attr-defined]
        changed = config_of(two=second, one=first)
        upstreams = {**changed.upstreams, "two": OpenAIConfig(base_url=f"{second.url}/v1", model="other")}
        reloaded = await app.reload(msgspec.structs.replace(changed, upstreams=upstreams))
        after = app.provider.upstreams  # type: ignore[attr-defined]

        assert before["one"] is after["one"]
        assert before["two"] is not after["two"]
        assert (["two"], [], []) == (reloaded.changed, reloaded.added, reloaded.removed)
        assert ["two", "one"] == [upstream.name for upstream in app.provider.routes["llama"]]  # type: ignore[attr-defined]


async def test_keys_follow(first: ScriptedServer) -> None:
    """One that is gone from the config opens nothing any more."""
    config = config_of(one=first)
    app = create_app(msgspec.structs.replace(config, keys={"a": KeyConfig(key=Secret("key-of-a-caller"))}))
    async with listening(app) as place:
        allowed = await ask(place.port, request("POST", CHAT, HELLO, authorization="Bearer key-of-a-caller"))
        await app.reload(msgspec.structs.replace(config, keys={"b": KeyConfig(key=Secret("key-of-another"))}))
        statuses = [
            (await ask(place.port, request("POST", CHAT, HELLO, authorization=f"Bearer {key}"))).status
            for key in ("key-of-a-caller", "key-of-another")
        ]

    assert (200, [401, 200]) == (allowed.status, statuses)


async def test_a_budget_that_comes_begins_with_what_was_spent(first: ScriptedServer, tmp_path: Path) -> None:
    """As it does after a restart: of a key that was there, and of the first that there is."""
    url = str(tmp_path / "ledger.db")
    plain = msgspec.structs.replace(config_of(one=first), ledger=LedgerConfig(url=url))
    database = Database(place_of(url))  # type: ignore[arg-type]
    database.open()
    database.write([entry(key="a", time=time.time())])
    database.close()
    secret = Secret("key-of-a-caller")
    statuses = []
    for keys in ({"a": KeyConfig(key=secret)}, {}):
        app = create_app(msgspec.structs.replace(plain, keys=keys))
        async with listening(app) as place:
            await app.start()
            await app.reload(msgspec.structs.replace(plain, keys={"a": KeyConfig(key=secret, token_budget=10)}))
            asked = request("POST", CHAT, {**HELLO, "max_tokens": 1}, authorization="Bearer key-of-a-caller")
            statuses.append((await ask(place.port, asked)).status)

    assert [429, 429] == statuses


# ---- what is refused


REFUSED = [
    ({"server": ServerConfig(port=9)}, "server.port"),
    ({"server": ServerConfig(state="sqlite:x")}, "server.state"),
    ({"engine": EngineConfig(idle_s=5)}, "engine.idle_s"),
    ({"models": {"llama": ModelConfig(route=())}}, "models"),
]


@pytest.mark.parametrize(("changes", "key"), REFUSED, ids=[key for _, key in REFUSED])
async def test_what_cannot_change_is_refused(changes: dict[str, Any], key: str, first: ScriptedServer) -> None:
    """And the server goes on with the config before."""
    config = config_of(one=first)
    app = create_app(config)
    async with listening(app) as place:
        with pytest.raises(ConfigError) as caught:
            await app.reload(msgspec.structs.replace(config, **changes))

        assert key == caught.value.key
        assert "Hello world" == await says(place.port)


@pytest.mark.parametrize("table", sorted(set(Config.__struct_fields__) - RELOADED - {"server", "engine"}))
def test_every_other_table_is_refused(table: str) -> None:
    """Whatever the config has, or will have: a change that would not be followed is not passed over."""
    old = Config()
    value = getattr(old, table)
    fields = getattr(value, "__struct_fields__", None)
    changed: Any = object() if fields is None else _changed(value)

    with pytest.raises(ConfigError, match="cannot change while the server runs"):
        check_reload(old, _with(old, table, changed))


def _changed(value: Any) -> Any:
    copy = msgspec.structs.replace(value)
    field = value.__struct_fields__[0]
    msgspec.structs.force_setattr(copy, field, object())
    return copy


def _with(config: Config, table: str, value: Any) -> Config:
    copy = msgspec.structs.replace(config)
    msgspec.structs.force_setattr(copy, table, value)
    return copy


def test_an_address_that_others_reach_keeps_its_keys() -> None:
    """A config that would take the last key away."""
    old = Config(server=ServerConfig(host="0.0.0.0"), keys={"a": KeyConfig(key=Secret("key-of-a-caller"))})
    with pytest.raises(ConfigError, match="key"):
        check_reload(old, msgspec.structs.replace(old, keys={}))


async def test_where_an_upstream_cannot_start_nothing_changes(
    first: ScriptedServer, second: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not the next time: what could not start is not taken for what is there."""
    config, other = config_of(one=first), config_of(two=second)
    app = create_app(config)
    first.play(answering("first"), answering("first"))
    second.play(answering("second"))

    async def fail(self: object) -> None:
        raise ConfigError("it cannot start")

    async with listening(app) as place:
        await says(place.port)  # and it has started
        with monkeypatch.context() as patched:
            patched.setattr("autonomousai.clients.openai.OpenAICompatible.start", fail)
            with pytest.raises(ConfigError, match="cannot start"):
                await app.reload(other)
        before = await says(place.port)
        await app.reload(other)
        after = await says(place.port)

    assert ("first", "second") == (before, after)


async def test_what_is_being_started_is_not_closed(
    first: ScriptedServer, second: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that comes during the start waits for it."""
    config, other = config_of(one=first), config_of(two=second)
    app = create_app(config)
    starting, may_start, closed = asyncio.Event(), asyncio.Event(), []

    async def start(self: object) -> None:
        starting.set()
        await may_start.wait()
        assert not closed

    monkeypatch.setattr("autonomousai.clients.openai.OpenAICompatible.start", start)
    old = app.provider.upstreams["one"].provider  # type: ignore[attr-defined]
    close = old.aclose
    old.aclose = lambda: (closed.append(True), close())[1]
    begun = asyncio.ensure_future(app.start())
    await starting.wait()
    reloading = asyncio.ensure_future(app.reload(other))
    await asyncio.sleep(0)
    may_start.set()
    await asyncio.gather(begun, reloading)
    await app.aclose()

    assert closed


async def test_the_first_key_needs_a_ledger() -> None:
    """Which is opened at the start alone; the error names what is in the file."""
    old = Config()
    new = msgspec.structs.replace(old, keys={"a": KeyConfig(key=Secret("key-of-a-caller"))}, ledger=LedgerConfig())
    with pytest.raises(ConfigError, match="brings a ledger") as caught:
        check_reload(old, new)

    assert "keys" == caught.value.key


async def test_general_settings_follow(first: ScriptedServer) -> None:
    """Retries and breakers: these make upstreams anew."""
    config = config_of(one=first)
    app = create_app(config)
    async with listening(app):
        reloaded = await app.reload(msgspec.structs.replace(config, retry=RetryConfig(attempts=7)))
        assert [] == reloaded.changed
        assert 7 == app.provider._settings.retry.attempts  # type: ignore[attr-defined]
        reloaded = await app.reload(msgspec.structs.replace(config, breaker=BreakerConfig(failures=9)))
        assert ["one"] == reloaded.changed


async def test_a_server_of_a_provider_has_no_config(first: ScriptedServer) -> None:
    app = App(Config(), create_app(config_of(one=first)).provider)
    with pytest.raises(ConfigError, match="made of a provider"):
        await app.reload(Config())


# ---- by an operator


def write(path: Path, *servers: ScriptedServer, admin: bool = True, state: str = "memory:", more: str = "") -> None:
    upstreams = "".join(
        f'[upstreams.u{number}]\nkind = "openai"\nbase_url = "{server.url}/v1"\n' for number, server in enumerate(servers)
    )
    keys = 'admin_keys = ["admin-key-of-the-tests"]\napi_keys = ["key-of-the-tests"]\n' if admin else ""
    route = json.dumps([f"u{number}" for number in range(len(servers))])
    path.write_text(f'[server]\nstate = "{state}"\n{keys}{upstreams}[models.llama]\nroute = {route}\n{more}')


async def running(home: Path, config: Path, *arguments: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await start("serve", "--config", str(config), "--port", "0", *arguments, env=environment(home))
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
    assert line.startswith("listening on "), await finish(process)
    return process, int(line.rpartition(":")[2])


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, "it has ended"
    return line


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sighup_and_an_admin_reload_the_file(
    workers: str, tmp_path: Path, first: ScriptedServer, second: ScriptedServer
) -> None:
    """One process or several; a file with a mistake changes nothing, and is named."""
    config = tmp_path / "config.toml"
    state = "memory:" if workers == "1" else f"sqlite:{tmp_path / 'state.db'}"
    write(config, first, state=state)
    process, port = await running(tmp_path, config, "--workers", workers)
    key = {"authorization": "Bearer key-of-the-tests"}
    try:
        first.play(*[answering("first")] * 6)
        second.play(*[answering("second")] * 12)

        async def texts() -> set[str]:
            answers = [await ask(port, request("POST", CHAT, HELLO, **key)) for _ in range(6)]
            return {answer.json()["choices"][0]["message"]["content"] for answer in answers}

        before = await texts()
        write(config, second, state=state)
        process.send_signal(signal.SIGHUP)
        told = await line_with(process, "was reloaded")
        after = await texts()
        write(config, second, state=state, more='[models.mine]\nroute = ["nowhere"]\n')
        mistake = await ask(port, request("POST", "/admin/reload", {}, **ADMIN))
        process.send_signal(signal.SIGHUP)
        told_mistake = await line_with(process, "was not reloaded")
        write(config, second, state=state, more='[models.mine]\nroute = ["u0"]\n')
        reloaded = await ask(port, request("POST", "/admin/reload", {}, **ADMIN))
        refused = [(await ask(port, request("POST", "/admin/reload", {}, **headers))).status for headers in ({}, key)]
        end = await texts()
    finally:
        process.send_signal(signal.SIGTERM)
        ended = await finish(process)

    assert ({"first"}, {"second"}, {"second"}) == (before, after, end)
    assert "upstreams changed: u0" in told
    assert (400, "invalid_config") == (mistake.status, mistake.json()["error"]["code"])
    assert "nowhere" in mistake.json()["error"]["message"]
    assert "nowhere" in told_mistake
    assert (200, ["mine", "llama"]) == (reloaded.status, reloaded.json()["models"])
    assert all(status in (401, 403) for status in refused)
    assert 0 == ended.code


async def test_without_a_file_there_is_nothing_to_reload(first: ScriptedServer) -> None:
    config = msgspec.structs.replace(config_of(one=first), server=ServerConfig(admin_keys=(Secret("admin-key-of-the-tests"),)))
    async with listening(create_app(config)) as place:
        answer = await ask(place.port, request("POST", "/admin/reload", {}, **ADMIN))

    assert (409, "no_config_file") == (answer.status, answer.json()["error"]["code"])
