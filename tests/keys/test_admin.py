"""``/admin/keys``: keys that are made, changed and deleted while a server runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from autonomousai.config import Config, LedgerConfig, Secret, ServerConfig
from autonomousai.errors import StatusError
from autonomousai.events import Usage
from autonomousai.keys.directory import POLL_S, KeyDirectory
from autonomousai.keys.documents import DocumentStoreError, MemoryDocuments
from autonomousai.keys.records import PREFIX, KeyRecord
from autonomousai.keys.ring import KeyRing
from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from autonomousai.server import create_app
from autonomousai.server.key_store import DatabaseDocuments
from autonomousai.settings import KeyPolicy
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.keys.conftest import key
from tests.support.sockets import CHAT, HELLO, PATIENCE, Answer, Listening, ask, listening, request

ADMIN = "sk-admin"


@pytest.fixture
async def place(serve_keys) -> Listening:
    """A server with an admin key, and one key in its config."""
    return await serve_keys({"office": key("sk-office")}, admin_keys=[ADMIN])


async def admin(place: Listening, method: str, path: str = "", body: Any = b"", *, secret: str = ADMIN) -> Answer:
    return await ask(place.port, request(method, f"/admin/keys{path}", body, authorization=f"Bearer {secret}"))


async def chat(place: Listening, secret: str, **body: Any) -> int:
    return (await ask(place.port, request("POST", CHAT, {**HELLO, **body}, authorization=f"Bearer {secret}"))).status


async def test_a_key_is_made_and_opens_at_once(place):
    """Its secret is in the answer that makes it, and in no other."""
    made = await admin(place, "POST", body={"name": "shop", "models": ["llama"], "labels": {"team": "shop"}})
    secret = made.json()["key"]

    assert 201 == made.status
    assert "no-store" == made["cache-control"]
    assert secret.startswith(PREFIX)
    assert len(secret) > 40
    assert [200, 404] == [await chat(place, secret, model=model) for model in ("llama", "hermes")]
    shown = (await admin(place, "GET", "/shop")).json()
    listed = (await admin(place, "GET")).json()
    assert {"shop": "made", "office": "config"} == {each["name"]: each["source"] for each in listed["data"]}
    assert secret not in json.dumps([shown, listed])
    assert ({"team": "shop"}, ["llama"], f"…{secret[-4:]}") == (shown["labels"], shown["models"], shown["hint"])


async def test_every_secret_is_another(place):
    """And is random."""
    made = [(await admin(place, "POST", body={"name": name})).json()["key"] for name in ("a", "b", "c")]

    assert 3 == len(set(made))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "shop", "budget": -1}, "budget"),
        ({"name": "shop", "requests_per_minute": "many"}, "requests_per_minute"),
        ({"name": "shop", "requests_per_minute": 1.5}, "requests_per_minute"),
        ({"name": "shop", "expires": "tomorrow"}, "expires"),
        ({"name": "shop", "wires": ["soap"]}, "wires[0]"),
        ({"name": "shop", "models": "llama"}, "models"),
        ({"name": "shop", "budgets": 5}, "budgets"),
        ({"name": "shop", "hash": "sha256:0"}, "hash"),
        ({"name": "shop", "labels": {"a": 5}}, "labels.a"),
    ],
)
async def test_a_mistake_is_told_by_its_field(place, body, param):
    """And makes no key."""
    refused = await admin(place, "POST", body=body)

    assert (400, "invalid_value") == refused.told
    assert param == refused.error["param"]
    assert 1 == len((await admin(place, "GET")).json()["data"])


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'"x"', b"\xff"])
async def test_what_is_no_object_is_refused(place, body):
    """Whatever it is."""
    assert (400, "invalid_json") == (await admin(place, "POST", body=body)).told


async def test_a_body_is_bounded(place):
    """A name and a policy need little."""
    assert 413 == (await admin(place, "POST", body=b" " * 70_000)).status


@pytest.mark.parametrize("name", ["shop", "office"])
async def test_a_name_is_taken_once(place, name):
    """Whether the other was made, or stands in the config."""
    await admin(place, "POST", body={"name": "shop"})

    assert (409, "key_conflict") == (await admin(place, "POST", body={"name": name})).told


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/disable")]
)
async def test_what_is_not_there_is_not_found(place, method, path):
    """By any of the methods."""
    assert (404, "key_not_found") == (await admin(place, method, f"/nothing{path}")).told


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("", "GET, HEAD, OPTIONS, POST"), ("/office", "DELETE, GET, HEAD, OPTIONS, POST"), ("/office/rotate", "OPTIONS, POST")],
)
async def test_a_wrong_method_is_told_all_the_right_ones(place, path, allowed):
    """Though each of them is a route of its own."""
    refused = await admin(place, "PUT", path)

    assert (405, allowed) == (refused.status, refused["allow"])
    assert f"allowed: {allowed}" in refused.error["message"]


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/disable")])
async def test_a_key_of_the_config_is_changed_there(place, method, path):
    """The error says where."""
    refused = await admin(place, method, f"/office{path}")

    assert (409, "key_conflict") == refused.told
    assert "[keys.office]" in refused.error["message"]
    assert 200 == await chat(place, "sk-office")


async def test_a_key_is_disabled_and_enabled(place):
    """At once."""
    secret = (await admin(place, "POST", body={"name": "shop"})).json()["key"]

    await admin(place, "POST", "/shop/disable")
    disabled = await chat(place, secret)
    await admin(place, "POST", "/shop/enable")

    assert [401, 200] == [disabled, await chat(place, secret)]


async def test_a_policy_is_changed_field_by_field(place):
    """What is not named stays; null takes a limit away."""
    await admin(place, "POST", body={"name": "shop", "requests_per_minute": 5, "models": ["llama"]})

    await admin(place, "POST", "/shop", {"max_concurrency": 2, "requests_per_minute": None})
    shown = (await admin(place, "GET", "/shop")).json()

    assert (2, ["llama"]) == (shown["max_concurrency"], shown["models"])
    assert "requests_per_minute" not in shown
    assert (400, "nothing") == (
        (refused := await admin(place, "POST", "/shop", {"nothing": None})).status,
        refused.error["param"],
    )


async def test_what_a_key_has_used_is_shown(serve_keys):
    """Of its budget's period, with what is left, and the answers under way."""
    provider = ScriptedProvider(answer("Hi", usage=Usage(5, 7, 12)))
    place = await serve_keys({}, around=provider, admin_keys=[ADMIN])
    policy = {"token_budget": 10_000, "budget_period": "day"}
    secret = (await admin(place, "POST", body={"name": "shop", **policy})).json()["key"]
    new = (await admin(place, "GET", "/shop")).json()["usage"]
    await chat(place, secret)

    used = (await admin(place, "GET", "/shop")).json()["usage"]

    day = {name: new[name] for name in ("period", "until")}
    assert {**day, "tokens": 0, "cost": 0, "tokens_left": 10_000, "under_way": 0} == new
    assert {**day, "tokens": 12, "cost": 0, "tokens_left": 9_988, "under_way": 0} == used
    assert f"{new['period']}T" < new["until"]


