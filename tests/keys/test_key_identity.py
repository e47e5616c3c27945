"""Whose a request is: keys with names beside those without, what each opens, and what stays bound to a key."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from autonomousai.keys.records import digest_of
from autonomousai.keys.ring import KeyRing
from autonomousai.telemetry.access_log import AccessLogEntry
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.keys.conftest import key
from tests.support.sockets import CHAT, HELLO, ask, request

SHOP, OFFICE, OLD, ADMIN = "sk-shop", "sk-office", "sk-old", "sk-admin"
KEYS = {"shop": key(SHOP), "office": key(OFFICE)}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("given", [bearer(SHOP), bearer(OFFICE), bearer(OLD), {"x_api_key": SHOP}])
async def test_each_key_opens(serve_keys, given):
    """With a name or without, and in each header that carries one."""
    port = (await serve_keys(KEYS, api_keys=[OLD])).port

    assert 200 == (await ask(port, request("POST", CHAT, HELLO, **given))).status


@pytest.mark.parametrize("given", [{}, bearer("sk-wrong"), bearer("shop"), bearer(digest_of(SHOP.encode()).hex())])
async def test_nothing_else_opens(serve_keys, provider, given):
    """Neither a key's name, nor its hash."""
    port = (await serve_keys(KEYS)).port

    assert (401, "invalid_api_key") == (await ask(port, request("POST", CHAT, HELLO, **given))).told
    assert [] == provider.calls


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"disabled": True}, "is disabled"),
        ({"expires": dt.datetime(2020, 1, 31, tzinfo=dt.UTC)}, "has expired on 2020-01-31"),
        ({"expires": dt.datetime(1, 1, 1, tzinfo=dt.UTC)}, "has expired on 0001-01-01"),
    ],
)
async def test_a_key_that_does_not_hold_any_more(serve_keys, provider, policy, says):
    """Its holder reads why; no model is asked."""
    port = (await serve_keys({"shop": key(SHOP, **policy)})).port

    answered = await ask(port, request("POST", CHAT, HELLO, **bearer(SHOP)))

    assert (401, "invalid_api_key") == answered.told
    assert says in answered.error["message"]
    assert [] == provider.calls


async def test_the_name_is_on_the_exchange(serve_keys):
    """The name of a key that has one; nothing for one that has none."""
    listening = await serve_keys(KEYS, api_keys=[OLD])
    seen = []
    note = listening.app._note
    listening.app._note = lambda exchange, **more: (seen.append(exchange.key), note(exchange, **more))

    for secret in (SHOP, OLD, OFFICE):
        await ask(listening.port, request("POST", CHAT, HELLO, **bearer(secret)))

    assert ["shop", "", "office"] == seen


@pytest.mark.parametrize(("secret", "status"), [(SHOP, 403), (OLD, 200), (ADMIN, 200)])
async def test_the_metrics_are_the_operators(serve_keys, secret, status):
    """They name all keys: the holder of one with a name does not read them."""
    port = (await serve_keys(KEYS, api_keys=[OLD], admin_keys=[ADMIN])).port

    assert status == (await ask(port, request("GET", "/metrics", **bearer(secret)))).status


@pytest.mark.parametrize("secret", [SHOP, OLD, "sk-wrong"])
async def test_admin_paths_are_for_admin_keys(serve_keys, secret):
    """Whatever lies there."""
    port = (await serve_keys(KEYS, api_keys=[OLD], admin_keys=[ADMIN])).port

    assert (401, "invalid_api_key") == (await ask(port, request("GET", "/admin/nothing", **bearer(secret)))).told


async def test_without_an_admin_key_an_answer_says_how_to_have_one(serve_keys):
    """Even with a key that is right elsewhere."""
    port = (await serve_keys(KEYS)).port

    answered = await ask(port, request("GET", "/admin/keys", **bearer(SHOP)))

    assert (403, "key_not_allowed") == answered.told
    assert "admin_keys" in answered.error["message"]


async def test_an_admin_key_asks_no_model(serve_keys, provider):
    """It opens what its holder administers, and nothing else."""
    port = (await serve_keys(KEYS, admin_keys=[ADMIN])).port

    assert 401 == (await ask(port, request("POST", CHAT, HELLO, **bearer(ADMIN)))).status
    assert [] == provider.calls


async def test_with_an_admin_key_alone_nothing_is_open(serve_keys):
    """Keys come later, and until then no caller has one."""
    port = (await serve_keys({}, admin_keys=[ADMIN])).port

    assert 401 == (await ask(port, request("POST", CHAT, HELLO))).status


async def test_a_stream_stays_with_its_key_when_the_secret_changes(serve_keys):
    """Its name in the config is what it is bound to; another key finds nothing."""
    provider = ScriptedProvider(["a", Pause(), "b", answer()])
    listening = await serve_keys(KEYS, around=provider)
    begin = request("POST", CHAT, {**HELLO, "stream": True}, x_stream_resumable="1", **bearer(SHOP))
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(begin)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    stream = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("x-stream-id"))
    writer.close()
    target = f"/v1/streams/{stream}"

    listening.app.keys.replace_config({"shop": key("sk-rotated"), "office": key(OFFICE)})

    assert [404, 401, 204] == [
        (await ask(listening.port, request("DELETE", target, **bearer(secret)))).status
        for secret in (OFFICE, SHOP, "sk-rotated")
    ]


def test_a_key_with_a_name_is_in_the_log():
    """Its name, where it has one."""
    entry = AccessLogEntry("t", "POST", CHAT, 200, 1, "req_1", key="shop")

    assert "key=shop " in entry.text()


def test_a_server_that_asks_for_a_key_does_so_for_ever():
    """A reload that takes the last key away opens nothing."""
    ring = KeyRing(KEYS)

    ring.replace_config({})

    assert ring.asks


def test_a_header_is_remembered_until_any_key_changes():
    """Then it is looked up again: a key that is disabled, rotated or deleted opens no longer."""
    digest = digest_of(SHOP.encode())
    ring = KeyRing({"shop": key(SHOP)})

    ring.remember(b"Bearer sk-shop", digest, ring.find(digest))
    remembered = ring.remembered.get(b"Bearer sk-shop")
    ring.replace_config({"shop": key(SHOP, disabled=True)})

    assert "shop" == remembered.name
    assert {} == ring.remembered


def test_a_header_of_a_key_that_expires_is_not_remembered():
    """It would open for longer."""
    digest = digest_of(SHOP.encode())
    ring = KeyRing({"shop": key(SHOP, expires=dt.datetime(2999, 1, 1, tzinfo=dt.UTC))})

    ring.remember(b"Bearer sk-shop", digest, ring.find(digest))

    assert {} == ring.remembered
