"""Plan for many servers: measure what two cost each other, simulate thousands, and write the tables of docs/scale.md.

    python -m bench.scale --measure     two servers, one Redis and one PostgreSQL on this machine: two minutes
    python -m bench.scale --simulate    from the constants that are kept: some minutes
    python -m bench.scale               the tables, from what is kept

``bench/scale.json`` keeps both, with the day and the machine. The page's tables are drawn from it and from nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.measure import BENCH, ROOT
from bench.scale_simulation import (
    POSTGRES_CONNECTIONS,
    REDIS_CONNECTIONS,
    Constants,
    Fleet,
    Outcome,
    cells_for,
    servers_for_postgres,
    simulate,
    simulate_cells,
    streams_for_redis,
)

KEPT = BENCH / "scale.json"
PAGE = ROOT / "docs/scale.md"

#: What is planned for.
PLAN = Fleet(servers=100)
SHARES = (0.0, 0.01, 0.1, 1.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

Results = Mapping[str, Any]


def results_of(costs: Constants) -> dict[str, Any]:
    """Simulate all that the page shows."""
    return {
        "alone": {str(share): _alone(share, costs) for share in SHARES},
        "plan": {str(share): _planned(PLAN._replace(resumable=share), costs) for share in SHARES},
        "sizes": {str(servers): kept_of(simulate(Fleet(servers), costs)) for servers in SIZES},
        "sharded": {str(servers): _planned(Fleet(servers), costs) for servers in SIZES},
    }


def kept_of(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as it is kept: with three digits that count, and null for what is infinite."""
    return {name: None if value == math.inf else float(f"{value:.3g}") for name, value in outcome._asdict().items()}


def _alone(share: float, costs: Constants) -> dict[str, Any]:
    """Return what one Redis, one PostgreSQL, and their usual numbers of connections are enough for."""
    fleet = Fleet(1, resumable=share)
    processes = fleet.processes(costs)
    return {
        "processes": processes,
        "redis_streams": streams_for_redis(fleet, costs),
        "redis_connections": REDIS_CONNECTIONS / costs["redis"]["connections"] / processes,
        "postgres": servers_for_postgres(fleet, costs),
        "postgres_connections": POSTGRES_CONNECTIONS / costs["postgres"]["connections"] / processes,
    }


def _planned(fleet: Fleet, costs: Constants) -> dict[str, Any]:
    """Return what a fleet needs, in as many cells as its Redis wants."""
    fleet = fleet._replace(cells=cells_for(fleet, costs))
    streams = fleet.servers * fleet.streams
    stored = streams * (costs["redis"]["hold_bytes"] + fleet.resumable * costs["redis"]["stream_bytes"])
    return {
        **kept_of(simulate_cells(fleet, costs)),
        "cells": fleet.cells,
        "processes": fleet.servers * fleet.processes(costs),
        "redis_gb": float(f"{stored / 1e9:.3g}"),
        "ledger_gb_a_day": float(f"{streams / fleet.answer_s * costs['postgres']['entry_bytes'] * 86_400 / 1e9:.3g}"),
    }


# ---- the tables


def tables(kept: Results) -> str:
    """Return the part of the page that is made from what is kept."""
    costs, results = kept["constants"], kept["results"]
    parts = [_measured(costs), _enough(results["alone"]), _plan(results["plan"]), _sizes(results["sizes"], results["sharded"])]
    return "\n\n".join(parts)


def _measured(costs: Constants) -> str:
    machine = costs["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    rows = [
        ("a request of a key with limits", "request_us", "entry_us", "request_us", "request_us"),
        ("beside that, a resumable one", "stream_us", "", "stream_us", ""),
        ("an event of a stream", "", "", "event_us", "event_us"),
        ("an event of a resumable stream", "append_us", "", "kept_event_us", "event_us"),
        ("a stream of a key with limits, a second", "hold_second_us", "", "", ""),
        ("beside that, a resumable one, a second", "stream_second_us", "", "", ""),
        ("a batch of the ledger", "", "batch_us", "", ""),
        ("an idle process, a second", "process_second_us", "process_second_us", "process_second_us", ""),
    ]
    of = ("redis", "postgres", "server", "balancer")
    cells = ([what, *(_number(costs[part].get(name)) for part, name in zip(of, names, strict=True))] for what, *names in rows)
    redis, postgres = costs["redis"], costs["postgres"]
    return "\n".join([
        f"### What was measured\n\nOn {machine['date']}, {where}; microseconds of CPU.",
        "",
        *table(["", "Redis", "PostgreSQL", "a server", "nginx"], cells),
        "",
        f"A process had {redis['connections']:.0f} connections to Redis and {postgres['connections']:.0f} to PostgreSQL.",
        f"A stream takes {redis['hold_bytes'] / 1e3:.1f} kB in Redis, a resumable one {redis['stream_bytes'] / 1e3:.1f} kB.",
        f"An entry takes {postgres['entry_bytes']:.0f} bytes in PostgreSQL, and a batch {postgres['batch_ms']:.0f} ms.",
    ])  # fmt: skip


