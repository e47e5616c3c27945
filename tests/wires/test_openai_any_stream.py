"""Streamed answers at random: every way of reading, and every way of cutting, tells the same of any stream; none raises."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.wires.answers import DONE, FINISH, ROLE, USAGE, Outcome, call, chunk, leniently, sse, text, usage
from tests.wires.cutting import cuts, every_byte, pieces

RECORDED = sse(
    ROLE,
    *[text(f" word{number}") for number in range(6)],
    chunk({"reasoning_content": "hm"}),
    *[text(f" wörd{number}", created=number) for number in range(3)],
    FINISH,
    usage(),
    DONE,
)


def test_a_cut_answer_is_never_taken_for_a_whole_one() -> None:
    """Cut at any byte, a stream has a finish only from where its finish reason is whole, and its text is a beginning."""
    proven = RECORDED.index(json.dumps(FINISH).encode()) + len(json.dumps(FINISH))
    whole = "".join(map(str, Outcome(RECORDED).events))

    for cut in range(len(RECORDED)):
        outcome = Outcome(RECORDED[:cut])

        assert (cut >= proven) == (outcome.finish is not None)
        assert whole.startswith("".join(map(str, outcome.events)))


class TestAnyStream:
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(min_value=-1, max_value=2)
        | st.sampled_from([0.0, 1.5, 10**20])
        | st.text(max_size=4),
        lambda value: (
            st.lists(value, max_size=2) | st.dictionaries(st.sampled_from(["text", "name", "index", "id"]), value, max_size=2)
        ),
        max_leaves=4,
    )
    text = st.text(max_size=4) | st.sampled_from(['"', "\\", "\n", "data: ", "😀", "\ud83d", "\ude00", "x" * 50])
    function = st.fixed_dictionaries({}, optional={"name": text | anything, "arguments": text | anything})
    piece = st.fixed_dictionaries(
        {}, optional={"index": st.integers(0, 2) | anything, "id": text | anything, "function": function | anything}
    )
    delta = st.fixed_dictionaries(
        {},
        optional={
            "content": text | anything,
            "reasoning_content": text | anything,
            "reasoning": text,
            "refusal": text,
            "tool_calls": st.lists(piece, max_size=2) | anything,
            "function_call": function | anything,
            "role": text,
        },
    )
    reason = st.none() | st.sampled_from(["", "stop"]) | anything
    choice = st.fixed_dictionaries(
        {},
        optional={
            "index": st.just(0) | anything,
            "delta": delta | anything,
            "finish_reason": reason,
            "text": text | anything,
            "error": anything,
        },
    )
    odd_chunk = st.fixed_dictionaries(
        {},
        optional={
            "choices": st.lists(choice, max_size=2) | anything,
            "model": st.sampled_from(["m", "n", ""]) | anything,
            "usage": st.just(USAGE) | anything,
            "finish_reason": reason,
            "error": st.none() | anything,
            "x_autonomousai": st.just({"length": 1}) | anything,
        },
    )
    usual_chunk = st.builds(
        lambda content, pad: chunk({"content": content}) | pad,
        text,
        st.sampled_from([{}] * 7 + [{"pad": "x"}, {"usage": None}]),
    )
    proper_piece = st.builds(
        call, st.integers(0, 2) | st.none(), text, id=st.none() | text, name=st.none() | text, type=st.just("function")
    )
    proper_chunk = st.builds(
        chunk,
        st.fixed_dictionaries(
            {},
            optional={
                "content": st.none() | text,
                "reasoning_content": st.none() | text,
                "reasoning": st.none() | text,
                "tool_calls": st.none() | st.lists(proper_piece, max_size=2),
                "refusal": st.sampled_from([None, "", "no"]),
            },
        ),
        st.sampled_from([None, None, None, "", "stop"]),
        usage=st.sampled_from([None, None, {}, USAGE, {"prompt_tokens": 1}]),
        model=st.sampled_from(["m", "m", "n", ""]),
    )
    event = st.one_of(
        *[usual_chunk] * 4,
        *[proper_chunk] * 3,
        odd_chunk,
        st.sampled_from([ROLE, FINISH, usage(), chunk({"reasoning": "hm"}), chunk(choices=[]), {}]),
        st.sampled_from([DONE, "", "nonsense", b": ping\n\n", b"id: 7\n", b"event: ping\n", b"\r\n", b"event: error\n"]),
    )
    streams = st.lists(event, max_size=14).map(lambda events: sse(*events))

    @given(st.lists(odd_chunk | usual_chunk | proper_chunk, max_size=5).map(lambda events: sse(*events)))
    def test_every_width_reads_the_same(self, stream: bytes) -> None:
        """What the typed decoders take, they read as the lenient one does."""
        assert leniently(stream) == Outcome(stream)

    @given(streams, cuts)
    def test_cut_in_any_way(self, stream: bytes, cuts: list[int]) -> None:
        """However a stream is cut, byte by byte too, the events and the end are the same."""
        whole = Outcome(stream)

        assert whole == Outcome(*pieces(stream, cuts))
        assert whole == Outcome(*every_byte(stream))

    word = st.sampled_from([" a", "b", "", "word", '"', "\\", "\n", "ä", "data: "])
    run = st.builds(
        lambda words, rest: [chunk({"content": word}) | rest for word in words],
        st.lists(word, min_size=3, max_size=12),
        st.sampled_from([{}, {"pad": "x"}, {"model": "n"}, {"usage": None}]),
    )

    @given(st.lists(run | st.lists(event, max_size=2), max_size=4), st.booleans())
    def test_by_template(self, runs: list[list[Any]], compact: bool) -> None:
        """Runs of chunks that differ in their text alone are read as they are one by one, whatever stands between them."""
        events = [sse(event) for run in runs for event in run]
        if compact:
            events = [event.replace(b'": ', b'":').replace(b"\\u00e4", "ä".encode()) for event in events]

        assert Outcome(*events) == Outcome(b"".join(events))

    @given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda data: b"data: %b\n\n" % data), cuts)
    def test_any_bytes(self, data: bytes, cuts: list[int]) -> None:
        """No bytes make `feed` raise."""
        outcome = Outcome(*pieces(data, cuts))

        assert outcome == Outcome(data)

    @given(st.integers(min_value=0, max_value=len(RECORDED) - 1), st.binary(max_size=3), cuts)
    def test_damaged(self, at: int, damage: bytes, cuts: list[int]) -> None:
        """A damaged stream fails, or ends, the same way however it is cut."""
        stream = RECORDED[:at] + damage + RECORDED[at + len(damage) :]

        assert Outcome(stream) == Outcome(*pieces(stream, cuts))
