"""The work to read an answer of an upstream, and to write it, grows in proportion to the answer: one event that holds many
parts, or many events that begin what they do not end, must not hold all other callers up. So does that of a request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from autonomousai.events import Batch, Extra, FinishReason, Started, ToolCallDelta
from autonomousai.testing import gemini_chunks, gemini_event
from autonomousai.wires.anthropic_messages.upstream_request import write_messages_request
from autonomousai.wires.base import AnswerHead, Wire
from autonomousai.wires.google_gemini.upstream_wire import GEMINI_UPSTREAM
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES
from tests.support.lines import lines
from tests.wires import messages_streams as messages
from tests.wires.responses import added, call, completed, created, delta, done, message, part, stream, summary, thought

Json = dict[str, Any]

HEAD = AnswerHead("x_1", 1, "m")
STOP = FinishReason("stop", "finish_reason")
FEW, MANY = 40, 400

#: Much less than the square of how many more there are.
_TIMES = 2 * MANY // FEW


def each(kind: str, n: int) -> list[Json]:
    """So many output items."""
    made: dict[str, Callable[[int], Json]] = {
        "calls": lambda i: call(id=f"fc_{i}", call_id=f"call_{i}"),
        "calls of one id": lambda i: call(),
        "custom calls": lambda i: {"type": "custom_tool_call", "id": f"c{i}", "call_id": f"k{i}", "name": "f", "input": "x"},
        "messages": lambda i: message(part("x"), id=f"msg_{i}"),
        "messages without ids": lambda i: {"type": "message", "content": [part("x")]},
        "reasoning": lambda i: thought("x", id=f"rs_{i}"),
        "images": lambda i: {"type": "image_generation_call", "id": f"ig_{i}", "result": "AAAA"},
        "other items": lambda i: {"type": "web_search_call", "id": f"ws_{i}"},
    }
    return [made[kind](index) for index in range(n)]


KINDS = ("calls", "calls of one id", "custom calls", "messages", "messages without ids", "reasoning", "images", "other items")

#: A piece of text that says what it rests on.
GROUNDED = gemini_event(
    {
        "candidates": [
            {
                "content": {"parts": [{"text": "ä"}]},
                "groundingMetadata": {"groundingChunks": [{"web": {"uri": "http://a/"}}]},
            }
        ]
    }
)

#: Bodies of upstreams with so many parts, by the wire.
BODIES: dict[str, tuple[Wire, Callable[[int], bytes]]] = {
    **{
        f"a response of {kind}": (OPENAI_RESPONSES, lambda n, kind=kind: stream(created(), completed(*each(kind, n))))
        for kind in KINDS
    },
    **{
        f"a stream of {kind}": (
            OPENAI_RESPONSES,
            lambda n, kind=kind: stream(
                created(),
                *[event for i, item in enumerate(each(kind, n)) for event in (added(item, i), done(item, i))],
                completed(*each(kind, n)),
            ),
        )
        for kind in KINDS
    },
    "parts of a message": (OPENAI_RESPONSES, lambda n: stream(created(), completed(message(*[part("x")] * n)))),
    "pieces of parts": (OPENAI_RESPONSES, lambda n: stream(created(), *[delta("x", place=i) for i in range(n)], completed())),
    "parts of a summary": (OPENAI_RESPONSES, lambda n: stream(created(), *[summary("x", i) for i in range(n)], completed())),
    "calls that are not ended": (
        OPENAI_RESPONSES,
        lambda n: stream(
            created(), *[added({**item, "arguments": "{"}, i) for i, item in enumerate(each("calls", n))], completed()
        ),
    ),
    "blocks of calls": (
        ANTHROPIC_MESSAGES,
        lambda n: messages.sse(
            messages.start(),
            *[
                event
                for i in range(n)
                for event in (messages.block(i, "tool_use"), messages.arguments("{}", i), messages.stop(i))
            ],
            messages.end("tool_use"),
            messages.STOP,
        ),
    ),
    "blocks of calls that are not ended": (
        ANTHROPIC_MESSAGES,
        lambda n: messages.sse(
            messages.start(), *[messages.block(i, "tool_use") for i in range(n)], messages.end("tool_use"), messages.STOP
        ),
    ),
    "blocks in the beginning of a message": (
        ANTHROPIC_MESSAGES,
        lambda n: messages.sse(
            messages.start(content=[messages.block(i, "tool_use")["content_block"] for i in range(n)]),
            messages.end("tool_use"),
            messages.STOP,
        ),
    ),
    "calls of Gemini": (GEMINI_UPSTREAM, lambda n: gemini_chunks(*[{"functionCall": {"id": "x", "name": "f"}}] * n)),
    "what each piece of Gemini's rests on": (GEMINI_UPSTREAM, lambda n: b"".join([*[GROUNDED] * n, gemini_chunks("x")])),
    "blocks of text": (
        ANTHROPIC_MESSAGES,
        lambda n: messages.sse(
            messages.start(),
            *[event for i in range(n) for event in (messages.block(i), messages.text("x", i), messages.stop(i))],
            messages.end(),
            messages.STOP,
        ),
    ),
}


def read(wire: Wire, body: bytes) -> Batch:
    decoder = wire.decoder()
    return [*decoder.feed(body), decoder.finish()]


def write(wire: Wire, events: Batch) -> None:
    """Write *events* as a stream, and as a document."""
    finish = events[-1]
    assert isinstance(finish, FinishReason)
    encoder = wire.encoder(HEAD)
    encoder.write(events[:-1])
    encoder.end(finish)
    wire.encode_answer(events, HEAD)


@pytest.mark.parametrize("name", BODIES)
def test_reading_what_upstreams_send(name: str) -> None:
    """Ten times as many parts are no hundred times the work, over each wire."""
    wire, body_of = BODIES[name]
    few, many = (lines(lambda n=n: read(wire, body_of(n))) for n in (FEW, MANY))  # type: ignore[misc]

    assert many < _TIMES * few


@pytest.mark.parametrize("to", [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES], ids=lambda wire: wire.name)
@pytest.mark.parametrize("name", BODIES)
def test_writing_what_upstreams_send(name: str, to: Wire) -> None:
    """The same, of every wire over every other."""
    wire, body_of = BODIES[name]
    answers = [read(wire, body_of(n)) for n in (FEW, MANY)]
    few, many = (lines(lambda events=events: write(to, events)) for events in answers)  # type: ignore[misc]

    assert many < _TIMES * few


#: Pieces of calls that upstreams of chat completions stream at once.
AT_ONCE: dict[str, Callable[[int], Batch]] = {
    "names alone": lambda n: [ToolCallDelta(i, f"c{i}", "f") for i in range(n)],
    "no ends": lambda n: [ToolCallDelta(i, f"c{i}", "f", "{") for i in range(n)],
    "ends behind all": lambda n: (
        [ToolCallDelta(i, f"c{i}", "f", "{") for i in range(n)] + [ToolCallDelta(i, arguments="}") for i in range(n)]
    ),
    "ends in the other order": lambda n: (
        [ToolCallDelta(i, f"c{i}", "f", "{") for i in range(n)] + [ToolCallDelta(i, arguments="}") for i in reversed(range(n))]
    ),
    "names behind all": lambda n: (
        [ToolCallDelta(i, f"c{i}") for i in range(n)] + [ToolCallDelta(i, None, "f", "{}") for i in range(n)]
    ),
    "no names": lambda n: [ToolCallDelta(i, f"c{i}", None, "{}") for i in range(n)],
    "one id": lambda n: [ToolCallDelta(i, "c", "f", "{}") for i in range(n)],
    "text between them": lambda n: [event for i in range(n) for event in (ToolCallDelta(i, f"c{i}", "f", "{"), "x")],
    "many pieces of one": lambda n: [ToolCallDelta(0, "c", "f", "{"), "x", *[ToolCallDelta(0, arguments=" ")] * n],
}


@pytest.mark.parametrize("to", [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES], ids=lambda wire: wire.name)
@pytest.mark.parametrize("name", AT_ONCE)
def test_writing_calls_that_come_at_once(name: str, to: Wire) -> None:
    """However they begin and end."""
    few, many = (
        lines(lambda n=n: write(to, [Started("m"), *AT_ONCE[name](n), STOP]))  # type: ignore[misc]
        for n in (FEW, MANY)
    )

    assert many < _TIMES * few


def many_calls(n: int) -> bytes:
    """A request with as many calls, whose ids are no ids over Messages, and become the same there."""
    calls = [{"id": chr(0x4E00 + i), "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in range(n)]
    results = [{"role": "tool", "tool_call_id": each["id"], "content": "x"} for each in calls]
    told = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    return json.dumps({"model": "m", "messages": told}).encode()


def test_ids_that_become_the_same() -> None:
    """A caller's: each gets another one, and none is longer than those before it by more than its number."""
    requests = [OPENAI_CHAT.decode_request(many_calls(n), "/v1/chat/completions") for n in (FEW, MANY)]
    few, many = (lines(lambda each=each: write_messages_request(each, "m", max_tokens=9)) for each in requests)  # type: ignore[misc]
    written = json.loads(write_messages_request(requests[1], "m", max_tokens=9))["messages"]
    ids = [block["id"] for block in written[1]["content"]]

    assert many < _TIMES * few
    assert (MANY, True) == (len(set(ids)), max(map(len, ids)) < len("__") + len(str(MANY)) + 1)
    assert ids == [block["tool_use_id"] for block in written[2]["content"]]


