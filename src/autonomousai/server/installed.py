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
    """Has what is served follow what is installed. ``is_stale``: whether that has changed; ``reload``: serves it."""

    def __init__(self, *, is_stale: Callable[[], bool], reload: Callable[[], Awaitable[object]]) -> None:
        self._is_stale = is_stale
        self._reload = reload
        self._lock = asyncio.Lock()

    async def look_again(self) -> None:
        """Serve what is installed now. Where that cannot be, what was served before stays."""
        async with self._lock:
            if not await asyncio.to_thread(self._is_stale):
                return
            try:
                await self._reload()
            except ProviderError as error:
                _log.warning("models were installed or removed, and are not served so: %s", error)
