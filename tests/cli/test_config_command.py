"""`autonomousai config`: what a config would serve, and what is wrong in it, without serving it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.cli.toml import write_toml
from autonomousai.config import Config, load_config
from tests.support.program import run, without

FILE = """\
[server]
port = 9000
api_keys = ["env:KEY"]

[upstreams.far]
kind = "openai"
base_url = "http://far:8000/v1"
api_key = "sk-never-to-be-seen"

[models.llama]
route = ["far"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


async def test_check_says_what_would_be_served(file: Path, env: dict[str, str]) -> None:
    """Exit code 0, the address, and each model with its upstreams in order."""
    ended = await run("config", "check", str(file), env={**env, "KEY": "k-12345678"})

    assert (0, "") == (ended.code, ended.err)
    assert f"{file}: ok; it would listen on http://127.0.0.1:9000" == ended.out.splitlines()[0]
    assert ["llama", "llama-3.3-70b", "far", "(http://far:8000/v1)", "order"] == ended.out.splitlines()[2].split()


async def test_an_address_of_ipv6_is_written_in_brackets(tmp_path: Path, env: dict[str, str]) -> None:
    """As it stands in a URL, and as `serve` says it."""
    file = tmp_path / "config.toml"
    file.write_text('[server]\nhost = "::1"\nport = 9000\n')

    ended = await run("config", "check", str(file), env=env)

    assert f"{file}: ok; it would listen on http://[::1]:9000" == ended.out.splitlines()[0]


async def test_check_warns_of_an_address_without_a_path(tmp_path: Path, env: dict[str, str]) -> None:
    """An address that is most likely to be followed by /v1 is no mistake for certain; those with a path are left alone."""
    path = tmp_path / "config.toml"
    path.write_text(FILE.replace('api_key = "sk-never-to-be-seen"', "").replace("/v1", ""))
    warned = await run("config", "check", str(path), env={**env, "KEY": "k-12345678"})
    path.write_text(FILE)
    fine = await run("config", "check", str(path), env={**env, "KEY": "k-12345678"})

    assert (0, 0, "") == (warned.code, fine.code, fine.err)
    assert "upstreams.far.base_url: http://far:8000 has no path" in warned.err
    assert "http://far:8000/v1" in warned.err


async def test_check_says_what_is_wrong(file: Path, env: dict[str, str]) -> None:
    """A mistake is exit code 3, and the message names the file and the key."""
    ended = await run("config", "check", str(file), env=env)

    assert (3, "") == (ended.code, ended.out)
    assert f"autonomousai: error: {file}: server.api_keys[0]: the environment variable KEY is not set" in ended.err


async def test_check_refuses_a_ledger_that_the_start_would_refuse(file: Path, env: dict[str, str]) -> None:
    """Its address can be read without a database."""
    file.write_text('[ledger]\nurl = "mysql://db/x"\n')
    ended = await run("config", "check", str(file), env=env)

    assert (3, "") == (ended.code, ended.out)
    assert "ledger.url: mysql:// is no database that is supported; write a path" in ended.err


async def test_check_says_that_nothing_would_be_served(file: Path, env: dict[str, str]) -> None:
    """A config without a route would not start, and is told so with what to write."""
    file.write_text('[upstreams.far]\nkind = "openai"\nbase_url = "http://far/v1"\n')
    ended = await run("config", "check", str(file), env=env)

    assert (3, "") == (ended.code, ended.out)
    assert 'none has a route, so that nothing would be served; write [models.llama] and route = ["far"]' in ended.err


async def test_show_prints_every_key(file: Path, env: dict[str, str]) -> None:
    """The whole config with its defaults, and no secret in it."""
    ended = await run("config", "show", str(file), env={**env, "KEY": "k-12345678"})
    document = tomllib.loads(ended.out)

    assert (0, "") == (ended.code, ended.err)
    assert (9000, ["***"], 30) == tuple(document["server"][key] for key in ("port", "api_keys", "drain_s"))
    assert ("openai", "***", "auto") == tuple(document["upstreams"]["far"][key] for key in ("kind", "api_key", "prefill"))
    assert "sk-never" not in ended.out


async def test_show_without_a_file_can_be_a_file(tmp_path: Path, env: dict[str, str]) -> None:
    """The defaults that are printed are a config that means the same."""
    ended = await run("config", "show", env=env)
    path = tmp_path / "shown.toml"
    path.write_text(ended.out)

    assert Config() == load_config(path, {})


async def test_show_prints_tables_in_lists(tmp_path: Path, env: dict[str, str]) -> None:
    """What is printed of a price with steps means the same."""
    path, again = tmp_path / "config.toml", tmp_path / "shown.toml"
    path.write_text("[prices.m]\ninput = 1\nsteps = [{ above = 9, input = 2 }]\n[prices.m.tiers.flex]\ninput = 0.5\n")

    shown = await run("config", "show", str(path), env=env)
    again.write_text(shown.out)

    assert load_config(path, {}) == load_config(again, {})


@pytest.mark.parametrize(("command", "code"), [("show", 3), ("check", 0)])
async def test_without_the_writer_of_toml_its_extra_is_named(command: str, code: int, file: Path, env: dict[str, str]) -> None:
    """`config show` says what to install; `config check` writes no TOML and does without."""
    ended = await run("config", command, str(file), env={**env, "KEY": "k-12345678"}, program=without("tomli_w"))

    assert (code, code == 3) == (ended.code, "pip install 'autonomousai[cli]'" in ended.err)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def without_tables_in_lists(value: object) -> object:
    if isinstance(value, list):
        return [each for each in map(without_tables_in_lists, value) if not isinstance(each, dict)]
    return {key: without_tables_in_lists(each) for key, each in value.items()} if isinstance(value, dict) else value


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_as_toml_is_read_again(document: dict[str, object]) -> None:
    """Any document comes back the same, from Python's own reader."""
    plain = without_tables_in_lists(document)

    assert plain == tomllib.loads(write_toml(plain))  # type: ignore[arg-type]


async def test_show_hides_the_password_of_the_ledger(tmp_path: Path, env: dict[str, str]) -> None:
    """Wherever in its URL that stands."""
    path = tmp_path / "config.toml"
    path.write_text('[ledger]\nurl = "postgresql://me:hush-hush@db/ledger?password=hush-hush&sslmode=require"\n')

    ended = await run("config", "show", str(path), env=env)

    assert 'url = "postgresql://***@db/ledger?password=***&sslmode=require"' in ended.out
    assert "hush" not in ended.out
