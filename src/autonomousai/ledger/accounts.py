"""The accounts: an entry for each answer that has ended, given to everything that has subscribed. Keeps nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..http.server.exchange import log_bug
from ..request import ChatRequest
from ..telemetry.metrics import AnswerMeter, Metrics
from .entry import LedgerEntry, make_bare_entry, make_entry
from .prices import Prices
from .whole import WholeAnswer, entry_of, whole_answer

OnEntry: TypeAlias = Callable[[LedgerEntry], None]
OnAnswer: TypeAlias = Callable[[LedgerEntry | WholeAnswer], None]


class Accounts:
    """Makes the entries of one server's answers. Without a subscriber none is made. ``prices``: those of now. ``labels_of``:
    what the operator says of a key, by its name."""

    def __init__(self, metrics: Metrics, prices: Prices) -> None:
        self.labels_of: Callable[[str], Mapping[str, str]] = lambda key: {}
        self._metrics = metrics
        self.prices = prices
        self._subscribers: list[OnEntry] = []
        self._keepers: list[OnAnswer] = []

    def subscribe(self, on_entry: OnEntry) -> None:
        """Call *on_entry* with the entry of each answer, at its end and in the event loop: it must not wait."""
        self._subscribers.append(on_entry)
        self._begin()

    def keep(self, on_answer: OnAnswer) -> None:
        """Call *on_answer* likewise, or with what an entry is made of: for what needs no entry now."""
        self._keepers.append(on_answer)
        self._begin()

    def _begin(self) -> None:
        self._metrics.on_end = self._on_end
        self._metrics.on_whole = self._on_whole

    def reprice(self, prices: Prices) -> None:
        """Take other prices for the answers that end from now on."""
        self.prices = prices

    def _on_end(self, meter: AnswerMeter) -> None:
        asked = meter.asked
        if asked is None:
            return
        try:
            entry = make_entry(meter, asked, self.prices, self.labels_of(asked.key) if asked.key else {})
        except Exception as error:  # a bug of the books must not cost an answer, nor leave it out
            log_bug(asked.id, error)
            entry = make_bare_entry(meter, asked)
        for on_entry in (*self._keepers, *self._subscribers):
            try:
                on_entry(entry)
            except Exception as error:  # another subscriber does not depend on it
                log_bug(asked.id, error)

    def _on_whole(
        self, meter: AnswerMeter, id: str, wire: str, caller: tuple[str, Mapping[str, str]], request: ChatRequest
    ) -> bool:
        try:
            whole = whole_answer(meter, id, wire, caller, request, self.prices)
        except Exception as error:  # `_on_end` makes an entry
            log_bug(id, error)
            return False
        if whole is None:
            return False
        for on_answer in self._keepers:
            try:
                on_answer(whole)
            except Exception as error:  # another subscriber does not depend on it
                log_bug(id, error)
        for on_entry in self._subscribers:
            try:
                on_entry(entry_of(whole))
            except Exception as error:  # nor on this one
                log_bug(id, error)
        return True
