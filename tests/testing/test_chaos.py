"""Chaos: each fault is what its name says, on a script, a recording and a live upstream alike; a seed repeats itself."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from autonomousai.testing import (
    CHAOS,
    Chaos,
    Double,
    Fault,
    Head,
    Script,
    Send,
    chunks,
    completion,
    live,
    message_events,
    record,
    replay,
    response_events,
    scripted,
)

TEXTS = ("Grüße", " an alle", " 😀")
WHOLE = chunks(*TEXTS)
#: What comes up to the first event with a text, which is the second one; and the one behind it, without its end.
FIRST = WHOLE[: WHOLE.rindex(b"data: ", 0, WHOLE.index(b" an alle"))]
SECOND = WHOLE[len(FIRST) : WHOLE.index(b"\n\n", len(FIRST))]


def got(double: Double, path: str = "/v1/chat/completions") -> tuple[int, bytes, str]:
    """Status, what came of the body, and how it ended: whole, short, reset."""
    connection = http.client.HTTPConnection("127.0.0.1", double.server.port, timeout=30)
    parts: list[bytes] = []
    try:
        connection.request("POST", path, json.dumps({"stream": True}))
        response = connection.getresponse()
        try:
            while part := response.read1(1 << 16):
                parts.append(part)
            if response.length:
                return response.status, b"".join(parts), "short"
        except http.client.IncompleteRead as error:
            return response.status, b"".join([*parts, error.partial]), "short"
        except ConnectionResetError:
            return response.status, b"".join(parts), "reset"
        return response.status, b"".join(parts), "whole"
    finally:
        connection.close()


@contextmanager
def under(kind: str, chaos: Any, path: Path, script: Script) -> Iterator[Double]:
    """A double under chaos, whose answers come from a script, a recording or a live upstream."""
    if kind == "script":
        with scripted(script, chaos=chaos) as double:
            yield double
        return
    with scripted(script) as upstream:
        if kind == "live":
            with live(upstream.url, chaos=chaos) as double:
                yield double
            return
        if kind == "recording":
            with record(path, upstream.url) as proxy:
                got(proxy)
    with replay(path, chaos=chaos) as double:
        yield double


KINDS = ("script", "recording", "live")
DONE = b"data: [DONE]\n\n"
HALF = SECOND[: len(SECOND) // 2 + 1]

#: The chaos, and what a client of the standard library gets under it.
BROKEN: dict[str, tuple[Any, tuple[int, bytes, str]]] = {
    "cut": ("cut", (200, FIRST, "short")),
    "cut in order": ("cut_in_order", (200, FIRST, "whole")),
    "cut at a byte": (Fault.cut(at=77), (200, WHOLE[:77], "short")),
    "cut later": (Fault.cut(after=2), (200, FIRST + SECOND + b"\n\n", "short")),
    "half an event": ("half_event", (200, FIRST + HALF, "whole")),
    "a garbled event": ("garbled_event", (200, FIRST + HALF + WHOLE[len(FIRST + SECOND) :], "whole")),
    "no done": ("missing_done", (200, WHOLE.removesuffix(DONE), "whole")),
    "every byte": ("split_bytes", (200, WHOLE, "whole")),
    "characters": ("split_utf8", (200, WHOLE, "whole")),
    "slow": (Fault.slow_first_token(seconds=0.01), (200, WHOLE, "whole")),
    "a pause": (Fault.stall(seconds=0.01), (200, WHOLE, "whole")),
    "length": ("wrong_content_length", (200, WHOLE, "short")),
    "length too small": (Fault.wrong_content_length(by=-1), (200, WHOLE[:10], "whole")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_what_it_says_wherever_the_answer_comes_from(kind: str, name: str, tmp_path: Path) -> None:
    """And the answer after it is whole."""
    chaos, expected = BROKEN[name]

    with under(kind, chaos, tmp_path / "x.toml", Script.body(WHOLE)) as double:
        outcome = got(double)
        after = got(double) if expected[1:] != (WHOLE, "whole") else None

    assert expected == outcome
    assert after in (None, (200, WHOLE, "whole"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_reset_is_one(kind: str, tmp_path: Path) -> None:
    """What had been sent may be lost with it."""
    with under(kind, "cut_rst", tmp_path / "x.toml", Script.body(WHOLE)) as double:
        status, body, how = got(double)

        assert (200, "reset") == (status, how)
        assert FIRST.startswith(body)
        assert "reset" == double.requests[0].end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_status_comes_in_the_place_of_the_answer(kind: str, status: int, tmp_path: Path) -> None:
    """With a Retry-After that openai-python keeps; the answer is there for the retry."""
    with under(kind, Fault.status(status, retry_after=0.01), tmp_path / "x.toml", Script.body(WHOLE)) as double:
        first, second = got(double), got(double)

        assert (status, 200, WHOLE) == (first[0], second[0], second[1])
        assert b"Retry-After: 0.01" not in first[1]
        double.assert_retried_at_most(1)


def test_a_stall_lasts_until_the_client_leaves() -> None:
    """Nothing comes, and the connection stays."""
    with scripted(Script.body(WHOLE), chaos="stall") as double:
        with socket.create_connection(("127.0.0.1", double.server.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            received = b""
            while FIRST[-30:] not in received:
                received += client.recv(4096)
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)

        double.assert_cancelled()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (WHOLE, b'data: {"error":{"message":"the server had an error'),
        (message_events("Hel", "lo"), b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"'),
        (response_events("Hel", "lo"), b'event: error\ndata: {"type": "error", "code": "server_error"'),
    ],
    ids=["completions", "messages", "responses"],
)
def test_an_error_event_has_the_form_of_its_api(body: bytes, told: bytes) -> None:
    """Behind the first text, and nothing follows it; the last event of each is what `missing_done` leaves out."""
    with scripted(Script.body(body), chaos=["error_event", "missing_done", "cut"]) as double:
        _, error, how = got(double)
        _, without, _ = got(double)
        _, cut, _ = got(double)

    assert "whole" == how
    assert error.startswith(cut)
    assert error.removeprefix(cut).startswith(told)
    assert body.startswith(without)
    assert any(end in body.removeprefix(without) for end in (b"[DONE]", b"message_stop", b"response.completed"))


@pytest.mark.parametrize("name", ["cut", "half_event", "wrong_content_length"])
def test_a_document_breaks_in_its_middle(name: str) -> None:
    """It ends before its Content-Length."""
    document = completion("Hello")
    with scripted(Script.document("Hello"), chaos=name) as double:
        status, body, how = got(double)

    assert (200, "short") == (status, how)
    assert document.startswith(body)
    assert (len(body) == len(document)) is (name == "wrong_content_length")


@pytest.mark.parametrize("name", ["error_event", "garbled_event", "missing_done"])
def test_what_only_a_stream_can_have_does_not_happen_to_a_document(name: str) -> None:
    """It passes unharmed, and the test learns that it proved nothing."""
    with (
        pytest.raises(AssertionError, match="chaos that never happened"),
        scripted(Script.document("Hello"), chaos=name) as double,
    ):
        assert (200, completion("Hello"), "whole") == got(double)


def test_each_byte_is_written_by_itself() -> None:
    """As a chunk of its own; and each character of several bytes is cut."""
    with scripted(Script.body("aéb".encode()), chaos=["split_bytes", "split_utf8"]) as double:
        with socket.create_connection(("127.0.0.1", double.server.port)) as client, client.makefile("rb") as read:
            heads = []
            for _ in range(2):
                client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
                while read.readline() != b"\r\n":
                    pass
                sizes = []
                while size := int(read.readline(), 16):
                    sizes.append(size)
                    read.read(size + 2)
                read.readline()
                heads.append(sizes)

    assert [[1, 1, 1, 1], [2, 2]] == heads


def test_a_fault_that_never_happened_fails_the_block() -> None:
    """Else the test would prove nothing."""
    with pytest.raises(AssertionError, match=r"request 0: cut, fin, at byte 99999 \(did not happen: the answer"):
        with scripted(Script.body(WHOLE), chaos=Fault.cut(at=99_999)) as double:
            got(double)


@pytest.mark.parametrize(
    ("chaos", "told"),
    [
        ("cut", r"request 0: cut, fin, behind 1 event of the answer \(no such request came\)"),
        (["ok", "529"], r"request 1: status 529, Retry-After 1 \(no such request came\)"),
        (Chaos("500", always=True), r"request 0: status 500 \(no such request came\)"),
        (Chaos(seed=7), "drawn by a seed: no request came"),
    ],
    ids=["one", "list", "always", "drawn"],
)
def test_chaos_that_met_no_request_fails_the_block(chaos: Any, told: str) -> None:
    """The client asked another server, or less often than the test's author thought."""
    with pytest.raises(AssertionError, match=f"chaos that never happened, {told}: play another answer"):
        with scripted(chaos=chaos):
            pass


