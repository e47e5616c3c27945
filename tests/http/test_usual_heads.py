"""Usual heads of responses are known by one quick look: what it takes is what the thorough one finds nothing odd in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.http.strict_heads import is_odd, match_usual_head

USUAL = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 11:14:52 GMT\r\nContent-Type: text/event-stream\r\nX-A:\r\n"
    b"Transfer-Encoding: chunked\r\nX-B: a: b\r\n\r\n"
)
PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 100 Continue", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t",
        b":", b"Content-Length: 5", b"content-length:5", b"Content-Length : 5", b"Content-Length: 5,5", b"Content-Length: -5",
        b"Transfer-Encoding: chunked", b"transfer-encoding:chunked, gzip", b"Transfer-Encoding: identity", b"a: b", b"x:y:z",
        b"x: y :z", b"\x00", b"\x0b", b"\x7f", b"\xff", b"1",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", USUAL[:-2]]), pieces=st.lists(PIECES, max_size=8))
def test_what_is_taken_for_usual_is_not_odd(start: bytes, pieces: list[bytes]) -> None:
    """A head up to its first blank line."""
    data = start + b"".join(pieces) + b"\r\n\r\n"

    usual = match_usual_head(data)

    if usual is not None:
        assert data.find(b"\r\n\r\n") + 4 == usual.end()
        assert is_odd(data, 0, usual.end()) is None


def test_heads_of_servers_are_usual() -> None:
    """With chunks, with a length, and with neither; a head that is not complete is not known yet."""
    length = USUAL.replace(b"Transfer-Encoding: chunked", b"content-length: 12")
    for head in (USUAL, length, USUAL.replace(b"Transfer-Encoding: chunked\r\n", b"")):
        usual = match_usual_head(head + b"data")

        assert usual is not None
        assert len(head) == usual.end()
        assert not any(match_usual_head(head[:end]) for end in range(len(head)))
