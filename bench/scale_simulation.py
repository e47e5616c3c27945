"""Simulate many servers, their Redis, their PostgreSQL and the balancer before them: one event loop whose time is a number.

Knows no sockets and no clock: costs come from `scale_measure.py`, and what is done how often is what the servers do. Requests,
ends and records of resumable streams come at random moments; each process renews what it holds, sends its heartbeats, looks for
changes and writes its ledger in its own rhythm. Redis does one command after the other. Of a pipeline it reads so much at once
as it reads from a connection, and then sees to the next connection.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

#: What `scale_measure.measure` returns.
Constants: TypeAlias = Mapping[str, Any]

#: Commands of a pipeline that Redis reads at once: 16 KiB, of about 200 bytes each.
READ_AT_ONCE = 80

#: Seconds between two renewals of what is held, two heartbeats of resumable streams, and two writes of the ledger, as the
#: servers do it; entries that are written together.
RENEW_S, HEARTBEAT_S, FLUSH_S, BATCH = 10.0, 1.0, 1.0, 500

#: How busy a process, Redis, PostgreSQL or a balancer may be on average, and how long the hundredth request may wait for Redis.
BUSY, WAIT_MS = 0.7, 10.0

#: What is full: a queue as long as this, in seconds.
_FULL_S = 1.0

#: What the others allow where nothing is set: Redis's `maxclients`, PostgreSQL's `max_connections` without its reserve.
REDIS_CONNECTIONS, POSTGRES_CONNECTIONS = 10_000, 97


class Fleet(NamedTuple):
    """``streams``: of each server, under way at once; ``answer_s``: how long one takes; ``events_s``: of each stream;
    ``resumable``: the share of streams that can be resumed. All keys have limits. ``cells``: into how many groups, each with a
    Redis of its own, the servers are divided."""

    servers: int
    streams: int = 10_000
    answer_s: float = 30.0
    events_s: float = 20.0
    resumable: float = 0.0
    cells: int = 1
    postgres_cores: int = 8

    def processes(self, costs: Constants) -> int:
        """Return how many processes a server needs, of a core each."""
        server = costs["server"]
        event = server["event_us"] + self.resumable * max(0.0, server["kept_event_us"] - server["event_us"])
        request = server["request_us"] + self.resumable * server["stream_us"]
        busy = self.streams * (self.events_s * event + request / self.answer_s) / 1e6
        return max(1, math.ceil(busy / BUSY))


class Outcome(NamedTuple):
    """``redis``, ``postgres``: how busy a Redis is, and PostgreSQL; 1 is all of it. ``wait_ms``: what 99 of 100 requests wait
    at most for Redis, infinite where its queue only grows; ``lag_s``: the same of a batch of the ledger. ``balancer``: the
    cores that it needs. Connections: of the busiest Redis, and of PostgreSQL."""

    redis: float
    wait_ms: float
    postgres: float
    lag_s: float
    balancer: float
    redis_connections: int
    postgres_connections: int


class Queue:
    """Jobs that are served one after the other, on so many cores. ``busy``: seconds of all cores; ``served``: jobs that cost
    something; ``waits``: in seconds, of those that were noted; ``backlog``: seconds until a core is free."""

    def __init__(self, cores: int = 1) -> None:
        self.busy = 0.0
        self.served = 0
        self.waits: list[float] = []
        self._free = [0.0] * cores

    def serve(self, now: float, cost: float, *, noted: bool = False) -> float:
        """Serve what came *now*, and return when it is done."""
        begin = max(now, self._free[0])
        heapq.heapreplace(self._free, begin + cost)
        self.busy += cost
        self.served += cost > 0
        if noted:
            self.waits.append(begin - now)
        return begin + cost

    def backlog(self, now: float) -> float:
        return max(0.0, self._free[0] - now)

    def late(self, share: float = 0.99) -> float:
        """Return what that share of the waits is below."""
        return sorted(self.waits)[int(len(self.waits) * share)] if self.waits else 0.0


class Simulation:
    """One fleet, for some seconds of its time. `run` it once."""

    def __init__(self, fleet: Fleet, costs: Constants, seed: int = 1) -> None:
        self.fleet = fleet
        self.costs = costs
        self.processes = fleet.processes(costs)
        self.redis = [Queue() for _ in range(fleet.cells)]
        self.postgres = Queue(fleet.postgres_cores)
        self.is_full = False
        #: Requests that began, and entries that were written.
        self.began = self.written = 0
        self._dice = random.Random(seed)
        self._now = 0.0
        self._number = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def run(self, seconds: float) -> Outcome:
        """Simulate, at most until a queue is full. Returns what came of it."""
        fleet, redis = self.fleet, self.costs["redis"]
        streams = fleet.servers * fleet.streams / fleet.cells
        own = redis["request_us"] + fleet.resumable * redis["stream_us"]
        appends = streams * fleet.resumable * fleet.events_s * min(1.0, redis["appends_an_event"])
        for queue in self.redis:
            # A half of a request's cost when it comes, a half when it ends: it is reserved, and settled.
            self._arrive(queue, streams / fleet.answer_s, own / 2e6, begins=True)
            self._arrive(queue, streams / fleet.answer_s, own / 2e6)
            self._arrive(queue, appends, redis["append_us"] / 1e6)
        for process in range(fleet.servers * self.processes):
            self._process(self.redis[process % fleet.cells])
        while self._events and not self.is_full:
            self._now, _, act = heapq.heappop(self._events)
            if self._now > seconds:
                break
            act()
        return self._outcome(min(self._now, seconds))

    def _at(self, time: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (time, self._number, act))

    def _arrive(self, queue: Queue, rate: float, cost: float, *, begins: bool = False) -> None:
        """Let jobs of that cost come at random, so many a second."""
        if rate <= 0 or cost <= 0:
            return

        def come() -> None:
            self.began += begins
            queue.serve(self._now, cost, noted=begins)
            self.is_full = self.is_full or queue.backlog(self._now) > _FULL_S
            self._at(self._now + self._dice.expovariate(rate), come)

        self._at(self._dice.expovariate(rate), come)

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        def come() -> None:
            act()
            self._at(self._now + seconds, come)

        self._at(self._dice.uniform(0, seconds), come)

    def _process(self, redis: Queue) -> None:
        """Let one process do what it does again and again."""
        fleet, of = self.fleet, self.costs
        streams = fleet.streams / self.processes
        held, kept = round(streams), round(streams * fleet.resumable)
        renewal, beat = of["redis"]["hold_second_us"] * RENEW_S / 1e6, of["redis"]["stream_second_us"] * HEARTBEAT_S / 1e6
        self._every(RENEW_S, lambda: self._pipeline(redis, held, renewal))
        self._every(HEARTBEAT_S, lambda: self._pipeline(redis, kept, beat))
        self._every(1.0, lambda: self._look(redis))
        self._every(FLUSH_S, lambda: self._write(streams / fleet.answer_s * FLUSH_S))

    def _pipeline(self, queue: Queue, commands: int, cost: float) -> None:
        """Let many commands come at once; after so many of them, others are served."""
        if commands <= 0:
            return
        done = queue.serve(self._now, min(commands, READ_AT_ONCE) * cost)
        self._at(done, lambda: self._pipeline(queue, commands - READ_AT_ONCE, cost))

    def _look(self, redis: Queue) -> None:
        redis.serve(self._now, self.costs["redis"]["process_second_us"] / 1e6)
        self.postgres.serve(self._now, self.costs["postgres"]["process_second_us"] / 1e6)

    def _write(self, mean: float) -> None:
        left = self._draw(mean)
        self.written += left
        of = self.costs["postgres"]
        while left > 0:
            self.postgres.serve(self._now, (of["batch_us"] + min(left, BATCH) * of["entry_us"]) / 1e6, noted=True)
            left -= BATCH
        self.is_full = self.is_full or self.postgres.backlog(self._now) > _FULL_S

    def _draw(self, mean: float) -> int:
        """Return a number of things that come at random, *mean* on average."""
        return max(0, round(self._dice.gauss(mean, math.sqrt(mean))))

    def _outcome(self, seconds: float) -> Outcome:
        fleet, of = self.fleet, self.costs
        number = fleet.servers * self.processes
        # Where a queue only grows it is as busy as what has come: all of that is counted, also what is not done yet.
        busiest = max(self.redis, key=lambda queue: queue.busy)
        full = any(queue.backlog(self._now) > _FULL_S for queue in self.redis)
        late = self.postgres.backlog(self._now) > _FULL_S
        streams = fleet.servers * fleet.streams
        balanced = streams * (fleet.events_s * of["balancer"]["event_us"] + of["balancer"]["request_us"] / fleet.answer_s)
        return Outcome(
            redis=busiest.busy / seconds,
            wait_ms=math.inf if full else busiest.late() * 1e3,
            postgres=self.postgres.busy / seconds / fleet.postgres_cores,
            lag_s=math.inf if late else self.postgres.late(),
            balancer=balanced / 1e6 / BUSY,
            redis_connections=math.ceil(number / fleet.cells * of["redis"]["connections"]),
            postgres_connections=math.ceil(number * of["postgres"]["connections"]),
        )


def simulate(fleet: Fleet, costs: Constants, *, seconds: float = 10.0, seed: int = 1) -> Outcome:
    """Return what becomes of *fleet*: for fewer seconds where more happens in each."""
    busy = fleet.servers * fleet.streams / fleet.answer_s * (1 + fleet.resumable * fleet.events_s * fleet.answer_s)
    return Simulation(fleet, costs, seed).run(max(1.0, min(seconds, 200_000 / busy)))


def simulate_cells(fleet: Fleet, costs: Constants, *, seconds: float = 10.0) -> Outcome:
    """Return what becomes of a fleet of many cells. They know nothing of each other, so that one of them stands for all;
    PostgreSQL serves all of them."""
    number = fleet.servers * fleet.processes(costs)
    cell = simulate(_one_server(fleet, fleet.servers * fleet.streams / fleet.cells), costs, seconds=seconds)
    free = {name: 0.0 if name.endswith("_us") else value for name, value in costs["redis"].items()}
    database = simulate(fleet._replace(cells=1), {**costs, "redis": free}, seconds=min(seconds, 2.0))
    return database._replace(
        redis=cell.redis,
        wait_ms=cell.wait_ms,
        redis_connections=math.ceil(number / fleet.cells * costs["redis"]["connections"]),
    )


def _one_server(fleet: Fleet, streams: float) -> Fleet:
    """Return *fleet* as one large server with so many streams, and so as many processes as these need."""
    return fleet._replace(servers=1, cells=1, streams=max(1, round(streams)))


def redis_suffices(outcome: Outcome) -> bool:
    """Return whether Redis can follow."""
    return outcome.redis <= BUSY and outcome.wait_ms <= WAIT_MS


def postgres_suffices(outcome: Outcome) -> bool:
    """Return whether PostgreSQL can follow."""
    return outcome.postgres <= BUSY and outcome.lag_s <= FLUSH_S


def streams_for_redis(fleet: Fleet, costs: Constants) -> int:
    """Return how many streams under way one Redis is enough for, to a hundred."""
    return 100 * _most(
        10_000, lambda hundreds: redis_suffices(simulate(_one_server(fleet, 100 * hundreds), costs, seconds=5.0))
    )


def servers_for_postgres(fleet: Fleet, costs: Constants) -> int:
    """Return how many servers one PostgreSQL is enough for, whatever Redis does."""
    return _most(2048, lambda servers: postgres_suffices(simulate_cells(fleet._replace(servers=servers, cells=4096), costs)))


def cells_for(fleet: Fleet, costs: Constants) -> int:
    """Return how many cells the fleet needs, so that the Redis of each can follow."""
    return math.ceil(fleet.servers * fleet.streams / max(1, streams_for_redis(fleet, costs)))


def _most(high: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number from 0 to *high* for which *holds* is true, as it is for all below it."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
