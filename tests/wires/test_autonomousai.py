"""The request of the AutonomousAI wire, written and read: base64 of messages, of a prompt, and what is neither."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.request import CALL_OPTIONS, ChatRequest
from autonomousai.wires.autonomousai import read_request, write_request

HELLO = [{"role": "system", "content": "kurz"}, {"role": "user", "content": "Grüße, 世界 😀?>"}]


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def body(messages: Any = None, **fields: Any) -> bytes:
    return json.dumps({"messages": encoded(json.dumps(HELLO)) if messages is None else messages, **fields}).encode()


def read(messages: Any = None, **fields: Any) -> ChatRequest:
    return read_request(body(messages, **fields), path_model="llama")


def refused(messages: Any = None, **fields: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        read(messages, **fields)
    assert (400, "invalid_request_error") == (caught.value.status, caught.value.type)
    return caught.value


def test_writes_what_public_clients_write() -> None:
    """The four fields; base64 of UTF-8 JSON that is not escaped."""
    document = json.loads(write_request("llama", HELLO, stream=True, fields={}))

    assert ["messages", "threadId", "stream", "aiAgent"] == list(document)
    assert ("llama", True, "llama") == (document["threadId"], document["stream"], document["aiAgent"])
    text = base64.b64decode(document["messages"], validate=True).decode()
    assert HELLO == json.loads(text)
    assert "世界" in text


def test_fields_stand_beside_the_wires_own() -> None:
    """A thread of one's own, and whatever else; None is not sent."""
    fields = {"threadId": "4d2", "userId": "u", "useTool": False, "temperature": 0, "seed": None}

    document = json.loads(write_request("llama", HELLO, stream=False, fields=fields))
    del document["messages"]

    expected = {"threadId": "4d2", "stream": False, "aiAgent": "llama", "userId": "u", "useTool": False, "temperature": 0}
    assert expected == document


def test_client_options_are_never_sent() -> None:
    """A key in a body would end in somebody's log."""
    written = write_request("llama", HELLO, stream=False, fields=dict.fromkeys(CALL_OPTIONS, "sk-1"))

    assert {"messages", "threadId", "stream", "aiAgent"} == json.loads(written).keys()


@pytest.mark.parametrize(
    "messages",
    [
        encoded(json.dumps(HELLO)),
        encoded(json.dumps(HELLO, ensure_ascii=False)),
        encoded("\n [ " + json.dumps(HELLO)[1:] + "\n"),
        encoded(json.dumps(HELLO, ensure_ascii=False)).replace("+", "-").replace("/", "_"),
        encoded(json.dumps(HELLO)).rstrip("="),
        base64.encodebytes(json.dumps(HELLO).encode()).decode(),
        base64.encodebytes(json.dumps(HELLO).encode()).decode().replace("\n", "\r\n\t "),
        HELLO,
    ],
    ids=["escaped", "utf-8", "spaced", "url-safe", "unpadded", "lines", "odd lines", "plain"],
)
def test_reads_messages_however_they_are_encoded(messages: Any) -> None:
    """Standard or url-safe, padded or not, in lines, or not encoded at all."""
    assert HELLO == read(messages).messages


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "abcd", "\u07ff?>\u07ff~~"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("url_safe", [True, False])
def test_reads_every_length_of_base64(text: str, padded: bool, url_safe: bool) -> None:
    """None, one or two padding characters, there or not."""
    data = ("Q" + text).encode()
    digits = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()

    assert "Q" + text == read(digits if padded else digits.rstrip("=")).messages[0]["content"]


@pytest.mark.parametrize(
    "prompt",
    [
        "What is 2 + 2?",
        "日本語で答えて 😀",
        " ",
        '"a JSON text"',
        '{"role": "user", "content": "an object, not an array"}',
        "[1, 2, 3]",
        '["a", "b"]',
        '[{"role": "user", "content": "a"}, 5]',
        "[{x}] is not JSON",
        '[{"role": "user"',
        "[see above] explain",
        "[" * 100_000,
        "[[" * 500 + "]]" * 500,
        "\ufeff[]",
    ],
    ids=lambda prompt: prompt[:20],
)
def test_any_other_text_is_a_prompt(prompt: str) -> None:
    """What is not a JSON array of objects, however like one it looks."""
    assert [{"role": "user", "content": prompt}] == read(encoded(prompt)).messages


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (encoded("[]"), "messages: the list is empty"),
        (encoded(" [ ] "), "messages: the list is empty"),
        ([], "messages: the list is empty"),
        (encoded("[{}]"), r"messages\[0\].role: is missing"),
        (["Hello"], r"messages\[0\]: must be an object"),
    ],
)
def test_refuses_messages_that_cannot_be_sent(messages: Any, said: str) -> None:
    """By the same check as everywhere. An empty array is no messages rather than a prompt of two brackets."""
    with pytest.raises(InvalidMessagesError, match=said):
        read(messages)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ("", "missing"),
        ("====", "missing"),
        ("not base64!", "invalid_base64"),
        ("日本", "invalid_base64"),
        ("A", "invalid_base64"),
        ("QUJDR", "invalid_base64"),
        ("QQ==QQ==", "invalid_base64"),
        ("QUJD=QUJD", "invalid_base64"),
        ("QUJD\u0000", "invalid_base64"),
        (encoded(b"\xff\xfe"), "invalid_utf8"),
        (encoded(b'[{"role":"user","content":"\xff"}]'), "invalid_utf8"),
        (encoded("caf\u00e9".encode("latin-1")), "invalid_utf8"),
        (encoded('[{"a":' + "[" * 70 + "]" * 70 + "}]"), "invalid_value"),
        (encoded('[{"a":' + "[" * 100_000), "invalid_value"),
        (5, None),
        (True, None),
        ({"role": "user"}, None),
    ],
    ids=str,
)
def test_refuses_what_is_no_base64(messages: Any, code: str | None) -> None:
    """A 400 that names `messages`."""
    with pytest.raises((StatusError, InvalidMessagesError)) as caught:
        read(messages)

    assert ("messages", code) == (caught.value.param, getattr(caught.value, "code", None))


