"""Headers that a caller gives go over what a client sends by itself, also where both say who asks."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from autonomousai import Anthropic, AutonomousAI, HTTPError, OpenAICompatible
from autonomousai.clients.options import CLIENT_CLOCKS, ClientOptions
from autonomousai.request import CallOptions, ChatRequest
from autonomousai.testing import Script, ScriptedServer

HELLO = [{"role": "user", "content": "Hello"}]
CLIENTS = [(AutonomousAI, "authorization"), (OpenAICompatible, "authorization"), (Anthropic, "x-api-key")]


@pytest.mark.parametrize(("client", "name"), CLIENTS, ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.parametrize(
    ("made", "call", "sent"),
    [
        ({"api_key": "provider"}, {"headers": {"NAME": "call"}}, "call"),
        ({"api_key": "provider"}, {"headers": {"name": "call"}}, "call"),
        ({"api_key": "provider", "headers": {"Name": "header"}}, {}, "header"),
        ({"headers": {"NAME": "provider"}}, {"api_key": "call"}, "call"),
        ({"headers": {"name": "provider"}}, {"headers": {"Name": "call"}}, "call"),
        ({"api_key": "provider"}, {"api_key": "call"}, "call"),
    ],
)
async def test_the_nearest_word_of_who_asks_is_sent(
    client: Any, name: str, made: dict[str, Any], call: dict[str, Any], sent: str
) -> None:
    """A call's word stands before the provider's, and at the same place a header before the key; it is sent once."""

    def spelt(options: dict[str, Any]) -> dict[str, Any]:
        headers = {
            {"NAME": name.upper(), "Name": name.title(), "name": name}[each]: value
            for each, value in options.get("headers", {}).items()
        }
        return {**options, "headers": headers}

    async with ScriptedServer() as server, client(server.url, retries=0, **spelt(made)) as provider:
        await provider.chat("llama", HELLO, **spelt(call))

    heard = server.requests[0].headers[name]
    assert sent == heard.removeprefix("Bearer ")


def test_a_header_of_a_call_replaces_the_provider_s_however_it_is_written() -> None:
    """The server would get two keys, one of which it was not meant to get."""
    provider = ClientOptions(CLIENT_CLOCKS, headers={"authorization": "Bearer provider"})
    merged = provider.merged(CallOptions(headers={"Authorization": "Bearer call"}))

    assert {"Authorization": "Bearer call"} == merged.signed({}, {})


@pytest.mark.parametrize("make", [OpenAICompatible, Anthropic, AutonomousAI])
async def test_a_request_with_other_tries_is_sent_with_the_usual_headers(make: Any) -> None:
    """They are made once, and not for each request of a gateway; what a call brings of its own is sent all the same."""
    async with ScriptedServer(Script.status(500)) as server, make(server.url, api_key="sk-usual") as provider:
        for options in (
            CallOptions(retries=0),
            CallOptions(retries=0, headers={"x-own": "1"}),
            CallOptions(retries=0, api_key="sk-own"),
        ):
            with contextlib.suppress(HTTPError):
                await anext(provider.stream(ChatRequest("llama", HELLO, stream=True), options))

    keys = [request.headers.get("authorization") or request.headers.get("x-api-key") for request in server.requests]
    assert [None, "1", None] == [request.headers.get("x-own") for request in server.requests]
    assert ["sk-usual", "sk-usual", "sk-own"] == [(key or "").removeprefix("Bearer ") for key in keys]
