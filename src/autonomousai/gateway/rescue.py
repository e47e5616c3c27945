"""The rest of an answer that broke after it had begun: generated again, continued, or generated anew, never a blend of two.

Plans are tried from the best to the worst. What an upstream brings is compared with what was delivered (`replay_filter`), so
that the caller gets each character once, in order, or an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Literal, NamedTuple

from ..errors import ProviderError
from ..events import Batch
from ..report import Splice
from ..request import ChatRequest
from .attempt import LONGEST_WAIT_S, RouteState
from .replay_filter import DivergedError, ReplayFilter, to_last_whole_word
from .retry_policy import RetryDecision, classify, has_only_thought, is_prose, is_rescuable
from .upstream import Upstream

#: Rescues of one answer. Each of them delivered something, so that this only bounds what would never end.
_MOST_RESCUES = 20


class RescuePlan(NamedTuple):
    """One way to the rest of an answer. ``continued``: the text that the upstream is to continue, None where it generates the
    whole answer. ``replay``: what of the answer will come again. ``exact``: whether it brings what would have come; then it is
    tried as long as there is time."""

    upstream: Upstream
    request: ChatRequest
    replay: ReplayFilter
    continued: str | None = None
    exact: bool = False
    name: Literal["again", "continue", "anew"] = "anew"


class _BreakerOpenError(Exception):
    """The upstream's breaker has opened meanwhile."""


async def rescued(run: RouteState, cause: ProviderError) -> AsyncGenerator[Batch]:
    """Yield the rest of *run*'s answer, which broke because of *cause*, however often the rest breaks as well."""
    if run.report.begun == -1:
        run.report.spent = run.answer.deltas + run.report.repeated
    for _ in range(_MOST_RESCUES):
        before = run.answer.deltas
        rest = _rest(run, cause)
        try:
            async for batch in rest:
                yield batch
            return
        except ProviderError as error:
            if run.answer.deltas == before or not is_rescuable(error, run.request, run.answer):
                raise
        finally:
            await rest.aclose()
    raise cause


async def _rest(run: RouteState, cause: ProviderError) -> AsyncGenerator[Batch]:
    """Yield what is missing, by the first plan that brings it. Raises *cause* where none does.

    An upstream whose breaker is open is passed over, with all its plans, while there are others, and waited for at last; for
    what it alone can bring exactly, as long as there is time.
    """
    before = run.answer.deltas
    if run.loop.time() >= run.deadline:
        raise cause
    failures: dict[str, int] = {}
    unpaid = {run.report.upstream}  # asking it once more is a retry
    plans = await _plans(run, cause)
    for is_last_round in (False, True):
        postponed: list[RescuePlan] = []
        for plan in plans:
            if _is_tried_enough(run, plan, failures):
                continue
            if not plan.exact and plan.upstream.name in unpaid:
                if not await run.afford(plan.upstream):
                    continue
                unpaid.clear()
            is_open = any(plan.upstream is other.upstream for other in postponed)
            patience = (run.settings.total if plan.exact else LONGEST_WAIT_S) if is_last_round else 0.0
            if is_open or not await run.admitted(plan.upstream, patience):
                postponed.append(plan)
                continue
            rest = _by_plan(run, plan, failures, patience)
            try:
                async for batch in rest:
                    yield batch
                return
            except _BreakerOpenError:
                postponed.append(plan)
            except (DivergedError, ProviderError):
                if run.answer.deltas > before:
                    raise
            finally:
                await rest.aclose()
        plans = postponed
    raise cause


def _is_tried_enough(run: RouteState, plan: RescuePlan, failures: dict[str, int]) -> bool:
    """Return whether no time is left, or the plan's upstream had all its tries, by whichever plan."""
    if run.loop.time() >= run.deadline:
        return True
    return not plan.exact and failures.get(plan.upstream.name, 0) >= run.tries(plan.upstream)


