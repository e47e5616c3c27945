"""A conversation as the engine of this moment is asked it: by what its chat template knows of tools, which only the running
engine says. Knows no process and no HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from ..events import Batch, FinishReason, Messages
from ..request import ChatRequest
from ..wires.fields import UNSUPPORTED
from ..wires.shapes import refusal
from .answer_schema import guided_schemas, with_grammar
from .chat_template import SYNTAXES, Thoughts
from .completion import RawPart
from .control_tokens import Restorer, begun_text, control_tokens, is_begun
from .handle import EngineCondition
from .repeated_calls import RepeatedCalls
from .request import SEEDS
from .thoughts import CLOSING, OPENING, thoughts_of, with_thoughts
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
        problem = f"at most {slots} choices are made of one request, as many as the engine has slots; request fewer"
        raise refusal("n", problem)
    seeds = [(fields["seed"] + choice) % SEEDS for choice in range(count)]
    return [RawPart(choice, choice == 0, "", "", "", False, {**fields, "seed": seed}) for choice, seed in enumerate(seeds)]


class ChatTurn(NamedTuple):
    """What is asked, before it is known of whom. ``plan``: the tools; ``thinks``: whether the caller lets the model think."""

    messages: Messages
    plan: ToolPlan | None
    thinks: bool

    def thoughts(self, condition: EngineCondition, fields: Mapping[str, Any]) -> Thoughts:
        """Return who opens the thoughts of the answer. None where it is begun, or must be JSON of a schema from the start."""
        if is_begun(self.messages) or ("response_format" in fields and self.plan is None):
            return ""
        return thoughts_of(condition.thoughts, wanted=self.thinks)

    def is_plain(self, condition: EngineCondition, fields: Mapping[str, Any]) -> bool:
        """Return whether all of the answer is text: it has no calls and no thoughts."""
        return self.plan is None and not self.thoughts(condition, fields)


def schemas_of(turn: ChatTurn, fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schemas that a grammar holds an answer to, by their places in the request; none where there is no grammar."""
    if turn.plan is None:
        return guided_schemas(fields)
    schemas = {f"tools[{turn.plan.tools.index(tool)}].function.parameters": tool.schema for tool in turn.plan.allowed}
    if (schema := _schema(fields.get("response_format"))) is not None:
        schemas["response_format"] = schema
    return schemas


def chat_question(condition: EngineCondition, turn: ChatTurn, fields: Mapping[str, Any]) -> tuple[ChatRequest, Restorer | None]:
    """Return the request to the engine, and what puts its answer right again; see `ControlTokens.defuse_all`.

    The tools go to the template as a variable of its own: in the field ``tools`` they would not go with a grammar.
    """
    messages, plan, _ = turn
    asked: dict[str, Any] = dict(fields)
    variables: dict[str, Any] = {}
    if not condition.tools and (plan is not None or any(message["role"] == "tool" for message in messages)):
        messages = as_text(messages, plan.shown if plan is not None else [])
    shown = plan.shown if plan is not None and condition.tools else []
    defused, shown, restorer = control_tokens(condition.control).defuse_all(messages, shown)
    if plan is not None:
        syntax = SYNTAXES[condition.tools]
        thoughts = turn.thoughts(condition, fields)
        schema = _schema(asked.pop("response_format", None))
        asked["grammar"] = tool_grammar(plan, syntax, schema=schema, thoughts=thoughts)
        asked["preserved_tokens"] = [tag for tag in (syntax.opening, syntax.closing) if tag]
    asked = with_grammar(asked)
    if shown:
        variables["tools"] = shown
    if condition.thoughts:
        variables["enable_thinking"] = turn.thinks
        asked["preserved_tokens"] = [*asked.get("preserved_tokens", ()), OPENING, CLOSING]
    if variables:
        asked["chat_template_kwargs"] = variables
    return ChatRequest("", defused, stream=True, fields=asked), restorer


def told_apart(
    batches: AsyncGenerator[Batch], condition: EngineCondition, turn: ChatTurn, fields: Mapping[str, Any]
) -> AsyncGenerator[Batch]:
    """Return the answer with thoughts and calls told from its text."""
    if thoughts := turn.thoughts(condition, fields):
        batches = with_thoughts(batches, opened=thoughts == "opened")
    if turn.plan is not None:
        batches = _with_calls(batches, turn.plan, condition.tools, turn.messages)
    return batches


def _schema(response_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what an answer without calls must obey."""
    if response_format is None:
        return None
    described = response_format.get("json_schema")
    return described["schema"] if described else {"type": "object"}


async def _with_calls(batches: AsyncGenerator[Batch], plan: ToolPlan, style: str, messages: Messages) -> AsyncGenerator[Batch]:
    """Yield the answer with its calls told apart from its text. Raises `StatusError` 400 where there must be one and there is
    none: then the engine could not be held to the tools, of which it says nothing itself."""
    parser = ToolParser(plan, SYNTAXES[style], begun=begun_text(messages))
    repeated = RepeatedCalls()
    async with aclosing(batches):
        async for brought in batches:
            batch = parser.feed(brought)
            if plan.mode == "required" and not parser.calls:
                batch = _before_the_call(batch)
            if batch := repeated.feed(batch):
                yield batch


def _before_the_call(batch: Batch) -> Batch:
    """Return *batch* where a call must come, and none has begun: without the head of one that was cut. Raises `StatusError` 400
    for any other text, and for an end without a call."""
    end = batch[-1] if batch and isinstance(batch[-1], FinishReason) else None
    is_cut = end is not None and end.reason != "stop"
    if not is_cut and (end is not None or any(isinstance(event, str) for event in batch)):
        problem = "the embedded engine cannot be held to the schema of a tool; make it simpler, or leave tool_choice out"
        raise refusal("tools", problem, UNSUPPORTED)
    return [event for event in batch if not isinstance(event, str)]
