"""A search of the web that a caller asked of one vendor is asked of the other in its words, and left out if it has none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.clients.adaptations import other_form
from autonomousai.clients.messages_forms import MessagesAdaptations
from autonomousai.clients.translated_forms import TranslatedAdaptations
from autonomousai.errors import StatusError
from autonomousai.wires.anthropic_messages.upstream_request import write_messages_request
from autonomousai.wires.openai_responses.upstream_request import write_response_request
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES

HI = [{"role": "user", "content": "Hi"}]
PARIS = {"type": "approximate", "city": "Paris"}
OF_MESSAGES = {"type": "web_search_20250305", "name": "web_search"}
OF_RESPONSES = {"type": "web_search"}


@pytest.mark.parametrize(
    ("asked", "tools"),
    [
        ([OF_RESPONSES], [OF_MESSAGES]),
        ([{"type": "web_search_preview_2025_03_11"}], [OF_MESSAGES]),
        (
            [{**OF_RESPONSES, "filters": {"allowed_domains": ["a.org"]}, "user_location": {**PARIS, "country": None}}],
            [{**OF_MESSAGES, "allowed_domains": ["a.org"], "user_location": PARIS}],
        ),
        (
            [{"type": "function", "name": "f", "parameters": {}}, OF_RESPONSES],
            [{"name": "f", "input_schema": {"type": "object", "properties": {}}}, OF_MESSAGES],
        ),
        ([{**OF_RESPONSES, "external_web_access": False}], None),
        ([{"type": "code_interpreter"}], None),
    ],
)
def test_of_responses_to_messages(asked: list[Any], tools: list[Any] | None) -> None:
    """But for what is no search of the live web, as Codex sends it with each request."""
    body = {"model": "m", "input": "Hi", "tools": asked}
    request = OPENAI_RESPONSES.decode_request(json.dumps(body).encode(), "/v1/responses")

    assert tools == json.loads(write_messages_request(request, "m")).get("tools")


@pytest.mark.parametrize(
    ("asked", "tools"),
    [
        ([{**OF_MESSAGES, "max_uses": 8}], [OF_RESPONSES]),
        (
            [{**OF_MESSAGES, "allowed_domains": ["a.org"], "user_location": PARIS}],
            [{**OF_RESPONSES, "filters": {"allowed_domains": ["a.org"]}, "user_location": PARIS}],
        ),
        ([{"type": "code_execution_20250522", "name": "code_execution"}], None),
    ],
)
def test_of_messages_to_responses(asked: list[Any], tools: list[Any] | None) -> None:
    """As Claude Code sends it where it searches, with the tool to be chosen."""
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": HI,
        "tools": asked,
        "tool_choice": {"type": "tool", "name": asked[0]["name"]},
    }
    request = ANTHROPIC_MESSAGES.decode_request(json.dumps(body).encode(), "/v1/messages")
    written = json.loads(write_response_request("m", request))

    assert (tools, None) == (written.get("tools"), written.get("tool_choice"))


def test_of_chat_to_messages() -> None:
    """A field there, which has the place one level deeper."""
    options = {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Paris"}}}
    body = {"model": "m", "messages": HI, "web_search_options": options}
    request = OPENAI_CHAT.decode_request(json.dumps(body).encode(), "/v1/chat/completions")

    assert [{**OF_MESSAGES, "user_location": PARIS}] == json.loads(write_messages_request(request, "m"))["tools"]


@pytest.mark.parametrize(
    ("rows", "tool", "said"),
    [
        (TranslatedAdaptations.rows, OF_RESPONSES, "Hosted tool 'web_search' is not supported with gpt-x."),
        (TranslatedAdaptations.rows, OF_RESPONSES, "tools.0.type: Input should be 'function'"),
        (MessagesAdaptations.rows, OF_MESSAGES, "tools.0: Input tag 'web_search_20250305' found using 'type' does not match"),
        (MessagesAdaptations.rows, OF_MESSAGES, "The tool web search is not enabled for this organization."),
    ],
)
def test_what_does_not_search_is_asked_without(rows: Any, tool: dict[str, Any], said: str) -> None:
    """Its caller asked another API for it."""
    form = other_form(json.dumps({"model": "m", "tools": [tool]}).encode(), StatusError(said, status=400), rows)

    assert form is not None
    assert {"model": "m"} == json.loads(form[1])