async def test_a_rotated_key_has_another_secret(place):
    """The old one opens as long as it was said to, by default not at all."""
    first = (await admin(place, "POST", body={"name": "shop"})).json()["key"]
    second = (await admin(place, "POST", "/shop/rotate")).json()["key"]
    statuses = [await chat(place, secret) for secret in (first, second)]
    third = (await admin(place, "POST", "/shop/rotate", {"keep_old_s": 60})).json()["key"]

    assert [401, 200] == statuses
    assert [401, 200, 200] == [await chat(place, secret) for secret in (first, second, third)]
    place.app.keys._now = lambda: 4e9
    assert [401, 200] == [await chat(place, secret) for secret in (second, third)]


@pytest.mark.parametrize("keep", [-1, "long", True, 1e9])
async def test_the_time_of_an_old_secret_is_bounded(place, keep):
    """To a month."""
    await admin(place, "POST", body={"name": "shop"})

    assert (400, "invalid_value") == (await admin(place, "POST", "/shop/rotate", {"keep_old_s": keep})).told


async def test_what_is_bound_to_a_key_survives_its_rotation(serve_keys):
    """A kept response is read with the new secret."""
    place = await serve_keys({}, admin_keys=[ADMIN])
    old = (await admin(place, "POST", body={"name": "shop"})).json()["key"]
    body = {"model": "llama", "input": "Hello"}
    kept = (await ask(place.port, request("POST", "/v1/responses", body, authorization=f"Bearer {old}"))).json()["id"]

    new = (await admin(place, "POST", "/shop/rotate")).json()["key"]
    other = (await admin(place, "POST", body={"name": "other"})).json()["key"]

    assert [401, 200, 404] == [
        (await ask(place.port, request("GET", f"/v1/responses/{kept}", authorization=f"Bearer {secret}"))).status
        for secret in (old, new, other)
    ]


