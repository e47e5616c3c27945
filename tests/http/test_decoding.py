"""A body's coding undone: what it costs does not depend on how its bytes are packed."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from autonomousai.http import decoding
from autonomousai.http.decoding import make_decoder


def test_a_member_does_not_cost_what_stands_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib copies what follows a member: of megabytes of small members, it would copy them all for each."""
    given = 0
    begin = zlib.decompressobj

    class Counted:
        def __init__(self, bits: int) -> None:
            self._inflate = begin(bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal given
            given = max(given, len(data))
            return self._inflate.decompress(data, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inflate, name)

    monkeypatch.setattr(decoding.zlib, "decompressobj", Counted)
    body = (
        gzip.compress(b"a") * 3
        + gzip.compress(bytes(range(256)) * 4000, compresslevel=0)
        + gzip.compress(b"b")
        + b"\0" * 99_999
    )
    decoder = make_decoder(["gzip"])
    assert decoder is not None
    assert b"aaa" + bytes(range(256)) * 4000 + b"b" == decoder.decode(body)
    decoder.finish()
    assert given <= 64 * 1024


def test_members_are_bounded() -> None:
    """Each needs some work, and the smallest has twenty bytes."""
    decoder = make_decoder(["gzip"])
    assert decoder is not None
    with pytest.raises(zlib.error, match="more than 4096 members"):
        decoder.decode(gzip.compress(b"") * 4097)
