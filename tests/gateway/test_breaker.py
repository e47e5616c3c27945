"""The breaker and the retry budget: pure, with a clock in the test's hand."""

from __future__ import annotations

import pytest

from autonomousai.gateway.breaker import Breaker, RetryBudget


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
        breaker.failure()
    return breaker


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
        breaker.failure()
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
    breaker.abandon()

    assert breaker.admit()


def test_stragglers_do_not_open_it_again(clock: HandClock) -> None:
    """Requests that were under way when it opened, and fail later, do not start the cool-down anew."""
    breaker = opened(clock)
    clock.now += 3
    breaker.failure()

    assert breaker.wait() == 1


def test_answers_that_break_together_are_one_failure(clock: HandClock) -> None:
    """One death breaks all that were being answered; what opens it is that the next ones fail too, or break later."""
    breaker = Breaker(failures=3, cooldown=4, time=clock)
    for _ in range(20):
        breaker.failure(halfway=True)
    states = [breaker.state]
    for _ in range(2):
        clock.now += 1
        breaker.failure(halfway=True)
        states.append(breaker.state)

    assert ["closed", "closed", "open"] == states


def test_who_was_asked_before_says_nothing_of_the_probe(clock: HandClock) -> None:
    """An older request that fails or leaves beside it neither ends the probe nor lets a second one through."""
    breaker = opened(clock)
    clock.now += 4
    breaker.admit()
    breaker.failure(halfway=True, probe=False)
    breaker.abandon(probe=False)
    meanwhile = (breaker.state, breaker.admit())
    breaker.success()

    assert (("probing", False), "closed") == (meanwhile, breaker.state)


def test_the_budget_is_a_share_of_the_requests() -> None:
    """The reserve can be spent; after that every fifth request earns one retry."""
    budget = RetryBudget(share=0.2, reserve=2)
    spent = [budget.spend() for _ in range(3)]
    for _ in range(5):
        budget.request()
    spent += [budget.spend(), budget.spend()]

    assert [True, True, False, True, False] == spent
