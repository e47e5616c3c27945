"""Whether a server is up, by a small request that costs no tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.transport import read_body
from ..timeouts import Clocks

#: A probe waits no longer than these.
_CLOCKS: Final = Clocks(connect=5, first_token=5, idle=5, total=5)

#: Bytes of an answer that are read, so that its connection can be used again; lists of models may be much larger.
_READ: Final = 64 * 1024

#: Statuses of a server that has no such path, which says nothing of how it is.
_NOT_THERE: Final = frozenset({404, 405, 501})


async def is_up(pool: HttpPool, url: str, headers: Mapping[str, str], proxy: Proxy | None = None) -> bool | None:
    """Return whether the server answers ``GET`` *url* without a fault of its own; None where it has no such path. A refusal,
    for want of a key or of patience, is an answer. Raises `HTTPError` and its kin where none comes."""
    response = await pool.get(url, headers=headers, clocks=_CLOCKS, deadline=None, proxy=proxy)
    try:
        if response.status in _NOT_THERE:
            return None
        if response.status < 500:
            await read_body(response, _READ, as_far_as_it_comes=True)
        return response.status < 500
    finally:
        await response.aclose()
