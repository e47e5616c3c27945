"""Raw prompts for the embedded engine: no chat template, no system message, and control tokens in them mean what they say.

The engine is asked for one choice of one prompt at a time; `choices` makes one answer of several. Knows no process and no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..request import ChatRequest, OriginalRequest
from ..wires.fields import UNSUPPORTED
from ..wires.openai_completions.request import (
    COMPLETIONS,
    DEFAULT_MAX_TOKENS,
    MOST_CHOICES,
    continued_prompt,
)
from ..wires.prompts import is_tokens
from ..wires.raw import COMPLETIONS_WIRE
from ..wires.shapes import refusal
from .answer_schema import with_grammar
from .request import SEEDS, engine_fields
from .tool_schema import held_schema

#: The tokens that mark for weights what stands before and after, and that what is between is wanted, by their families:
#: Qwen and CodeGemma, StarCoder and Granite, DeepSeek, Code Llama.
_MIDDLE: Final = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
)


class RawPart(NamedTuple):
    """One choice of one prompt. ``number``: its index; ``is_first``: whether it is the first of its prompt; ``echo``: what its
    text begins with before anything is generated; ``is_silent``: nothing is to be generated."""

    number: int
    is_first: bool
    prompt: str
    suffix: str
    echo: str
    is_silent: bool
    fields: dict[str, Any]


def completion_parts(request: ChatRequest, *, context: int) -> list[RawPart]:
    """Return what the engine is asked for *request*. Raises `StatusError` 400 that names the field that it cannot honour."""
    assert request.origin is not None
    document = {**request.origin.document, **request.origin.changes}
    prompts, suffix, echo, count = _taken(document, request.origin.continues)
    document["logprobs"] = _probabilities(document.get("logprobs"))
    if echo and document["logprobs"]:
        raise refusal(
            "logprobs", "does not go with echo: the engine reports no probabilities of a prompt's tokens", UNSUPPORTED
        )
    usual = context if document.get("max_tokens") == -1 else DEFAULT_MAX_TOKENS  # -1: without a limit, as at llama-server
    fields = engine_fields(document, max_tokens=usual, context=context, table=COMPLETIONS)
    is_silent = fields["max_tokens"] == 0
    fields["max_tokens"] = max(1, fields["max_tokens"])  # the engine makes one in any case
    return [
        RawPart(
            place * count + choice,
            choice == 0,
            prompt,
            suffix,
            prompt if echo else "",
            is_silent,
            {**fields, "seed": (fields["seed"] + choice) % SEEDS},  # or all choices would be the same
        )
        for place, prompt in enumerate(prompts)
        for choice in range(count)
    ]


def _probabilities(value: Any) -> Any:
    """Return of how many tokens the engine tells the probabilities; None for none. 0 and true mean the chosen token alone."""
    if value is None or value is False:
        return None
    return 1 if value is True or value == 0 else value


def _taken(document: dict[str, Any], continues: str | None) -> tuple[list[str], str, bool, int]:
    """Take out of *document* what the engine has no field for: the prompts, the suffix, whether there is an echo, and how many
    choices there are for each prompt."""
    prompt = document.pop("prompt")
    if is_tokens(prompt):
        problem = "the embedded engine takes text, not tokens: those are numbers in the vocabulary of another model; send text"
        raise refusal("prompt", problem, UNSUPPORTED)
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if continues is not None:
        prompts = [continued_prompt(prompt, continues)]
    suffix, echo = COMPLETIONS.take(document, "suffix") or "", bool(COMPLETIONS.take(document, "echo"))
    count = COMPLETIONS.rows["n"].uses["llamacpp"].shape.check("n", document.pop("n", 1))
    if len(prompts) * count > MOST_CHOICES:
        raise refusal("prompt", f"at most {MOST_CHOICES} choices are made of one request, not {len(prompts) * count}")
    for place, text in enumerate(prompts):
        if not text and not suffix:
            where = "prompt" if isinstance(prompt, str) else f"prompt[{place}]"
            raise refusal(where, "is empty; the embedded engine needs a text to begin with")
    return prompts, suffix, echo, count


def raw_question(part: RawPart, control: Sequence[str]) -> ChatRequest:
    """Return the request to the engine for *part*. *control*: the control tokens of its weights."""
    prompt = fill_in_the_middle(part.prompt, part.suffix, control) if part.suffix else part.prompt
    origin = OriginalRequest(COMPLETIONS_WIRE, {"prompt": prompt, **_held(with_grammar(part.fields))})
    return ChatRequest("", [], stream=True, origin=origin)


def _held(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* with the answer's schema where llama.cpp looks for that of a raw prompt; it ignores it elsewhere. Objects
    that describe their members have no others, as in a chat: small models would not stop adding some."""
    wanted = fields.get("response_format")
    if wanted is None:
        return fields
    rest = {name: value for name, value in fields.items() if name != "response_format"}
    described = wanted.get("json_schema") or {}
    schema = described.get("schema") or wanted.get("schema") or {"type": "object"}
    return {**rest, "json_schema": held_schema(schema, "response_format", is_strict=False)}


def fill_in_the_middle(before: str, after: str, control: Sequence[str]) -> str:
    """Return the prompt by which weights with these *control* tokens write what is missing between two texts.

    Raises `StatusError` 400 where they have none for that.

    Example::

        tokens = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
        assert fill_in_the_middle("a", "c", tokens) == "<|fim_prefix|>a<|fim_suffix|>c<|fim_middle|>"
    """
    for first, second, third in _MIDDLE:
        if {first, second, third} <= {*control}:
            return f"{first}{before}{second}{after}{third}"
    problem = "the weights of this model have no tokens to fill in the middle with; ask one for code (qwen2.5-coder-0.5b has)"
    raise refusal("suffix", problem, UNSUPPORTED)
