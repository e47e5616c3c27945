"""What is made when it is first used is what would have been made at once, and importing a client makes nothing of it."""

from __future__ import annotations

import re
import subprocess
import sys
from ast import literal_eval
from typing import Any

import msgspec
import pytest

from autonomousai.late import late_decoder, late_pattern

#: Imports the package and counts which patterns and decoders it makes, and which modules come beside asyncio's and msgspec's.
COUNTING = """
import asyncio, re, sys
import msgspec
before, made = set(sys.modules), []
compile, decoder = re.compile, msgspec.json.Decoder
def count(what):
    module = sys._getframe(2).f_globals["__name__"]
    if module.startswith("autonomousai") and module != "autonomousai.wires.json":  # it stands below, and its own are short
        made.append(str(what))
def counting(text, flags=0):
    count(text)
    return compile(text, flags)
class Counting:
    def __new__(cls, type=object, **options):
        if hasattr(type, "__struct_fields__"):
            count(type.__name__)
        return decoder(type, **options)
re.compile, msgspec.json.Decoder = counting, Counting
{statement}
print((sorted(set(sys.modules) - before), made))
"""


def imported(statement: str) -> tuple[list[str], list[str]]:
    """Return the modules that *statement* imports, and the patterns and the decoders of classes that the package makes."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COUNTING.format(statement=statement)], capture_output=True, check=True
    )
    modules, made = literal_eval(done.stdout.decode())
    return modules, made


CLIENTS = ["AutonomousAI", "OpenAICompatible", "Anthropic", "Gemini"]

#: Each takes a millisecond or so, and none is needed before an answer, an error or a retry.
RARE = {"bisect", "hashlib", "http", "json", "random"}


@pytest.mark.parametrize("client", CLIENTS)
def test_importing_a_client_makes_no_pattern_and_no_decoder(client: str) -> None:
    """What is made of a text or a class at import is late."""
    modules, made = imported(f"from autonomousai import {client}")

    assert f"autonomousai.clients.{client.lower().removesuffix('compatible')}" in modules
    assert [] == made


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_comes_with_its_own_wire_alone(client: str) -> None:
    """The dialects of other servers, the rarer APIs of the same, and the server's errors come when they are asked for."""
    own = {
        "Anthropic": {"anthropic_messages", "openai_chat"},
        "AutonomousAI": {"openai_chat"},
        "Gemini": {"google_gemini", "openai_chat"},
        "OpenAICompatible": {"openai_chat"},
    }
    modules, _ = imported(f"from autonomousai import {client}")

    dialects = {parts[2] for module in modules if len(parts := module.split(".")) > 3 and parts[1] == "wires"}
    assert own[client] == dialects
    assert "autonomousai.wires.registry" not in modules


@pytest.mark.parametrize("client", ["AutonomousAI", "OpenAICompatible"])
def test_a_client_brings_no_part_of_the_standard_library_that_is_rarely_needed(client: str) -> None:
    """Beside what asyncio and msgspec bring."""
    modules, _ = imported(f"from autonomousai import {client}")

    assert set() == RARE & set(modules)
    assert "autonomousai.wires.errors" not in modules


def test_the_package_comes_without_its_providers() -> None:
    """`import autonomousai` brings the contract; each provider comes when its class is asked for."""
    modules, made = imported("import autonomousai")

    assert [] == made
    assert [] == [module for module in modules if module.startswith(("autonomousai.clients", "autonomousai.engine"))]


def test_every_late_pattern_can_be_made() -> None:
    """A mistake in one does not wait for the first server that it is for."""
    statement = (
        "import gc, autonomousai.server.app, autonomousai.late as late\n"
        "import autonomousai.clients.anthropic, autonomousai.clients.gemini\n"
        "made.clear()\n"
        "for each in [each for each in gc.get_objects() if type(each) is late._Late]:\n"
        "    getattr(each, 'pattern', None) or each.decode"
    )
    _, made = imported(statement)

    assert 60 < len(made)


def test_a_late_pattern_is_the_compiled_one() -> None:
    """Each of its methods is, before and after the first use."""
    pattern = late_pattern(r"(?P<number>[0-9]+) apples", 0)

    for _ in range(2):
        found = pattern.search("10 apples")
        assert found is not None
        assert "10" == found["number"]
        assert "x" == pattern.sub("x", "3 apples")
    assert r"(?P<number>[0-9]+) apples" == pattern.pattern


def test_a_mistake_in_a_late_pattern_raises_each_time() -> None:
    """With the first use, and with later ones."""
    pattern = late_pattern("(")

    for _ in range(2):
        with pytest.raises(re.error):
            pattern.search("")


def test_a_late_decoder_is_the_decoder_of_its_type() -> None:
    """It decodes and refuses as that does."""
    late: Any = late_decoder(dict[str, int])

    assert {"a": 1} == late.decode(b'{"a":1}')
    assert [{"a": 1}, {"b": 2}] == late.decode_lines(b'{"a":1}\n{"b":2}\n')
    with pytest.raises(msgspec.ValidationError):
        late.decode(b'{"a":"1"}')
