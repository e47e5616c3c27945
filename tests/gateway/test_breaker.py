"""The breaker and the retry budget: pure, with a clock in the test's hand."""

from __future__ import annotations

import pytest

from autonomousai.gateway.breaker import Breaker, RetryBudget
from autonomousai.gateway.upstream import Upstream
from autonomousai.testing import ScriptedProvider


class HandClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def opened(clock: HandClock) -> Breaker:
    breaker = Breaker(failures=3, cooldown=4, time=clock)
    for _ in range(3):
        assert breaker.admit()
        fail(breaker, trial=False)
    return breaker


def fail(breaker: Breaker, *, trial: bool = True) -> None:
    breaker.release(trial=trial)
    breaker.failure(trial=trial)


def test_it_opens_after_failures_in_a_row(clock: HandClock) -> None:
    """Three failures in a row open it: nobody is admitted until the cool-down is over."""
    breaker = opened(clock)

    assert (breaker.state, breaker.admit(), breaker.wait()) == ("open", False, 4)


def test_a_success_between_failures_keeps_it_closed(clock: HandClock) -> None:
    """Failures that are not in a row, and few, open nothing."""
    breaker = Breaker(failures=3, cooldown=4, time=clock)

    for _ in range(3):
        breaker.failure()
        breaker.failure()
        breaker.success()
        breaker.success()
        breaker.success()

    assert breaker.state == "closed"


def test_it_opens_when_half_of_the_last_twenty_failed(clock: HandClock) -> None:
    """Every second request failing, never three in a row, opens it at the twentieth outcome and not before."""
    breaker = Breaker(failures=3, cooldown=4, time=clock)

    states = []
    for _ in range(10):
        breaker.success()
        breaker.failure()
        states.append(breaker.state)

    assert ["closed"] * 9 + ["open"] == states


def test_one_probe_is_let_through_after_the_cooldown(clock: HandClock) -> None:
    """After the cool-down one request is admitted, and no second one beside it."""
    breaker = opened(clock)
    clock.now += 4

    assert (breaker.admit(), breaker.admit()) == (True, False)


def test_the_probes_success_closes_it(clock: HandClock) -> None:
    """A probe that succeeds closes the breaker for everybody."""
    breaker = opened(clock)
    clock.now += 4
    breaker.admit()
    breaker.success()

    assert (breaker.state, breaker.admit(), breaker.admit()) == ("closed", True, True)


def test_failing_probes_double_the_cooldown_up_to_a_minute(clock: HandClock) -> None:
    """Only while probes fail does the cool-down grow: 4, 8, 16, 32, 60, 60; after a success it is 4 again."""
    breaker = opened(clock)
    waits = [breaker.wait()]
    for _ in range(5):
        clock.now += breaker.wait()
        assert breaker.admit()
        fail(breaker)
        waits.append(breaker.wait())
    clock.now += breaker.wait()
    breaker.admit()
    breaker.success()
    for _ in range(3):
        breaker.failure()

    assert [4, 8, 16, 32, 60, 60] == waits
    assert breaker.wait() == 4


def test_an_abandoned_probe_is_given_back(clock: HandClock) -> None:
    """A caller who leaves says nothing of the upstream: the next request is the probe."""
    breaker = opened(clock)
    clock.now += 4
    breaker.admit()
    breaker.release(trial=True)

    assert breaker.admit()


def test_a_probe_that_is_answered_makes_room_for_the_next(clock: HandClock) -> None:
    """An answer may take long: as soon as it has begun, the next request may try; only the end of one closes the breaker."""
    breaker = opened(clock)
    clock.now += 4
    breaker.admit()
    breaker.heard()

    assert (breaker.admit(), breaker.admit(), breaker.state) == (True, False, "probing")


def test_stragglers_do_not_open_it_again(clock: HandClock) -> None:
    """Requests that were under way when it opened, and fail later, do not start the cool-down anew."""
    breaker = opened(clock)
    clock.now += 3
    breaker.failure(trial=False)

    assert breaker.wait() == 1


