"""The registry of kinds: the config, its errors, its reference and the providers are made from it, whichever kinds there are.

A further kind is held to all of this by its row alone.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autonomousai.config import Config, Secret, load_config
from autonomousai.errors import ConfigError
from autonomousai.kinds.kind import UpstreamConfig, UpstreamSetup
from autonomousai.kinds.registry import DEFAULT_UPSTREAMS, KINDS
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.timeouts import Clocks
from autonomousai.workers.messages import Begin, Channel, ParentMessage, packed, unpacked

REFERENCE = Path(__file__).parents[2] / "docs/reference/config.md"

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())

#: Values for the keys that a kind needs.
NEEDED = {"base_url": "http://127.0.0.1:9/v1"}


def made(kind: type[UpstreamConfig]) -> UpstreamConfig:
    """An upstream of the kind, with its defaults."""
    needed: dict[str, Any] = {name: NEEDED[name] for name in required(kind)}
    return kind(**needed)


def required(kind: type[UpstreamConfig]) -> list[str]:
    """The keys that have no default, those that another may stand for, and those whose default needs a key of a vendor's."""
    wants_key = bool(kind.completed({}))
    return [
        field.name
        for field in msgspec.structs.fields(kind)
        if field.required or (field.name in NEEDED and (not field.default or wants_key))
    ]


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, {})


def section(name: str, kind: type[UpstreamConfig]) -> str:
    return f'[upstreams.u]\nkind = "{name}"\n' + "".join(f'{key} = "{NEEDED[key]}"\n' for key in required(kind))


def test_an_unknown_kind_is_told_the_kinds_of_the_registry(tmp_path: Path) -> None:
    """In its order, and no other."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[upstreams.u]\nkind = "telepathy"\n')

    assert f"it is one of {', '.join(map(repr, KINDS))}" == caught.value.advice


@EVERY_KIND
def test_a_section_with_what_it_needs_is_its_default(kind: type[UpstreamConfig], tmp_path: Path) -> None:
    """A file and Python give the same upstream."""
    name = str(kind.__struct_config__.tag)

    config = read(tmp_path, section(name, kind) + '[models.llama]\nroute = ["u"]\n')

    assert {"u": made(kind)} == config.upstreams


@EVERY_KIND
def test_the_general_clocks_hold_but_for_those_of_the_kind(kind: type[UpstreamConfig], tmp_path: Path) -> None:
    """A clock that the kind's default changes keeps its default."""
    upstream: Any = read(tmp_path, section(str(kind.__struct_config__.tag), kind) + "[clocks]\nidle = 3\n").upstreams["u"]

    if "clocks" in kind.__struct_fields__:
        default: Clocks = made(kind).clocks  # type: ignore[attr-defined]
        assert msgspec.structs.replace(default, idle=3) == upstream.clocks


@EVERY_KIND
def test_it_becomes_a_provider_without_io(kind: type[UpstreamConfig]) -> None:
    """Which says where it is, for people."""
    upstream = made(kind)

    assert isinstance(upstream.make_provider(UpstreamSetup("u")), AsyncGeneratorProvider)
    assert upstream.place


@EVERY_KIND
async def test_it_reaches_a_worker(kind: type[UpstreamConfig]) -> None:
    """The config that the parent of several workers sends is the one that each of them gets."""
    config = Config(upstreams={"u": made(kind)}, models={})

    parent, worker = [await Channel.open(end, ParentMessage) for end in socket.socketpair()]
    parent.say(Begin(packed(config), {}))
    got = await anext(worker.words())
    await parent.aclose()
    await worker.aclose()

    assert isinstance(got, Begin)
    assert config == unpacked(got.config, Config)


@EVERY_KIND
def test_its_secrets_are_not_shown(kind: type[UpstreamConfig]) -> None:
    """A key of the name api_key is a `Secret`, which no repr shows."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}

    assert Secret | None == types.get("api_key", Secret | None)


@EVERY_KIND
def test_the_reference_has_every_key_of_it(kind: type[UpstreamConfig]) -> None:
    """With words beside it, and the kind's docstring above; `python docs/make_reference.py` writes it."""
    whole = REFERENCE.read_text(encoding="utf-8")
    text = whole.partition(f"of the kind `{kind.__struct_config__.tag}`\n")[2].partition("\n## ")[0]

    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE))
    assert list(kind.__struct_fields__) == list(rows)
    assert all(rows.values())
    assert (kind.__doc__ or "").split(".")[0].replace("``", "`") in text


def test_without_upstreams_there_are_the_default_ones() -> None:
    """Each config has a dictionary of its own."""
    assert DEFAULT_UPSTREAMS == Config().upstreams
    assert Config().upstreams is not Config().upstreams