async def test_a_deleted_key_is_gone_and_its_name_is_free(place):
    """A new key of that name has nothing of the old one."""
    old = (await admin(place, "POST", body={"name": "shop"})).json()
    body = {"model": "llama", "input": "Hello"}
    bearer = {"authorization": f"Bearer {old['key']}"}
    kept = (await ask(place.port, request("POST", "/v1/responses", body, **bearer))).json()["id"]

    deleted = await admin(place, "DELETE", "/shop")
    new = (await admin(place, "POST", body={"name": "shop"})).json()

    assert deleted.json()["deleted"]
    assert 401 == await chat(place, old["key"])
    assert old["id"] != new["id"]
    bearer = {"authorization": f"Bearer {new['key']}"}
    assert 404 == (await ask(place.port, request("GET", f"/v1/responses/{kept}", **bearer))).status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("DELETE", "", b""), ("POST", "/disable", b""), ("POST", "/rotate", b""), ("POST", "", {"expires": "2020-01-01"})],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_under_way_survives_the_end_of_its_key(serve_keys, method, path, body, stream):
    """What was admitted is answered, to its end; what comes next is not."""
    pause = Pause()
    place = await serve_keys({}, admin_keys=[ADMIN], around=ScriptedProvider(["a", pause, "b", answer()]))
    secret = (await admin(place, "POST", body={"name": "shop", "max_concurrency": 1})).json()["key"]
    asked = request("POST", CHAT, {**HELLO, "stream": stream}, authorization=f"Bearer {secret}")

    running = asyncio.create_task(ask(place.port, asked))
    await pause.reached.wait()
    changed = await admin(place, method, f"/shop{path}", body)
    pause.release()
    answered = await running

    assert [200, 200, 401] == [changed.status, answered.status, await chat(place, secret)]
    assert not stream or b"[DONE]" in answered.body


async def test_nothing_of_a_secret_is_logged(place, caplog, capfd):
    """Neither when it is made, nor when it is used, nor by an error."""
    caplog.set_level("DEBUG")
    secret = (await admin(place, "POST", body={"name": "shop"})).json()["key"]
    await chat(place, secret)
    await admin(place, "POST", "/shop", {"budget": secret})

    assert secret not in caplog.text + "".join(capfd.readouterr())


# ---- several servers


async def test_all_servers_learn_of_a_change():
    """Within a poll, which is a second: here it is called by hand."""
    store = MemoryDocuments()
    rings = [KeyRing({}, asks=True), KeyRing({}, asks=True)]
    first, second = [KeyDirectory(ring, store) for ring in rings]
    record, _ = await first.create("shop", KeyPolicy())

    before = rings[1].find(record.digest)
    await second.refresh()
    after = rings[1].find(record.digest)
    await first.delete("shop")
    await second.refresh()

    assert (None, record, None) == (before, after, rings[1].find(record.digest))
    assert POLL_S <= 1


async def test_a_budget_begins_before_its_policy_holds():
    """What was spent is known before the first request is asked by the policy, and of keys alone that have changed."""
    ring, seen = KeyRing({}, asks=True), []

    async def on_change(records) -> None:
        records = list(records)
        before = {each.name: each.policy.budget_period for each in ring.records()}
        seen.append((before, {each.name: each.policy.budget_period for each in records}))

    directory = KeyDirectory(ring, MemoryDocuments(), on_change=on_change)
    for name in ("shop", "other"):
        await directory.create(name, KeyPolicy(token_budget=5))
    await directory.change("shop", lambda policy: msgspec.structs.replace(policy, budget_period="day"))

    months = {"shop": "month", "other": "month"}
    assert [({"shop": "month"}, {"other": "month"}), (months, {"shop": "day"})] == seen[1:]


async def test_known_keys_hold_while_the_store_is_away(caplog):
    """Nothing is refused for it, and the log says so once."""
    store = MemoryDocuments()
    ring = KeyRing({}, asks=True)
    directory = KeyDirectory(ring, store)
    record, _ = await directory.create("shop", KeyPolicy())

    async def away() -> int:
        raise DocumentStoreError("away")

    store.version = away
    for _ in range(3):
        await directory.refresh()

    assert record == ring.find(record.digest)
    assert 1 == len(caplog.records)


async def test_a_key_that_cannot_be_read_keeps_no_other_from_being_followed(caplog):
    """Another program has written its row, or a disk has lost it: it opens nothing, the others are changed as ever, and the log
    says so once."""
    store = MemoryDocuments()
    ring = KeyRing({}, asks=True)
    directory = KeyDirectory(ring, store)
    record, _ = await directory.create("shop", KeyPolicy())

    for number in range(2):
        await store.add(f"key_{number}", f"odd_{number}", b'{"id": 5')
        await directory.refresh()
    await directory.change("shop", lambda policy: msgspec.structs.replace(policy, disabled=True))

    with pytest.raises(StatusError, match="disabled"):
        ring.find(record.digest)
    assert 1 == len(caplog.records)


