"""What was learnt of one server by its refusals: the other forms in which it takes requests.

What is learnt holds for one model, is used with the next request at once, and is forgotten after a while: servers change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, Self

import msgspec

from .adaptations import ADAPTATIONS, Adaptation, Form

#: Seconds after which what was learnt is forgotten.
REMEMBERED_S: Final = 3600.0

#: Forms that are remembered for one model.
_MOST_REMEMBERED: Final = 64

#: What was learnt earlier and holds no longer.
_OPPOSITES: Final = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "no_stream": "stream_alone",
    "stream_alone": "no_stream",
    "empty_reasoning": "no_reasoning",
    "no_reasoning": "empty_reasoning",
}


class Adaptations:
    """What was learnt of one server, by the model that it was asked for. ``usual``: the names of the rows that hold for any
    model until one refuses them. ``rows``: the forms that there are. ``wanted``: False as long as there is nothing to apply."""

    rows: ClassVar[tuple[Form, ...]] = ADAPTATIONS

    #: Whether the body says that a stream is asked for; where not, its path does.
    in_body: ClassVar[bool] = True

    def __init__(self, usual: tuple[str, ...] = (), now: Callable[[], float] = time.monotonic) -> None:
        self.wanted = bool(usual)
        self._usual = usual
        self._now = now
        self._learnt: dict[str, dict[str, float]] = {}  # model -> name of a row -> until when

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        """A copy, here or in another process, learns by itself."""
        return type(self), (self._usual,)

    def known(self) -> list[tuple[str, str]]:
        """Return what is remembered: models and names of rows."""
        now = self._now()
        return [(model, name) for model, rows in self._learnt.items() for name, until in rows.items() if until > now]

    def applied(self, model: str, body: bytes) -> bytes:
        """Return *body*, in the form that the server takes for *model*."""
        learnt = [name for known, name in self.known() if known == model]
        names = {*learnt, *(name for name in self._usual if _OPPOSITES.get(name) not in learnt)}
        if not names:
            return body
        document = msgspec.json.decode(body)
        for row in self.rows:
            for name in names:
                if (form := row.named(name)) is not None:
                    form.apply(document)
        return msgspec.json.encode(document)

    def remember(self, model: str, names: Iterable[str]) -> None:
        """Note that the server took a request for *model* in these forms."""
        passing = {row.name for row in self.rows if isinstance(row, Adaptation) and not row.lasts}
        names = [name for name in names if name not in passing]
        if not names:
            return
        self.wanted = True
        rows = self._learnt.setdefault(model, {})
        for name in names:
            rows.pop(_OPPOSITES.get(name, ""), None)
            rows.pop(name, None)
            rows[name] = self._now() + REMEMBERED_S
        while len(rows) > _MOST_REMEMBERED:  # what was learnt first: servers name bounds and keywords as they like
            del rows[next(iter(rows))]