def test_what_is_bound_to_a_piece_waits_with_it() -> None:
    """A member of a delta that waits is not written with another one."""
    bound = Extra({"delta": {"more": 1}}, 1, "anthropic_messages")
    events: Batch = [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(1, "b", "g", "{"), bound, ToolCallDelta(1, arguments="}")]
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    body = encoder.write([Started("m"), *events, ToolCallDelta(0, arguments="}")]) + encoder.end(STOP)

    pieces = [line for line in body.split(b"\n") if b"input_json_delta" in line]

    assert [b'"{"', b'"}"', b'"{"', b'"}"'] == [line.rpartition(b'"partial_json":')[2][:3] for line in pieces]
    assert [False, False, False, True] == [b'"more":1' in line for line in pieces]


# ---- an agent's request: instructions, tools, and a conversation of calls and their results

SCHEMA = {
    "type": "object",
    "properties": {f"path_{i}": {"type": "string", "description": "A file of the project."} for i in range(6)},
    "required": ["path_0"],
}
ARGUMENTS = {"path_0": "src/main.py", "path_1": "x"}


def agents_request(wire: Wire, turns: int, tools: int) -> bytes:
    """A request with so many calls and their results, and so many tools, as an agent writes it."""
    names = [f"Tool{i}" for i in range(tools)]
    said, result = "I look at it.", "def f(): pass\n" * 60
    calls = [(f"call_{i}", json.dumps(ARGUMENTS)) for i in range(turns)]
    more: dict[Wire, Callable[[], Json]] = {
        OPENAI_CHAT: lambda: {
            "tools": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in names],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Mend it."},
                *(
                    each
                    for call_id, arguments in calls
                    for each in (
                        {
                            "role": "assistant",
                            "content": said,
                            "tool_calls": [
                                {"id": call_id, "type": "function", "function": {"name": "Tool0", "arguments": arguments}}
                            ],
                        },
                        {"role": "tool", "tool_call_id": call_id, "content": result},
                    )
                ),
            ],
        },
        ANTHROPIC_MESSAGES: lambda: {
            "max_tokens": 32000,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": name, "input_schema": SCHEMA} for name in names],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Mend it."}]},
                *(
                    each
                    for call_id, _ in calls
                    for each in (
                        {
                            "role": "assistant",
                            "content": [
                                {"type": "text", "text": said},
                                {"type": "tool_use", "id": call_id, "name": "Tool0", "input": ARGUMENTS},
                            ],
                        },
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": result}]},
                    )
                ),
            ],
        },
        OPENAI_RESPONSES: lambda: {
            "instructions": "Be brief.",
            "store": False,
            "tools": [{"type": "function", "name": name, "parameters": SCHEMA} for name in names],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Mend it."}]},
                *(
                    each
                    for call_id, arguments in calls
                    for each in (
                        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]},
                        {"type": "function_call", "call_id": call_id, "name": "Tool0", "arguments": arguments},
                        {"type": "function_call_output", "call_id": call_id, "output": result},
                    )
                ),
            ],
        },
    }
    return json.dumps({"model": "m", "stream": True, **more[wire]()}).encode()


