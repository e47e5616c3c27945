"""Draws what was measured: the tables in docs/performance.md, between their marks, and a plot for clients and for gateways.

    python bench/report.py

Reads docs/performance/figures.json and nothing else: a table cannot say what was not measured. Of each part the ratios come
first, which carry over to other machines, then the goals, then the figures; last of all, what is not reached, and why.
"""

from __future__ import annotations

import json
import math
import re
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from measure import ROOT, ratio

FOLDER = ROOT / "docs/performance"
PAGE = ROOT / "docs/performance.md"

TITLES = {
    "decoder": "Decoder",
    "client": "Clients",
    "server": "Gateways, in front of the same upstream",
    "variants": "The same under other loads",
    "wires": "The APIs that are served",
    "startup": "Starts",
    "engine": "The embedded engine",
}

#: plot -> its title, the part of the figures, whose bar is painted as ours, and the scenarios
PLOTS: dict[str, tuple[str, str, set[str], list[str]]] = {
    "clients": ("Clients: CPU of the caller", "client", {"AutonomousAI", "OpenAICompatible"}, ["burst", "paced", "small"]),
    "gateways": ("Gateways: CPU of the server", "server", {"ours"}, ["burst", "paced", "small"]),
}

#: part -> the subject that its ratios are to
REFERENCES = {"decoder": "json", "client": "aiohttp", "server": "pipe", "variants": "pipe", "wires": "ours: chat"}

#: A unit in which more is better, and a ratio of costs would be read the wrong way round.
RATE = "requests a second"

