"""Answers that loop: found by their text alone, at the same place each time, and not where a text repeats itself by right."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from autonomousai.answer import Answer
from autonomousai.engine import weights
from autonomousai.engine.loops import LoopStop, is_loop
from autonomousai.engine.provider import LlamaCpp
from autonomousai.events import REPEATED, Batch, Extra, FinishReason, LogProbs, Messages, Reasoning, Started, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.request import ChatRequest
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_completions.wire import OPENAI_COMPLETIONS

STOPPED = FinishReason("repetition", "finish_reason", model="m", notes=(REPEATED,))

#: What was said before the loop begins.
OPENING = "Once upon a time there was a cop who had a son, and the son had a son as well. "

ROWS = "".join(f"| {number} | {number * 7} | yes | no |\n" for number in range(400))
CODE = "".join(f"    assert 4 == add({a}, {b})\n" for a in range(20) for b in range(20))


@pytest.mark.parametrize("unit", ["a", "'s son", "the same sentence again. ", "x" * 199 + "\n", "ä€🙂"], ids=repr)
def test_a_text_that_repeats_itself_for_long_is_a_loop(unit: str) -> None:
    """A thousand characters of it, and five times at the least, wherever in it the text ends."""
    loop = unit * (1 + 1000 // len(unit) + 1)

    assert is_loop(OPENING + loop)
    assert is_loop(OPENING + loop + unit[: len(unit) // 2])


def test_a_long_paragraph_is_a_loop_when_it_comes_for_the_fifth_time() -> None:
    """It is longer than a thousand characters much earlier."""
    paragraph = "".join(random.Random(1).choices("abcdefgh ", k=500))

    assert [False, True] == [is_loop(OPENING + paragraph * times) for times in (4, 5)]


@pytest.mark.parametrize(
    "text",
    [
        "hello " * 50,
        "I must not chew gum in class.\n" * 20,
        "\n".join(f"{number}. The same sentence stands in each line." for number in range(200)),
        ROWS,
        CODE,
        "| --- " * 100 + "|\n" + ROWS[:300],
        "[" + ", ".join(["0"] * 256) + "]",
        OPENING + "a" * 999,
        "a" * 998 + "b" + "a" * 998,
        "",
        "a",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_repeats_itself_by_right_is_no_loop(text: str) -> None:
    """Nor is any of its beginnings, at which it may be looked at."""
    assert not any(is_loop(text[:end]) for end in range(0, len(text) + 1, 16))


def pieces(text: str, sizes: Iterable[int]) -> list[str]:
    cut, at = [], 0
    for size in sizes:
        if at >= len(text):
            break
        cut.append(text[at : at + size])
        at += size
    return cut


def watched(batches: list[Batch], begun: str = "") -> Batch:
    """The events that are let through."""
    loop, said = LoopStop("m", begun), Batch()
    for batch in batches:
        said += loop.watch(batch)
        if loop.found:
            break
    return said


@pytest.mark.parametrize("seed", range(8))
def test_the_end_depends_on_the_text_alone(seed: int) -> None:
    """However the text is cut, the piece is the last one in which the same character stands."""
    text = OPENING + "'s son" * 400
    sizes = [random.Random(seed).randint(1, 3 + 60 * seed) for _ in text]

    *said, end = watched([[piece] for piece in pieces(text, sizes)])
    found = len("".join(map(str, watched([[character] for character in text]))))

    assert end == STOPPED
    assert len("".join(map(str, said[:-1]))) < found <= len("".join(map(str, said)))
    assert found < len(OPENING) + 1000 + 64 + 6


def test_a_continued_answer_ends_where_the_whole_one_would() -> None:
    """What it continues counts."""
    text = OPENING + "'s son" * 400
    whole = "".join(map(str, watched([[piece] for piece in pieces(text, [6] * 999)])))

    rest = watched([[piece] for piece in pieces(text[600:], [6] * 999)], begun=text[:600])

    assert whole == text[:600] + "".join(map(str, rest))


def test_an_answer_that_does_not_loop_passes_unchanged() -> None:
    """Its events too."""
    batches: list[Batch] = [[Started("m")], [*pieces(ROWS, [5] * 9999)], [LogProbs(["x"]), "x"], [STOPPED]]

    assert [event for batch in batches for event in batch] == watched(batches)


def test_thoughts_loop_too() -> None:
    """They are watched apart from the text."""
    said = watched([[Reasoning("so ")] for _ in range(900)])

    assert STOPPED == said[-1]
    assert 1000 <= sum(len(event.text) for event in said if isinstance(event, Reasoning)) < 1100


def test_what_came_with_a_piece_stays_with_it() -> None:
    """As the encoder writes them as one chunk."""
    chunk: Batch = [Extra({"x": 1}, 2, "openai_chat"), LogProbs(["p"]), "son "]

    said = watched([chunk * 3 for _ in range(200)])

    assert STOPPED == said[-1]
    assert said[:-1] == chunk * ((len(said) - 1) // 3)


def test_tokens_are_counted_as_far_as_they_are_known() -> None:
    """Of the prompt as llama.cpp tells while it reads, and a piece each of the answer."""
    loop = LoopStop("m")
    loop.note([Started("m", extra={"prompt_progress": {"total": 30, "cache": 20, "processed": 0}})])
    batch: Batch = []
    count = 0
    while not loop.found:
        batch = loop.watch(["son "])
        count += 1

    assert FinishReason("repetition", "finish_reason", Usage(30, count, 30 + count, 20), "m", notes=(REPEATED,)) == batch[-1]


def test_tokens_that_the_engine_counts_are_not_guessed() -> None:
    """Several may come in one piece, where a character takes more than one."""
    loop = LoopStop("m")
    loop.note([Started("m", extra={"prompt_progress": {"total": 30, "cache": 0, "processed": 0}})])
    loop.note([Extra({"timings": {"predicted_n": 6}}, 1, "openai_chat"), "🌍"])
    loop.watch(["🌍"])

    assert FinishReason("stop", "finish_reason", Usage(30, 6, 36, 0), "m") == loop.end("stop")


def test_a_further_choice_of_a_raw_prompt_says_length_as_well() -> None:
    """It keeps its note until its words are chosen."""
    document = OPENAI_COMPLETIONS.encode_answer(["x", STOPPED], AnswerHead("c", 1, "m"))

    assert b'"finish_reason":"length"' in document


# ---- real weights


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plain() -> AsyncIterator[LlamaCpp]:
    """An engine with llama.cpp's own sampling, with which the weights loop."""
    weights.pull(DEFAULT_WEIGHTS)
    async with LlamaCpp(slots=1, context=1024, sampling={}) as engine:  # beside another answer, rounding differs
        yield engine


