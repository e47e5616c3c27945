"""Models that are installed or removed while the server runs: what is served follows, without a restart.

There is no watching. It is looked at when the models are listed, and when a request names a model that is loaded when it is
asked for, or that there is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..errors import ProviderError

_log = logging.getLogger("autonomousai.server")


class InstalledModels:
    """Has what is served follow what is installed. ``follow``: serves what is installed now, where that has changed."""

    def __init__(self, follow: Callable[[], Awaitable[object]]) -> None:
        self._follow = follow
        self._lock = asyncio.Lock()

    async def look_again(self, model: str = "") -> None:
        """Serve what is installed now, whichever *model* is requested. Where that cannot be, what was served before stays."""
        async with self._lock:
            try:
                await self._follow()
            except ProviderError as error:
                _log.warning("models were installed or removed, and are not served so: %s", error)
