"""Thoughts on real weights: SmolLM2 with the template of a model that thinks. It thinks nothing worth reading."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from autonomousai.answer import Answer
from autonomousai.engine import weights
from autonomousai.engine.provider import LlamaCpp
from autonomousai.models import DEFAULT_WEIGHTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The beginning of the template in the file, and one of a model that thinks unless it is told not to.
THERE = b"{% for message in messages %}"
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '' }}{% else %}{{ '<think>\\n' }}{% endif %}{% endif %}"
)


def with_template(path: Path, template: str) -> Path:
    """Put *template* in the place of SmolLM2's own, which must be as long: a comment fills it up."""
    with path.open("rb") as file:
        head = file.read(4_000_000)
    at = head.index(THERE)
    length = int.from_bytes(head[at - 8 : at], "little")
    filled = template + "{#" + " " * (length - len(template) - 4) + "#}"
    with path.open("r+b") as file:
        file.seek(at)
        file.write(filled.encode())
    assert length == len(filled)
    return path


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LlamaCpp]:
    """One slot of 512 tokens."""
    copy = tmp_path_factory.mktemp("weights") / "thinker.gguf"
    shutil.copy(weights.pull(DEFAULT_WEIGHTS), copy)
    async with LlamaCpp(str(with_template(copy, THINKS)), slots=1, context=512) as engine:
        yield engine


async def asked(engine: LlamaCpp, **fields: Any) -> Answer:
    answer, given = Answer(), {"max_tokens": 6, "temperature": 0, **fields}
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    async for batch in engine.create_async_generator("plain", messages, stream=True, **given).batches():
        answer.add(batch)
    return answer


async def test_what_follows_the_opened_tag_is_thought(thinker: LlamaCpp) -> None:
    """And no text, as the model never closes it; without thinking there is none."""
    thinking, silent = await asked(thinker), await asked(thinker, reasoning_effort="none")

    assert (True, "") == (bool(thinking.reasoning), thinking.text)
    assert ("", True) == (silent.reasoning, bool(silent.text))


async def test_a_call_that_must_come_follows_the_thoughts(thinker: LlamaCpp) -> None:
    """The grammar lets the model think first, and where it may not think the call comes at once."""
    tool = {"type": "function", "function": {"name": "now"}}
    thinking = await asked(thinker, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    fields: Any = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 40}
    silent = await asked(thinker, tools=[tool], enable_thinking=False, **fields)

    assert (True, None) == (bool(thinking.reasoning), thinking.tool_calls)
    assert silent.tool_calls is not None
    assert ["now"] == [call.name for call in silent.tool_calls.calls]


async def test_json_of_a_schema_is_no_thought(thinker: LlamaCpp) -> None:
    """It comes from the start, as it is forced."""
    answer = await asked(thinker, response_format={"type": "json_object"})

    assert ("", "{") == (answer.reasoning, answer.text[:1])
