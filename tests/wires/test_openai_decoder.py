"""Streamed answers: what real servers send becomes the same events however it is cut, and no end is believed without proof."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import IncompleteStreamError, StreamError
from autonomousai.events import Batch, ChoiceEvent, FinishReason, Images, Reasoning, Refusal, Started, ToolCallDelta, Usage
from autonomousai.wires.openai_chat.chunks import CallPiece, FunctionPiece
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.tool_calls import ToolCallIndexer
from autonomousai.wires.unreadable import REPLACED
from tests.support.lines import lines
from tests.wires.answers import DONE, FINISH, ROLE, USAGE, Json, Outcome, call, calls, chunk, leniently, plain, sse, text, usage
from tests.wires.conftest import NEW_ID
from tests.wires.cutting import every_byte

COUNTED = Usage(3, 2, 5)
STOP = FinishReason("stop", "finish_reason", None, "m")
STOP_COUNTED = FinishReason("stop", "finish_reason", COUNTED, "m")
NOTHINGS = ("", "null", "None", " NONE ", "undefined")
SIGNS_OF_LIFE = ("null", "[]", '""', "ping", "keep-alive", ": keep-alive", "HEARTBEAT")
DONES = ("[done]", '"[DONE]"', "DONE")
BROKEN = (
    *("abort", "error", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "FinishReason.ABORT"),
    *("server-error", "cancelled", "timeout"),
)


def other(reason: str) -> Json:
    """A chunk that ends the second choice."""
    return chunk(choices=[{"index": 1, "delta": {}, "finish_reason": reason}])


def detail(kind: str = "text", **said: str) -> Json:
    """One of OpenRouter's details of reasoning."""
    return {"type": f"reasoning.{kind}", "format": "unknown", "index": 0, **said}


def details(kind: str = "text", **said: str) -> Json:
    """A chunk with reasoning in details alone."""
    return chunk({"content": "", "reasoning": None, "reasoning_details": [detail(kind, **said)]})


def whole(content: str, reason: str | None = None) -> Json:
    """A chunk with a message in the place of its delta."""
    return chunk(choices=[{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}])


def unframed(*events: Json | str) -> bytes:
    """Events without the blank lines between them."""
    return sse(*events).replace(b"\n\n", b"\n")


def choice_with_usage() -> Json:
    return chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}])


MENDED = FinishReason("stop", "finish_reason", None, "m", None, (REPLACED,))
BY_DONE = FinishReason(None, "done", None, "m")
CALLED = FinishReason("tool_calls", "done", None, "m")
CALLS = FinishReason("tool_calls", "finish_reason", None, "m")
BY_USAGE = FinishReason(None, "usage", COUNTED, "m")
CUT = IncompleteStreamError

Delta = ToolCallDelta


def second(*pieces_of_calls: Json, reason: str | None = None, content: str = "") -> Json:
    """A chunk of the second choice."""
    said = {"content": content, "tool_calls": list(pieces_of_calls)}
    return chunk(choices=[{"index": 1, "delta": said, "finish_reason": reason}])


def end(reason: str, usage: Usage | None = None, model: str | None = "m") -> FinishReason:
    return FinishReason(reason, "finish_reason", usage, model)


