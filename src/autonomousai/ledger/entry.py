"""An entry of the ledger: what is noted of one answer, made in one place when the answer has ended, however it ended.

Tokens are the upstream's own count where it gave one. Elsewhere they are estimated from the pieces that came, and the entry
says so. What the caller got is kept apart from what was generated and lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..answer import Answer
from ..events import Extra, Usage
from ..report import Attempt
from ..telemetry.metrics import AnswerMeter, Asked
from ..wires.anthropic_messages.members import usage_of
from ..wires.cache_counts import cache_read, cache_written, cache_written_1h
from .estimate import Tokens, completion_tokens, pieces_of, prompt_tokens, tokens_per_piece
from .prices import Prices, cost_of

#: The name of the API that counts a prompt before the first word.
ANTHROPIC_MESSAGES: Final = "anthropic_messages"

#: The outcome of an answer that another server finishes, and accounts again as a whole under the same id.
HANDED_OVER: Final = "handed_over"


class LedgerAttempt(msgspec.Struct, frozen=True, gc=False):
    """One try at one upstream. ``tokens``: completion tokens that it generated; ``estimated``: not the upstream's own count.
    ``cost``: US dollars, None where no price is known. The others as in `Attempt`."""

    upstream: str
    outcome: str
    status: int | None
    ms: int
    tokens: int
    estimated: bool
    cost: float | None


class LedgerEntry(msgspec.Struct, frozen=True, gc=False):
    """One answer.

    ``id``: of its request; no two entries have the same. ``time``: when the request came, in seconds since the epoch. ``key``:
    the name of the caller's key, ``""`` where it has none. ``model``: as the config calls it; ``upstream``: which answered, or
    was asked last. ``prompt_tokens``, ``completion_tokens``: what the caller sent and got; ``lost_tokens``: what was generated
    beside that, by tries that broke. Cached, written and reasoning tokens are part of those, None where no upstream said.
    ``estimated``: some of the tokens are not an upstream's own count. ``cost``: US dollars of all tries, None where the price
    of any is unknown. ``first_ms``: until the first of the answer. ``outcome``: ``"ok"``, ``"left"``, ``"handed_over"``, or
    what broke the answer; ``status``: the last upstream's. ``splices``: how often it was continued elsewhere.
    """

    id: str
    time: float
    key: str
    labels: Mapping[str, str]
    model: str
    wire: str
    upstream: str | None
    attempts: list[LedgerAttempt]
    prompt_tokens: int
    completion_tokens: int
    lost_tokens: int
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    estimated: bool
    cost: float | None
    first_ms: int | None
    total_ms: int
    outcome: str
    status: int | None
    splices: int
    cache: str | None
    hedged: bool

    @property
    def total_tokens(self) -> int:
        """Return all tokens, those that were lost included."""
        return self.prompt_tokens + self.completion_tokens + self.lost_tokens


def make_entry(meter: AnswerMeter, asked: Asked, prices: Prices, labels: Mapping[str, str]) -> LedgerEntry:
    """Return the entry of the answer that *meter* has watched to its end, and that is closed."""
    if (usual := _usual(meter, asked, prices, labels)) is not None:
        return usual
    answer = meter.answer
    report = answer.report
    tried = [] if report is None else report.attempts
    tokens = _tokens_of(answer, asked, tried)
    attempts = _attempts_of(tried, answer, tokens, prices, meter.model)
    costs = [attempt.cost for attempt in attempts if attempt.tokens or attempt.outcome == "ok"]
    if report is not None and report.cache == "hit":
        costs = [0.0]
    elif not tried and answer.finish is not None:  # no gateway, which would say what it tried
        names = (answer.model, meter.model)
        told = _told_cost(answer)
        costs = [prices.cost(meter.upstream or "", names, tokens, tokens.last, told, _tier_of(answer))]
    return LedgerEntry(
        id=asked.id,
        time=asked.came,
        key=asked.key,
        labels=labels,
        model=meter.model,
        wire=asked.wire,
        upstream=meter.upstream,
        attempts=attempts,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        lost_tokens=tokens.lost,
        cached_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        reasoning_tokens=tokens.reasoning,
        estimated=tokens.estimated,
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        first_ms=round((meter.first - meter.began) * 1000) if meter.first else None,
        total_ms=max(round((time.time() - asked.came) * 1000), 0),
        outcome=HANDED_OVER if meter.handed_over and answer.finish is None else meter.outcome,
        status=tried[-1].status if tried else None,
        splices=0 if report is None else len(report.splices),
        cache=None if report is None else report.cache,
        hedged=report is not None and report.hedged,
    )


def make_bare_entry(meter: AnswerMeter, asked: Asked) -> LedgerEntry:
    """Return what is certain of an answer whose entry could not be made: its upstream's count, at an unknown cost."""
    usage = Usage() if (finish := meter.answer.finish) is None or finish.usage is None else finish.usage
    return LedgerEntry(
        id=asked.id,
        time=asked.came,
        key=asked.key,
        labels={},
        model=meter.model,
        wire=asked.wire,
        upstream=meter.upstream,
        attempts=[],
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        lost_tokens=0,
        cached_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        estimated=True,
        cost=None,
        first_ms=None,
        total_ms=max(round((time.time() - asked.came) * 1000), 0),
        outcome="bug",
        status=None,
        splices=0,
        cache=None,
        hedged=False,
    )


