"""The plan for many servers: the simulation keeps its own laws, and the page says what it said."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from bench.scale import KEPT, PAGE, SIZES, kept_of, page, read, tables
from bench.scale_simulation import BUSY, Fleet, Queue, Simulation, cells_for, simulate, simulate_cells

#: Costs that are easy to count with: a request 100 µs of Redis, an entry 200 µs of PostgreSQL, and nothing else.
COSTS: dict[str, Any] = {
    "redis": {
        "process_second_us": 0.0, "request_us": 100.0, "stream_us": 50.0, "append_us": 20.0, "appends_an_event": 1.0,
        "hold_second_us": 0.0, "stream_second_us": 0.0, "connections": 10.0,
    },
    "postgres": {"process_second_us": 0.0, "entry_us": 200.0, "batch_us": 0.0, "connections": 2.0},
    "server": {"request_us": 300.0, "stream_us": 100.0, "event_us": 50.0, "kept_event_us": 100.0},
    "balancer": {"request_us": 30.0, "event_us": 30.0},
}  # fmt: skip


def test_a_queue_serves_in_order() -> None:
    """One at a time on one core, two on two; who comes later waits."""
    one, two = Queue(), Queue(2)

    assert [2.0, 4.0, 12.0] == [one.serve(now, 2.0, noted=True) for now in (0.0, 1.0, 10.0)]
    assert [0.0, 1.0, 0.0] == one.waits
    assert [2.0, 3.0] == [two.serve(now, 2.0, noted=True) for now in (0.0, 1.0)]
    assert (6.0, 2.0) == (one.busy, one.backlog(10.0))


def test_work_is_what_comes_times_what_it_costs() -> None:
    """Redis is busy with a half of a request's cost for each begin and each end, PostgreSQL with the entries."""
    made = Simulation(Fleet(2, streams=3000), COSTS)
    outcome = made.run(20.0)

    (redis,) = made.redis
    assert math.isclose(redis.busy, redis.served * 50e-6)
    assert abs(made.began - 20 * 200) < 5 * math.sqrt(20 * 200)
    assert math.isclose(made.postgres.busy, made.written * 200e-6)
    assert outcome.redis == pytest.approx(redis.busy / 20)


def test_more_servers_are_more_work() -> None:
    """Redis is as many times as busy, and a queue that only grows is told as such."""
    few, more, most = (simulate(Fleet(servers), COSTS) for servers in (2, 20, 200))

    assert 10 * few.redis == pytest.approx(more.redis, rel=0.1)
    assert few.wait_ms <= more.wait_ms < most.wait_ms == math.inf
    assert most.redis > 1


def test_events_of_resumable_streams_reach_redis() -> None:
    """Each is a command, and a server needs more processes for them."""
    none, tenth = (Fleet(1, streams=1000, resumable=share) for share in (0.0, 0.1))

    extra = simulate(tenth, COSTS).redis - simulate(none, COSTS).redis
    assert extra == pytest.approx(1000 * 0.1 * (20 * 20e-6 + 50e-6 / 30), rel=0.1)
    assert none.processes(COSTS) < Fleet(1, streams=1000, resumable=1.0).processes(COSTS)


def test_cells_bring_each_redis_below_its_bound() -> None:
    """As many as are needed, and one for all of them is no other than each of several."""
    fleet = Fleet(60)
    cells = cells_for(fleet, COSTS)
    divided = simulate_cells(fleet._replace(cells=cells), COSTS)

    assert 1 < cells < 60
    assert divided.redis <= BUSY * 1.05
    assert divided.redis == pytest.approx(simulate(fleet._replace(cells=cells), COSTS, seconds=3).redis, rel=0.1)
    assert divided.postgres_connections == simulate(fleet, COSTS).postgres_connections


def test_the_same_seed_is_the_same_outcome() -> None:
    """Of a thousand servers, too."""
    assert simulate(Fleet(1000), COSTS) == simulate(Fleet(1000), COSTS)


def test_the_page_says_what_is_kept() -> None:
    """Its tables are drawn from the kept file, and what is kept is what the simulation makes of the kept constants."""
    kept = read()

    assert page(PAGE.read_text(encoding="utf-8"), kept) == PAGE.read_text(encoding="utf-8")
    assert tables(kept) in PAGE.read_text(encoding="utf-8")
    assert list(map(str, SIZES)) == list(kept["results"]["sizes"])
    assert kept_of(simulate(Fleet(2), kept["constants"])) == kept["results"]["sizes"]["2"]


def test_all_constants_are_measured() -> None:
    """By two real servers, a Redis and a PostgreSQL: each that is kept has a number, and what must cost something does."""
    from bench.scale_measure import QUICK, measure, rounded  # noqa: PLC0415  beside what it is for

    measured = rounded(asyncio.run(measure(QUICK)))
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["constants"]

    assert {part: set(names) for part, names in kept.items()} == {part: set(names) for part, names in measured.items()}
    for part in ("redis", "postgres", "server", "balancer"):
        assert all(value >= 0 for name, value in measured[part].items() if name.endswith("_us"))
    assert min(measured["redis"][name] for name in ("request_us", "append_us", "connections")) > 0
    assert measured["balancer"] == kept["balancer"]