def test_faults_of_a_list_that_were_not_taken_fail_the_block() -> None:
    """One for each that no request came for; "ok" is none."""
    with pytest.raises(AssertionError) as raised, scripted(chaos=["split_bytes", "ok", "529", "cut"]) as double:
        got(double)

    assert ["request 2: status 529", "request 3: cut, fin,"] == [
        line.partition("happened, ")[2][:21].rstrip() for line in str(raised.value).splitlines()
    ]


def test_an_empty_list_is_no_chaos() -> None:
    """Not that which is drawn."""
    with scripted(Script.body(WHOLE), chaos=[]) as double:
        outcomes = {got(double) for _ in range(12)}

        assert double.chaos.seed is None
    assert {(200, WHOLE, "whole")} == outcomes


@pytest.mark.parametrize(
    ("name", "script", "reason"),
    [
        ("split_utf8", Script.document("plain"), "no character of the answer is sent as several bytes"),
        ("split_utf8", Script.status(200, '{"text": "\\u00fc"}'), "no character of the answer is sent as several bytes"),
        ("missing_done", Script.document("plain"), "the answer has no such event"),
        ("error_event", Script.document("plain"), "the answer is no stream of events"),
        ("garbled_event", Script.document("plain"), "the answer is no stream of events"),
        ("split_bytes", Script.status(200, ""), "the answer ended before"),
    ],
)
def test_a_fault_that_did_not_happen_says_why(name: str, script: Script, reason: str) -> None:
    """Not each answer is too short: some have nothing that the fault could break."""
    with pytest.raises(AssertionError, match=rf"\(did not happen: {reason}\)"), scripted(script, chaos=name) as double:
        got(double)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fault.cut(how="bang"), "no cut is called 'bang'; there are: fin, rst, in_order"),  # type: ignore[arg-type]
        (lambda: Fault.cut(at=-1), "before the answer's beginning: at=-1"),
        (lambda: Fault.half_event(after=-2), "before the answer's beginning: at=None, after=-2"),
        (lambda: Fault.stall(seconds=-1), "seconds is -1"),
        (lambda: Fault.slow_first_token(seconds=-0.5), "seconds is -0.5"),
        (lambda: Fault.status(29), "three digits, not 29"),
        (lambda: Fault.wrong_content_length(by=0), "wrong by 0 is right"),
        (lambda: Chaos(rate=50), "rate is 50, and must be from 0 to 1"),
    ],
)
def test_arguments_by_which_nothing_could_break_are_refused(make: Callable[[], object], told: str) -> None:
    """At once, with what is right."""
    with pytest.raises(ValueError, match=re.escape(told)):
        make()


