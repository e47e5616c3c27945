"""The short road of a usual request: what it reads is what the longer one reads, and what it does not take is left to that
one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.openai_chat.request import read_chat_request
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


@given(REQUESTS)
def test_both_roads_read_the_same(document: dict[str, Any]) -> None:
    """Down to the type of a number; and what the longer road refuses, the short one never takes."""
    body = json.dumps(document).encode()
    usual = read_usual_request(body)
    try:
        whole = read_chat_request(body)
    except (StatusError, InvalidMessagesError):
        assert usual is None
    else:
        assert usual is None or shown(usual) == shown(whole)


def shown(request: ChatRequest) -> str:
    """A request down to the type of a number; the order of its fields says nothing."""
    return repr(msgspec.structs.replace(request, fields=dict(sorted(request.fields.items()))))


@pytest.mark.parametrize(
    "more", [{}, {"stream": True, "stream_options": {"include_usage": True}}, {"temperature": 0, "seed": 7}]
)
def test_a_usual_request_takes_the_short_road(more: dict[str, Any]) -> None:
    """It is what most callers send."""
    usual = read_usual_request(json.dumps({"model": "m", "messages": HELLO, **more}).encode())

    assert usual is not None
    assert usual.messages == HELLO


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": []}', b'{"messages": [{"role": "user"}]}', b"\xff"])
def test_anything_else_is_left_to_the_longer_road(body: bytes) -> None:
    """Which has an error that names what is wrong."""
    assert read_usual_request(body) is None
