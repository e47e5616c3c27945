"""How far a prompt is read: what llama.cpp says of it, and that it reaches the answer while nothing is said yet."""

from __future__ import annotations

import pytest

from autonomousai.answer import Answer
from autonomousai.engine.prompt_progress import reading_of
from autonomousai.engine.provider import LlamaCpp
from autonomousai.events import Batch, Extra, Started
from autonomousai.request import CallOptions, ChatRequest


def told(processed: int) -> dict[str, object]:
    return {"prompt_progress": {"total": 100, "cache": 0, "processed": processed, "time_ms": 1}}


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([Started("m", extra=told(0))], (0, 100)),
        ([Started("m", extra=told(0)), Extra(told(64), 0, "openai_chat")], (64, 100)),
        ([Extra({"x": 1}, 0, "openai_chat")], None),
        ([Started("m")], None),
        (["text"], None),
        ([], None),
    ],
    ids=str,
)
def test_the_last_that_is_said_counts(batch: Batch, expected: tuple[int, int] | None) -> None:
    """Of any batch, of which most say nothing."""
    assert expected == reading_of(batch)


class Watched(Answer):
    """Keeps all that is noted."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        super().__init__()

    @property
    def reading(self) -> tuple[int, int] | None:  # type: ignore[override]
        return self.seen[-1] if self.seen else None

    @reading.setter
    def reading(self, value: tuple[int, int] | None) -> None:
        if value is not None:
            self.seen.append(value)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_engine_tells_how_far_it_has_read(engine: LlamaCpp) -> None:
    """After each batch of the prompt, up to its end; the text says nothing of it."""
    answer = Watched()
    messages = [{"role": "user", "content": "A word and another word. " * 60}]
    request = ChatRequest("llama", messages, True, fields={"max_tokens": 4, "seed": 1})
    async for batch in engine.stream(request, CallOptions(answer=answer)):
        answer.add(batch)
    assert answer.finish is not None
    assert answer.finish.usage is not None
    total = answer.finish.usage.prompt_tokens

    assert {total} == {each[1] for each in answer.seen}
    assert [0, 64, 128] == [done for done, _ in answer.seen][:3]
    assert total == answer.seen[-1][0]  # which comes with the text where the reader is slow
    assert [] == answer.others