#: Lines of Python that a call with its result takes, and a tool, from the caller's body to the upstream's; a tenth more is
#: no fault.
LINES_OF_AN_AGENT: dict[tuple[Wire, Wire], tuple[int, int]] = {
    (OPENAI_CHAT, OPENAI_CHAT): (118, 301),
    (OPENAI_CHAT, ANTHROPIC_MESSAGES): (267, 364),
    (OPENAI_CHAT, OPENAI_RESPONSES): (192, 315),
    (ANTHROPIC_MESSAGES, OPENAI_CHAT): (410, 280),
    (ANTHROPIC_MESSAGES, ANTHROPIC_MESSAGES): (458, 160),
    (ANTHROPIC_MESSAGES, OPENAI_RESPONSES): (484, 294),
    (OPENAI_RESPONSES, OPENAI_CHAT): (372, 322),
    (OPENAI_RESPONSES, ANTHROPIC_MESSAGES): (531, 391),
    (OPENAI_RESPONSES, OPENAI_RESPONSES): (381, 202),
}


@pytest.mark.parametrize(("caller", "upstream"), LINES_OF_AN_AGENT, ids=lambda wire: wire.name)
def test_an_agents_request_takes_little_for_each_part(caller: Wire, upstream: Wire) -> None:
    """Whoever asks, and whoever answers: no value is looked at again in each layer."""

    def work(turns: int, tools: int) -> int:
        body = agents_request(caller, turns, tools)
        return lines(lambda: upstream.encode_request(caller.decode_request(body, caller.paths[0]), "m"))

    work(2, 2)
    few = work(FEW, FEW)

    turn, tool = (work(MANY, FEW) - few) / (MANY - FEW), (work(FEW, MANY) - few) / (MANY - FEW)

    most = LINES_OF_AN_AGENT[caller, upstream]
    assert (turn <= 1.1 * most[0], tool <= 1.1 * most[1]) == (True, True), (turn, tool)
