"""What is awaited where there is nothing to wait for: it costs no coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final


class _NoLoop:
    """All that a future asks of its event loop as long as nothing is to be scheduled."""

    def get_debug(self) -> bool:
        return False


def _done() -> Awaitable[None]:
    loop: Any = _NoLoop()
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    future.set_result(None)
    return future


#: Done at once, in any event loop, and as often as it is awaited.
DONE: Final = _done()


async def not_now() -> bool:
    """Return True at once: what `BatchStream.pipe_to` returns where something is left for `anext` already."""
    return True