def _usual(meter: AnswerMeter, asked: Asked, prices: Prices, labels: Mapping[str, str]) -> LedgerEntry | None:
    """Return the entry of a complete answer that one try has brought, None for any other: the same as by all the rules, and
    much sooner."""
    answer = meter.answer
    report, finish = answer.report, answer.finish
    if report is None or finish is None or len(report.attempts) != 1:
        return None
    attempt, usage = report.attempts[0], finish.usage
    if (
        attempt.outcome != "ok"
        or attempt.tokens
        or report.ways
        or report.cache
        or report.spent
        or report.repeated
        or (usage.extra if usage is not None else answer.others)  # which may count the prompt
    ):
        return None
    upstream, model = attempt.upstream, meter.model
    cached = reasoning = None
    if usage is not None:
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
    else:
        prompt, completion = prompt_tokens(asked.request), completion_tokens(answer)
    started = answer.started
    price = prices.price(upstream, (None if started is None else started.model, model))
    cost = None
    if price is not None:
        if cached or reasoning or price.steps or price.tiers:
            tokens = Tokens(prompt) if usage is None else _counted(usage)
            cost = cost_of(price, tokens, completion, _tier_of(answer) if price.tiers else None)
        else:
            cost = (prompt * price.input + completion * price.output) / 1_000_000
    took = round((time.time() - asked.came) * 1000)
    # In the order of the members: names would take longer.
    return LedgerEntry(
        asked.id,
        asked.came,
        asked.key,
        labels,
        model,
        asked.wire,
        report.upstream or upstream,
        [LedgerAttempt(upstream, "ok", attempt.status, attempt.ms, completion, usage is None and completion > 0, cost)],
        prompt,
        completion,
        0,
        cached,
        None,
        reasoning,
        usage is None,
        cost,
        round((meter.first - meter.began) * 1000) if meter.first else None,
        max(0, took),
        meter.outcome,
        attempt.status,
        len(report.splices),
        None,
        report.hedged,
    )


def _tokens_of(answer: Answer, asked: Asked, tried: list[Attempt]) -> Tokens:
    """Return the tokens of an answer: the upstream's own count where there is one, else what the pieces make."""
    report, finish = answer.report, answer.finish
    usage = None if finish is None else finish.usage
    if usage is not None and len(tried) < 2 and (report is None or not (report.spent or report.repeated)):
        return _counted(usage)  # as usual
    failed = sum(attempt.tokens for attempt in tried)
    got, last, lost = _pieces_of(answer, failed)
    if asked.whole and finish is None:
        got, lost = 0, failed
    if usage is None:
        ratio = tokens_per_piece(answer)
        asks = bool(failed or got or finish is not None)
        counts: Any = {"completion": ratio(got), "last": ratio(last), "lost": ratio(lost), "estimated": asks}
        if asks and (began := usage_of(_began_with(answer))) is not None:
            return msgspec.structs.replace(_counted(began), **counts)
        return Tokens(prompt=prompt_tokens(asked.request) if asks else 0, **counts)
    spent = 0 if report is None else report.spent
    counted = max(usage.completion_tokens - spent, 0)  # the gateway has added what it spent
    completion = max(counted + got - last, 0)
    return msgspec.structs.replace(_counted(usage), completion=completion, last=counted, lost=lost, estimated=failed > 0)


