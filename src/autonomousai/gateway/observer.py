"""Somebody who watches a gateway's attempts, such as a tracer. Nobody is the usual case, and costs one look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..events import Batch
from ..request import ChatRequest
from .upstream import Upstream


class AttemptObserver(Protocol):
    """One attempt as it goes on."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the attempt's request carries to the upstream beside its own."""

    def heard(self, batch: Batch) -> None:
        """The upstream said this."""

    def ended(self, outcome: str, status: int | None) -> None:
        """How it ended, as it stands in the report; called once."""


class Observer(Protocol):
    """Is told of each attempt as it begins."""

    def attempt(self, upstream: Upstream, request: ChatRequest, /) -> AttemptObserver: ...
