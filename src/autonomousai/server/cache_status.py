"""What a response says of the cache (RFC 9211): whether its answer was given before."""

from __future__ import annotations

from typing import Final

from ..http.server.exchange import Exchange
from ..report import Report

_STATUS: Final = {"hit": b"autonomousai; hit", "miss": b"autonomousai; fwd=miss"}


def tell_cache(exchange: Exchange, report: Report | None) -> None:
    """Have the response say whether its answer was given before; before its head is sent."""
    if report is not None and report.cache is not None:
        exchange.extra = [*exchange.extra, (b"cache-status", _STATUS[report.cache])]
