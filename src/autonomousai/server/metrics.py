"""A few counters, in the text that Prometheus reads. Knows no route: what is counted, and under which names, others say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by route and status. ``route`` is one of few fixed names, never a caller's path: every name is kept."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()

    def count(self, route: str, status: int) -> None:
        self._requests[route, status] += 1

    def text(self, *, in_flight: int, engines: Mapping[str, Mapping[str, float]]) -> str:
        """All of it. ``engines``: by upstream, the embedded engine's own counters."""
        lines = _family(
            "autonomousai_requests_total",
            "counter",
            "Requests that were answered, or whose callers left (499).",
            (({"route": route, "status": str(status)}, count) for (route, status), count in sorted(self._requests.items())),
        )
        lines += _family("autonomousai_requests_in_flight", "gauge", "Chat requests inside.", [({}, in_flight)])
        for name in sorted({name for counters in engines.values() for name in counters}):
            samples = (({"upstream": engine}, counters[name]) for engine, counters in engines.items() if name in counters)
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += _family(f"autonomousai_engine_{name}", kind, "The embedded engine's own.", samples)
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value:g}" if inner else f"{name} {value:g}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
