"""A store that several processes share, and that cannot be reached for a while. The log says once that it began, and once that
it is over.
"""

from __future__ import annotations

import logging

from .wires.redaction import redact

_log = logging.getLogger("autonomousai.server")


class Outage:
    """``is_on``: whether it lasts. *begins*, *ends*: what the log says of it.

    Example::

        outage = Outage("streams cannot be stored", "streams are stored again")
        for _ in range(1000):
            outage.begin(ConnectionError("refused"))
        outage.end()
    """

    def __init__(self, begins: str, ends: str) -> None:
        self.is_on = False
        self._begins = begins
        self._ends = ends

    def begin(self, error: object) -> None:
        """Note that the store could not be reached."""
        if not self.is_on:
            self.is_on = True
            _log.warning("%s: %s", self._begins, redact(str(error) or type(error).__name__))

    def end(self) -> None:
        """Note that the store was reached. Costs nothing where ``is_on`` is looked at before."""
        if self.is_on:
            self.is_on = False
            _log.warning("%s", self._ends)