async def test_changes_are_followed_after_a_bug(monkeypatch, caplog):
    """A key that is disabled after it must not open for as long as the server runs."""
    monkeypatch.setattr("autonomousai.keys.directory.POLL_S", 0)
    store = MemoryDocuments()
    store.shared = True
    ring = KeyRing({}, asks=True)
    directory = KeyDirectory(ring, store)
    load, bugs = store.load, 3

    async def odd() -> list[bytes]:
        nonlocal bugs
        bugs -= 1
        if bugs >= 0:
            raise RuntimeError("a bug")
        return await load()

    await directory.open()
    store.load = odd
    await store.add("key_1", "shop", msgspec.json.encode(KeyRecord(id="key_1", name="shop", digest=b"d", policy=KeyPolicy())))
    async with asyncio.timeout(PATIENCE):
        while ring.get("shop") is None:
            await asyncio.sleep(0)
    await directory.aclose()

    assert 1 == sum("a bug" in record.getMessage() for record in caplog.records)


async def test_a_key_that_was_made_opens_a_server_that_has_not_started(tmp_path):
    """Mounted in another application, it starts with its first request."""
    settings = Config(server=ServerConfig(admin_keys=(Secret(ADMIN),)), ledger=LedgerConfig(url=str(tmp_path / "ledger.db")))
    async with listening(create_app(settings, provider=ScriptedProvider())) as first:
        secret = (await admin(first, "POST", body={"name": "shop"})).json()["key"]
    async with listening(create_app(settings, provider=ScriptedProvider())) as second:
        assert 200 == await chat(second, secret)


@pytest.fixture
def two(tmp_path) -> Iterator[list[KeyDirectory]]:
    """The directories of two servers with one database, neither of which looks for changes by itself."""
    database = Database(place_of(str(tmp_path / "ledger.db")))
    database.open()
    yield [KeyDirectory(KeyRing({}, asks=True), DatabaseDocuments(lambda: database)) for _ in range(2)]
    database.close()


@pytest.fixture(params=["database", "memory"])
def pair(request: pytest.FixtureRequest) -> list[KeyDirectory]:
    if request.param == "database":
        return request.getfixturevalue("two")
    store = MemoryDocuments()
    return [KeyDirectory(KeyRing({}, asks=True), store) for _ in range(2)]


async def test_what_another_server_did_is_never_undone(pair):
    """A secret that was rotated away, a key that was disabled, one that was deleted: though the second has not looked yet."""
    first, second = pair
    for name in ("rotated", "disabled", "deleted"):
        await first.create(name, KeyPolicy())
    await second.refresh()
    rotated, _ = await first.rotate("rotated")
    await first.change("disabled", lambda policy: msgspec.structs.replace(policy, disabled=True))
    await first.delete("deleted")

    for name in ("rotated", "disabled"):
        await second.change(name, lambda policy: msgspec.structs.replace(policy, requests_per_minute=5))
    with pytest.raises(StatusError) as refused:
        await second.change("deleted", lambda policy: policy)
    await first.refresh()

    assert 404 == refused.value.status
    assert {"rotated", "disabled"} == {each.name for each in first.records()}
    assert (rotated.digest, 5) == (first.get("rotated").digest, first.get("rotated").policy.requests_per_minute)
    assert (True, 5) == ((policy := first.get("disabled").policy).disabled, policy.requests_per_minute)


async def test_changes_of_one_moment_are_all_kept(pair):
    """Of two servers, or of one."""
    changes = [
        {"requests_per_minute": 5},
        {"tokens_per_minute": 5},
        {"max_concurrency": 5},
        {"budget": 5.0},
        {"disabled": True},
    ]
    await pair[0].create("shop", KeyPolicy())

    await asyncio.gather(
        *(
            pair[number % 2].change("shop", lambda policy, change=change: msgspec.structs.replace(policy, **change))
            for number, change in enumerate(changes)
        )
    )
    await pair[0].refresh()

    policy = pair[0].get("shop").policy
    assert {**changes[0], **changes[1], **changes[2], **changes[3], **changes[4]} == {
        name: getattr(policy, name) for change in changes for name in change
    }


async def test_a_change_between_reading_and_writing_is_read_again(pair):
    """What is replaced is what was read, or nothing."""
    first, second = pair
    await first.create("shop", KeyPolicy())
    replace = second._store.replace
    deleted = []

    async def late(*arguments: Any) -> None:
        if not deleted:
            deleted.append(await first.delete("shop"))
        await replace(*arguments)

    second._store.replace = late
    with pytest.raises(StatusError) as refused:
        await second.rotate("shop")
    await first.refresh()

    assert (404, []) == (refused.value.status, first.records())
