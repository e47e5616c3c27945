"""Streamed answers, written: what OpenAI's own clients expect, in one piece a batch, and read again as they were."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autonomousai.events import REPEATED, Batch, FinishReason, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.wires.finish_reasons import broken_off, finish_reason_of
from autonomousai.wires.openai_chat.completion import encode_completion
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.quoted_arguments import is_quoted
from autonomousai.wires.sse import SSEDecoder
from tests.wires.answers import USAGE, Json
from tests.wires.cutting import cuts, pieces

COUNTED = Usage(3, 2, 5)
STOP = FinishReason("stop", "finish_reason", COUNTED, "m")
HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
ROLE = {"role": "assistant", "content": ""}


def writer(**more: Any) -> ChatStreamEncoder:
    return ChatStreamEncoder(id="c-1", created=1, model="m", **more)


def chunks(data: bytes) -> list[Any]:
    """The events' documents; ``[DONE]`` as it is."""
    return [event.decode() if event == b"[DONE]" else json.loads(event) for event in SSEDecoder().feed(data)]


def deltas(data: bytes) -> list[Json]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(data)]


class TestChunks:
    def test_bytes(self) -> None:
        """A chunk is one data line of compact JSON, and ends with a blank line."""
        expected = (
            b'data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m",'
            b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
            b'data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m",'
            b'"choices":[{"index":0,"delta":{"content":"\xc3\xa4\\n"},"finish_reason":null}]}\n\n'
        )

        assert expected == writer().write(["ä\n"])

    def test_the_role_comes_first_and_once(self) -> None:
        """The first chunk names the role, as soon as the answer has started."""
        stream = writer()

        written = [deltas(stream.write(batch)) for batch in ([Started("m")], ["a", "b"], ["c"])]

        assert [[ROLE], [{"content": "a"}, {"content": "b"}], [{"content": "c"}]] == written

    def test_nothing_to_say(self) -> None:
        """No events, and events that say nothing, are no bytes."""
        stream = writer()

        assert b"" == stream.write([])
        stream.write([Started("m")])
        assert b"" == stream.write(["", Reasoning(""), Started("m"), STOP])

    def test_reasoning(self) -> None:
        """Reasoning has its own field, beside no content."""
        assert [ROLE, {"reasoning_content": "hm"}] == deltas(writer().write([Reasoning("hm")]))

    def test_tool_calls(self) -> None:
        """A piece of a tool call says its index, what it brings, and no more."""
        batch: Batch = [ToolCallDelta(0, "x", "f"), ToolCallDelta(0, None, None, '{"a'), ToolCallDelta(1, None, "g", "{}")]

        written = [delta["tool_calls"] for delta in deltas(writer().write(batch))[1:]]

        assert [
            [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"a'}}],
            [{"index": 1, "function": {"name": "g", "arguments": "{}"}}],
        ] == written

    def test_every_chunk_bears_the_same_head(self) -> None:
        """Id, time and model are the same in all chunks, and none but the last names a reason."""
        stream = writer(include_usage=True)

        *documents, done = chunks(stream.write(["a", Reasoning("b"), ToolCallDelta(0)]) + stream.end(STOP))

        assert "[DONE]" == done
        assert all(HEAD.items() <= document.items() for document in documents)
        assert [None] * 4 + ["stop"] == [c["finish_reason"] for document in documents for c in document["choices"]]


class TestEnd:
    def test_the_finish_chunk(self) -> None:
        """The reason comes with an empty delta, then [DONE]."""
        stream = writer()
        stream.write(["a"])

        assert [HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]"] == chunks(stream.end(STOP))

    def test_an_empty_answer(self) -> None:
        """An answer without a word still names its role."""
        assert ROLE == chunks(writer().end(STOP))[0]["choices"][0]["delta"]

    def test_both_places(self) -> None:
        """On the AutonomousAI wire the reason stands beside the choices too, in the last chunk alone."""
        stream = writer(finish_reason_at_top=True)

        written = chunks(stream.write(["a"]) + stream.end(STOP))

        assert ["stop"] == [chunk["finish_reason"] for chunk in written[:-1] if "finish_reason" in chunk]

    def test_usage_when_asked_for(self) -> None:
        """With usage asked for, a chunk without choices counts it, and every other one says null."""
        stream = writer(include_usage=True)

        written = chunks(stream.write(["a"]) + stream.end(STOP))

        assert [None, None, None, USAGE] == [chunk["usage"] for chunk in written[:-1]]
        assert [] == written[-2]["choices"]

    def test_usage_not_asked_for(self) -> None:
        """Otherwise no chunk speaks of it."""
        stream = writer()

        assert b"usage" not in stream.write(["a"]) + stream.end(STOP)

    def test_usage_not_known(self) -> None:
        """A usage that nobody counted is not made up."""
        *_, last, done = chunks(writer(include_usage=True).end(FinishReason("stop", "finish_reason")))

        assert ("stop", None, "[DONE]") == (last["choices"][0]["finish_reason"], last["usage"], done)

    @pytest.mark.parametrize(
        ("at_top", "notes", "expected"),
        [(False, (REPEATED,), "length"), (False, (), "repetition"), (True, (REPEATED,), "repetition")],
    )
    def test_an_answer_that_was_stopped_as_it_repeated_itself(self, at_top: bool, notes: Any, expected: str) -> None:
        """OpenAI's wire has no word for it; an upstream's own word is its word, and the AutonomousAI wire has this one."""
        finish = FinishReason("repetition", "finish_reason", notes=notes)
        document = json.loads(encode_completion(["a", finish], id="c-1", created=1, model="m", finish_reason_at_top=at_top))

        *_, last, _ = chunks(writer(finish_reason_at_top=at_top).end(finish))

        assert [expected] * 2 == [each["choices"][0]["finish_reason"] for each in (last, document)]

    def test_a_reason_that_nobody_named(self) -> None:
        """It is written as null, at both places."""
        *_, last, _ = chunks(writer(finish_reason_at_top=True).end(FinishReason(None, "done")))

        assert (None, None) == (last["choices"][0]["finish_reason"], last["finish_reason"])

    @pytest.mark.parametrize("include_usage", [False, True])
    def test_the_extension(self, include_usage: bool) -> None:
        """The extension stands in the last chunk before [DONE], which is the usage's where it is asked for."""
        written = chunks(writer(include_usage=include_usage).end(STOP, extension={"length": 1}))

        assert [{"length": 1}] == [chunk["x_autonomousai"] for chunk in written[:-1] if "x_autonomousai" in chunk]
        assert {"length": 1} == written[-2]["x_autonomousai"]


def test_ids() -> None:
    """With ids every event bears the next, [DONE] too, and the chunks are the same."""
    with_ids, without = writer(ids=map(str, count(1))), writer()
    decoder = SSEDecoder()

    first = decoder.feed(with_ids.write(["a", "b"]))
    after_first = decoder.last_event_id
    last = decoder.feed(with_ids.end(STOP))

    assert SSEDecoder().feed(without.write(["a", "b"]) + without.end(STOP)) == first + last
    assert ("3", "5") == (after_first, decoder.last_event_id)


texts = st.text(min_size=1, max_size=5)
names = st.none() | st.text(max_size=3)
batches = st.lists(
    st.lists(
        texts
        | st.builds(Reasoning, texts)
        | st.builds(
            lambda index, arguments: ToolCallDelta(index, f"id{index}", "f", arguments),
            st.integers(0, 2),
            # objects that repeat themselves are read once, and what begins with a quote may be JSON twice, and is held back
            st.text(st.characters(codec="utf-8", exclude_characters="{"), max_size=4).filter(lambda text: not is_quoted(text)),
        ),
        min_size=1,
        max_size=8,
    ),
    max_size=5,
)
finishes = st.builds(
    lambda reason, usage: FinishReason(reason, "finish_reason" if reason else "done", usage, "m"),
    st.none() | texts.filter(lambda reason: finish_reason_of(reason) is not None and broken_off(reason) is None),
    st.none() | st.builds(Usage, *[st.integers(0, 2**31)] * 3, *[st.none() | st.integers(0, 9)] * 2),
)


def named_once(batches: list[Batch]) -> list[Batch]:
    """The same, where only the first piece of a tool call has its id and name."""
    begun: set[int] = set()

    def named(event: Any) -> Any:
        if not isinstance(event, ToolCallDelta) or event.index not in begun:
            begun.update([event.index] if isinstance(event, ToolCallDelta) else ())
            return event
        return ToolCallDelta(event.index, None, None, event.arguments)

    return [[named(event) for event in batch] for batch in batches]


@given(batches.map(named_once), finishes, st.booleans(), st.booleans(), st.none() | st.just({"length": 1}), cuts)
def test_round_trip(
    batches: list[Batch],
    finish: FinishReason,
    finish_reason_at_top: bool,
    with_ids: bool,
    extension: Json | None,
    cuts: list[int],
) -> None:
    """What was written is read again, event by event, however it is cut on its way."""
    assume(batches or finish.reason)  # what says nothing, and names no reason, is read as no answer
    stream = writer(finish_reason_at_top=finish_reason_at_top, include_usage=True, ids=map(str, count()) if with_ids else None)
    data = b"".join(map(stream.write, batches)) + stream.end(finish, extension=extension)

    answer = ChatStreamDecoder()
    events = [event for part in pieces(data, cuts) for event in answer.feed(part)]
    if finish.reason is None and any(isinstance(event, ToolCallDelta) for batch in batches for event in batch):
        finish = msgspec.structs.replace(finish, reason="tool_calls")

    assert [Started("m"), *[event for batch in batches for event in batch]] == events
    assert (finish, extension, True) == (answer.finish(), answer.extension, answer.complete)
