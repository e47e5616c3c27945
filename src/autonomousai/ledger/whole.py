"""A complete answer that its first attempt has brought at once, as most are: what its entry is made of, kept until one is made.
Nothing of its text is kept, nor of its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic, time
from typing import ClassVar

import msgspec

from ..events import Usage
from ..report import Report
from ..request import ChatRequest
from ..telemetry.metrics import AnswerMeter
from .entry import LedgerAttempt, LedgerEntry
from .estimate import completion_tokens, prompt_tokens
from .prices import MILLION, Prices


class WholeAnswer(msgspec.Struct, frozen=True, gc=False):
    """What is noted of such an answer; what `LedgerEntry` has too is the same there. ``report``: how the answer came about;
    ``usage``: what its upstream has counted, if it has. ``first_s``, ``total_s``: seconds from its request to its first event,
    and to its end."""

    outcome: ClassVar[str] = "ok"
    cache: ClassVar[None] = None

    id: str
    time: float
    key: str
    labels: Mapping[str, str]
    model: str
    wire: str
    report: Report
    usage: Usage | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float | None
    first_s: float
    total_s: float


def whole_answer(
    meter: AnswerMeter, id: str, wire: str, caller: tuple[str, Mapping[str, str]], request: ChatRequest, prices: Prices
) -> WholeAnswer | None:
    """Return what is noted of the answer to *request* that *meter* has counted as complete; None where that takes a closer
    look, as `entry.make_entry` has. *caller*: the name of its key and the labels."""
    answer, model = meter.answer, meter.model
    report, finish = answer.report, answer.finish
    if report is None or finish is None or len(report.attempts) != 1:
        return None
    started, usage = answer.started, finish.usage
    price = prices.price(report.attempts[0].upstream, (None if started is None else started.model, model))
    if usage is None:
        if answer.others:  # which may count the prompt
            return None
        prompt, completion = prompt_tokens(request), completion_tokens(answer)
    elif usage.extra or usage.cached_tokens or usage.reasoning_tokens:
        return None
    else:
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
    cost = None
    if price is not None:
        if price.steps or price.tiers:
            return None
        cost = (prompt * price.input + completion * price.output) / MILLION
    first_s, total_s = meter.first - meter.began, monotonic() - meter.began
    key, labels = caller
    # In the order of the members: names would take longer.
    return WholeAnswer(
        id,
        time() - total_s,
        key,
        labels,
        model,
        wire,
        report,
        usage,
        prompt,
        completion,
        prompt + completion,
        cost,
        first_s,
        total_s,
    )


def entry_of(whole: WholeAnswer) -> LedgerEntry:
    """Return the entry of *whole*."""
    report, usage, completion = whole.report, whole.usage, whole.completion_tokens
    attempt, is_estimated = report.attempts[0], usage is None
    return LedgerEntry(
        id=whole.id,
        time=whole.time,
        key=whole.key,
        labels=whole.labels,
        model=whole.model,
        wire=whole.wire,
        upstream=report.upstream or attempt.upstream,
        attempts=[
            LedgerAttempt(
                attempt.upstream, "ok", attempt.status, attempt.ms, completion, is_estimated and completion > 0, whole.cost
            )
        ],
        prompt_tokens=whole.prompt_tokens,
        completion_tokens=completion,
        lost_tokens=0,
        cached_tokens=None if usage is None else usage.cached_tokens,
        cache_write_tokens=None,
        reasoning_tokens=None if usage is None else usage.reasoning_tokens,
        estimated=is_estimated,
        cost=whole.cost,
        first_ms=round(whole.first_s * 1000),
        total_ms=max(0, round(whole.total_s * 1000)),
        outcome="ok",
        status=attempt.status,
        splices=len(report.splices),
        cache=None,
        hedged=report.hedged,
    )
