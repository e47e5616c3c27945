"""Where caller and upstream both speak Responses, nothing of an answer is lost between them, known here or not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import IncompleteStreamError
from autonomousai.events import Batch, Started
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_responses.document import decode_response
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from tests.wires.responses import Json, Reading, completed, created, done, event, message, response, stream, thought
from tests.wires.responses import part as part_of

HEAD = AnswerHead("resp_abc", 1, "m", echo={"tools": [{"type": "custom", "name": "run"}]})

text = st.text('aé😀\n"\\', min_size=1, max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | text,
    lambda value: st.lists(value, max_size=2) | st.dictionaries(text, value, max_size=2),
    max_leaves=4,
)
output_text = st.fixed_dictionaries(
    {
        "type": st.just("output_text"),
        "text": text,
        "annotations": st.lists(st.fixed_dictionaries({"type": st.just("file_citation"), "file_id": text}), max_size=2),
        "logprobs": st.just([]),
    }
)
part = (
    output_text
    | st.fixed_dictionaries({"type": st.just("refusal"), "refusal": text})
    | st.fixed_dictionaries({"type": st.just("output_unknown"), "value": anything})
)


def item(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.just(kind), "status": st.just("completed"), **members})


def thoughts(kind: str, least: int) -> st.SearchStrategy[list[Json]]:
    return st.lists(st.fixed_dictionaries({"type": st.just(kind), "text": text}), min_size=least, max_size=2)


messages = st.builds(
    lambda said, phase: said | ({"phase": phase} if phase else {}),
    item("message", role=st.just("assistant"), content=st.lists(part, min_size=1, max_size=3)),
    st.none() | st.sampled_from(["commentary", "final_answer"]),
)
calls = item("function_call", call_id=text, name=text, arguments=st.just("{}") | st.just('{"a":1}'))
customs = item("custom_tool_call", call_id=text, name=st.just("run"), input=text)
summaries = item("reasoning", summary=thoughts("summary_text", 1))
in_full = item("reasoning", summary=st.just([]), content=thoughts("reasoning_text", 1))
sealed = item("reasoning", id=st.just("rs_x"), summary=thoughts("summary_text", 0), encrypted_content=text)
searches = item("web_search_call", id=st.just("ws_1"), action=anything)
made_images = item("image_generation_call", id=st.just("ig_1"), result=st.none() | st.just("iVBORw0KGgo="), quality=text)
outputs = st.lists(
    st.one_of(messages, calls, customs, summaries, in_full, sealed, searches, made_images),
    max_size=5,
    unique_by=lambda each: each.get("call_id") or (each["id"] if each["type"] == "image_generation_call" else object()),
)


def written(output: list[Json]) -> list[Json]:
    """The items as an upstream sends them: each with an id of its own."""
    return [{"id": f"up_{index}", **each} for index, each in enumerate(output)]


def bare(output: list[Json]) -> list[Json]:
    """The items without the ids that this server gives them."""
    kept = ("web_search_call", "image_generation_call")
    return [
        {name: value for name, value in each.items() if name != "id" or each["type"] in kept or "encrypted_content" in each}
        for each in output
    ]


def encoded(events: Batch, *, at: int) -> Json:
    """The last response object of a stream whose events come in two batches, and which is read again without an error."""
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    batches = [events[:at], events[at:]]
    body = b"".join(encoder.write(batch) for batch in batches if batch) + encoder.end(events[-1])  # type: ignore[arg-type]
    assert Reading(body).finish is not None
    last = next(line for line in reversed(body.split(b"\n")) if line.startswith(b"data: {"))
    whole: Json = json.loads(last.removeprefix(b"data: "))["response"]
    return whole


@given(output=outputs, unknown=st.dictionaries(st.just("unknown"), anything), cut=st.integers(0, 30))
def test_an_answer_passes_unchanged(output: list[Json], unknown: Json, cut: int) -> None:
    """Streamed or whole, from upstream to caller: each item with all its members, and what the response says beside."""
    body = json.dumps(response(output=written(output), **unknown)).encode()
    items = written(output)
    whole = decode_response(body)
    reading = Reading(stream(created(), *[done(each, index) for index, each in enumerate(items)], completed(**unknown)))
    assert reading.finish is not None
    streamed = [*reading.events, reading.finish]

    answers = [json.loads(OPENAI_RESPONSES.encode_answer(whole, HEAD)), encoded(streamed, at=min(cut, len(streamed) - 1))]

    for answer in answers:
        assert bare(answer["output"]) == (bare(output) or [*bare(answer["output"])])
        assert {name: answer[name] for name in unknown} == unknown


@given(output=outputs)
def test_each_item_of_a_stream_has_one_id(output: list[Json]) -> None:
    """From the event that adds it to the response that holds it: clients know it by that."""
    events = decode_response(json.dumps(response(output=written(output))).encode())
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    body = encoder.write(events) + encoder.end(events[-1])  # type: ignore[arg-type]
    said = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: {")]

    added = [each["item"]["id"] for each in said if each["type"] == "response.output_item.added"]
    finished = [each["item"]["id"] for each in said if each["type"] == "response.output_item.done"]
    spoken = {each["item_id"] for each in said if "item_id" in each}

    assert sorted(added) == sorted(finished)
    assert spoken <= set(added)


def test_parts_of_thoughts_have_a_line_between_them_where_parts_are_unknown() -> None:
    """Of one item and of several, over every other API; over the same one each part has its own text, in deltas too."""
    thoughts = [thought("**A**", "b", id="rs_1"), thought("c", id="rs_2")]
    events = decode_response(json.dumps(response(output=[thoughts[0], message(part_of("x")), thoughts[1]])).encode())

    chat = json.loads(OPENAI_CHAT.encode_answer(events, HEAD))["choices"][0]["message"]
    messages = json.loads(ANTHROPIC_MESSAGES.encode_answer(events, HEAD))["content"]
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    body = encoder.write(events) + encoder.end(events[-1])  # type: ignore[arg-type]
    said = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: {")]

    assert ("x", "**A**\n\nb\n\nc") == (chat["content"], chat["reasoning_content"])
    assert "**A**\n\nb" == messages[0]["thinking"]
    deltas = [each["delta"] for each in said if each["type"] == "response.reasoning_summary_text.delta"]
    assert ["**A**", "b", "c"] == deltas
    output = said[-1]["response"]["output"]
    assert [each["summary"] for each in thoughts] == [each["summary"] for each in output if each["type"] == "reasoning"]


def test_an_image_that_the_model_made_is_one_over_chat_completions() -> None:
    """Streamed and whole; over the same API the item passes as it is."""
    made = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    reading = Reading(stream(created(), done(made), done(message(part_of("x")), 1), completed()))
    assert reading.finish is not None
    events = [*reading.events, reading.finish]

    whole = json.loads(OPENAI_CHAT.encode_answer(events, HEAD))["choices"][0]["message"]
    body = OPENAI_CHAT.encoder(HEAD).write(events)

    assert ([image], "x") == (whole["images"], whole["content"])
    assert b'"delta":{"images":[%b]}' % json.dumps(image, separators=(",", ":")).encode() in body
    output = encoded(events, at=2)["output"]
    assert (made, "message", 2) == (output[0], output[1]["type"], len(output))


def test_an_unknown_reason_keeps_an_answer_incomplete() -> None:
    """Why it is incomplete is the upstream's to name."""
    details = {"reason": "max_tool_calls"}
    events = decode_response(json.dumps(response("incomplete", output=[], incomplete_details=details)).encode())

    for answer in (json.loads(OPENAI_RESPONSES.encode_answer(events, HEAD)), encoded(events, at=1)):
        assert ("incomplete", details, None) == (answer["status"], answer["incomplete_details"], answer["completed_at"])


