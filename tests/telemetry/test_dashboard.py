"""The Grafana dashboard asks for metrics that a real server tells, by labels that they have; the documents list them all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autonomousai.config import Config, LlamaCppConfig
from autonomousai.server import create_app
from autonomousai.telemetry.families import ENGINE_FAMILIES, FAMILIES, INFO_FAMILIES, PREFIX
from tests.support.metrics import Counted, counted
from tests.support.sockets import CHAT, HELLO, ask, listening, request

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs/grafana/autonomousai.json"
ALL = {**INFO_FAMILIES, **FAMILIES, **ENGINE_FAMILIES}


def expressions(node: Any) -> list[str]:
    """Every query in the dashboard, its variables' included."""
    if isinstance(node, dict):
        own = [node[key] for key in ("expr", "definition") if isinstance(node.get(key), str)]
        return own + [found for value in node.values() for found in expressions(value)]
    return [found for value in node for found in expressions(value)] if isinstance(node, list) else []


def asked(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that it is asked by."""
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    grouped |= set(re.findall(r"label_values\(\w+, (\w+)\)", expression))
    return [
        (name, grouped | set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector)))
        for name, selector in re.findall(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?", expression)
    ]


def labels_of(name: str, seen: Counted) -> set[str] | None:
    """The labels that a metric has; None where there is none of that name."""
    found = {label for (sample, labels), _ in seen.items() if sample == name for label, _ in labels}
    base = re.sub(r"_(bucket|count|sum)$", "", name).removeprefix(PREFIX)
    if base in FAMILIES:
        return found | set(FAMILIES[base].labels)
    return found or None


def wrong(queries: list[str], seen: Counted) -> list[str]:
    return [
        f"{name} by {sorted(labels)}"
        for query in queries
        for name, labels in asked(query)
        if (known := labels_of(name, seen)) is None or not labels <= known
    ]


async def test_the_dashboard_asks_for_what_there_is():
    """Each metric is told by a server with the real engine, and has each label that it is asked by; every family is shown."""
    queries = expressions(json.loads(DASHBOARD.read_text()))
    async with listening(create_app(Config(upstreams={"embedded": LlamaCppConfig(slots=1)}))) as place:
        await ask(place.port, request("POST", CHAT, {**HELLO, "max_tokens": 2}))
        seen = await counted(place.port)

    assert [] == wrong(queries, seen)
    shown = " ".join(queries)
    assert [] == [name for name in ALL if not re.search(rf"{PREFIX}{name}(_bucket)?\b", shown)]
    assert len(queries) >= 20


@pytest.mark.parametrize(
    "query", [f"rate({PREFIX}no_such_total[5m])", f"sum by (nobody) ({PREFIX}places)", f'{PREFIX}places{{nobody="1"}}']
)
def test_a_query_for_what_there_is_not_is_found(query):
    """The check above can fail."""
    assert 1 == len(wrong([query], Counted()))


def test_its_panels_have_their_places():
    """Each has a number of its own and lies over no other, within Grafana's 24 columns."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [panel["gridPos"] for panel in panels]
    covered = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]

    assert len(panels) == len({panel["id"] for panel in panels})
    assert (len(covered), True) == (len(set(covered)), all(x < 24 for x, _ in covered))


def test_the_documentation_lists_every_metric():
    """Name, kind, labels and meaning, as they are told; and no other."""
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(f"| `{PREFIX}")]

    expected = [
        f"| `{PREFIX}{name}` | {family.kind} | {', '.join(family.labels) or '-'} | {family.about} |"
        for name, family in ALL.items()
    ]
    assert expected == rows