def test_the_last_upstream_is_tried_by_a_few_at_once(clock: HandClock) -> None:
    """Where no other can be asked, eight trials are admitted without a cool-down; the ninth waits for the end of one."""
    breaker = opened(clock)
    admitted = [breaker.admit(last=True) for _ in range(9)]
    clock.now += 3
    wait = breaker.wait(last=True)
    fail(breaker)

    assert ([True] * 8 + [False], 3) == (admitted, wait)
    assert (breaker.admit(last=True), breaker.admit(last=True)) == (True, False)


def test_failures_before_the_cooldown_is_over_do_not_double_it(clock: HandClock) -> None:
    """What the last upstream's trials bring costs those nothing who can wait: the next probe comes when it was to come."""
    breaker = opened(clock)
    for _ in range(3):
        breaker.admit(last=True)
        fail(breaker)

    assert breaker.wait() == 4


def test_of_many_at_once_half_must_fail(clock: HandClock) -> None:
    """Failures come quicker than answers: five in a row open nothing while thirty-five others may yet be answered."""
    breaker = Breaker(failures=5, cooldown=4, time=clock)
    for _ in range(40):
        breaker.admit()
    states = []
    for _ in range(20):
        fail(breaker, trial=False)
        states.append(breaker.state)

    assert ["closed"] * 19 + ["open"] == states


def test_answers_that_break_together_are_one_failure(clock: HandClock) -> None:
    """One death breaks all that were being answered; what opens it is that those fail too that were asked later."""
    breaker = Breaker(failures=3, cooldown=4, time=clock)
    states = []
    for _ in range(3):
        asked = clock.now
        clock.now += 0.1
        for _ in range(20):
            breaker.failure(halfway_since=asked)
        states.append(breaker.state)

    assert ["closed", "closed", "open"] == states


def test_who_was_asked_before_says_nothing_of_the_probe(clock: HandClock) -> None:
    """An older request that fails or leaves beside it neither ends the probe nor lets a second one through."""
    breaker = opened(clock)
    clock.now += 4
    breaker.admit()
    breaker.failure(halfway_since=1000.0, trial=False)
    breaker.success(trial=False)
    breaker.release(trial=False)
    meanwhile = (breaker.state, breaker.admit())
    breaker.success()

    assert (("probing", False), "closed") == (meanwhile, breaker.state)


def test_hope_lasts_as_long_as_a_success_is_recent(clock: HandClock) -> None:
    """A retry is waited for as long as others run, until five seconds after the breaker opened or a request succeeded."""
    breaker = opened(clock)
    hopeless = breaker.is_hopeful()
    breaker.admit(last=True)
    hopes = [breaker.is_hopeful()]
    clock.now += 5
    hopes.append(breaker.is_hopeful())
    breaker.success(trial=False)
    hopes.append(breaker.is_hopeful())

    assert (False, [True, False, True]) == (hopeless, hopes)


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_request_that_is_answered_is_over_and_a_success(clock: HandClock, fails: int) -> None:
    """Noted in one step, it leaves what two steps leave: also where the breaker has opened meanwhile."""
    breakers = [Breaker(failures=3, cooldown=10, time=clock) for _ in range(2)]
    for breaker in breakers:
        breaker.admit()
        for _ in range(fails):
            breaker.failure()
    clock.now += 1
    one, two = breakers

    ended = one.answered()
    two.release(trial=False)

    assert ended == two.success(trial=False) == clock.now
    assert vars(one) == vars(two)


def test_the_budget_is_a_share_of_the_successes() -> None:
    """The reserve can be spent; after that every second success earns one retry, and no request does that fails."""
    budget = RetryBudget(share=0.5, reserve=2)
    spent = [budget.spend() for _ in range(3)]
    for _ in range(2):
        budget.success()
    spent += [budget.spend(), budget.spend()]

    assert [True, True, False, True, False] == spent


def test_an_upstream_that_answers_can_be_asked_again() -> None:
    """Each answer earns a share of a retry, up to what there was at first."""
    upstream = Upstream("there", ScriptedProvider())
    upstream.budget = RetryBudget(share=0.5, reserve=2)
    spent = []
    for answers in (5, 1, 2, 9):
        spent.append([upstream.budget.spend() for _ in range(3)])
        for _ in range(answers):
            upstream.breaker.enter()
            upstream.succeed()

    assert [[True, True, False], [True, True, False], [False, False, False], [True, False, False]] == spent
    assert 0 == upstream.breaker.running
