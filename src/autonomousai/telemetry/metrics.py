"""What is counted: plain numbers, added up while requests are answered, and read as a snapshot.

In a request's way there is one `AnswerMeter` an answer: an addition a batch, and one call at the end, which reads the report of
how the answer came about. Knows no Prometheus: `exposition` writes the text, of one process's snapshot or of several.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeAlias

import msgspec

from ..answer import Answer
from ..errors import ProviderError
from ..events import Usage
from ..gateway.retry_policy import describe
from ..report import HEDGED, Report
from ..request import ChatRequest
from .families import ANSWER_BOUNDS, FIRST_TOKEN_BOUNDS, INTER_TOKEN_BOUNDS, MAX_KEYS, NONE, OTHER

#: A family's name, label values, and the number; or, for a histogram, the count of each bucket and last the sum.
Sample: TypeAlias = tuple[str, tuple[str, ...], list[float]]

OnWhole: TypeAlias = Callable[["AnswerMeter", str, str, tuple[str, Mapping[str, str]], ChatRequest], bool]

#: What a caller finds who comes back for a stream.
_FOUND: Final = {200: "ok", 204: "ended", 404: "not_found", 410: "gone", 499: "left"}


class Snapshot(msgspec.Struct):
    """All that one process counted. ``engines``: by upstream, what belongs to the engine and not to the process."""

    samples: list[Sample] = []
    engines: dict[str, dict[str, float]] = {}


def engines_snapshot(engines: Mapping[str, Mapping[str, float]]) -> bytes:
    """The snapshot of a process that runs engines and serves nothing; *engines* as in `Metrics.snapshot`."""
    return msgspec.json.encode(Snapshot([], {upstream: dict(counters) for upstream, counters in engines.items()}))


class Histogram:
    """Counts by upper bounds, the last beyond all of them, and the sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: list[float]) -> None:
        """Count all of *values*, which are sorted: a look for each bound instead of one for each value."""
        counts, before = self.counts, 0
        for index, bound in enumerate(self.bounds):
            counts[index] += (upto := bisect_right(values, bound)) - before
            before = upto
        counts[-1] += len(values) - before
        self.sum += sum(values)

    @property
    def numbers(self) -> list[float]:
        return [*self.counts, self.sum]


#: Requests, and events, whose times are counted together: so few that they take little memory.
_TOGETHER: Final = 256


class _Series:
    """The answers of one model by one upstream. ``at_once``: the seconds of those that came complete, at the first attempt, and
    are still to be counted. ``pauses``: likewise those between two events."""

    __slots__ = ("at_once", "completion", "first", "gaps", "outcomes", "pauses", "prompt", "smooth", "whole")

    def __init__(self) -> None:
        self.at_once: list[float] = []
        self.pauses: list[float] = []
        self.outcomes: dict[str, int] = {}
        #: Answers that took one attempt and no more, which is the usual case.
        self.smooth = 0
        self.prompt = self.completion = 0
        self.first = Histogram(FIRST_TOKEN_BOUNDS)
        self.gaps = Histogram(INTER_TOKEN_BOUNDS)
        self.whole = Histogram(ANSWER_BOUNDS)

    def fold(self) -> None:
        """Count the answers that came complete, and the pauses."""
        if pauses := self.pauses:
            pauses.sort()
            self.gaps.observe_all(pauses)
            pauses.clear()
        if not (seconds := self.at_once):
            return
        seconds.sort()
        self.first.observe_all(seconds)
        self.whole.observe_all(seconds)
        self.outcomes["ok"] = self.outcomes.get("ok", 0) + len(seconds)
        self.smooth += len(seconds)
        seconds.clear()


class _KeySeries:
    """The answers for the caller with one key."""

    __slots__ = ("completion", "outcomes", "prompt")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.prompt = self.completion = 0


