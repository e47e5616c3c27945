"""Snapshots become the text that Prometheus reads. The only file that knows prometheus-client, and only when metrics are read.

Counters, histograms and gauges of several processes are added up; an engine's own counters belong to the one engine, and are
shown once.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .._version import __version__
from .families import ENGINE_FAMILIES, FAMILIES, INFO_FAMILIES, PREFIX, Family
from .metrics import Snapshot

_Samples = dict[tuple[str, ...], list[float]]


def render(snapshots: Iterable[bytes]) -> bytes:
    """The text for the snapshots of one process or of several: `Metrics.snapshot` of each."""
    collector = _Collector([msgspec.json.decode(snapshot, type=Snapshot) for snapshot in snapshots])
    return generate_latest(collector)


def remains(snapshots: Iterable[bytes]) -> bytes:
    """What remains of processes that have ended, as one snapshot: what they counted, and nothing of what was under way."""
    summed = _sum(msgspec.json.decode(snapshot, type=Snapshot) for snapshot in snapshots)
    counted = [
        (name, labels, numbers)
        for name, samples in summed.items()
        if FAMILIES[name].kind != "gauge"
        for labels, numbers in samples.items()
    ]
    return msgspec.json.encode(Snapshot(counted))


def _sum(snapshots: Iterable[Snapshot]) -> dict[str, _Samples]:
    families: dict[str, _Samples] = {name: {} for name in FAMILIES}
    for snapshot in snapshots:
        for name, labels, numbers in snapshot.samples:
            summed = families[name].get(labels)
            families[name][labels] = numbers if summed is None else [a + b for a, b in zip(summed, numbers, strict=True)]
    return families


class _Collector(Collector):
    """What the snapshots say together."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._samples = _sum(snapshots)
        self._engines: dict[str, dict[str, float]] = {}
        for snapshot in snapshots:
            for upstream, counters in snapshot.engines.items():
                self._engines.setdefault(upstream, counters)

    def collect(self) -> Iterator[Metric]:
        version: _Samples = {(__version__, platform.python_version()): [1.0]}
        yield _family("build_info", INFO_FAMILIES["build_info"], version)
        for name, family in FAMILIES.items():
            yield _family(name, family, self._samples[name])
        for name in sorted({name for counters in self._engines.values() for name in counters}):
            told: _Samples = {(upstream,): [counters[name]] for upstream, counters in self._engines.items() if name in counters}
            yield _family(f"engine_{name}", ENGINE_FAMILIES.get(f"engine_{name}") or _own(name), told)


def _own(name: str) -> Family:
    return Family("counter" if name.endswith("_total") else "gauge", "The embedded engine's own.", ("upstream",))


def _family(name: str, family: Family, samples: _Samples) -> Metric:
    name = PREFIX + name
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.about, labels=family.labels)
        bounds = [*map(floatToGoString, family.bounds), "+Inf"]
        for labels, numbers in sorted(samples.items()):
            buckets = list(zip(bounds, accumulate(numbers[:-1]), strict=True))
            histogram.add_metric(labels, buckets, sum_value=numbers[-1])
        return histogram
    made = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(name, family.about, labels=family.labels)
    for labels, numbers in sorted(samples.items()):
        made.add_metric(labels, numbers[0])
    return made