LOOPING: Messages = [
    {"role": "user", "content": "Laugh."},
    {"role": "assistant", "content": "ha ha ha ha" * 12},
]
GREEDY = {"temperature": 0, "max_tokens": 900}


async def answered(stream: AsyncIterator[Batch]) -> Answer:
    folded = Answer()
    async for batch in stream:
        folded.add(batch)
    return folded


@pytest.mark.asyncio(loop_scope="module")
async def test_the_engine_stops_an_answer_that_loops(plain: LlamaCpp) -> None:
    """Twice at the same place, and its slot is free again: what is asked next is answered."""
    request = ChatRequest("llama", LOOPING, True, fields=GREEDY)
    first, again = [await answered(plain.stream(request)) for _ in range(2)]
    assert first.finish is not None

    assert ("repetition", (REPEATED,), "smollm2-135m") == (first.finish.reason, first.finish.notes, first.finish.model)
    assert first.finish.usage is not None
    assert 150 < first.finish.usage.completion_tokens < 800
    assert first.text == again.text
    assert is_loop(LOOPING[1]["content"] + first.text)


@pytest.mark.asyncio(loop_scope="module")
async def test_handed_on_without_a_task_it_is_the_same(plain: LlamaCpp) -> None:
    """Pieces that go past the generators are watched as well; the end comes by ``anext``."""
    request = ChatRequest("llama", LOOPING, True, fields=GREEDY)
    alone = await answered(plain.stream(request))
    piped, handed_on = Answer(), 0

    def sink(batch: Batch) -> bool:
        nonlocal handed_on
        handed_on += 1
        piped.add(batch)
        return True

    stream = plain.stream(request)
    async for batch in stream:
        piped.add(batch)
        assert await stream.pipe_to(sink)

    assert handed_on > 100
    assert (alone.text, alone.finish) == (piped.text, piped.finish)


@pytest.mark.asyncio(loop_scope="module")
async def test_through_the_gateway_it_is_the_same_and_no_failure(plain: LlamaCpp) -> None:
    """One attempt, with the whole text."""
    alone = await answered(plain.stream(ChatRequest("llama", LOOPING, True, fields=GREEDY)))
    gateway = Gateway([Upstream("embedded", plain)], {"llama": ["embedded"]})

    result = gateway.create_async_generator("llama", LOOPING, stream=True, **GREEDY)
    text = await result.text()

    assert text == alone.text
    assert result.report is not None
    assert ["ok"] == [attempt.outcome for attempt in result.report.attempts]
