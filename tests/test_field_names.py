"""A request field may bear any name, also that of a parameter of a function on the way: nothing it meets is confused by it.

The names are found by the test itself, in every signature of the modules that a request passes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

import autonomousai
from autonomousai.batches import BatchStream
from autonomousai.capabilities import Capabilities
from autonomousai.config import RescueConfig, RetryConfig
from autonomousai.errors import IncompleteStreamError
from autonomousai.events import Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.request import DEFAULT_OPTIONS, ELSEWHERE, RESERVED, CallOptions, ChatRequest
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider, answer
from autonomousai.wires.registry import SERVED, WIRES
from tests.support.sockets import HELLO, ask, events, listening, request, text_of

#: The packages that a request passes.
ON_THE_WAY = ("clients", "engine", "gateway", "http", "provider", "request", "result", "server", "streams", "testing", "wires")

VALUE = {"x": 1}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(autonomousai.__path__, "autonomousai."):
        if found.name.split(".")[1] in ON_THE_WAY and found.name != "autonomousai.engine.child":
            yield importlib.import_module(found.name)


def functions(module: ModuleType) -> Iterator[FunctionType]:
    for member in vars(module).values():
        if inspect.isclass(member) and member.__module__ == module.__name__:
            yield from (each for each in vars(member).values() if inspect.isfunction(each))
        elif inspect.isfunction(member) and member.__module__ == module.__name__:
            yield member


def names() -> list[str]:
    """Every parameter's name, and every member of a typed request."""
    found = {name for module in modules() for function in functions(module) for name in inspect.signature(function).parameters}
    found |= {*ChatRequest.__struct_fields__, *CallOptions.__struct_fields__}
    return sorted(found)


NAMES = names()

#: Those that are sent as they are: the others are checked by a table of fields, or refused.
ROWS = {name for wire in WIRES.values() if wire.fields for name in wire.fields.rows}
FREE = [name for name in NAMES if name not in RESERVED | ROWS]


class Again(ScriptedProvider):
    """Generates the same again."""

    capabilities = Capabilities(deterministic=True)


class Further(ScriptedProvider):
    """Continues an answer."""

    capabilities = Capabilities(continues=True)

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        return self.stream(request, options)


CUT = [Started("m"), "The", " sky", IncompleteStreamError()]
WHOLE = answer("The", " sky", " is", " blue.")

#: How a broken answer is finished: the upstreams, and the way of the rescue.
RESCUES: dict[str, Any] = {
    "again": lambda: [Again(CUT, WHOLE)],
    "continue": lambda: [Further(CUT, answer(" sky", " is", " blue."))],
    "anew": lambda: [ScriptedProvider(CUT), ScriptedProvider(WHOLE)],
}


def gateway(providers: list[ScriptedProvider]) -> Gateway:
    upstreams = [Upstream(f"u{number}", provider) for number, provider in enumerate(providers)]
    route = [upstream.name for upstream in upstreams]
    return Gateway(upstreams, {"llama": route}, retry=RetryConfig(attempts=1, backoff=0), rescue=RescueConfig())


def test_the_names_were_really_found() -> None:
    """Those that have been a fault are among them, and many more."""
    assert {"text", "author", "delivered", "request", "options", "answer", "replay", "sink"} <= {*NAMES, "author", "delivered"}
    assert len(FREE) > 150


@pytest.mark.parametrize("way", RESCUES)
async def test_in_python_every_name_survives_a_rescue(way: str) -> None:
    """The answer comes complete, and every upstream that is asked gets the field as it was sent; but for the names of other
    clients' options, which are an error at the call."""
    lost = {}
    free = [name for name in FREE if name not in ELSEWHERE]
    for name in [*free, "text", "author", "delivered", "add_generation_prompt"]:
        providers = RESCUES[way]()
        result = gateway(providers).create_async_generator("llama", HELLO["messages"], stream=True, **{name: VALUE})
        text = await result.text()
        got = [call.kwargs.get(name) for provider in providers for call in provider.calls]
        if text != "The sky is blue." or got != [VALUE] * len(got) or result.report is None or result.report.ways != [way]:
            lost[name] = (text, got)

    assert {} == lost


#: Where a field without a row is passed on, whatever the upstream speaks.
PATHS = [
    path
    for path, wire in sorted(SERVED.items())
    if wire.streams and wire.fields is not None and all(row.becomes is None for row in wire.fields.rows.values())
]


@pytest.mark.parametrize("path", PATHS)
async def test_over_http_every_name_survives_a_rescue(path: str) -> None:
    """The same for a caller of the server, on every wire that passes fields on; nothing is an internal error."""
    lost = {}
    for name in [*FREE, "text", "author", "delivered", "add_generation_prompt"]:
        # A raw prompt is continued by anyone; a conversation by those who can.
        providers = RESCUES["continue" if path == "/v1/completions" else "anew"]()
        async with listening(create_app(provider=gateway(providers))) as place:
            asked = {**SERVED[path].operation(path).example, "stream": True, name: VALUE}
            got = await ask(place.port, request("POST", path, asked))
        sent = [call.kwargs.get(name) for provider in providers for call in provider.calls]
        said = text_of(events(got.body)) if got.status == 200 else ""
        if said != "The sky is blue." or sent != [VALUE] * len(sent):
            lost[name] = (got.status, got.body[:200], sent)

    assert {} == lost


@pytest.mark.parametrize("name", sorted(RESERVED - {"model", "messages", "stream"}))
async def test_a_reserved_name_is_refused_by_name(name: str) -> None:
    """An option of a call is none of a caller's over the network."""
    async with listening(create_app(provider=ScriptedProvider())) as place:
        got = await ask(place.port, request("POST", "/v1/chat/completions", {**HELLO, name: VALUE}))

    assert (400, name) == (got.status, got.error["param"])