def _began_with(answer: Answer) -> dict[str, Any]:
    """Return what the upstream has counted before the first word (Messages API, ``message_start``); empty where it has not."""
    for event in answer.others:
        if (
            type(event) is Extra
            and event.wire == ANTHROPIC_MESSAGES
            and isinstance(message := event.members.get("message_start"), dict)
        ):
            usage = message.get("usage")
            return usage if isinstance(usage, dict) else {}
    return {}


def _counted(usage: Usage) -> Tokens:
    """Return the tokens as an upstream counted them."""
    cached, written = usage.cached_tokens, None
    if usage.extra:  # where some servers count these
        cached = (cache_read(usage) or None) if cached is None else cached
        written = cache_written(usage) or None
    completion = usage.completion_tokens
    return Tokens(
        usage.prompt_tokens,
        completion,
        completion,
        cached=cached,
        cache_write=written,
        reasoning=usage.reasoning_tokens,
        cache_write_1h=cache_written_1h(usage) if written else 0,
    )


def _pieces_of(answer: Answer, failed: int) -> tuple[int, int, int]:
    """Return how many pieces the caller got, the last try generated, and were lost. *failed*: of all tries that broke."""
    report = answer.report
    pieces = pieces_of(answer)
    if answer.finish is None:
        return pieces, 0, max(failed - pieces, 0)
    if report is None:
        return pieces, pieces, failed
    last = max(pieces + report.repeated - report.spent, 0)
    if report.ways and report.ways[-1] != "continue":
        return last, last, failed  # the last try has generated all of it, whatever was delivered before
    beside = max(failed - report.spent, 0)  # what another upstream generated that was asked at the same time
    return pieces, last, report.repeated + beside


def _attempts_of(tried: list[Attempt], answer: Answer, tokens: Tokens, prices: Prices, model: str) -> list[LedgerAttempt]:
    """Return the tries with the tokens and the cost of each. One that generated nothing costs nothing."""
    attempts = []
    told = answer.finish is not None and answer.finish.usage is not None
    ratio = int if told else tokens_per_piece(answer)
    for attempt in tried:
        ok = attempt.outcome == "ok"
        generated = tokens.last if ok else ratio(attempt.tokens)
        cost: float | None = 0.0
        if ok:
            names = (_model_at_the_end(answer), model)
            cost = prices.cost(attempt.upstream, names, tokens, generated, _told_cost(answer), _tier_of(answer))
        elif generated and answer.finish is None and attempt is tried[-1] and attempt.upstream == answer.upstream:
            # The one that began it, so that it has named the model, and may have counted the prompt.
            cost = prices.cost(attempt.upstream, (answer.model, model), tokens, generated, None, _tier_of(answer))
        elif generated:
            cost = prices.cost(attempt.upstream, (model,), Tokens(prompt=tokens.prompt), generated)
        attempts.append(
            LedgerAttempt(
                attempt.upstream,
                attempt.outcome,
                attempt.status,
                attempt.ms,
                generated,
                generated > 0 and not (ok and told),
                cost,
            )
        )
    return attempts


def _model_at_the_end(answer: Answer) -> str | None:
    """Return the model as the upstream names it that ended the answer: after a splice it is another one."""
    finish = answer.finish
    return answer.model if finish is None or finish.model is None else finish.model


def _told_cost(answer: Answer) -> float | None:
    """Return what the upstream says that its answer cost, in US dollars (OpenRouter's ``usage.cost``); None elsewhere."""
    usage = None if answer.finish is None else answer.finish.usage
    cost = (usage.extra or {}).get("cost") if usage is not None else None
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < 1e9:
        return None
    return float(cost)


def _tier_of(answer: Answer) -> str | None:
    """Return the ``service_tier`` by which the upstream says that it has answered: what was requested may not be what was had.
    In the usage (the Messages API), or in a member of the answer (OpenAI's)."""
    usage = None if answer.finish is None else answer.finish.usage
    members = [usage.extra if usage is not None else _began_with(answer)]
    members.append(None if answer.started is None else answer.started.extra)
    members += [event.members for event in answer.others if type(event) is Extra]
    tiers = (each.get("service_tier") for each in members if each)
    return next((tier for tier in tiers if isinstance(tier, str)), None)
