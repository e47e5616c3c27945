"""Records of a stream's log: what is written down is read again unchanged, whatever the events and errors are."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import (
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
)
from autonomousai.errors import TimeoutError as ClockError
from autonomousai.events import (
    Annotations,
    ChoiceEvent,
    Event,
    Extra,
    FinishReason,
    ForeignEvent,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.http.server.exchange import internal_error
from autonomousai.report import Attempt, Report, Splice
from autonomousai.streams.records import Record, RecordedError, ResumeState, StreamHeader, decode_record, encode_record, size_of
from autonomousai.wires.base import Wire
from autonomousai.wires.provenance import make_provenance
from autonomousai.wires.registry import WIRES

TEXT = st.text(max_size=5)
MAYBE = st.none() | TEXT
COUNT = st.integers(0, 10**6)

#: What JSON can hold, and what was decoded from JSON does.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda value: st.lists(value, max_size=3) | st.dictionaries(TEXT, value, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
EXTRA = st.none() | OBJECTS

USAGES = st.builds(Usage, COUNT, COUNT, COUNT, st.none() | COUNT, st.none() | COUNT, EXTRA)

#: Every kind of event.
EVENTS: dict[type[Any], st.SearchStrategy[Any]] = {
    str: TEXT,
    Started: st.builds(Started, MAYBE, MAYBE, EXTRA),
    Reasoning: st.builds(Reasoning, TEXT, MAYBE),
    Refusal: st.builds(Refusal, TEXT),
    ToolCallDelta: st.builds(ToolCallDelta, COUNT, MAYBE, MAYBE, TEXT, EXTRA),
    LogProbs: st.builds(LogProbs, st.none() | st.lists(VALUES, max_size=2), st.none() | st.lists(VALUES, max_size=2)),
    Annotations: st.builds(Annotations, st.lists(VALUES, max_size=2)),
    Images: st.builds(Images, st.lists(VALUES, max_size=2)),
    Extra: st.builds(Extra, OBJECTS, COUNT, TEXT),
    ForeignEvent: st.builds(ForeignEvent, TEXT, st.binary(max_size=5), TEXT),
    FinishReason: st.builds(
        FinishReason, MAYBE, st.sampled_from(["finish_reason", "done", "usage", "body"]), st.none() | USAGES, MAYBE, EXTRA
    ),
    ChoiceEvent: st.builds(
        ChoiceEvent, COUNT, TEXT | st.builds(Reasoning, TEXT) | st.builds(FinishReason, TEXT, st.just("done"))
    ),
}

#: One error of each class, and more of those whose fields decide what callers see.
ERRORS: list[ProviderError] = [
    ProviderError("something"),
    ModelNotFoundError("x", ["llama"]),
    InvalidMessagesError("is no list", index=2, field="content"),
    ConfigError("server.state: https://user:sk-secretsecretsecret@host/ cannot be used"),
    HTTPError("it failed", status=None, advice="give the address of http://upstream.internal:8000 again"),
    ConnectError("no connection to http://upstream.internal:8000/v1", advice="check the address"),
    StatusError("the server answered 429: slow down", status=429, retry_after=7, code="slow", param="messages"),
    StatusError("no", status=200, type="odd"),
    ClockError("idle", 5),
    StreamError("an event could not be read", status=200),
    StreamError("too busy", status=200, type="overloaded_error"),
    StreamError("too many", status=200, type="rate_limit_error", code="rate_limit_exceeded", retry_after=7),
    StreamError("no", status=200, type="odd", code="odd", param="n"),
    IncompleteStreamError(partial="Hel"),
    internal_error(),
]


def written_and_read(record: Record) -> Record:
    return decode_record(encode_record(record))


def test_every_kind_of_event_is_among_them() -> None:
    """A kind that is added to the events has to be added here."""
    assert set(get_args(Event)) == set(EVENTS)


@given(st.lists(st.one_of(*EVENTS.values()), max_size=4))
def test_events_are_read_as_they_were(events: list[Any]) -> None:
    """Each of its kind, with all that it holds, to the last unknown member; so are the JSON texts of what they hold."""
    again = written_and_read(Record(events)).events

    assert events == again
    assert [type(event) for event in events] == [type(event) for event in again]
    assert msgspec.json.encode(events) == msgspec.json.encode(again)


def test_all_else_is_read_as_it_was() -> None:
    """The header, what a successor must know, and the provenance, in the same order of members."""
    report = Report("two", [Attempt("one", "server_lost", None, 0)], [Splice(3, "one", "two")], 7, 2)
    record = Record(
        [FinishReason("stop", "done")],
        end=True,
        header=StreamHeader("openai_chat", "req_1", 1700000000, "llama", True),
        state=ResumeState("one", 7, report.attempts, report.splices, 2),
        provenance=make_provenance(report, "Hello"),
    )
    again = written_and_read(record)

    assert (record.header, record.state, record.end) == (again.header, again.state, again.end)
    assert msgspec.json.encode(record.provenance) == msgspec.json.encode(again.provenance)


def test_every_class_of_errors_is_among_them() -> None:
    """One that is added to the tree has to be added here."""

    def classes(root: type[ProviderError]) -> set[type[ProviderError]]:
        below = [classes(each) for each in root.__subclasses__() if each.__module__ == "autonomousai.errors"]
        return {root}.union(*below)

    assert classes(ProviderError) == {type(error) for error in ERRORS}


@pytest.mark.parametrize("wire", [wire for wire in WIRES.values() if wire.streams], ids=lambda wire: wire.name)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_told_as_it_was(error: ProviderError, wire: Wire) -> None:
    """Callers that come later read what the first one read, to the byte."""
    recorded = written_and_read(Record(end=True, error=RecordedError.of(error))).error
    assert recorded is not None

    assert wire.encode_error_event(error) == wire.encode_error_event(recorded.as_error())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_written_down_without_secrets(error: ProviderError) -> None:
    """Neither keys nor the addresses of upstreams are in the log."""
    data = encode_record(Record(end=True, error=RecordedError.of(error)))

    assert (False, False) == (b"secret" in data, b"upstream.internal" in data)


@pytest.mark.parametrize(
    ("events", "least"),
    [(["a" * 1000], 1000), (["a" * 500] * 4, 2000), ([Reasoning("a" * 1000)], 1000), (["🦙" * 1000], 4000), ([], 100)],
)
def test_a_record_knows_about_how_large_it_is(events: list[Any], least: int) -> None:
    """At least what its texts take, and not much more."""
    assert least <= size_of(Record(events)) <= least + 1000
