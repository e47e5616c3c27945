"""A look at a socket before it is used again: has the server sent something meanwhile, or closed it?"""

from __future__ import annotations

import asyncio
import select
from typing import Any


def poll_for_unread(transport: asyncio.BaseTransport) -> Any:
    """Return a poll that finds something where *transport*'s socket has bytes, or an end, that were not read; None where that
    says nothing: inside TLS, bytes are no sign of an answer."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll
