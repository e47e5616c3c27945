"""The tables ``[keys.NAME]``: what may be written, and what is said about a mistake."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest

from autonomousai.config import Config, KeyConfig, Secret, ServerConfig, load_config
from autonomousai.errors import ConfigError

HASH = "sha256:" + "0" * 64


def read(tmp_path: Path, text: str, **env: str) -> Config:
    path = tmp_path / "server.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, env)


def test_every_field_of_a_key_is_read(tmp_path):
    """From the types that TOML has for it."""
    config = read(
        tmp_path,
        """
        [keys.shop]
        key = "env:SHOP"
        models = ["llama", "my-*"]
        wires = ["openai_chat"]
        expires = 2030-01-31
        requests_per_minute = 60
        tokens_per_minute = 10_000
        max_concurrency = 2
        budget = 12.5
        token_budget = 1_000_000
        budget_period = "day"
        labels = { team = "shop" }
        disabled = true
        """,
        SHOP="sk-shop",
    )

    assert {
        "shop": KeyConfig(
            key=Secret("sk-shop"),
            models=("llama", "my-*"),
            wires=("openai_chat",),
            expires=dt.datetime(2030, 1, 31, tzinfo=dt.UTC),
            requests_per_minute=60,
            tokens_per_minute=10_000,
            max_concurrency=2,
            budget=12.5,
            token_budget=1_000_000,
            budget_period="day",
            labels={"team": "shop"},
            disabled=True,
        )
    } == config.keys


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2030-01-31T18:00:00", dt.datetime(2030, 1, 31, 18, tzinfo=dt.UTC)),
        ("2030-01-31T18:00:00+02:00", dt.datetime(2030, 1, 31, 16, tzinfo=dt.UTC)),
        ("'2030-01-31T18:00:00Z'", dt.datetime(2030, 1, 31, 18, tzinfo=dt.UTC)),
    ],
)
def test_a_time_may_be_written_in_several_ways(tmp_path, written, moment):
    """Without an offset it is one of UTC."""
    assert moment == read(tmp_path, f"[keys.shop]\nhash = '{HASH}'\nexpires = {written}").keys["shop"].expires


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("", "keys.shop"),
        (f"key = 'sk-1'\nhash = '{HASH}'", "keys.shop"),
        ("hash = 'sha256:123'", "keys.shop.hash"),
        ("key = 'env:MISSING'", "keys.shop.key"),
        ("key = 'sk-1'\nexpires = 'soon'", "keys.shop.expires"),
        ("key = 'sk-1'\nexpires = 5", "keys.shop.expires"),
        ("key = 'sk-1'\nwires = ['openai-chat']", "keys.shop.wires[0]"),
        ("key = 'sk-1'\nmodels = ['']", "keys.shop.models[0]"),
        ("key = 'sk-1'\nmodels = ['a*b']", "keys.shop.models[0]"),
        ("key = 'sk-1'\nrequests_per_minute = 0", "keys.shop.requests_per_minute"),
        ("key = 'sk-1'\nbudget = -1", "keys.shop.budget"),
        ("key = 'sk-1'\nbudget = nan", "keys.shop.budget"),
        ("key = 'sk-1'\nlabels = 'x'", "keys.shop.labels"),
        ("key = 'sk-1'\nlabels = { a = 1 }", "keys.shop.labels.a"),
        ("key = 'sk-1'\nbudgets = 1", "keys.shop.budgets"),
        ("key = 'sk-1'\n[keys.office]\nkey = 'sk-1'", "keys.office"),
        ("key = 'sk-1'\n[server]\napi_keys = ['sk-1']", "keys.shop"),
        ("key = 'sk-1'\n[keys.'a b']\nkey = 'sk-2'", "keys.a b"),
    ],
)
def test_a_mistake_is_told_by_its_key(tmp_path, table, key):
    """And shows no key."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"[keys.shop]\n{table}")

    assert key == caught.value.key
    assert "sk-1" not in str(caught.value)


def test_keys_with_names_open_a_server_to_others(tmp_path):
    """As those of [server] do; the file's text is no secret's, and no ``repr`` shows one."""
    config = read(tmp_path, "[server]\nhost = '0.0.0.0'\n[keys.shop]\nkey = 'sk-never-to-be-seen'")

    assert "sk-never-to-be-seen" not in repr(config)
    assert ("sk-never-to-be-seen",) == config.secrets()


def test_a_server_with_an_admin_key_alone_may_be_reached():
    """Keys are made later, and nothing is open until then."""
    assert Config(server=ServerConfig(host="0.0.0.0", admin_keys=(Secret("sk-admin"),)))


def test_the_hash_of_a_key_is_that_of_its_text(tmp_path):
    """As `sha256sum` says it."""
    digest = hashlib.sha256(b"sk-shop").hexdigest()

    with pytest.raises(ConfigError, match=r"keys\.office: is the same key as that of keys\.shop"):
        read(tmp_path, f"[keys.shop]\nkey = 'sk-shop'\n[keys.office]\nhash = 'sha256:{digest}'")