#: What a goal's name contains -> why it may not be reached; the first row that fits.
REASONS = (
    ("Decoder", "the goal is in microseconds, and was set on a machine without other work; the ratios to json are kept"),
    ("import: ours at most 100", "the goal is in milliseconds, and was set on a machine without other work"),
    ("nginx", "nginx is C, and passes bytes on; here each event is decoded, checked and counted"),
    ("-router", "the routers are Rust, and do less for each request: no proof of an answer's end, no rescue"),
    ("AutonomousAI at most", "aiohttp's client costs most of what the goal allows; the provider is specified to use it"),
    ("TLS upstream", "TLS is OpenSSL's work for each record, beside which the rest is small"),
    ("keys and ledger", "each request is counted against six limits, priced and entered"),
    ("messages", "usual requests of this API take a longer path than those of chat completions"),
    ("responses", "events of this API are numbered and written one by one"),
    ("crowd", "2,000 callers that come within a second are let in by one process of Python"),
    ("workers", "two workers, the load and the upstream share two cores here"),
    ("small: ours", "limits, timeouts, retries, metrics and the log line of each request are Python"),
    ("paced: ours", "each event that comes alone is a turn of the event loop, in Python"),
    ("burst: ours", "each event is decoded, and the answer's digest computed"),
    ("wire at most", "the server and the engine share the cores here"),
)

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 150, 90, 18, 6


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def table(part: dict[str, Any]) -> str:
    """A line for each scenario, a column for each subject."""
    figures = part["figures"]
    subjects = list(dict.fromkeys(subject for rounds in figures.values() for subject in rounds))
    lines = ["| | " + " | ".join(subjects) + " |", "|---|" + "---:|" * len(subjects)]
    for scenario, rounds in figures.items():
        cells = [number(median(rounds[subject])) if rounds.get(subject) else "" for subject in subjects]
        lines.append(f"| {scenario}, {part['units'][scenario]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(part: dict[str, Any], reference: str) -> str:
    """What each scenario costs each subject, as a multiple of what it costs *reference*."""
    figures = {name: rounds for name, rounds in part["figures"].items() if part["units"][name] != RATE}
    subjects = [name for name in dict.fromkeys(who for rounds in figures.values() for who in rounds) if name != reference]
    lines = [f"| times {reference} | " + " | ".join(subjects) + " |", "|---|" + "---:|" * len(subjects)]
    for scenario in figures:
        found = [ratio(figures, scenario, subject, reference) for subject in subjects]
        if any(each is not None for each in found):
            cells = ["" if each is None else number(each) for each in found]
            lines.append(f"| {scenario} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def not_reached(results: dict[str, Any]) -> str:
    """What was aimed at and missed, each with the reason."""
    lines = []
    for name, title in TITLES.items():
        for goal in results.get(name, {}).get("goals", ()):
            if not goal["kept"]:
                missed = f"{title}: {goal['goal']}"
                reason = next((why for part, why in REASONS if part in missed), "the reason is not known")
                lines.append(f"- {missed}; it is {number(goal['reached'])}: {reason}.")
    return "\n".join(lines) or "Every goal is reached."


def goals(part: dict[str, Any]) -> str:
    """What was aimed at, and what came out."""
    lines = [
        f"| {goal['goal']} | {number(goal['reached'])} | {'kept' if goal['kept'] else '**not reached**'} |"
        for goal in part["goals"]
    ]
    return "\n".join(["| goal | measured | |", "|---|---:|---|", *lines])


def plot(title: str, part: dict[str, Any], ours: set[str], scenarios: list[str], about: str) -> str:
    """Bars on a logarithmic scale, one group for each scenario, the cheapest first."""
    groups = {
        name: {who: median(of) for who, of in part["figures"][name].items()} for name in scenarios if name in part["figures"]
    }
    values = [value for group in groups.values() for value in group.values()]
    low = 10 ** math.floor(math.log10(min(values)))
    reach = math.log10(max(values) / low)
    shapes, y = [], 62
    for name, group in groups.items():
        shapes.append(f'<text x="16" y="{y}" class="group">{escape(name)}, {escape(part["units"][name])}</text>')
        y += 10
        for who, value in sorted(group.items(), key=lambda pair: pair[1]):
            length = (WIDTH - LEFT - RIGHT) * math.log10(value / low) / reach
            kind = "ours" if who in ours else "other"
            shapes += [
                f'<text x="{LEFT - 8}" y="{y + 13}" class="name">{escape(who)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{max(length, 1):.1f}" height="{BAR}" rx="2" class="{kind}"/>',
                f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{number(value)}</text>',
            ]
            y += BAR + GAP
        y += 24
    style = (
        "text{font:12px system-ui,sans-serif;fill:#555}.name{text-anchor:end}.title{font-size:15px;font-weight:600}"
        ".group{font-weight:600}.ours{fill:#1a7f5a}.other{fill:#9aa5b1}.about{font-size:11px}"
        "@media(prefers-color-scheme:dark){text{fill:#bbb}.other{fill:#5c6672}.ours{fill:#3fb68b}}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="{escape(title)}">'
    texts = f'<text x="16" y="22" class="title">{escape(title)}</text><text x="16" y="40" class="about">{escape(about)}</text>'
    return f"{head}<style>{style}</style>\n{texts}\n" + "\n".join(shapes) + "\n</svg>\n"


def about(machine: dict[str, Any]) -> str:
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, {machine['date']}"
    return where if machine["load"] < 0.5 else f"{where}, beside others (load average {machine['load']})"


def _machine(results: dict[str, Any], part: str) -> dict[str, Any]:
    """Where and when a part was measured."""
    machine: dict[str, Any] = results[part].get("machine", results["machine"])
    return machine


def replace_between(text: str, mark: str, new: str) -> str:
    """The text between ``<!-- MARK -->`` and ``<!-- end -->``."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{PAGE} has no place for {mark}")
    return pattern.sub(lambda match: f"{match[1]}\n{new}\n\n{match[2]}", text)


def draw(results: dict[str, Any]) -> dict[Path, str]:
    """Every file that the figures make, and what is in it."""
    made = {}
    for name, (title, part, ours, scenarios) in PLOTS.items():
        if part in results:
            measured = f"logarithmic; {about(_machine(results, part))}"
            made[FOLDER / f"{name}.svg"] = plot(title, results[part], ours, scenarios, measured)
    rounds = "quick, with few rounds" if results["quick"] else "whole"
    machine = results["machine"]
    parts = [f"Measured on {about(machine)}. The run was {rounds}."]
    if results["versions"]:
        parts.append("Versions: " + ", ".join(f"{name} {number}" for name, number in results["versions"].items()) + ".")
    for name, title in TITLES.items():
        if name in results:
            first = f"{ratios(results[name], REFERENCES[name])}\n\n" if name in REFERENCES else ""
            if (own := _machine(results, name))["date"] != machine["date"]:
                first = f"Measured on {about(own)}.\n\n{first}"
            parts.append(f"### {title}\n\n{first}{goals(results[name])}\n\n{table(results[name])}")
    parts.append(f"### Not reached\n\n{not_reached(results)}")
    made[PAGE] = replace_between(PAGE.read_text(encoding="utf-8"), "figures", "\n\n".join(parts))
    return made


def main() -> None:
    results = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    for path, text in draw(results).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