class Metrics:
    """Everything that one process counts. ``models`` and ``upstreams``: the names that may become labels. ``gauges``: what is
    looked up when metrics are read."""

    def __init__(
        self,
        models: Iterable[str] = (),
        upstreams: Iterable[str] = (),
        *,
        gauges: Callable[[], Iterable[Sample]] = lambda: (),
    ) -> None:
        self.takeovers = 0
        #: Called with each answer that has ended and is closed, where answers are accounted.
        self.on_end: Callable[[AnswerMeter], None] | None = None
        #: Called first with each that `whole` has counted: with its request's id, its wire, its key's name and labels, and its
        #: request. Where it returns False, `on_end` is to be called.
        self.on_whole: OnWhole | None = None
        self._models = frozenset(models)
        self._keys: dict[str, _KeySeries] = {}
        self._upstreams = frozenset(upstreams) | {NONE}
        self._gauges = gauges
        #: Seconds of requests that have ended and are still to be counted, by route and status.
        self._ended: dict[tuple[str, int], list[float]] = {}
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._answers: dict[tuple[str, str], _Series] = {}
        #: What is rare: by family and label values.
        self._counts: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def know(self, models: Iterable[str], upstreams: Iterable[str]) -> None:
        """Let further names become labels."""
        self._models |= frozenset(models)
        self._upstreams |= frozenset(upstreams)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered. *route* is one of few fixed names, never a caller's path: every name is kept."""
        ended = self._ended.get((route, status))
        if ended is None:
            ended = self._ended[route, status] = []
        ended.append(seconds)
        if len(ended) >= _TOGETHER:
            self._count_requests()

    def _count_requests(self) -> None:
        for (route, status), seconds in self._ended.items():
            self._requests[route, status] += len(seconds)
            seconds.sort()
            self._seconds.setdefault(route, Histogram(ANSWER_BOUNDS)).observe_all(seconds)
            seconds.clear()

    def resume(self, status: int) -> None:
        """Count a caller who came back for a stream, and got this status."""
        self._count("resumes_total", _FOUND.get(status, "failed"))

    def answer(self, model: str, answer: Answer, began: float) -> AnswerMeter:
        """Watch over an answer of *model*, for a request that came at *began*, by the monotonic clock."""
        meter = AnswerMeter(self, model, answer, began)
        if (report := answer.report) is not None:  # another server counts what it did
            meter._attempts, meter._splices = len(report.attempts), len(report.splices)
        return meter

    def whole(self, model: str, answer: Answer, began: float, key: str = "") -> AnswerMeter:
        """Count a complete answer that came at once, at the first attempt, for the caller with the *key* of that name; see
        `answer`."""
        report = answer.report
        if report is None or len(report.attempts) != 1:  # by no gateway
            with AnswerMeter(self, model, answer, began, key=key) as meter:
                meter.batch()
            return meter
        now = monotonic()
        meter = AnswerMeter(self, model, answer, began, now, "ok", key)
        series = self._answers.get((model, report.upstream or NONE))
        if series is None:  # the first one, or of other names
            series = self.series(model, meter.upstream)
        series.at_once.append(now - began)
        if len(series.at_once) >= _TOGETHER:
            series.fold()
        usage = None if answer.finish is None else answer.finish.usage
        if usage is not None:
            series.prompt += usage.prompt_tokens
            series.completion += usage.completion_tokens
        if key:
            self.key_answer(key, "ok", usage)
        return meter

    # ---- for a watch

    def series(self, model: str, upstream: str | None) -> _Series:
        """The answers of that model by that upstream."""
        series = self._answers.get((model, upstream or NONE))
        if series is None:
            key = (self._model(model), self._upstream(upstream))
            series = self._answers.get(key)
            if series is None:
                series = self._answers[key] = _Series()
        return series

    def key_answer(self, key: str, outcome: str, usage: Usage | None) -> None:
        """Count an answer for the caller with the key of that name. Of keys beyond `MAX_KEYS`, all are one."""
        series = self._keys.get(key)
        if series is None:
            key = key if len(self._keys) < MAX_KEYS else OTHER
            series = self._keys[key] = self._keys.get(key) or _KeySeries()
        series.outcomes[outcome] = series.outcomes.get(outcome, 0) + 1
        if usage is not None:
            series.prompt += usage.prompt_tokens
            series.completion += usage.completion_tokens

    def key_refusal(self, key: str, limit: str) -> None:
        """Count a request that a limit of its caller's key has refused."""
        self._count("key_refusals_total", key if key in self._keys or len(self._keys) < MAX_KEYS else OTHER, limit)

    def account(self, model: str, report: Report, *, attempts: int, splices: int, saved: bool) -> None:
        """Count what a gateway did for an answer, from that attempt and that splice on. ``saved``: its end came."""
        model = self._model(model)
        tried = report.attempts
        begun = len(tried) if report.begun is None else report.begun
        for index in range(attempts, len(tried)):
            attempt = tried[index]
            upstream = self._upstream(attempt.upstream)
            self._count("attempts_total", model, upstream, attempt.outcome)
            if attempts < index <= begun and tried[index - 1].outcome != HEDGED:
                before = self._upstream(tried[index - 1].upstream)
                if before == upstream:
                    self._count("retries_total", model, upstream)
                else:
                    self._count("failovers_total", model, before, upstream)
        for splice in report.splices[splices:]:
            self._count("splices_total", self._upstream(splice.source), self._upstream(splice.target))
        for way in report.ways:
            self._count("rescues_total", model, way)
        if not saved and report.begun is not None:
            self._count("rescues_total", model, NONE)

    def _count(self, family: str, *labels: str) -> None:
        self._counts[family, labels] += 1

    def _model(self, name: str) -> str:
        return name if name in self._models else OTHER

    def _upstream(self, name: str | None) -> str:
        name = name or NONE
        return name if name in self._upstreams else OTHER

    # ---- reading

    def snapshot(self, engines: Mapping[str, Mapping[str, float]] | None = None) -> bytes:
        """All of it, as JSON for `exposition.render`. ``engines``: by upstream, the embedded engine's own counters, which are
        shown once even where several processes report them."""
        samples = [*self._samples(), *self._gauges()]
        return msgspec.json.encode(Snapshot(samples, {name: dict(counters) for name, counters in (engines or {}).items()}))

    def _samples(self) -> Iterable[Sample]:
        self._count_requests()
        for (route, status), count in self._requests.items():
            yield "requests_total", (route, str(status)), [count]
        for route, histogram in self._seconds.items():
            yield "request_seconds", (route,), histogram.numbers
        for who, series in self._answers.items():
            series.fold()
            for outcome, count in series.outcomes.items():
                yield "answers_total", (*who, outcome), [count]
            if series.smooth:
                yield "attempts_total", (*who, "ok"), [series.smooth]
            yield "tokens_total", (*who, "prompt"), [series.prompt]
            yield "tokens_total", (*who, "completion"), [series.completion]
            yield "first_token_seconds", who, series.first.numbers
            yield "inter_token_seconds", who, series.gaps.numbers
            yield "answer_seconds", who, series.whole.numbers
        for key, used in self._keys.items():
            for outcome, count in used.outcomes.items():
                yield "key_answers_total", (key, outcome), [count]
            yield "key_tokens_total", (key, "prompt"), [used.prompt]
            yield "key_tokens_total", (key, "completion"), [used.completion]
        for (family, labels), count in self._counts.items():
            yield family, labels, [count]
        yield "takeovers_total", (), [self.takeovers]
        yield "processes", (), [1]


