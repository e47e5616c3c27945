"""Tools whose names are longer than upstreams of other APIs take them: callers of Messages may have them."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from tests.support.sockets import ask, events, listening, request

Json = dict[str, Any]

LONG = "mcp__a_server_of_an_organization__read_all_of_the_documents_of_a_folder"
OTHER = LONG + "_and_those_below_it"
SCHEMA: Json = {"type": "object", "properties": {}}


def calls_all(asked: Request) -> Script:
    """An upstream that refuses long names, and calls each tool."""
    names = [tool["function"]["name"] for tool in asked.json()["tools"]]
    if any(len(name) > 64 for name in names):
        return Script.status(400, {"error": {"message": "string too long. Expected a string with maximum length 64"}})
    calls = [
        {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for place, name in enumerate(names)
    ]
    return Script.stream({"tool_calls": calls}, finish="tool_calls")


@pytest.mark.parametrize("stream", [True, False])
async def test_long_names_come_back_in_calls(stream: bool) -> None:
    """In those of before too, and where one is chosen; a short name stays."""
    names = [LONG, OTHER, "f"]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": LONG, "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}]},
    ]
    body = {
        "model": "llama",
        "max_tokens": 9,
        "stream": stream,
        "messages": turns,
        "tools": [{"name": name, "input_schema": SCHEMA} for name in names],
        "tool_choice": {"type": "tool", "name": OTHER},
    }
    async with ScriptedServer(calls_all) as upstream:
        config = parse_config(
            f'[upstreams.u]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n[models.llama]\nroute = ["u"]\n', {}
        )
        async with listening(create_app(config)) as server:
            got = await ask(server.port, request("POST", "/v1/messages", body))

    blocks = (
        [event["content_block"] for event in events(got.body) if event["type"] == "content_block_start"]
        if stream
        else got.json()["content"]
    )
    asked = upstream.requests[-1].json()
    offered = [tool["function"]["name"] for tool in asked["tools"]]
    assert names == [block["name"] for block in blocks]
    assert 3 == len({*offered})
    assert offered[0] == asked["messages"][1]["tool_calls"][0]["function"]["name"]
    assert offered[1:] == [asked["tool_choice"]["function"]["name"], "f"]