#: what it shows, stream, events, end
CASES: list[tuple[str, bytes, Batch, Any]] = [
    ("a plain answer", sse(ROLE, text("Hel"), text("lo"), FINISH, DONE), ["Hel", "lo"], STOP),
    ("no space, CRLF", sse(text("a"), FINISH).replace(b"data: ", b"data:").replace(b"\n", b"\r\n"), ["a"], STOP),
    ("events with ids", sse(b"id: 1\n", text("a"), b"id: 2\n", text("b"), b"id: 3\n", FINISH), ["a", "b"], STOP),
    ("content absent, null, empty", sse(text("a"), chunk(), text(None), text(""), text("b"), FINISH), ["a", "b"], STOP),
    (
        "delta null or absent",
        sse(chunk(choices=[{"delta": None}]), chunk(choices=[{"index": 0}]), text("a"), FINISH),
        ["a"],
        STOP,
    ),
    ("the text 'data: '", sse(text("data: x"), text("\ndata: y\n\n"), FINISH), ["data: x", "\ndata: y\n\n"], STOP),
    (
        "any script",
        sse(text("ä€😀"), '{"model":"m","choices":[{"delta":{"content":"ä€😀\u2028"}}]}', FINISH),
        ["ä€😀", "ä€😀\u2028"],
        STOP,
    ),
    ("quotes and escapes", sse(text('"'), text("\\"), text('\\"\n\0'), FINISH), ['"', "\\", '\\"\n\0'], STOP),
    # -- where the end is named, and what proves it
    ("reason at the top level", sse(text("a"), chunk(finish_reason="stop")), ["a"], STOP),
    ("reason in Google's letters", sse(text("a"), chunk(choices=[{"delta": {}, "finishReason": "stop"}])), ["a"], STOP),
    ("reason at both places", sse(text("a"), chunk(reason="stop", finish_reason="stop")), ["a"], STOP),
    ("reason without choices", sse(text("a"), chunk(choices=[], finish_reason="stop")), ["a"], STOP),
    ("reason alone", sse({"finish_reason": "length"}), [], end("length", model=None)),
    ("reason with the last text", sse(chunk({"content": "a"}, "length")), ["a"], end("length")),
    ("reason empty", sse(chunk({"content": "a"}, ""), chunk({"content": "b"}, "", finish_reason="")), ["a", "b"], CUT),
    ("reason of an odd type", sse(chunk({"content": "a"}, 0, finish_reason=[]), DONE), ["a"], BY_DONE),
    ("[DONE] alone", sse(text("a"), DONE), ["a"], BY_DONE),
    ("[DONE] with spaces", sse(text("a"), " [DONE] "), ["a"], BY_DONE),
    ("[DONE] and nothing else", sse(DONE), [], CUT),
    ("[DONE] and more", sse(text("a"), DONE, text("b"), "nonsense"), ["a"], BY_DONE),
    ("no end", sse(text("a"), text("b")), ["a", "b"], CUT),
    ("nothing at all", b"", [], CUT),
    ("comments alone", b": ping\n\n" * 3, [], CUT),
    ("an end without its blank line", sse(text("a"), FINISH)[:-1], ["a"], STOP),
    ("an end without any line end", sse(text("a"), FINISH)[:-2], ["a"], STOP),
    ("half an end", sse(text("a"), FINISH)[:-3], ["a"], CUT),
    ("[DONE] without its line end", sse(text("a"), DONE)[:-2], ["a"], BY_DONE),
    ("half a [DONE]", sse(text("a"), DONE)[:-3], ["a"], CUT),
    ("a last text without its blank line", sse(text("a"), text("b"))[:-2], ["a", "b"], CUT),
    (
        "an error in a field of its own, and [DONE]",
        sse(ROLE, text("a"), b'error: {"code":400,"message":"exceeds the available context size","type":"m"}\n\n', DONE),
        ["a"],
        "context_length_exceeded",
    ),
    (
        "an error in the member of Groq, and [DONE]",
        sse(ROLE, chunk(choices=[], x_groq={"error": "over capacity"}), DONE),
        [],
        StreamError,
    ),
    ("a role and [DONE]", sse(ROLE, DONE), [], CUT),
    (
        "an error behind an event that was not ended",
        sse(text("a"), b'data: {"choices":[{"in\n', {"error": {"message": "m", "code": "c"}}),
        ["a"],
        "c",
    ),
    ("a half event, and more behind it", sse(text("a"), b'data: {"choices":[{"in\n', {"id": "x"}), ["a"], "unreadable_event"),
    ("an error without its blank line", sse(text("a"), {"error": {"message": "m", "code": "c"}})[:-1], ["a"], "c"),
    # -- reasons that end nothing
    *[(f"the reason {word!r}", sse(chunk({"content": "a"}, word), text("b"), DONE), ["a", "b"], BY_DONE) for word in NOTHINGS],
    ("the reason 'null' and no end", sse(text("a"), chunk(reason="null")), ["a"], CUT),
    ("a reason before the first word", sse(FINISH, text("a"), text("b")), ["a", "b"], CUT),
    ("a reason before the first word, and an end", sse(FINISH, text("a"), FINISH), ["a"], STOP),
    (
        "a reason and usage before the first word",
        sse(chunk(reason="stop", usage=USAGE), text("a"), FINISH),
        ["a"],
        STOP_COUNTED,
    ),
    # -- reasons that say that the answer broke off
    *[(f"broken off: {word}", sse(text("a"), chunk(reason=word), DONE), ["a"], "broken_off") for word in BROKEN],
    ("broken off with an error", sse(text("a"), chunk(reason="error", error={"message": "m", "code": "c"})), ["a"], "c"),
    (
        "broken off, in the words of the server behind this one",
        sse(text("a"), chunk(choices=[{"delta": {}, "finish_reason": "stop", "native_finish_reason": "network_error"}]), DONE),
        ["a"],
        "broken_off",
    ),
    ("broken off beside text", sse(chunk({"content": "a"}, "abort")), ["a"], "broken_off"),
    ("another choice broke off", sse(text("a"), other("abort"), FINISH, DONE), ["a"], "broken_off"),
    ("an unknown reason", sse(text("a"), chunk(reason="eos")), ["a"], FinishReason("eos", "finish_reason", None, "m")),
    # -- places that are not the usual ones
    ("a message instead of a delta", sse(chunk(choices=[{"message": {"content": "a"}}]), FINISH), ["a"], STOP),
    ("usage in a member of Groq's", sse(text("a"), chunk(reason="stop", x_groq={"usage": USAGE}), DONE), ["a"], STOP_COUNTED),
    ("usage in the choice", sse(text("a"), choice_with_usage(), DONE), ["a"], STOP_COUNTED),
    # -- usage
    ("usage in a chunk of its own", sse(text("a"), FINISH, usage(), DONE), ["a"], STOP_COUNTED),
    ("usage with the reason", sse(text("a"), chunk(reason="stop", usage=USAGE), DONE), ["a"], STOP_COUNTED),
    ("usage as evidence", sse(text("a"), usage()), ["a"], BY_USAGE),
    ("choices null", sse(text("a"), chunk(choices=None, usage=USAGE)), ["a"], BY_USAGE),
    ("choices absent", sse(text("a"), {"usage": USAGE}), ["a"], BY_USAGE),
    ("usage before the text", sse(usage(), text("a")), ["a"], CUT),
    ("usage before anything", sse(usage()), [], CUT),
    ("usage in the middle", sse(text("a"), usage(), text("b"), text("c")), ["a", "b", "c"], CUT),
    ("usage, then a sign of life", sse(text("a"), usage(), b": ping\n\n", {}), ["a"], BY_USAGE),
    (
        "usage and a reason on every chunk",
        sse(*[chunk({"content": content}, "stop", usage=USAGE) for content in "abc"]),
        ["a", "b", "c"],
        CUT,
    ),
    ("usage on every chunk", sse(text("a", usage={"prompt_tokens": 3}), text("b", usage=USAGE)), ["a", "b"], CUT),
    (
        "usage on every chunk, and an empty one",
        sse(text("a"), text("b", usage=USAGE), text("c", usage={}), DONE),
        ["a", "b", "c"],
        FinishReason(None, "done", COUNTED, "m"),
    ),
    (
        "usage on every chunk, the last counts",
        sse(text("a", usage={"prompt_tokens": 3}), chunk(reason="stop", usage=USAGE)),
        ["a"],
        STOP_COUNTED,
    ),
    (
        "usage in two chunks behind the reason",
        sse(text("a"), FINISH, usage(completion_tokens=None, total_tokens=None), {"usage": {"completion_tokens": 2}}, DONE),
        ["a"],
        STOP_COUNTED,
    ),
    (
        "usage in two chunks, with a price in the first",
        sse(text("a"), FINISH, {"usage": {"prompt_tokens": 3, "cost": 0.5}}, {"usage": {"completion_tokens": 2}}, DONE),
        ["a"],
        FinishReason("stop", "finish_reason", Usage(3, 2, 5, extra={"cost": 0.5}), "m"),
    ),
    ("a content that is an empty object", sse(text("a"), chunk({"content": {}}), FINISH, DONE), ["a"], STOP),
    (
        "usage, and then zeros",
        sse(text("a", usage=USAGE), chunk(reason="stop", usage=dict.fromkeys(USAGE, 0)), DONE),
        ["a"],
        STOP_COUNTED,
    ),
    (
        "usage of the prompt first, and of the answer last",
        sse(text("a", usage={"input_tokens": 3, "output_tokens": 0}), FINISH, usage(prompt_tokens=0), DONE),
        ["a"],
        STOP_COUNTED,
    ),
    ("usage null", sse(text("a", usage=None), chunk(reason="stop", usage=None), usage(), DONE), ["a"], STOP_COUNTED),
    (
        "usage without a total",
        sse(text("a"), FINISH, chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2.0})),
        ["a"],
        end("stop", Usage(1, 2, 3)),
    ),
    (
        "usage in detail",
        sse(FINISH, usage(prompt_tokens_details={"cached_tokens": 1}, completion_tokens_details={"reasoning_tokens": 0})),
        [],
        end("stop", Usage(3, 2, 5, 1, 0)),
    ),
    (
        "usage of odd types",
        sse(FINISH, usage(total_tokens="5", completion_tokens=True, prompt_tokens_details=7)),
        [],
        end("stop", Usage(3, 0, 5, extra={"prompt_tokens_details": 7})),
    ),
    (
        "usage in the words of other APIs",
        sse(text("a"), FINISH, chunk(choices=[], usage={"input_tokens": 3, "output_tokens": 2})),
        ["a"],
        end("stop", Usage(3, 2, 5, extra={"input_tokens": 3, "output_tokens": 2})),
    ),
    (
        "usage in the words of JavaScript",
        sse(text("a"), FINISH, chunk(choices=[], usage={"promptTokens": 3, "completionTokens": 2, "totalTokens": 5})),
        ["a"],
        end("stop", Usage(3, 2, 5, extra={"promptTokens": 3, "completionTokens": 2, "totalTokens": 5})),
    ),
    (
        "usage in the words of Ollama",
        sse(text("a"), FINISH, chunk(choices=[], usage={"prompt_eval_count": 3, "eval_count": 2})),
        ["a"],
        end("stop", Usage(3, 2, 5, extra={"prompt_eval_count": 3, "eval_count": 2})),
    ),
    (
        "usage of null under one name, and counted under another",
        sse(text("a"), FINISH, chunk(choices=[], usage={"prompt_tokens": None, "input_tokens": 3, "output_tokens": 2})),
        ["a"],
        end("stop", Usage(3, 2, 5, extra={"input_tokens": 3, "output_tokens": 2})),
    ),
    (
        "details of usage in the words of Responses",
        sse(FINISH, usage(input_tokens_details={"cached_tokens": 1}, output_tokens_details={"reasoning_tokens": 2})),
        [],
        end(
            "stop",
            Usage(
                *(3, 2, 5, 1, 2),
                extra={"input_tokens_details": {"cached_tokens": 1}, "output_tokens_details": {"reasoning_tokens": 2}},
            ),
        ),
    ),
    (
        "tokens of reasoning beside the counts (Perplexity)",
        sse(FINISH, usage(reasoning_tokens=2)),
        [],
        end("stop", Usage(3, 2, 5, None, 2, extra={"reasoning_tokens": 2})),
    ),
    (
        "usage that counts nothing",
        sse(text("a"), chunk(choices=[], usage={"cost": 1}), chunk(choices=[], usage=[])),
        ["a"],
        CUT,
    ),
    # -- who answers
    ("the model's name comes late", sse(chunk(model="", choices=[], prompt_filter_results=[]), text("a"), FINISH), ["a"], STOP),
    (
        "no model",
        sse({"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"finish_reason": "stop"}]}),
        ["a"],
        end("stop", model=None),
    ),
    ("a model of an odd type", sse(text("a", model=None), text("b", model=7), FINISH), ["a", "b"], STOP),
    (
        "another model ends it",
        sse(text("a"), text("b"), chunk(reason="stop", model="n")),
        ["a", "b"],
        FinishReason("stop", "finish_reason", None, "n"),
    ),
    (
        "another model in between",
        sse(text("a"), text("b"), text("c", model="n"), DONE),
        ["a", "b", "c"],
        BY_DONE,
    ),
    (
        "another model counts the tokens",
        sse(text("a"), usage() | {"model": "n"}),
        ["a"],
        FinishReason(None, "usage", COUNTED, "n"),
    ),
    # -- what else may be said
    (
        "reasoning",
        sse(chunk({"reasoning_content": "hm"}), chunk({"reasoning": "so"}), text("a"), FINISH),
        [Reasoning("hm"), Reasoning("so"), "a"],
        STOP,
    ),
    (
        "reasoning by other names",
        sse(chunk({"reasoning_text": "hm"}), chunk({"thinking": "so"}), text("a"), FINISH),
        [Reasoning("hm"), Reasoning("so"), "a"],
        STOP,
    ),
    (
        "reasoning at both places",
        sse(chunk({"reasoning_content": "hm", "reasoning": "hm", "content": "a"}), FINISH),
        [Reasoning("hm"), "a"],
        STOP,
    ),
    (
        "reasoning empty beside text",
        sse(chunk({"reasoning_content": "", "content": "a"}), chunk({"reasoning": None, "content": "b"}), FINISH),
        ["a", "b"],
        STOP,
    ),
    (
        "reasoning in parts",
        sse(text([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]), FINISH),
        [Reasoning("hm"), "a"],
        STOP,
    ),
    (
        "reasoning in details alone",
        sse(
            details(text="h"),
            details(text="m"),
            details("summary", summary="so"),
            details("encrypted", data="x"),
            text("a"),
            FINISH,
        ),
        [Reasoning("h"), Reasoning("m"), Reasoning("so"), "a"],
        STOP,
    ),
    (
        "reasoning as text, and in details, beside it and behind it",
        sse(chunk({"reasoning": "hm", "reasoning_details": [detail(text="hm")]}), details(text="hm"), text("a"), FINISH),
        [Reasoning("hm"), "a"],
        STOP,
    ),
    (
        "reasoning in blocks alone",
        sse(chunk({"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}), text("a"), FINISH),
        [Reasoning("hm"), "a"],
        STOP,
    ),
    (
        "reasoning in parts of other types",
        sse(
            text([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}]),
            text([{"type": "reasoning", "text": "so"}, {"type": "text", "text": "a"}]),
            FINISH,
        ),
        [Reasoning("hm"), Reasoning("so"), "a"],
        STOP,
    ),
    (
        "a call and a refusal among the parts",
        sse(
            text([{"type": "tool_use", "id": "x", "name": "f", "input": {"a": 1}}, {"type": "refusal", "refusal": "no"}]),
            FINISH,
        ),
        [Refusal("no"), Delta(0, "x", "f", '{"a":1}')],
        CALLS,
    ),
    (
        "a refusal",
        sse(chunk({"refusal": "I"}), chunk({"content": None, "refusal": " won't"}), FINISH),
        [Refusal("I"), Refusal(" won't")],
        STOP,
    ),
    (
        "an older completion",
        sse({"model": "m", "choices": [{"text": "a", "index": 0}]}, {"choices": [{"text": "", "finish_reason": "stop"}]}),
        ["a"],
        STOP,
    ),
    (
        "several choices",
        sse(
            chunk(
                choices=[
                    {"index": 1, "delta": {"content": "x"}, "finish_reason": "length"},
                    {"index": 0, "delta": {"content": "a"}},
                ]
            ),
            FINISH,
        ),
        ["a"],
        STOP,
    ),
    (
        "another choice's chunk",
        sse(text("a"), chunk(choices=[{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]), text("b")),
        ["a", "b"],
        CUT,
    ),
    (
        "another choice's text, without its end",
        sse(text("a"), text("b"), chunk(choices=[{"index": 1, "delta": {"content": "x"}}]), text("c"), FINISH),
        ["a", "b", "c"],
        CUT,
    ),
    (
        "more than text, after texts",
        sse(
            *[text("a"), text("b"), chunk({"content": "c", "reasoning": "hm"})],
            *[text("a"), text("b"), chunk({"content": "c", "reasoning_content": "hm"})],
            *[text("a"), text("b"), chunk({"content": "c", "refusal": "no"})],
            *[text("a"), text("b"), chunk({"content": "c", "tool_calls": [call(0, "1")]})],
            *[text("a"), text("b"), chunk({"content": "c", "function_call": {"arguments": "1"}})],
            *[text("a"), text("b"), text("c", usage=USAGE), DONE],
        ),
        [
            *["a", "b", Reasoning("hm"), "c"] * 2,
            *["a", "b", "c", Refusal("no")],
            *["a", "b", "c", Delta(0, NEW_ID, None, "1"), "a", "b", "c", Delta(0, None, None, "1")],
            *["a", "b", "c"],
        ],
        FinishReason("tool_calls", "done", COUNTED, "m"),
    ),
    # -- tool calls
    (
        "a tool call",
        sse(
            calls(call(0, "", id="x", name="f", type="function")),
            calls(call(0, '{"a"')),
            calls(call(0, ":1}")),
            chunk(reason="tool_calls"),
        ),
        [Delta(0, "x", "f"), Delta(0, None, None, '{"a"'), Delta(0, None, None, ":1}")],
        end("tool_calls"),
    ),
    (
        "two tool calls",
        sse(calls(call(0, "1", id="x", name="f"), call(1, "2", id="y", name="g")), calls(call(0, "3"), call(1, "4")), FINISH),
        [Delta(0, "x", "f", "1"), Delta(1, "y", "g", "2"), Delta(0, None, None, "3"), Delta(1, None, None, "4")],
        CALLS,
    ),
    (
        "text and a tool call",
        sse(chunk({"content": "a", "tool_calls": [call(0, "1", id="x", name="f")]}), FINISH),
        ["a", Delta(0, "x", "f", "1")],
        CALLS,
    ),
    (
        "tool calls null or empty",
        sse(chunk({"content": "a", "tool_calls": None}), chunk({"content": "b", "tool_calls": []}), FINISH),
        ["a", "b"],
        STOP,
    ),
    (
        "without an index",
        sse(calls(call(None, "1", id="x", name="f")), calls(call(None, "2")), calls(call(None, "3", id="y", name="g")), FINISH),
        [Delta(0, "x", "f", "1"), Delta(0, None, None, "2"), Delta(1, "y", "g", "3")],
        CALLS,
    ),
    (
        "without an index or an id",
        sse(calls(call(None, "1", name="f"), call(None, "2", name="f")), FINISH),
        [Delta(0, NEW_ID, "f", "1"), Delta(1, NEW_ID, "f", "2")],
        CALLS,
    ),
    (
        "all with the index 0",
        sse(calls(call(0, "1", id="x", name="f")), calls(call(0, "2", id="y", name="f")), calls(call(0, "3")), FINISH),
        [Delta(0, "x", "f", "1"), Delta(1, "y", "f", "2"), Delta(1, None, None, "3")],
        CALLS,
    ),
    (
        "a new id for every piece",
        sse(calls(call(0, "1", id="x", name="f")), calls(call(0, "2", id="y")), FINISH),
        [Delta(0, "x", "f", "1"), Delta(0, None, None, "2")],
        CALLS,
    ),
    (
        "the id comes late",
        sse(calls(call(0, "", name="f")), calls(call(0, "1", id="x", name="f")), FINISH),
        [Delta(0, NEW_ID, "f"), Delta(0, None, None, "1")],
        CALLS,
    ),
    (
        "calls of one index without ids, each whole",
        sse(calls(call(0, '{"a":', name="f"), call(0, "1}")), calls(call(0, "{}", name="f")), FINISH),
        [Delta(0, NEW_ID, "f", '{"a":'), Delta(0, None, None, "1}"), Delta(1, NEW_ID, "f"), Delta(1, None, None, "{}")],
        CALLS,
    ),
    (
        "id and name in every piece",
        sse(
            calls(call(0, "", id="x", name="f")),
            calls(call(0, "1", id="x", name="f")),
            calls(call(0, "2", id="x", name="f")),
            FINISH,
        ),
        [Delta(0, "x", "f"), Delta(0, None, None, "1"), Delta(0, None, None, "2")],
        CALLS,
    ),
    (
        "calls run into one another",
        sse(calls(call(0, '{"a":1}{"a":2}\n{"a":', id="x", name="f")), calls(call(0, "3}")), FINISH),
        [
            Delta(0, "x", "f", '{"a":1}'),
            Delta(1, NEW_ID, "f", '{"a":2}'),
            Delta(2, NEW_ID, "f", '{"a":'),
            Delta(2, None, None, "3}"),
        ],
        CALLS,
    ),
    (
        "calls run into one another, in pieces",
        sse(
            calls(call(0, "", id="x", name="f")),
            *[calls(call(0, piece)) for piece in ('{"a":1', "}", " ", '{"a":2}', "{}")],
            FINISH,
        ),
        [
            *[Delta(0, "x", "f"), Delta(0, None, None, '{"a":1'), Delta(0, None, None, "}"), Delta(0, None, None, " ")],
            *[Delta(1, NEW_ID, "f", '{"a":2}'), Delta(2, NEW_ID, "f"), Delta(2, None, None, "{}")],
        ],
        CALLS,
    ),
    (
        "another name behind arguments",
        sse(calls(call(0, "{}", id="x", name="f")), calls(call(0, "", name="g")), calls(call(0, "{}")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{}"), Delta(1, NEW_ID, "g"), Delta(1, None, None, "{}")],
        CALLS,
    ),
    (
        "braces in arguments",
        sse(calls(call(0, '{"a":"} {', id="x", name="f")), calls(call(0, '}{"}')), FINISH),
        [Delta(0, "x", "f", '{"a":"} {'), Delta(0, None, None, '}{"}')],
        CALLS,
    ),
    (
        "arguments that are none",
        sse(calls(call(0, "x{}{}", id="x", name="f")), calls(call(0, "{}")), FINISH),
        [Delta(0, "x", "f", "x{}{}"), Delta(0, None, None, "{}")],
        CALLS,
    ),
    (
        "a name in pieces",
        sse(calls(call(0, "", id="x", name="get_")), calls(call(0, "{}", name="time")), FINISH),
        [Delta(0, "x", "get_"), Delta(0, None, "time"), Delta(0, None, None, "{}")],
        CALLS,
    ),
    (
        "a name that grows",
        sse(calls(call(0, "", id="x", name="get_")), calls(call(0, "{}", name="get_time")), FINISH),
        [Delta(0, "x", "get_"), Delta(0, None, "time"), Delta(0, None, None, "{}")],
        CALLS,
    ),
    (
        "a name and its arguments in one event, as two pieces",
        sse(calls({"index": 0, "id": "x", "function": {"name": "f"}}, call(0, "{")), calls(call(0, "}")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{"), Delta(0, None, None, "}")],
        CALLS,
    ),
    (
        "a call without its list",
        sse(chunk({"tool_calls": call(0, "{}", id="x", name="f")}), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{}")],
        CALLS,
    ),
    (
        "pieces that say nothing begin no call",
        sse(
            text("a"),
            calls(call(0, "", id="", name="", type="")),
            chunk({"content": "", "function_call": {"name": "", "arguments": ""}}, "stop"),
            DONE,
        ),
        ["a"],
        STOP,
    ),
    (
        "arguments that begin as {}",
        sse(calls(call(0, {}, id="x", name="f")), calls(call(0, '{"a":')), calls(call(0, "1}")), FINISH),  # type: ignore[arg-type]
        [Delta(0, "x", "f"), Delta(0, None, None, '{"a":'), Delta(0, None, None, "1}")],
        CALLS,
    ),
    (
        "arguments of {} run into others",
        sse(calls(call(0, '{}{"a":1}', id="x", name="f")), FINISH),
        [Delta(0, "x", "f", '{"a":1}')],
        CALLS,
    ),
    (
        "arguments of {} alone, in each of two calls",
        sse(calls(call(0, "{}", id="x", name="f"), call(1, "{}", id="y", name="g")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{}"), Delta(1, "y", "g"), Delta(1, None, None, "{}")],
        CALLS,
    ),
    (
        "arguments of {} and blanks, or nonsense, behind them",
        sse(calls(call(0, "{}", id="x", name="f")), calls(call(0, "\n")), calls(call(0, "x")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{}\nx")],
        CALLS,
    ),
    (
        "all of the arguments once more at the end",
        sse(
            *[calls(call(0, piece, id="x", name="f")) for piece in ('{"a"', ":1}", '{"a":1}')],
            calls(call(0, '{"a": 1}')),
            FINISH,
        ),
        [Delta(0, "x", "f", '{"a"'), Delta(0, None, None, ":1}")],
        CALLS,
    ),
    (
        "arguments that grow",
        sse(*[calls(call(0, piece, id="x", name="f")) for piece in ("", "{", '{"a":', '{"a":[1,', '{"a":[1,2]}')], FINISH),
        [Delta(0, "x", "f"), *[Delta(0, None, None, piece) for piece in ("{", '"a":', "[1,", "2]}")]],
        CALLS,
    ),
    (
        "an object within one of the same name",
        sse(calls(call(0, '{"a":', id="x", name="f")), calls(call(0, '{"a":1}')), calls(call(0, "}")), FINISH),
        [Delta(0, "x", "f", '{"a":'), Delta(0, None, None, '{"a":1}'), Delta(0, None, None, "}")],
        CALLS,
    ),
    (
        "the same arguments three times in one piece",
        sse(calls(call(0, '{"a":1}' * 3, id="x", name="f")), FINISH),
        [Delta(0, "x", "f", '{"a":1}')],
        CALLS,
    ),
    (
        "an id that has come counts more than the index",
        sse(
            calls(call(0, "", id="x", name="f"), call(1, "", id="y", name="g")),
            calls(call(0, "1", id="y"), call(1, "2", id="x", name="f")),
            calls(call(0, "3"), call(1, "4")),
            FINISH,
        ),
        [
            *[Delta(0, "x", "f"), Delta(1, "y", "g"), Delta(1, None, None, "1"), Delta(0, None, None, "2")],
            *[Delta(0, None, None, "4"), Delta(1, None, None, "3")][::-1],
        ],
        CALLS,
    ),
    (
        "ids and no index, one piece of each call in turn",
        sse(
            *[calls({"id": each, "function": {"name": each, "arguments": ""}}) for each in "xy"],
            *[calls({"id": each, "function": {"arguments": each}}) for each in "xyx"],
            FINISH,
        ),
        [
            *[Delta(0, "x", "x"), Delta(1, "y", "y")],
            *[Delta(0, None, None, "x"), Delta(1, None, None, "y"), Delta(0, None, None, "x")],
        ],
        CALLS,
    ),
    (
        "two calls of one id that begin without arguments",
        sse(
            calls(call(0, "", id="f", name="f"), call(1, "", id="f", name="f")),
            calls(call(0, '{"a"'), call(1, '{"a"')),
            calls(call(0, ":1}"), call(1, ":2}")),
            FINISH,
        ),
        [
            Delta(0, "f", "f"),
            Delta(1, NEW_ID, "f"),
            Delta(0, arguments='{"a"'),
            Delta(1, arguments='{"a"'),
            Delta(0, arguments=":1}"),
            Delta(1, arguments=":2}"),
        ],
        CALLS,
    ),
    (
        "two calls of one id",
        sse(
            calls(call(0, "1", id="x", name="f"), call(1, "2", id="x", name="g")),
            calls(call(0, "3", id="x"), call(1, "4", id="x")),
            FINISH,
        ),
        [
            *[Delta(0, "x", "f", "1"), Delta(1, NEW_ID, "g", "2")],
            *[Delta(0, None, None, "3"), Delta(1, None, None, "4")],
        ],
        CALLS,
    ),
    (
        "one call at two indices",
        sse(calls(call(0, "", id="x", name="f")), calls(call(1, "1", id="x", name="f")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "1")],
        CALLS,
    ),
    (
        "pieces that are counted in the place of calls",
        sse(
            calls(call(0, "", id="x", name="f")),
            calls(call(1, '{"a":')),
            calls(call(2, '{"b":1}')),
            calls(call(3, "}")),
            FINISH,
        ),
        [Delta(0, "x", "f"), *(Delta(0, None, None, said) for said in ('{"a":', '{"b":1}', "}"))],
        CALLS,
    ),
    (
        "pieces without an index, and one with it",
        sse(calls({"id": "x", "function": {"name": "f", "arguments": '{"a":'}}), calls(call(0, "1}")), FINISH),
        [Delta(0, "x", "f", '{"a":'), Delta(0, None, None, "1}")],
        CALLS,
    ),
    (
        "the name and another id in every piece, and no index",
        sse(
            *(
                calls({"id": each, "function": {"name": "f", "arguments": said}})
                for each, said in (("x", '{"a"'), ("y", ":1"), ("z", "}"), ("w", '{"a":2}'))
            ),
            FINISH,
        ),
        [
            *[Delta(0, "x", "f", '{"a"'), Delta(0, None, None, ":1"), Delta(0, None, None, "}")],
            Delta(1, "w", "f", '{"a":2}'),
        ],
        CALLS,
    ),
    (
        "a call that begins at another one's index, and continues at its own",
        sse(
            *[calls(call(0, "", id="x", name="f")), calls(call(0, "{}")), calls(call(0, "", id="y", name="g"))],
            *[calls(call(1, "1")), calls(call(1, "2")), FINISH],
        ),
        [
            *[Delta(0, "x", "f"), Delta(0, None, None, "{}"), Delta(1, "y", "g")],
            *[Delta(1, None, None, "1"), Delta(1, None, None, "2")],
        ],
        CALLS,
    ),
    (
        "the same with a piece of its arguments, and without an index",
        sse(
            *[calls(call(0, "0", id="x", name="f")), calls(call(0, '{"a":', id="y", name="g"))],
            *[calls(call(1, "1")), calls({"function": {"arguments": "}"}}), FINISH],
        ),
        [
            *[Delta(0, "x", "f", "0"), Delta(1, "y", "g", '{"a":')],
            *[Delta(1, None, None, "1"), Delta(1, None, None, "}")],
        ],
        CALLS,
    ),
    (
        "an index below 0",
        sse(calls(call(-1, "1", id="x", name="f")), calls(call(-1, "2")), FINISH),
        [Delta(0, "x", "f", "1"), Delta(0, None, None, "2")],
        CALLS,
    ),
    ("calls, and no reason", sse(calls(call(0, "1", id="x", name="f")), DONE), [Delta(0, "x", "f", "1")], CALLED),
    (
        "a stop behind the calls' own reason",
        sse(calls(call(0, "1", id="x", name="f")), chunk(reason="tool_calls"), FINISH, DONE),
        [Delta(0, "x", "f", "1")],
        end("tool_calls"),
    ),
    ("a stop behind a length", sse(text("a"), chunk(reason="length"), FINISH, DONE), ["a"], end("length")),
    ("arguments as an object", sse(calls(call(0, {"ä": 1}, id=7, name="f")), FINISH), [Delta(0, "7", "f", '{"ä":1}')], CALLS),  # type: ignore[arg-type]
    (
        "arguments that are JSON twice",
        sse(calls(call(0, '"{\\"a\\": \\"\\\\\\"b\\"}"', id="x", name="f")), FINISH),
        [Delta(0, "x", "f", '{"a": "\\"b"}')],
        CALLS,
    ),
    (
        "arguments that are JSON twice, in pieces, of two calls in turn",
        sse(
            calls(call(0, '"{\\', id="x", name="f")),
            calls(call(1, '"', id="y", name="g")),
            calls(call(0, '"a\\"'), call(1, "{}")),
            calls(call(0, ':1}"'), call(1, '"')),
            FINISH,
        ),
        [Delta(0, "x", "f"), Delta(1, "y", "g"), Delta(0, None, None, '{"a":1}'), Delta(1, None, None, "{}")],
        CALLS,
    ),
    (
        "arguments that are a text",
        sse(calls(call(0, '"a', id="x", name="f")), calls(call(0, '"')), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, '"a"')],
        CALLS,
    ),
    (
        "arguments that are half a text",
        sse(calls(call(0, '"{', id="x", name="f")), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, '"{')],
        CALLS,
    ),
    ("a call without a function", sse(calls({"index": 0, "id": "x"}), FINISH), [Delta(0, "x")], CALLS),
    (
        "a function call of old",
        sse(
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"content": "", "function_call": {"arguments": "{}"}}),
            chunk(reason="function_call"),
        ),
        [Delta(0, NEW_ID, "f"), Delta(0, None, None, "{}")],
        end("function_call"),
    ),
    # -- odd shapes
    (
        "content in parts",
        sse(text([{"type": "text", "text": "a"}, "b", {"type": "image"}, None]), text([]), FINISH),
        ["ab"],
        STOP,
    ),
    ("content as a part, a number", sse(text({"type": "text", "text": "a"}), text(42), text(True), FINISH), ["a", "42"], STOP),
    (
        "an index of any type",
        sse(*[chunk(choices=[{"index": i, "delta": {"content": str(i)}}]) for i in (None, "0", 0.0, [], "1", 1.0)], FINISH),
        ["None", "0", "0.0", "[]"],
        CUT,
    ),
    ("an id of any type", sse(text("a", id=7), text("b", id=None), text("c", created="x"), FINISH), ["a", "b", "c"], STOP),
    ("choices of odd types", sse(text("a"), chunk(choices={}), chunk(choices=[None, 7]), text("b"), FINISH), ["a", "b"], STOP),
    ("NaN", sse(text("a", logprobs=float("nan")), text("b"), FINISH), ["a", "b"], STOP),
    ("a number of a thousand digits", sse(text("a", created=10**1000), FINISH), ["a"], STOP),
    ("half a character in each chunk", sse(text("a\ud83d"), text("\ude00b"), text("c"), FINISH), ["a", "😀b", "c"], STOP),
    (
        "half a character, alone",
        sse(text("a\ud83d"), text("b"), text("\ude00\ud83d"), FINISH),
        ["a", "\ufffdb", "\ufffd", "\ufffd"],
        STOP,
    ),
    ("half a character at [DONE]", sse(text("\ud83d"), DONE), ["\ufffd"], BY_DONE),
    (
        "half a character elsewhere",
        sse(chunk({"reasoning": "\ud83d"}, model="\ud83d"), DONE),
        [Reasoning("\ufffd")],
        FinishReason(None, "done", None, "\ufffd"),
    ),
    (
        "halves of a character in thoughts, and in arguments",
        sse(
            *[chunk({"reasoning_content": half}) for half in ("a\ud83d", "\ude00b")],
            *[calls(call(0, half, id="x", name="f")) for half in ('{"a":"\ud83d', '\ude00"}')],
            DONE,
        ),
        [Reasoning("a"), Reasoning("😀b"), Delta(0, "x", "f", '{"a":"'), Delta(0, None, None, '😀"}')],
        CALLED,
    ),
    (
        "half a character in arguments",
        sse(calls(call(0, "1\ud83d", id="x", name="f")), DONE),
        [Delta(0, "x", "f", "1"), Delta(0, None, None, "\ufffd")],
        CALLED,
    ),
    (
        "a character cut between its bytes",
        sse(text("x1"), text("x2y")).replace(b"x1", b"x\xf0\x9f").replace(b"x2", b"\x98\x80") + sse(FINISH),
        ["x", "😀y"],
        MENDED,
    ),
    (
        "a byte of a character whose rest does not come",
        sse(text("x1"), text("y"), FINISH).replace(b"x1", b"x\xf0\x9f"),
        ["x", "\ufffdy"],
        MENDED,
    ),
    ("blank data", sse(text("a"), "", " ", text("b"), FINISH), ["a", "b"], STOP),
    (
        "signs of life",
        sse(
            text("a"),
            {},
            chunk(choices=[]),
            b"event: ping\ndata: now\n\n",
            b'event: ping\ndata: {"type": "ping"}\n\n',
            text("b"),
            FINISH,
        ),
        ["a", "b"],
        STOP,
    ),
    (
        "chunks of a type of their own",
        sse(b"event: chunk\n", text("a"), b"event: chunk\n", text("b"), b"event: end\n", DONE),
        ["a", "b"],
        BY_DONE,
    ),
    # -- errors
    (
        "an error object",
        sse(text("a"), {"error": {"message": "boom", "type": "t", "code": "c"}}, text("b"), FINISH),
        ["a"],
        "c",
    ),
    ("an error as text", sse(text("a"), {"error": "boom"}), ["a"], StreamError),
    ("an error by type", sse({"type": "error", "error": {"message": "boom", "code": "c"}}), [], "c"),
    ("an error by object", sse({"object": "error", "message": "boom", "code": 500}), [], "500"),
    ("an error event", sse(text("a"), b'event: error\ndata: {"message": "boom", "code": "c"}\n\n', text("b")), ["a"], "c"),
    ("an error event in words", sse(text("a"), b"event: error\ndata: out of memory\n\n", DONE), ["a"], StreamError),
    ("an error event in quotes", sse(text("a"), b'event: error\ndata: "out of memory"\n\n', DONE), ["a"], StreamError),
    ("an error event that says nothing", sse(text("a"), b"event: error\ndata:\n\n", DONE), ["a"], StreamError),
    (
        "an error beside a choice",
        sse(text("a"), text("b", error={"message": "boom", "code": "c"}, usage=USAGE, finish_reason="error")),
        ["a", "b"],
        "c",
    ),
    (
        "an error inside a choice",
        sse(
            text("a"),
            chunk(
                choices=[{"delta": {"content": "b"}, "finish_reason": "error", "error": {"message": "boom", "code": "c"}}],
                usage=USAGE,
            ),
        ),
        ["a", "b"],
        "c",
    ),
    ("an error beside a text", sse(text("a"), text("b"), text("c", error={"code": "c"}), DONE), ["a", "b", "c"], "c"),
    (
        "an error inside a choice with a text",
        sse(text("a"), text("b"), chunk(choices=[{"delta": {"content": "c"}, "error": {"code": "c"}}]), DONE),
        ["a", "b", "c"],
        "c",
    ),
    ("an error after the reason", sse(text("a"), FINISH, {"error": {"code": "c"}}), ["a"], "c"),
    ("no error", sse(text("a", error=None), text("b", error=False), text("c", error={}), FINISH), ["a", "b", "c"], STOP),
    # -- what cannot be read
    ("not JSON", sse(text("a"), "{nonsense", text("b"), FINISH, DONE), ["a"], "unreadable_event"),
    ("cut JSON", sse(text("a"), json.dumps(text("b"))[:-1], DONE), ["a"], "unreadable_event"),
    ("text", sse(text("a"), '"b"'), ["a"], "unreadable_event"),
    ("a number", sse(text("a"), "7"), ["a"], "unreadable_event"),
    ("a list of texts", sse(text("a"), '["b"]'), ["a"], "unreadable_event"),
    ("a document, and half of one", sse(text("a"), json.dumps(text("b")) + '{"choices":'), ["a"], "unreadable_event"),
    ("a document of another language", sse(text("a"), str(text("b")), FINISH), ["a"], "unreadable_event"),
    # -- what is no object, and can be read
    ("two documents", sse(json.dumps(text("a")) * 2, FINISH), ["a", "a"], STOP),
    ("events without blank lines", unframed(text("a"), text("b"), FINISH, DONE), ["a", "b"], STOP),
    ("framed twice", sse(*[f"data: {json.dumps(each)}" for each in (text("a"), FINISH)], "data: [DONE]"), ["a"], STOP),
    ("framed twice, with its blank lines", sse(f"data: {json.dumps(text('a'))}\ndata: \ndata: ", FINISH), ["a"], STOP),
    ("chunks as text of JSON", sse(*[json.dumps(json.dumps(each)) for each in (text("a"), FINISH)]), ["a"], STOP),
    ("chunks in a list", sse(json.dumps([text("a"), text("b")]), FINISH), ["a", "b"], STOP),
    ("an error in a list", sse(text("a"), '[{"error": {"message": "boom", "code": "c"}}]'), ["a"], "c"),
    *[(f"the sign of life {word!r}", sse(text("a"), word, text("b"), FINISH), ["a", "b"], STOP) for word in SIGNS_OF_LIFE],
    *[(f"the end {word!r}", sse(text("a"), word, text("b")), ["a"], BY_DONE) for word in DONES],
    ("the end in an event of its own", sse(text("a"), b'event: done\ndata: "[DONE]"\n\n'), ["a"], BY_DONE),
    ("what cannot be read behind the end", sse(text("a"), FINISH, "<nonsense", usage(), DONE), ["a"], STOP_COUNTED),
    # -- JSON without a field
    ("an error as a line of JSON", sse(text("a")) + b'{"error": {"message": "boom", "code": "c"}}', ["a"], "c"),
    ("an error as a line of JSON, first", b': ping\n\n{"error": {"message": "boom", "code": "c"}}\n', [], "c"),
    ("chunks as lines of JSON", sse(ROLE) + b"".join(json.dumps(c).encode() + b"\n" for c in (text("a"), FINISH)), ["a"], STOP),
    # -- all of the answer once more
    ("a message behind deltas", sse(text("a"), text("b"), whole("ab", "stop")), ["a", "b"], STOP),
    ("a message beside an empty delta", sse(chunk(choices=[{"delta": {}, "message": {"content": "a"}}]), FINISH), ["a"], STOP),
    ("a message behind reasoning", sse(chunk({"reasoning": "hm"}), whole("ab", "stop")), [Reasoning("hm"), "ab"], STOP),
    (
        "a message behind calls",
        sse(
            calls(call(0, "1", id="x", name="f")),
            chunk(choices=[{"message": calls(call(0, "1", id="x", name="f"))["choices"][0]["delta"]}]),
            FINISH,
        ),
        [Delta(0, "x", "f", "1")],
        CALLS,
    ),
    ("messages that grow", sse(whole("a"), whole("ab"), whole("abc"), FINISH), ["a", "b", "c"], STOP),
    ("messages that are pieces", sse(whole("a"), whole("b"), whole("c"), FINISH), ["a", "b", "c"], STOP),
    (
        "chunks in an object of a gateway's own",
        sse(*[{"code": 0, "msg": "ok", "data": c} for c in (text("a"), FINISH)]),
        ["a"],
        STOP,
    ),
    ("an error in an object of a gateway's own", sse({"code": 500, "msg": "boom", "data": None}), [], "500"),
    ("a choice without its list", sse(chunk(choices={"index": 0, "delta": {"content": "a"}}), FINISH), ["a"], STOP),
    ("a choice with the text in it", sse(chunk(choices=[{"index": 0, "content": "a"}]), FINISH), ["a"], STOP),
    (
        "a call without its function",
        sse(calls({"index": 0, "id": "x", "name": "f", "arguments": "{}"}), FINISH),
        [Delta(0, "x", "f"), Delta(0, None, None, "{}")],
        CALLS,
    ),
    *[
        (
            f"a call written otherwise: {written}",
            sse(chunk({"tool_calls": written if "0" in written else [written]}), FINISH),
            [Delta(0, "x", "f", '{"a":1}')],
            CALLS,
        )
        for written in (
            {"0": {"id": "x", "function": {"name": "f", "arguments": '{"a":1}'}}},
            {"index": 0, "id": "x", "function": '{"name":"f","arguments":"{\\"a\\":1}"}'},
            {"index": 0, "id": "x", "function": "f", "arguments": '{"a":1}'},
            {"index": 0, "id": "x", "function": {"name": "f", "parameters": {"a": 1}}},
            {"index": 0, "id": "x", "name": "f", "args": {"a": 1}},
            {"index": 0, "id": "x", "type": "function", "name": "f", "input": {"a": 1}},
        )
    ],
    ("choices by their numbers", sse(chunk(choices={"0": {"index": 0, "delta": {"content": "a"}}}), FINISH), ["a"], STOP),
    ("a reason in the delta", sse(text("a"), chunk({"finish_reason": "stop"})), ["a"], STOP),
    (
        "reasoning in an object",
        sse(*[chunk({"reasoning": {name: "h"}}) for name in ("text", "content", "summary")], text("a"), FINISH),
        [*[Reasoning("h")] * 3, "a"],
        STOP,
    ),
    ("an object of no reasoning", sse(chunk({"content": "a", "reasoning": {"effort": "low"}}), FINISH), ["a"], STOP),
    (
        "content that is the JSON it should hold",
        sse(text({"ä": [1]}), text([{"b": 2}]), FINISH),
        ['{"ä": [1]}', '[{"b": 2}]'],
        STOP,
    ),
    (
        "an image among the parts of a content",
        sse(text([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]), FINISH),
        ["a", Images([{"type": "image_url", "image_url": {"url": "u"}}])],
        STOP,
    ),
    ("a delta in a list", sse(chunk(choices=[{"delta": [{"content": "a"}]}]), FINISH), ["a"], STOP),
    ("a delta that is text", sse(chunk(choices=[{"delta": "a"}]), FINISH), ["a"], STOP),
    ("not UTF-8", sse(text("a"), b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', FINISH), ["a", "\ufffd"], MENDED),
    (
        "half a surrogate in UTF-8",
        sse(text("a"), b'data: {"choices":[{"delta":{"content":"\xed\xa0\x80"}}]}\n\n', FINISH),
        ["a", "\ufffd\ufffd\ufffd"],
        MENDED,
    ),
    ("nested without end", sse(text("a"), "[" * 100_000), ["a"], "unreadable_event"),
    ("a chunk nested without end", sse(text("a"), '{"choices":' + "[" * 3_000), ["a"], "unreadable_event"),
    (
        "a content nested deeply",
        sse(text("a"), '{"choices":[{"delta":{"content":' + "[" * 900 + "]" * 900 + "}}]}", FINISH),
        ["a"],
        "unreadable_event",
    ),
    (
        "an unreadable chunk of a foreign type",
        sse(text("a"), b"event: chunk\ndata: {nonsense\n\n", DONE),
        ["a"],
        "unreadable_event",
    ),
]

#: The long ones are cut at fewer places.
LONG = 5_000


@pytest.mark.parametrize(("stream", "said", "end"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
class TestTable:
    def test_whole(self, stream: bytes, said: Batch, end: Any) -> None:
        """The stream in one read brings the events and the end of the table."""
        outcome = Outcome(stream)

        assert said == plain(outcome.events)
        assert end == outcome.end

    @pytest.mark.thorough
    def test_cut_anywhere(self, stream: bytes, said: Batch, end: Any) -> None:
        """Cut in two at any byte it brings the same, and byte by byte too."""
        whole = Outcome(stream)
        places = range(0, len(stream) + 1, 1 if len(stream) < LONG else len(stream) // 50)

        different = [cut for cut in places if Outcome(stream[:cut], stream[cut:]) != whole]

        assert [] == different
        assert whole == Outcome(*every_byte(stream))

    def test_started_first(self, stream: bytes, said: Batch, end: Any) -> None:
        """The first batch that is not empty begins with `Started`, and there is only one; before an error there may be none."""
        outcome = Outcome(*[stream[at : at + 7] for at in range(0, len(stream), 7)])

        started = [index for index, event in enumerate(outcome.events) if type(event) is Started]

        assert started == [0][: len(outcome.events)]
        assert started or outcome.finish is None

    def test_in_any_width(self, stream: bytes, said: Batch, end: Any) -> None:
        """The quick ways of decoding read what the lenient one reads."""
        assert Outcome(stream) == leniently(stream)


class TestState:
    def test_who_answers(self) -> None:
        """`Started` names the model as the server does, and waits for a first chunk that does not name it to be followed."""
        stream = ChatStreamDecoder()

        batches = [stream.feed(sse(chunk(model="", choices=[]))), stream.feed(sse(ROLE)), stream.feed(sse(text("a")))]

        assert [[], [Started("m")], ["a"]] == batches

    def test_the_last_usage_counts(self) -> None:
        """Chunks that are alike, their usage too, count tokens as others do, whatever came between."""
        alike = [text(content, usage=USAGE) for content in "abcd"]
        other = text("x", usage={"prompt_tokens": 9})

        outcome = Outcome(sse(ROLE, *alike), sse(other), sse(*alike, DONE))

        assert FinishReason(None, "done", COUNTED, "m") == outcome.finish

    def test_the_models_own_tokens(self) -> None:
        """Texts are not merged: each chunk's is an event of its own, whether read by template or not."""
        outcome = Outcome(sse(*[text(content) for content in ["a", "b", "", "c", "d", "e"]]))

        assert [[Started("m"), "a", "b", "c", "d", "e"]] == outcome.batches

    @pytest.mark.parametrize(
        ("events", "complete", "ending"),
        [
            ([text("a")], False, False),
            ([text("a"), usage()], False, False),
            ([text("a"), FINISH], False, True),
            ([text("a"), FINISH, usage()], True, True),
            ([text("a"), chunk(reason="stop", usage=USAGE)], True, True),
            ([text("a"), FINISH, chunk(usage=USAGE)], True, True),
            ([text("a", usage=USAGE), FINISH], False, True),
            ([chunk({"content": "a"}, "stop", usage=USAGE)], False, False),
            ([text("a"), DONE], True, False),
            ([text("a"), {"error": "boom"}], False, False),
            ([text("a"), chunk(reason="error", usage=USAGE, error="boom")], False, False),
        ],
    )
    def test_when_to_stop_reading(self, events: list[Json | str], complete: bool, ending: bool) -> None:
        """`ending` comes with a finish reason; `complete` with [DONE], or with usage at or after the reason, in a chunk that
        says nothing."""
        stream = Outcome(sse(*events)).stream

        assert (complete, ending) == (stream.complete, stream.ending)

    @pytest.mark.parametrize("last", [DONE, {"error": "boom"}, "nonsense"])
    def test_after_the_end(self, last: Json | str) -> None:
        """After the end, or a failure, nothing is read any more."""
        stream = ChatStreamDecoder()
        stream.feed(sse(text("a"), last))
        failure = stream.failure

        assert [] == stream.feed(sse(text("b"), {"error": "another"}))
        assert failure is stream.failure

    def test_what_came_before_a_failure(self) -> None:
        """A batch holds what came before the failure, and `finish` raises it."""
        stream = ChatStreamDecoder()

        batch = stream.feed(sse(text("a"), text("b"), {"error": {"message": "boom"}}, text("c")))

        assert [Started("m"), "a", "b"] == batch
        with pytest.raises(StreamError, match="boom") as caught:
            stream.finish()
        assert caught.value is stream.failure

    def test_an_error_first(self) -> None:
        """An answer that is an error has not started."""
        outcome = Outcome(sse({"error": {"message": "boom"}}))

        assert [[]] == outcome.batches

    def test_reopened(self) -> None:
        """On another connection the answer goes on where its last whole event ended."""
        stream = ChatStreamDecoder()

        first = stream.feed(sse(b"id: 1\n", text("a"), b"id: 2\n", text("b"))[:-3])
        stream.reopen()
        second = stream.feed(sse(b"id: 2\n", text("b"), b"id: 3\n", FINISH))

        assert ([Started("m"), "a"], ["b"], STOP) == (first, second, stream.finish())

    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            ([], False),
            ([text("a")], False),
            ([text("a"), FINISH], True),
            ([text("a"), DONE], True),
            ([DONE], False),
            ([DONE[1:]], False),
        ],
    )
    def test_proven(self, events: list[Json | str], expected: bool) -> None:
        """What is proven, `finish` takes for an end."""
        outcome = Outcome(sse(*events))

        assert (expected, expected) == (outcome.stream.is_proven, outcome.finish is not None)

    @pytest.mark.parametrize("events", [[FINISH], [text("a"), usage()], [ROLE, usage(completion_tokens=0)]])
    def test_proven_by_a_body_in_good_order(self, events: list[Json]) -> None:
        """A reason before the first word may be of a chunk that only begins, and usage may be counted in between: both prove
        an end only where the body came completely."""
        outcome = Outcome(sse(*events))

        assert (False, True) == (outcome.stream.is_proven, outcome.finish is not None)

    def test_usage_in_a_broken_body(self) -> None:
        """Usage in mid-answer is no end where the body broke."""
        stream = Outcome(sse(text("a"), usage())).stream

        with pytest.raises(IncompleteStreamError):
            stream.finish(in_good_order=False)

    def test_an_event_too_large(self) -> None:
        """The decoder's bound is a failure like any other, with what came before it."""
        stream = ChatStreamDecoder(max_event=1000)

        batch = stream.feed(sse(text("a"), text("x" * 1000)))

        assert [Started("m"), "a"] == batch
        assert stream.failure is not None
        assert "event_too_large" == stream.failure.code

    def test_an_event_too_large_alone(self) -> None:
        """Neither does it escape where nothing came before it."""
        stream = ChatStreamDecoder(max_event=10)

        assert [] == stream.feed(b"data: " + b"x" * 10)
        assert isinstance(stream.failure, StreamError)

    def test_the_last_event_id(self) -> None:
        """The last event's id is known, to resume after it."""
        stream = ChatStreamDecoder()

        ids = []
        for number in range(3):
            stream.feed(sse(b"id: %d\n" % number, text("a")))
            ids.append(stream.last_event_id)

        assert ["0", "1", "2"] == ids

    @pytest.mark.parametrize(
        "events",
        [
            [text("a"), chunk(reason="stop", x_autonomousai={"length": 1}), DONE],
            [text("a"), FINISH, usage() | {"x_autonomousai": {"length": 1}}, DONE],
            [text("a"), text("b"), text("c"), text("d", x_autonomousai={"length": 1}), text("e"), DONE],
        ],
    )
    def test_our_servers_extension(self, events: list[Json | str]) -> None:
        """The extension is kept, wherever it came."""
        assert {"length": 1} == Outcome(sse(*events)).stream.extension


class TestUnreadable:
    SECRET = "tell nobody that " * 100

    @pytest.mark.parametrize("data", [SECRET, "{" + SECRET, "\0" * 1000, "ä" * 1000, '"' + "\ud83d\ude00" * 1000])
    def test_shows_little(self, data: str) -> None:
        """The error shows the beginning of what could not be read, and never more than 200 characters of it."""
        event = data.encode("utf-8", "surrogatepass").replace(b"\n", b"")

        outcome = Outcome(b"data: %b\n\n" % event)

        assert outcome.error is not None
        message = str(outcome.error)
        assert len(message) < 200 + 100
        assert 0 <= message.count("tell nobody that ") <= 200 // len("tell nobody that ")
        assert (True, 200) == (outcome.error.retryable, outcome.error.status)

    def test_hides_keys(self) -> None:
        """A key in it is not shown."""
        outcome = Outcome(sse("{ bearer sk-abcdefghijklmnop"))

        assert "abcdefgh" not in str(outcome.error)

    def test_error_events_show_little(self) -> None:
        """Neither does the error made of an error event that is no JSON."""
        outcome = Outcome(b"event: error\ndata: %b\n\n" % self.SECRET.encode())

        assert 1 <= str(outcome.error).count("tell nobody that ") <= 200 // len("tell nobody that ")


class TestReasonOnEveryChunk:
    """Some servers name a finish reason in every chunk: it proves nothing there."""

    def test_a_cut_among_such_chunks_is_a_cut(self) -> None:
        """Text came after a reason: the next reason beside text ends nothing."""
        stream = Outcome(sse(text("The "), chunk({"content": "whole "}, "stop"), chunk({"content": "ans"}, "stop")))

        assert stream.error is not None
        assert not stream.stream.ending

    def test_such_an_answer_ends_with_done(self) -> None:
        """[DONE] proves it, and the reason is told."""
        stream = Outcome(sse(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "stop"), DONE))

        assert stream.finish is not None
        assert (stream.finish.reason, stream.finish.evidence) == ("stop", "done")

    def test_nobody_hurries_after_a_reason_beside_text(self) -> None:
        """The short grace is for a reason that came alone; beside text more may follow at its own pace."""
        stream = Outcome(sse(chunk({"content": "a"}, "stop")))

        assert (stream.stream.ending, stream.stream.is_proven) == (False, True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ['{"b":', "{}", " ", ""])
def test_arguments_in_many_pieces_are_read_once(piece: str) -> None:
    """200,000 pieces take a second or two; comparing each with all that came before would take minutes."""
    calls = ToolCallIndexer()
    calls.deltas(CallPiece(0, "c", FunctionPiece("f", '{"a":')))

    deltas = [delta for _ in range(200_000) for delta in calls.deltas(CallPiece(0, None, FunctionPiece(None, piece)))]

    assert piece * 200_000 == "".join(delta.arguments or "" for delta in deltas)


def test_each_choice_has_its_calls_and_halves_of_characters() -> None:
    """What a second choice began goes on there: one id for a call, and a character that came in two chunks."""
    begun = second(call(0, "", id="x", name="f"), content="\ud83d"), text("a"), second(call(0, "{}"), content="\ude00")

    outcome = Outcome(sse(ROLE, *begun, second(reason="tool_calls"), FINISH, DONE))

    said = [event.event for event in outcome.events if isinstance(event, ChoiceEvent)]
    calls_of_it = [event for event in said if isinstance(event, Delta)]
    assert [Delta(0, "x", "f"), Delta(0, None, None, "{}")] == calls_of_it
    assert ["😀"] == [event for event in said if isinstance(event, str)]
    assert STOP == outcome.end


def test_arguments_that_are_a_text_without_end_are_not_held_back_for_ever() -> None:
    """No other bound counts what is held back."""
    decoder = ChatStreamDecoder()
    pieces = [call(0, '"', id="x", name="f"), *[call(0, "a" * 65_536)] * 5]
    batch = decoder.feed(sse(*map(calls, pieces)))

    assert '"' + "a" * 65_536 * 5 == "".join(event.arguments for event in batch if isinstance(event, Delta))


def test_quotes_in_arguments_that_are_a_text_cost_little() -> None:
    """Each backslash is looked at once, however many quotes follow."""
    decoder = ChatStreamDecoder()
    start = calls(call(0, '"', id="x", name="f"))
    event = sse(calls(call(0, '\\"')))
    decoder.feed(sse(start))
    few = lines(lambda: decoder.feed(event * 50))
    many = lines(lambda: decoder.feed(event * 500))

    assert many < 11 * few
