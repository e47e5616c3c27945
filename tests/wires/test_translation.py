"""The page of translations is true: each field of Messages, Responses and Gemini is tried at upstreams of other wires."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.anthropic_messages.request import MESSAGES_REQUEST
from autonomousai.wires.google_gemini.request import GENERATE_REQUEST
from autonomousai.wires.google_gemini.upstream_wire import GEMINI_UPSTREAM
from autonomousai.wires.openai_chat.request import CHAT
from autonomousai.wires.openai_responses.request import RESPONSES
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, GOOGLE_GEMINI, OPENAI_CHAT, OPENAI_RESPONSES

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import translation_page

Json = dict[str, Any]

SCHEMA: Json = {"type": "object", "properties": {}}
TOOL: Json = {"name": "f", "input_schema": SCHEMA}
FUNCTION: Json = {"type": "function", "name": "f", "parameters": SCHEMA}

#: A value of each field, and what must stand beside it.
MESSAGES: dict[str, tuple[Any, Json]] = {
    "messages": ([{"role": "user", "content": "Other"}], {}),
    "max_tokens": (7, {}),
    "system": ("Be brief.", {}),
    "temperature": (0.5, {}),
    "top_p": (0.5, {}),
    "top_k": (5, {}),
    "stop_sequences": (["x"], {}),
    "tools": ([TOOL], {}),
    "tool_choice": ({"type": "any"}, {"tools": [TOOL]}),
    "thinking": ({"type": "enabled", "budget_tokens": 6000}, {}),
    "output_config": ({"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}, {}),
    "output_format": ({"type": "json_schema", "schema": SCHEMA}, {}),
    "metadata": ({"user_id": "u"}, {}),
}
ANYTHING: tuple[Any, Json] = ({"x": 1}, {})
ITEMS: dict[str, tuple[Any, Json]] = {
    "input": ("Other", {}),
    "instructions": ("Be brief.", {}),
    "tools": ([FUNCTION], {}),
    "tool_choice": ("required", {"tools": [FUNCTION]}),
    "parallel_tool_calls": (False, {"tools": [FUNCTION]}),
    "reasoning": ({"effort": "low"}, {}),
    "text": ({"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}, "verbosity": "low"}, {}),
    "max_output_tokens": (7, {}),
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty", "min_p"), (0.5, {})),
    "top_logprobs": (2, {"include": ["message.output_text.logprobs"]}),
    "include": (["message.output_text.logprobs"], {}),
    "service_tier": ("flex", {}),
    **dict.fromkeys(("seed", "top_k", "max_tool_calls"), (5, {})),
    **dict.fromkeys(
        ("stop", "user", "truncation", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"), ("x", {})
    ),
    "previous_response_id": ("resp_1", {}),
    "store": (False, {}),
    "background": (True, {}),
    "context_management": ([], {}),
    "messages": ([], {}),
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), (7, {})),
    **dict.fromkeys(("reasoning_effort", "verbosity"), ("low", {})),
    "response_format": ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, {}),
}

CONTENTS: dict[str, tuple[Any, Json]] = {
    "contents": ([{"parts": [{"text": "Other"}]}], {}),
    "systemInstruction": ({"parts": [{"text": "Be brief."}]}, {}),
    "tools": ([{"functionDeclarations": [{"name": "f"}]}], {}),
    "toolConfig": (
        {"functionCallingConfig": {"mode": "ANY"}},
        {"tools": [{"functionDeclarations": [{"name": "f"}]}]},
    ),
    **{
        f"generationConfig.{name}": sample
        for name, sample in (
            *dict.fromkeys(("temperature", "topP", "presencePenalty", "frequencyPenalty"), (0.5, {})).items(),
            *dict.fromkeys(("topK", "maxOutputTokens", "seed", "logprobs", "candidateCount"), (7, {})).items(),
            ("stopSequences", (["x"], {})),
            ("responseLogprobs", (True, {})),
            ("responseMimeType", ("text/plain", {"generationConfig": {"responseSchema": SCHEMA}})),
            ("responseSchema", (SCHEMA, {})),
            ("responseJsonSchema", (SCHEMA, {})),
            ("responseModalities", (["IMAGE"], {})),
            ("thinkingConfig", ({"thinkingBudget": 9}, {})),
        )
    },
}


def document_of(name: str, value: Any, beside: Json) -> Json:
    """What stands *beside*, with a field, or with a member of one."""
    field, _, member = name.partition(".")
    return {**beside, field: {**beside.get(field, {}), member: value} if member else value}


#: The wire of each table, and a usual request of it.
USUAL: dict[str, tuple[Any, Json]] = {
    MESSAGES_REQUEST.name: (ANTHROPIC_MESSAGES, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}),
    RESPONSES.name: (OPENAI_RESPONSES, {"input": "Hi"}),
    GENERATE_REQUEST.name: (GOOGLE_GEMINI, {"contents": [{"parts": [{"text": "Hi"}]}]}),
}

CASES = [
    *(
        (GENERATE_REQUEST, name, CONTENTS.get(name, ANYTHING))
        for name in translation_page.GEMINI_ROWS
        if name != "cachedContent"
    ),
    *((MESSAGES_REQUEST, name, MESSAGES.get(name, ANYTHING)) for name in MESSAGES_REQUEST.rows),
    *((RESPONSES, name, ITEMS.get(name, ANYTHING)) for name in RESPONSES.rows if name not in ("prompt", "conversation")),
]
UPSTREAMS = {
    translation_page.CHAT_UPSTREAM: OPENAI_CHAT,
    translation_page.RESPONSES_UPSTREAM: OPENAI_RESPONSES,
    translation_page.MESSAGES_UPSTREAM: ANTHROPIC_MESSAGES,
    translation_page.GEMINI_UPSTREAM: GEMINI_UPSTREAM,
}


def written(table: Any, upstream: str, document: Json) -> Any:
    """The body that the upstream gets, or the error that the caller does."""
    wire, usual = USUAL[table.name]
    body = json.dumps({"model": "m", **usual, **document}).encode()
    try:
        request: ChatRequest = wire.decode_request(body, wire.paths[0])
        return json.loads(UPSTREAMS[upstream].encode_request(request, "m"))
    except StatusError as error:
        return error.status


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(("table", "name", "sample"), CASES, ids=[f"{table.name}.{name}" for table, name, _ in CASES])
def test_a_field_has_the_fate_that_is_told(table: Any, name: str, sample: tuple[Any, Json], upstream: str) -> None:
    """What is carried changes what the upstream gets; what is left out does not; what is refused is a 400."""
    if name in ("model", "stream") or (table, upstream) in (
        (MESSAGES_REQUEST, translation_page.MESSAGES_UPSTREAM),
        (RESPONSES, translation_page.RESPONSES_UPSTREAM),
        (GENERATE_REQUEST, translation_page.GEMINI_UPSTREAM),
    ):
        return
    value, beside = sample
    rows = translation_page.GEMINI_ROWS if table is GENERATE_REQUEST else table.rows
    fate = translation_page.fate_of(rows[name], upstream)

    without, got = written(table, upstream, beside), written(table, upstream, document_of(name, value, beside))

    if fate.what == translation_page.REFUSED:
        assert 400 == got
    elif (name, upstream) == ("service_tier", translation_page.MESSAGES_UPSTREAM):
        assert got == without  # the tiers that the API has are those that need not be said
    else:
        assert (got == without) is (fate.what == translation_page.DROPPED)


def test_every_field_has_a_row() -> None:
    """On the page, under its caller's wire."""
    page = translation_page.translation_page()

    for rows, title in (
        (CHAT.rows, "chat completions"),
        (MESSAGES_REQUEST.rows, "Messages"),
        (RESPONSES.rows, "Responses"),
        (translation_page.GEMINI_ROWS, "the Gemini API"),
    ):
        section = page.partition(f"## Callers of {title}\n")[2].partition("\n## ")[0]
        assert [name for name in rows if name not in ("model", "stream")] == [
            line.split("`")[1] for line in section.split("\n") if line.startswith("| `")
        ]
