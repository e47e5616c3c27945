"""The short road of a usual request, over each wire that has one: what it reads is what the longer one reads, and what it does
not take is left to that one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.anthropic_messages.request import read_messages_request
from autonomousai.wires.anthropic_messages.usual_request import read_usual_messages
from autonomousai.wires.openai_chat.request import read_chat_request
from autonomousai.wires.openai_responses.request import read_responses_request
from autonomousai.wires.openai_responses.usual_request import read_usual_response
from autonomousai.wires.usual_request import read_usual_request

HELLO = [{"role": "user", "content": "Hello"}]

NUMBERS = st.integers(-3, 3) | st.floats(-1, 3) | st.sampled_from([0, 1, 1.0, 2, 2.01, -0.0, 10**400, 2**31, 40.0])
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=4) | st.sampled_from([[], {}, ["a"]])
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool", "x"]), "content": st.text(max_size=5) | st.none()},
        optional={"name": st.text(max_size=3)},
    ),
    max_size=3,
)
REQUESTS = st.fixed_dictionaries(
    {"messages": MESSAGES | st.just(HELLO)},
    optional={
        "model": st.sampled_from(["llama", "", None, 7]),
        "stream": VALUES,
        "stream_options": st.none()
        | st.dictionaries(st.sampled_from(["include_usage", "include_obfuscation", "x"]), VALUES, max_size=2),
        "temperature": VALUES,
        "top_p": VALUES,
        "max_tokens": VALUES,
        "seed": VALUES,
        "user": VALUES,
        "top_k": VALUES,
    },
)


TEXTS = st.sampled_from(["Hello", "", " ", "ä", "x-anthropic-billing-header: 7\nBe brief.", "x"])
SAID = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]), "content": TEXTS | st.none()},
        optional={"type": st.sampled_from(["message", None, "reasoning"]), "name": TEXTS},
    ),
    max_size=4,
)
MESSAGES_REQUESTS = st.fixed_dictionaries(
    {"messages": SAID | st.just(HELLO), "max_tokens": VALUES | st.just(9)},
    optional={
        "model": st.sampled_from(["llama", "", None, 7]),
        "stream": VALUES,
        "system": TEXTS | VALUES,
        "temperature": VALUES,
        "top_p": VALUES,
        "stop_sequences": st.lists(TEXTS, max_size=2) | VALUES,
        "top_k": VALUES,
    },
)
RESPONSES_REQUESTS = st.fixed_dictionaries(
    {"input": SAID | st.just(HELLO) | TEXTS},
    optional={
        "model": st.sampled_from(["llama", "", None, 7]),
        "stream": VALUES,
        "instructions": TEXTS | VALUES,
        "store": VALUES,
        "max_output_tokens": VALUES,
        "temperature": VALUES,
        "top_p": VALUES,
        "user": VALUES,
    },
)


class Roads(NamedTuple):
    """Both readers of one wire, and requests that they are given."""

    short: Callable[[bytes], ChatRequest | None]
    long: Callable[[bytes], ChatRequest]
    requests: st.SearchStrategy[dict[str, Any]]


ROADS = {
    "chat": Roads(read_usual_request, read_chat_request, REQUESTS),
    "messages": Roads(read_usual_messages, read_messages_request, MESSAGES_REQUESTS),
    "responses": Roads(read_usual_response, read_responses_request, RESPONSES_REQUESTS),
}


@pytest.mark.parametrize("wire", ROADS)
@settings(deadline=None)
@given(data=st.data())
def test_both_roads_read_the_same(wire: str, data: st.DataObject) -> None:
    """Down to the type of a number; and what the longer road refuses, the short one never takes."""
    short, long, requests = ROADS[wire]
    body = json.dumps(data.draw(requests)).encode()
    usual = short(body)
    try:
        whole = long(body)
    except (StatusError, InvalidMessagesError):
        assert usual is None
    else:
        assert usual is None or shown(usual) == shown(whole)


@pytest.mark.parametrize("wire", ROADS)
@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_are_read_the_same(wire: str, data: st.DataObject) -> None:
    """A body with members that come twice, cut, or with other bytes in it."""
    short, long, requests = ROADS[wire]
    one, two = (json.dumps(data.draw(requests)).encode() for _ in range(2))
    body = data.draw(st.sampled_from([one, one[:-1] + b"," + two[1:], b"\xef\xbb\xbf" + one]))
    place = data.draw(st.integers(0, len(body)))
    put = data.draw(st.sampled_from([b"", b"\xff", b"\\ud83d", b" ", b"}", b"\x00", b"["]))
    body = body[:place] + put + body[place + data.draw(st.integers(0, 2)) :]
    usual = short(body)
    try:
        whole = long(body)
    except (StatusError, InvalidMessagesError):
        assert usual is None
    else:
        assert usual is None or shown(usual) == shown(whole)


def shown(request: ChatRequest) -> str:
    """A request down to the type of a number; the order of an object's members says nothing."""
    origin = request.origin
    return repr(
        msgspec.structs.replace(
            request,
            fields=ordered(request.fields),
            echo=ordered(request.echo),
            origin=origin and msgspec.structs.replace(origin, document=ordered(origin.document)),
        )
    )


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value)}
    return [ordered(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "more", [{}, {"stream": True, "stream_options": {"include_usage": True}}, {"temperature": 0, "seed": 7}]
)
def test_a_usual_request_takes_the_short_road(more: dict[str, Any]) -> None:
    """It is what most callers send."""
    usual = read_usual_request(json.dumps({"model": "m", "messages": HELLO, **more}).encode())

    assert usual is not None
    assert usual.messages == HELLO


@pytest.mark.parametrize(
    ("wire", "document"),
    [
        ("messages", {"messages": HELLO, "max_tokens": 9}),
        ("messages", {"messages": HELLO, "max_tokens": 9, "system": "Be brief.", "stop_sequences": ["x"], "temperature": 0.5}),
        ("responses", {"input": "Hello"}),
        (
            "responses",
            {"input": [{"type": "message", **HELLO[0]}], "instructions": "Be brief.", "store": False, "stream": True},
        ),
    ],
)
def test_a_usual_request_of_another_wire_takes_the_short_road(wire: str, document: dict[str, Any]) -> None:
    """The SDKs' first examples, and what is often beside them; the answer to the request is in their own document."""
    usual = ROADS[wire].short(json.dumps({"model": "m", **document}).encode())

    assert usual is not None
    assert usual.messages[-1] == HELLO[0]
    assert usual.origin is not None
    assert usual.origin.document == {"model": "m", **document}


@pytest.mark.parametrize("wire", ROADS)
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": []}', b'{"messages": [{"role": "user"}]}', b"\xff"])
def test_anything_else_is_left_to_the_longer_road(wire: str, body: bytes) -> None:
    """Which has an error that names what is wrong."""
    assert ROADS[wire].short(body) is None