def test_one_fault_to_draw_from_is_no_list_of_letters() -> None:
    """As of `chaos=`, a name is one fault."""
    drawn = {fault.name for fault in (Chaos(seed=7, rate=1, among="529").next() for _ in range(3)) if fault}

    assert {"status 529, Retry-After 1"} == drawn


@pytest.mark.parametrize("chaos", [529, [529], Chaos(529), Chaos(among=529, rate=1)], ids=["one", "list", "chaos", "among"])
def test_a_status_may_be_a_number(chaos: Any) -> None:
    """As it is written everywhere else."""
    with scripted(chaos=chaos) as llm, pytest.raises(APIStatusError) as raised:
        OpenAI(base_url=f"{llm.url}/v1", api_key="none", max_retries=0).models.list()

    assert 529 == raised.value.status_code


def test_chaos_that_there_is_not_is_refused_by_name() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="no chaos is called 528"):
        Chaos(528)
    with pytest.raises(ValueError, match="no chaos is called 'cutt'; there are: ok, 429"):
        scripted(chaos="cutt")


def test_faults_in_order() -> None:
    """One for each request, ok for none, whole answers behind them; or always."""
    with scripted(Script.body(WHOLE), chaos=["ok", "529", "500"]) as double:
        assert [200, 529, 500, 200, 200] == [got(double)[0] for _ in range(5)]
    with scripted(Script.body(WHOLE), chaos=Chaos("ok", "529", always=True)) as double:
        assert [200, 529, 200, 529] == [got(double)[0] for _ in range(4)]


