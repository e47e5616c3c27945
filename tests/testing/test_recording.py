"""Recordings as files, what is removed from them, and which request is one of theirs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.testing import Recording, RecordingError
from autonomousai.testing.recordings.matching import RequestNormaliser, difference
from autonomousai.testing.recordings.recording import RecordedAnswer
from autonomousai.testing.recordings.scrubbing import Scrubber

#: Headers, body and path of a request.
Asked = tuple[dict[str, str], str, str]

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("\"'\\\r\n\t\x00\x7f{}é€😀\u2028"), st.characters(codec="utf-8")))
HEADERS = st.dictionaries(TEXTS.map(str.lower), TEXTS, max_size=3)
PIECES = st.lists(st.tuples(st.integers(0, 10**6), st.one_of(st.binary(), TEXTS.map(str.encode))), max_size=4)


@given(HEADERS, TEXTS, HEADERS, PIECES, TEXTS)
def test_a_recording_is_read_as_it_was_written(
    asked: dict[str, str], path: str, told: dict[str, str], pieces: list[tuple[int, bytes]], body: str
) -> None:
    """Whatever it holds: quotes, control characters, bytes that are no text; and any TOML reader can read it."""
    answer = RecordedAnswer("POST", path, asked, body.encode(), 200, told, pieces, "closed")
    text = Recording("http://upstream", [answer]).text()
    (read,) = Recording.parse(text, Path("x.toml")).answers

    assert (asked, told, pieces, path) == (read.request_headers, read.headers, read.pieces, read.path)
    assert normal(read.request) == normal(body.encode())
    assert tomllib.loads(text)["version"] == 1


def normal(body: bytes) -> object:
    """JSON is written with a line for each member, anything else as it is."""
    try:
        return repr(json.loads(body))
    except ValueError:
        return body


def test_a_file_reads_well(tmp_path: Path) -> None:
    """Events stand there as they are, without an escape, and a request is indented."""
    answer = RecordedAnswer("POST", "/v1/x", {}, b'{"model":"m"}', 200, {"content-type": "text/event-stream"})
    answer.add(12, 'data: {"text":"Zoë"}\n\n'.encode())
    Recording("http://upstream", [answer]).save(tmp_path / "a" / "b.toml")
    text = (tmp_path / "a" / "b.toml").read_text(encoding="utf-8")

    assert "request_body = '''\n{\n  \"model\": \"m\"\n}'''\n" in text
    assert "body = [\n  [12, '''\ndata: {\"text\":\"Zoë\"}\n\n'''],\n]" in text
    assert ["b.toml"] == [path.name for path in (tmp_path / "a").iterdir()]


def test_a_character_that_came_in_two_pieces_can_be_read() -> None:
    """It stands in the second; bytes that are no text stay where they were."""
    answer = RecordedAnswer("GET", "/", {}, b"")
    for number, data in enumerate((b"a\xf0\x9f", b"\x98", b"\x80b", b"\xff", b"c")):
        answer.add(number, data)

    assert [(0, b"a"), (1, b""), (2, "😀b".encode()), (3, b"\xff"), (4, b"c")] == answer.pieces


@pytest.mark.parametrize(
    "text",
    ["version = 1", "version = 2\nupstream = 'x'", "nonsense", "version = 1\nupstream = 'x'\n[[answer]]\nrequest = 'GET /'\n"],
)
def test_what_is_no_recording_says_so(tmp_path: Path, text: str) -> None:
    """With its path, and what to do."""
    path = tmp_path / "broken.toml"
    path.write_text(text)

    with pytest.raises(RecordingError, match=r"broken\.toml .*record it again"):
        Recording.load(path)


SECRET = "sk-0123456789abcdef0123"


def test_secrets_of_headers_and_queries_are_removed_everywhere() -> None:
    """The request's own, by whatever name they came: of headers, of the path, and of each body that repeats them."""
    scrubber = Scrubber()
    headers = {"authorization": f"Bearer {SECRET}", "x-custom": "internal", "content-type": "application/json"}
    secrets = scrubber.secrets("/v1/x?key=query-secret-1&a=1", headers)

    assert {"content-type": "application/json", "authorization": "***"} == scrubber.request_headers(headers)
    assert "/v1/x?a=1&key=***" == scrubber.path("/v1/x?key=query-secret-1&a=1")
    assert b'{"said":"***, ***"}' == scrubber.body(f'{{"said":"{SECRET}, query-secret-1"}}'.encode(), secrets)
    assert {"x-request-id": "1"} == scrubber.answer_headers(
        {"X-Request-Id": "1", "Set-Cookie": "a=b", "OpenAI-Organization": "o"}, []
    )


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        ('{"api_key": "hidden words", "n": 1}', '{"api_key": "***", "n": 1}'),
        ('{"tools":[{"authorization":"hid\\"den","token":"Hel"}]}', '{"tools":[{"authorization":"***","token":"Hel"}]}'),
        (
            'data: {"client_secret":{"value":"ek_1"},"access_token":"t"}\n\n',
            'data: {"client_secret":{"value":"ek_1"},"access_token":"***"}\n\n',
        ),
        (
            '{"arguments":"{\\"password\\": \\"hidden\\", \\"a\\": 1}"}',
            '{"arguments":"{\\"password\\": \\"***\\", \\"a\\": 1}"}',
        ),
        ('{"prompt": "what is an api_key?"}', '{"prompt": "what is an api_key?"}'),
        ('{"mine": "x"}', '{"mine": "***"}'),
        ("grant_type=password&password=hid%20den&client_secret=x&a=", "grant_type=password&password=***&client_secret=***&a="),
        ("1+1=2 &password=mine", "1+1=2 &password=mine"),
        (f'{{"other": "eyJ{"a" * 20}.eyJ{"b" * 20}.c-d"}}', '{"other": "***"}'),
        (f'{{"other": "AKIA{"A" * 16}"}}', '{"other": "***"}'),
    ],
)
def test_secret_members_are_removed(body: str, clean: str) -> None:
    """At any depth, in streams, and in JSON inside of JSON; all else keeps its form."""
    assert clean == Scrubber(["mine"]).body(body.encode(), []).decode()