def test_a_code_that_clients_do_not_know_comes_through_to_ours() -> None:
    """The response names one that they know, and the other beside it."""
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    error = Reading(encoder.write([Started("m"), "Hel"]) + encoder.fail(IncompleteStreamError())).error

    assert error is not None
    assert "upstream_incomplete" == error.code


def test_events_of_an_item_follow_its_beginning() -> None:
    """Of a type that is not known here: under the place that it has here, whatever the upstream's."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}
    about = {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 7}
    whole = {**search, "status": "completed", "action": {"query": "x"}}
    reading = Reading(
        stream(created(), event("output_item.added", output_index=7, item=search), about, done(whole, 7), completed())
    )
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    assert reading.finish is not None
    body = encoder.write(reading.events) + encoder.end(reading.finish)
    said = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: {")][2:]

    assert [
        ("response.output_item.added", 0),
        ("response.web_search_call.searching", 0),
        ("response.output_item.done", 0),
    ] == [(each["type"], each["output_index"]) for each in said[:-1]]
    assert [whole] == said[-1]["response"]["output"]


def test_the_text_of_a_custom_call_comes_once() -> None:
    """With its item, and under the ids of this server; the upstream's own pieces of it are left out."""
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "run", "input": ""}
    pieces = [
        event("custom_tool_call_input.delta", item_id="ctc_1", output_index=0, delta="ls"),
        event("custom_tool_call_input.done", item_id="ctc_1", output_index=0, input="ls"),
    ]
    reading = Reading(
        stream(
            created(),
            event("output_item.added", output_index=0, item=call),
            *pieces,
            done({**call, "input": "ls"}),
            completed(),
        )
    )
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    assert reading.finish is not None
    body = encoder.write(reading.events) + encoder.end(reading.finish)
    said = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n") if line.startswith(b"data: {")]

    assert ["ls"] == [each["delta"] for each in said if "delta" in each]
    assert {"ctc_abc_0"} == {each["item_id"] for each in said if "item_id" in each}
