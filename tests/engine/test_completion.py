"""Raw prompts for the embedded engine: what it is asked, one choice after the other, and how their answers are joined."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.engine.completion import RawPart, completion_parts, fill_in_the_middle, raw_question
from autonomousai.engine.request import SEEDS
from autonomousai.errors import StatusError
from autonomousai.wires.openai_completions.wire import OPENAI_COMPLETIONS

QWEN = ("<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")


def parts(**document: Any) -> list[RawPart]:
    body = json.dumps({"model": "m", "prompt": "a", **document}).encode()
    return completion_parts(OPENAI_COMPLETIONS.decode_request(body, "/v1/completions"), context=100)


def test_the_usual_prompt_is_asked_as_it_is() -> None:
    """Sixteen tokens where nothing is said, a seed in any case, and no cache, with which a seed would not repeat a text."""
    (part,) = parts(prompt="<|im_end|>a")
    origin = raw_question(part, QWEN).origin

    assert origin is not None
    assert ("<|im_end|>a", 16, False) == tuple(origin.document[name] for name in ("prompt", "max_tokens", "cache_prompt"))
    assert 0 <= origin.document["seed"] < SEEDS


def test_choices_are_asked_for_one_by_one() -> None:
    """Those of the first prompt first; each with a seed of its own, or all would be the same; no more tokens than fit."""
    found = parts(prompt=["a", "b"], n=2, seed=SEEDS - 1, max_tokens=1000)

    assert [(0, "a", True), (1, "a", False), (2, "b", True), (3, "b", False)] == [
        (part.number, part.prompt, part.is_first) for part in found
    ]
    assert [SEEDS - 1, 0] * 2 == [part.fields["seed"] for part in found]
    assert {100} == {part.fields["max_tokens"] for part in found}


def test_no_limit_is_as_many_as_fit() -> None:
    """-1 is llama-server's word for it, and LM Studio's."""
    assert [100] == [part.fields["max_tokens"] for part in parts(prompt="a", max_tokens=-1)]


_SCHEMA: Any = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
_CLOSED: Any = {**_SCHEMA, "additionalProperties": False}


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_object", "schema": _SCHEMA}, _CLOSED),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}}, _CLOSED),
        ({"type": "text"}, None),
    ],
    ids=str,
)
def test_a_schema_stands_where_raw_prompts_have_it(wanted: dict[str, Any], schema: Any) -> None:
    """llama.cpp reads no `response_format` there, and the answer was any text."""
    origin = raw_question(parts(response_format=wanted)[0], QWEN).origin

    assert origin is not None
    assert (schema, False) == (origin.document.get("json_schema"), "response_format" in origin.document)


@pytest.mark.parametrize(("value", "asked"), [(None, None), (False, None), (True, 1), (0, 1), (5, 5), (5.0, 5)], ids=str)
def test_log_probabilities_are_at_least_those_of_the_tokens_that_were_chosen(value: Any, asked: int | None) -> None:
    """0 means them alone."""
    assert asked == parts(logprobs=value)[0].fields.get("logprobs")


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"prompt": [1]}, "prompt"),
        ({"prompt": [[1]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": ["a"] * 65, "n": 2}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "logprobs"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"guided_json": {"x": 1}}, "guided_json"),
        ({"temperature": 3}, "temperature"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_refused_by_name(document: dict[str, Any], param: str) -> None:
    """With a 400."""
    with pytest.raises(StatusError) as refused:
        parts(**document)

    assert (400, param) == (refused.value.status, refused.value.param)


@pytest.mark.parametrize(
    ("control", "prompt"),
    [
        (QWEN, "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"),
        (("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"), "<fim_prefix>a<fim_suffix>b<fim_middle>"),
        (("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"), "<｜fim▁begin｜>a<｜fim▁hole｜>b<｜fim▁end｜>"),
    ],
)
def test_the_middle_is_filled_in_by_the_tokens_of_the_weights(control: tuple[str, ...], prompt: str) -> None:
    """Of whichever family they are; an empty prompt will do."""
    (part,) = parts(suffix="b")
    origin = raw_question(part, control).origin

    assert origin is not None
    assert prompt == origin.document["prompt"]
    assert "suffix" not in origin.document
    assert "" == parts(prompt="", suffix="b")[0].prompt


@pytest.mark.parametrize("control", [(), ("<|im_end|>",), QWEN[:3]])
def test_other_weights_fill_in_nothing(control: tuple[str, ...]) -> None:
    """They would not know what is asked."""
    with pytest.raises(StatusError, match="fill in the middle") as refused:
        fill_in_the_middle("a", "b", control)

    assert "suffix" == refused.value.param


def test_a_prompt_is_continued_with_the_text() -> None:
    """As the end of the prompt."""
    body = json.dumps({"prompt": ["Once"]}).encode()
    request = OPENAI_COMPLETIONS.decode_request(body, "/v1/completions").continued(" upon")

    assert ["Once upon"] == [part.prompt for part in completion_parts(request, context=100)]
