"""A store that several processes share, and that cannot be reached for a while. The log says once that it began, and once that
it is over.
"""

from __future__ import annotations

import logging
from typing import Final

from .wires.redaction import redact

_log = logging.getLogger("autonomousai.server")


#: What stands between a command that redis-py quotes and what Redis says of it.
_QUOTED: Final = "of pipeline caused error: "


def said_by(error: BaseException) -> str:
    """Return what *error* says, without a command that it quotes: that may hold what a caller wrote.

    Example::

        assert said_by(ValueError("Command # 1 (HSET key of a caller) of pipeline caused error: full")) == "full"
    """
    _, quoted, said = str(error).rpartition(_QUOTED)
    return (said.strip('(),"') if quoted else said) or type(error).__name__


class Outage:
    """``is_on``: whether it lasts. *begins*, *ends*: what the log says of it. A store that can be read and not be written to
    (a replica) is away until something was written.

    Example::

        outage = Outage("streams cannot be stored", "streams are stored again")
        for _ in range(1000):
            outage.begin(ConnectionError("refused"))
        outage.end()
    """

    def __init__(self, begins: str, ends: str) -> None:
        self.is_on = False
        self._is_of_writing = False
        self._begins = begins
        self._ends = ends

    def begin(self, error: BaseException, *, in_writing: bool = False) -> None:
        """Note that the store could not be reached, or not be written to."""
        self._is_of_writing = self._is_of_writing or in_writing
        if not self.is_on:
            self.is_on = True
            _log.warning("%s: %s", self._begins, redact(said_by(error)))

    def end(self, *, by_reading: bool = False) -> None:
        """Note that the store was reached, perhaps *by_reading* alone. Costs nothing where ``is_on`` is looked at before."""
        if self.is_on and not (by_reading and self._is_of_writing):
            self.is_on = self._is_of_writing = False
            _log.warning("%s", self._ends)
