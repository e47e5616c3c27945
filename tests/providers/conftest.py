"""Both transports behind one seam: what is true of one has to be true of the other."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.providers.http import HttpPool


@pytest.fixture(params=["aiohttp", "direct"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every pool made in this test uses this transport, whatever its provider prefers. It returns the transport's name."""
    made = HttpPool.__init__

    def make(self: HttpPool, **options: Any) -> None:
        made(self, **{**options, "direct": request.param == "direct"})

    monkeypatch.setattr(HttpPool, "__init__", make)
    name: str = request.param
    return name