@pytest.mark.parametrize("fields", [{}, {"messages": None}])
def test_refuses_a_request_without_messages(fields: dict[str, Any]) -> None:
    """Naming the field."""
    with pytest.raises(StatusError) as caught:
        read_request(json.dumps(fields).encode(), path_model="llama")

    assert ("messages", "missing") == (caught.value.param, caught.value.code)


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({}, "llama"),
        ({"aiAgent": None}, "llama"),
        ({"aiAgent": ""}, "llama"),
        ({"aiAgent": "qwen_coder"}, "qwen_coder"),
        ({"aiAgent": "qwen-2.5-coder-32b"}, "qwen-2.5-coder-32b"),
        ({"threadId": "hermes"}, "llama"),
        ({"model": "hermes"}, "hermes"),
        ({"model": "hermes", "aiAgent": "qwen_coder"}, "qwen_coder"),
    ],
)
def test_the_agent_names_the_model(fields: dict[str, Any], model: str) -> None:
    """And the path does where there is none; a name may be an alias, which the provider resolves."""
    assert model == read(**fields).model


def test_is_not_streamed_unless_asked() -> None:
    """As public clients have it."""
    assert [False, False, True] == [read().stream, read(stream=None).stream, read(stream=True).stream]


def test_the_wires_own_fields_end_here() -> None:
    """Those of chat completions go on to the provider."""
    request = read(threadId="t", userId="u", useTool=True, temperature=0.5, max_completion_tokens=9, user="ann", top_k=3)

    assert {"temperature": 0.5, "max_completion_tokens": 9, "user": "ann", "top_k": 3} == request.fields


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("aiAgent", 5, "invalid_type"),
        ("threadId", 5, "invalid_type"),
        ("userId", {}, "invalid_type"),
        ("useTool", "yes", "invalid_type"),
        ("stream", "true", "invalid_type"),
        ("temperature", "3", "invalid_type"),
        ("seed", 2**64, "invalid_value"),
        ("proxy", "http://10.0.0.1", "unsupported"),
    ],
)
def test_refuses_fields_by_name(name: str, value: Any, code: str) -> None:
    """The wire's own, and those of chat completions."""
    error = refused(**{name: value})

    assert (name, code) == (error.param, error.code)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"a":' * 99])
def test_refuses_a_body_that_is_no_object(data: bytes) -> None:
    """As the other wire does."""
    with pytest.raises(StatusError) as caught:
        read_request(data, path_model="llama")

    assert caught.value.code in ("invalid_json", "invalid_type")


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}), min_size=1, max_size=4
)


@given(MESSAGES, st.booleans(), st.sampled_from(["llama", "qwen_coder"]))
def test_what_is_written_is_read_again(messages: list[Any], stream: bool, model: str) -> None:
    """Texts in any script, in order."""
    written = write_request(model, messages, stream=stream, fields={"seed": 7})

    read_again = read_request(written, path_model="llama")

    assert ChatRequest(model, messages, stream, include_usage=False, fields={"seed": 7}) == read_again


@given(TEXT.filter(bool), st.booleans(), st.booleans())
def test_a_prompt_is_read_as_it_is(prompt: str, padded: bool, url_safe: bool) -> None:
    """Every text that is no array of objects comes through whole."""
    digits = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(prompt.encode()).decode()

    messages = read(digits if padded else digits.rstrip("=")).messages

    assert [{"role": "user", "content": prompt}] == messages


@given(st.text(max_size=40) | st.binary(max_size=40).map(encoded))
def test_any_text_in_place_of_base64_is_read_or_refused(messages: str) -> None:
    """Never another exception."""
    places = ["messages"]
    try:
        request = read(messages)
    except (StatusError, InvalidMessagesError) as error:
        places.append(str(error.param))
    else:
        assert request.messages

    assert places[-1].startswith("messages")


def test_a_large_text_is_read() -> None:
    """1 MB, whole."""
    text = "日本語 😀 " * 60_000

    assert (
        text
        == read_request(
            write_request("llama", [{"role": "user", "content": text}], stream=True, fields={}), path_model=""
        ).messages[0]["content"]
    )