def test_a_secret_that_came_in_two_pieces_is_removed() -> None:
    """Then the pieces are the events, at the time when each was complete."""
    pieces = [(5, b'data: {"a":"' + SECRET.encode()[:9]), (7, SECRET.encode()[9:] + b'"}\n\ndata: 1\n'), (1, b"\n")]

    assert [(12, b'data: {"a":"***"}\n\n'), (1, b"data: 1\n\n")] == Scrubber().pieces(pieces, [SECRET])
    assert [(5, b"data: 1\n\nda"), (2, b"ta: 2\n\n")] == Scrubber().pieces([(5, b"data: 1\n\nda"), (2, b"ta: 2\n\n")], [SECRET])
    assert [(7, b'{"a": 1}')] == Scrubber().pieces([(5, b'{"a"'), (2, b": 1}")], [SECRET])


JSON = {"content-type": "application/json"}
FORM = "multipart/form-data; boundary="


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((JSON, '{"a":1,"b":[0.0]}', "/x?b=1&a=2"), (JSON, '{ "b": [0], "a": 1.0 }', "/x?a=2&b=1")),
        ((JSON, '{"api_key":"one"}', "/x?key=1"), (JSON, '{"api_key":"two"}', "/x?key=2")),
        (
            ({"content-type": f"{FORM}AAA"}, "--AAA\r\nx\r\n--AAA--", "/"),
            ({"content-type": f'{FORM}"B"'}, "--B\r\nx\r\n--B--", "/"),
        ),
        (
            (JSON, '{"metadata":{"run_id":"1"},"a":[{"id":"1"}]}', "/"),
            (JSON, '{"metadata":{"run_id":"2"},"a":[{"id":"2"}]}', "/"),
        ),
    ],
)
def test_requests_that_mean_the_same_match(one: Asked, other: Asked) -> None:
    """The order of members and query fields, keys, boundaries and what is ignored do not count."""
    requests = RequestNormaliser(Scrubber(), ["metadata.run_id", "a.id"])

    first, second = (requests.request("POST", path, headers, body.encode()) for headers, body, path in (one, other))

    assert first == second
    assert first != requests.request("POST", "/x", JSON, b'{"a":2}')


def test_the_difference_is_that_to_the_nearest() -> None:
    """Of the same method and path, where there is one, as a diff of the JSON's lines."""
    requests = RequestNormaliser(Scrubber())
    recorded = [requests.recorded("POST", "/v1/x", b'{"model":"m","seed":1}'), requests.recorded("GET", "/v1/models", b"")]

    diff = difference(requests.request("POST", "/v1/x", JSON, b'{"seed":1,"model":"other"}'), recorded)

    assert ["--- recorded", "+++ asked now", '-  "model": "m",', '+  "model": "other",'] == [
        line for line in diff.splitlines() if line.startswith(("-", "+"))
    ]


def test_the_difference_of_a_long_text_is_where_it_begins() -> None:
    """A prompt is one line of JSON, and a picture is a long one: neither fills the screen, nor hides what differs."""
    requests = RequestNormaliser(Scrubber())
    same = "x" * 5000
    recorded = [requests.recorded("POST", "/", json.dumps({"picture": same, "prompt": f"{same} one {same}"}).encode())]

    diff = difference(
        requests.request("POST", "/", JSON, json.dumps({"picture": same, "prompt": f"{same} two {same}"}).encode()), recorded
    )

    assert len(diff) < 1500
    assert [" one xxx", " two xxx"] == [
        line[line.index("x ") + 1 :][:8] for line in diff.splitlines() if line[0] in "-+" and "x" in line
    ]