class Asked(msgspec.Struct, frozen=True):
    """What an answer is accounted to. ``id``: the request's; ``key``: the name of its caller's key, ``""`` where it has none;
    ``came``: when, in seconds since the epoch. ``whole``: its caller gets all of it or nothing."""

    id: str
    wire: str
    key: str
    came: float
    request: ChatRequest
    whole: bool = False


class AnswerMeter(msgspec.Struct, eq=False):
    """``with metrics.answer(...) as watch``: one answer, from when it is asked for to its end, however it ends. ``batch()`` is
    called for each batch. What is known of the answer is here afterwards, for the log of requests and the trace of this one.

    An answer counts for the upstream that brought its end; its first token and its pauses under the one that began it.

    ``first``: when the first of the answer came, by the monotonic clock; 0 before. ``outcome``: how it ended: ok, left, or what
    an attempt that ended so would be called; "" before. ``key``: the name of its caller's key, "" where it has none.
    ``asked``: what it is accounted to, where the answers are accounted. ``handed_over``: whether another server brings its
    rest. ``broken``: whether it came complete, and a bug has kept its caller from it.
    """

    _metrics: Metrics
    model: str
    answer: Answer
    began: float
    first: float = 0.0
    outcome: str = ""
    key: str = ""
    asked: Asked | None = None
    handed_over: bool = False
    broken: bool = False
    _attempts: int = 0
    _splices: int = 0
    _started: _Series | None = None
    _starter: str | None = None
    #: From the first batch on, its series' pauses; and when the latest batch came, in a list: to set a member of a `Struct`
    #: takes ten times as long.
    _pauses: list[float] = None  # type: ignore[assignment]
    _last: list[float] = None  # type: ignore[assignment]

    @property
    def upstream(self) -> str | None:
        """Which upstream of a gateway answered, or was the last to be tried."""
        report = self.answer.report
        if report is None:
            return self.answer.upstream
        return report.upstream or (report.attempts[-1].upstream if report.attempts else None)

    def batch(self) -> None:
        """A batch came."""
        now = monotonic()
        if self._started is None:
            self.first = now
            self._starter = upstream = self.upstream
            self._started = series = self._metrics.series(self.model, upstream)
            series.first.observe(now - self.began)
            self._pauses = series.pauses
            self._last = [now]
        else:
            last, pauses = self._last, self._pauses
            pauses.append(now - last[0])
            last[0] = now
            if len(pauses) >= _TOGETHER:
                self._started.fold()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        finish = self.answer.finish
        if finish is not None and not self.broken:
            self.outcome = "ok"
        elif exc is None or not isinstance(exc, Exception):
            self.outcome = "left"
        else:
            self.outcome = describe(exc)[0] if isinstance(exc, ProviderError) else "bug"
        series, upstream = self._started, self.upstream
        if series is None or upstream != self._starter:
            series = self._metrics.series(self.model, upstream)
        series.outcomes[self.outcome] = series.outcomes.get(self.outcome, 0) + 1
        if finish is not None:
            series.whole.observe(monotonic() - self.began)
            if (usage := finish.usage) is not None:
                series.prompt += usage.prompt_tokens
                series.completion += usage.completion_tokens
        if self.key:
            self._metrics.key_answer(self.key, self.outcome, None if finish is None else finish.usage)
        report = self.answer.report
        if report is None:
            return
        if finish is not None and len(report.attempts) == self._attempts + 1 and not report.ways:
            series.smooth += 1
        else:
            saved = self.outcome in ("ok", "left")
            self._metrics.account(self.model, report, attempts=self._attempts, splices=self._splices, saved=saved)