async def _by_plan(run: RouteState, plan: RescuePlan, failures: dict[str, int], patience: float) -> AsyncGenerator[Batch]:
    """Yield the rest by one plan, whose upstream's breaker has admitted it; retried as any request is. Its first batch is the
    splice."""
    before = run.answer.deltas
    name = plan.upstream.name
    splice = Splice(len(run.answer.text), run.report.upstream or "", name)
    while True:
        attempt = run.attempt(plan.upstream, plan.request, continued=plan.continued, replay=plan.replay.restarted())
        spliced = False
        try:
            async for batch in attempt:
                if not spliced:
                    spliced = True
                    run.report.splices.append(splice)
                    run.report.ways.append(plan.name)
                    if not plan.exact:
                        run.author = None
                yield batch
            return
        except ProviderError as error:
            if run.answer.deltas > before:
                raise
            failures[name] = failures.get(name, 0) + 1
            decision = classify(error)
            if decision is RetryDecision.SILENT and not plan.exact:
                failures[name] = run.tries(plan.upstream)  # it would be silent again
            if not await run.again(plan.upstream, error, decision, failures[name], exact=plan.exact):
                raise
            if not await run.admitted(plan.upstream, patience):
                raise _BreakerOpenError from error
        finally:
            await attempt.aclose()


async def _plans(run: RouteState, cause: ProviderError) -> list[RescuePlan]:
    """Return the plans, the best first: the exact one while it is cheap, then a continuation, then a generation from anew.

    An upstream that fell silent comes last, and is not asked whether it continues while there is another. One that has had
    all its tries comes after the others too.
    """
    author, answer = run.author, run.answer
    silent = run.report.upstream if classify(cause) is RetryDecision.SILENT else None
    tries = Counter(attempt.upstream for attempt in run.report.attempts)
    most = run.settings.retry.attempts
    route = sorted(run.route, key=lambda upstream: (upstream.name == silent, tries[upstream.name] >= most))
    others = [upstream for upstream in route if upstream.name != silent]
    again: list[RescuePlan] = []
    if author is not None and author.repeats(run.request):
        again = [RescuePlan(author, run.seeded, ReplayFilter(answer), exact=True, name="again")]
    plans = list(again) if answer.deltas <= run.settings.rescue.exact_tokens else []
    if answer.text and is_prose(run.request, answer):
        for upstream in others or route:
            if await _continues(run, upstream):
                plans += _continuations(run, upstream)
    plans += [plan for plan in again if plan not in plans]
    if run.unseen:
        return plans  # another answer may come in place of this one, which needs not be the same
    said = "" if has_only_thought(run.request, answer) else None
    for upstream in route:
        repeats = upstream.repeats(run.request)
        if upstream is not author or not repeats:
            plans.append(RescuePlan(upstream, run.seeded if repeats else run.request, ReplayFilter(answer, text=said)))
    return plans


async def _continues(run: RouteState, upstream: Upstream) -> bool:
    """Return whether *upstream* continues an answer. It is not tried for a caller who can have another answer."""
    provider = upstream.provider
    if run.request.is_raw or run.unseen:
        return run.request.is_raw or provider.capabilities.continues is True
    return await provider.continues()


def _continuations(run: RouteState, upstream: Upstream) -> list[RescuePlan]:
    """Return the plans to continue from the last whole word, and, should the model not repeat the rest of the last one, from
    the very end."""
    text = run.answer.text
    kept, rest = to_last_whole_word(text)
    plans = [_continuation(run, upstream, kept, rest)]
    if rest and not text[-1:].isspace():
        plans.append(_continuation(run, upstream, text, ""))
    return plans


def _continuation(run: RouteState, upstream: Upstream, kept: str, rest: str) -> RescuePlan:
    request = run.request
    # The rest of the last word is generated once more, and dropped.
    again = run.answer.deltas_after(len(kept)) if rest else 0
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(limit := request.fields.get(name), int):
            request = request.with_fields(**{name: max(1, limit - run.answer.deltas + again)})
    return RescuePlan(upstream, request, ReplayFilter(run.answer, text=rest), continued=kept, name="continue")