def test_the_same_seed_has_the_same_faults() -> None:
    """Whatever is drawn besides, and another has others; a seed of no name is shown."""

    def drawn(chaos: Chaos) -> list[str]:
        return [fault.name if fault else "" for fault in (chaos.next() for _ in range(200))]

    again = Chaos()
    again.reseed(7)
    names = drawn(Chaos(seed=7))

    assert names == drawn(Chaos(seed=7)) == drawn(again)
    assert names != drawn(Chaos(seed=8))
    assert 60 < names.count("") < 140
    assert {"split at every byte", "status 529, Retry-After 1"} <= set(names)
    assert not [name for name in names if "stall" in name]
    assert [""] * 200 == drawn(Chaos(seed=1, rate=0))
    with scripted(chaos=Chaos(among=["split_bytes"])) as double:
        got(double)
        assert f"Chaos(seed={double.chaos.seed})" in double.log()


def test_every_fault_can_be_played_by_its_name() -> None:
    """And openai-python either has the whole text or an error, or takes a part for the whole, but never hangs."""
    for name in CHAOS:
        fault: Any = Fault.stall(seconds=0.01) if name == "stall" else name
        fault = Fault.slow_first_token(seconds=0.01) if name == "slow_first_token" else fault
        with scripted(Script.body(WHOLE), chaos=fault) as double:
            with OpenAI(base_url=f"{double.url}/v1", api_key="k", max_retries=0) as client:
                try:
                    with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
                        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                except Exception:
                    continue
            double.assert_text(said)


def test_chaos_while_recording_breaks_the_client_and_not_the_file(tmp_path: Path) -> None:
    """The recording has the answer whole, and the retry gets it; so a replay under the same chaos is the same."""
    path = tmp_path / "x.toml"
    with scripted(Script.body(WHOLE)) as upstream:
        with record(path, upstream.url, chaos=["529", "cut"]) as proxy:
            recorded = [got(proxy) for _ in range(3)]
        upstream.assert_requests(1)
    with replay(path, chaos=["529", "cut"]) as double:
        replayed = [got(double) for _ in range(3)]

    assert [(529, "whole"), (200, "short"), (200, "whole")] == [(status, how) for status, _, how in recorded]
    assert [body for _, body, _ in recorded] == [body for _, body, _ in replayed]
    assert [FIRST, WHOLE] == [body for _, body, _ in replayed[1:]]


def test_a_live_upstream_is_left_where_its_answer_is_cut() -> None:
    """Its work would be in vain."""
    with scripted(Script(Head(), Send(FIRST), Send(SECOND + b"\n\n")).then(*Script.stall().steps[-1:])) as upstream:
        with live(upstream.url, chaos="cut") as proxy:
            assert FIRST == got(proxy)[1]
            upstream.assert_cancelled()