def _enough(alone: Results) -> str:
    lines = ["### What one of each is enough for", "", "In servers of 10,000 streams each.", ""]
    head = ["streams that are resumable", "processes of a server", "streams of one Redis", "servers of one Redis",
            "of its connections", "of one PostgreSQL", "of its connections"]  # fmt: skip
    rows = (
        [_share(share), each["processes"], f"{each['redis_streams']:,}", *map(_few, (
            each["redis_streams"] / 10_000, each["redis_connections"], each["postgres"], each["postgres_connections"]))]
        for share, each in alone.items()
    )  # fmt: skip
    return "\n".join([*lines, *table(head, rows)])


def _plan(plan: Results) -> str:
    lines = ["### 100 servers, 10,000 streams each", ""]
    rows = {
        "streams that are resumable": [_share(share) for share in plan],
        "processes, of a core each": [f"{each['processes']:,}" for each in plan.values()],
        "cells, with a Redis each": [f"{each['cells']:,}" for each in plan.values()],
        "how busy each Redis is": [_percent(each["redis"]) for each in plan.values()],
        "99 of 100 requests wait for it at most, ms": [_number(each["wait_ms"]) for each in plan.values()],
        "connections to each Redis": [f"{each['redis_connections']:,.0f}" for each in plan.values()],
        "memory of all Redis, GB": [_number(each["redis_gb"]) for each in plan.values()],
        "how busy PostgreSQL is, of 8 cores": [_percent(each["postgres"]) for each in plan.values()],
        "connections to it": [f"{each['postgres_connections']:,.0f}" for each in plan.values()],
        "the ledger grows a day, GB": [_number(each["ledger_gb_a_day"]) for each in plan.values()],
        "cores of nginx, if it balances requests": [f"{each['balancer']:,.0f}" for each in plan.values()],
    }
    (first, head), *others = rows.items()
    return "\n".join([*lines, *table([first, *head], ([name, *each] for name, each in others))])


def _sizes(alone: Results, sharded: Results) -> str:
    lines = [
        "### From one server to two thousand",
        "",
        "No stream is resumable. Left, all with one Redis; right, in cells.",
        "",
    ]
    head = ["servers", "Redis is busy", "waits for it, ms", "cells", "each Redis is busy", "waits for it, ms",
            "PostgreSQL is busy", "a batch waits, ms", "connections to it"]  # fmt: skip
    rows = (
        [f"{int(size):,}", _percent(one["redis"]), _number(one["wait_ms"]), f"{many['cells']:,}", _percent(many["redis"]),
         _number(many["wait_ms"]), _percent(many["postgres"]), _number(many["lag_s"] and many["lag_s"] * 1e3),
         f"{many['postgres_connections']:,.0f}"]
        for (size, one), many in zip(alone.items(), sharded.values(), strict=True)
    )  # fmt: skip
    return "\n".join([*lines, *table(head, rows)])


def table(head: list[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """Return the lines of a table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def _share(share: str) -> str:
    return "none" if float(share) == 0 else "all" if float(share) == 1 else f"{float(share):.0%}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 10 else f"{share:.0f} times"


def _few(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.2g}"


def page(text: str, kept: Results) -> str:
    """Return the page with its tables as they are to be."""
    head, mark, rest = text.partition("<!-- tables -->\n")
    _, end, foot = rest.partition("<!-- end of the tables -->")
    return f"{head}{mark}\n{tables(kept)}\n\n{end}{foot}"


def read(path: Path = KEPT) -> Results:
    kept: Results = json.loads(path.read_text(encoding="utf-8"))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the constants again; simulates too")
    parser.add_argument("--simulate", action="store_true", help="simulate again, with the constants that are kept")
    options = parser.parse_args()
    if options.measure:
        from bench.scale_measure import Effort, measure, rounded  # noqa: PLC0415  only this needs what the tests need

        costs = rounded(asyncio.run(measure(Effort())))
    if options.measure or options.simulate:
        costs = costs if options.measure else read()["constants"]
        KEPT.write_text(json.dumps({"constants": costs, "results": results_of(costs)}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")
    print(tables(read()))


if __name__ == "__main__":
    main()
