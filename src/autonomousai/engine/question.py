"""A conversation as the engine of this moment is asked it: by what its chat template knows of tools, which only the running
engine says. Knows no process and no HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ..events import Batch, FinishReason, Messages
from ..request import ChatRequest
from ..wires.fields import UNSUPPORTED
from ..wires.shapes import refusal
from .chat_template import SYNTAXES
from .completion import RawPart
from .handle import EngineCondition
from .request import SEEDS, Restorer, begun_text, control_tokens, is_begun
from .tool_grammar import tool_grammar
from .tool_messages import as_text
from .tool_parser import ToolParser
from .tools import ToolPlan


def refuse_begun(messages: Messages, fields: Mapping[str, Any], plan: ToolPlan | None) -> None:
    """Raise `StatusError` 400 where an answer is begun that cannot be continued: JSON of a schema, or a call that must come."""
    if not is_begun(messages):
        return
    problem = "does not go with a last message of the assistant, which is continued"
    if "response_format" in fields:
        raise refusal("response_format", problem, UNSUPPORTED)
    if plan is not None and plan.mode == "required":
        raise refusal("tool_choice", problem, UNSUPPORTED)


def choices_of(fields: dict[str, Any], slots: int) -> list[RawPart]:
    """Take the number of choices out of *fields*, and return what is asked for each: the same with another seed. Raises
    `StatusError` 400 for more than the engine has *slots*."""
    count = fields.pop("n", 1)
    if count > slots:
        problem = f"at most {slots} choices are made of one request, as many as the engine has slots; ask for fewer"
        raise refusal("n", problem)
    seeds = [(fields["seed"] + choice) % SEEDS for choice in range(count)]
    return [RawPart(choice, choice == 0, "", "", "", False, {**fields, "seed": seed}) for choice, seed in enumerate(seeds)]


def chat_question(
    condition: EngineCondition, messages: Messages, fields: Mapping[str, Any], plan: ToolPlan | None
) -> tuple[ChatRequest, Restorer | None]:
    """Return the request to the engine, and what puts its answer right again; see `ControlTokens.defuse_all`.

    The tools go to the template as a variable of its own: in the field ``tools`` they would not go with a grammar.
    """
    asked = dict(fields)
    if not condition.tools and (plan is not None or any(message["role"] == "tool" for message in messages)):
        messages = as_text(messages, plan.shown if plan is not None else [])
    shown = plan.shown if plan is not None and condition.tools else []
    defused, shown, restorer = control_tokens(condition.control).defuse_all(messages, shown)
    if plan is not None:
        syntax = SYNTAXES[condition.tools]
        asked["grammar"] = tool_grammar(plan, syntax, schema=_schema(asked.pop("response_format", None)))
        asked["preserved_tokens"] = [tag for tag in (syntax.opening, syntax.closing) if tag]
    if shown:
        asked["chat_template_kwargs"] = {"tools": shown}
    return ChatRequest("", defused, stream=True, fields=asked), restorer


def _schema(response_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what an answer without calls must obey."""
    if response_format is None:
        return None
    described = response_format.get("json_schema")
    return described["schema"] if described else {"type": "object"}


async def with_calls(batches: AsyncGenerator[Batch], plan: ToolPlan, style: str, messages: Messages) -> AsyncGenerator[Batch]:
    """Yield the answer with its calls told apart from its text. Raises `StatusError` 400 where there must be one and there is
    none: then the engine could not be held to the tools, of which it says nothing itself."""
    parser = ToolParser(plan, SYNTAXES[style], begun=begun_text(messages))
    async with aclosing(batches):
        async for brought in batches:
            batch = parser.feed(brought)
            if plan.mode == "required" and not parser.calls and any(_is_no_call(event) for event in batch):
                problem = (
                    "the embedded engine cannot be held to the schema of a tool; make it simpler, or leave tool_choice out"
                )
                raise refusal("tools", problem, UNSUPPORTED)
            if batch:
                yield batch


def _is_no_call(event: Any) -> bool:
    return isinstance(event, str) or (isinstance(event, FinishReason) and event.reason == "stop")
