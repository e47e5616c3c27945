"""The connection on which records go to Redis: kept for them alone, and one exchange after the other.

redis-py's own commands take a connection from a pool, give it back, and are measured, each time; a record of a paced stream is
one small script, so that all this is most of its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

#: ``EVALSHA sha 4 key records lease read`` and five arguments, in RESP: the keys are the stream's own, with endings.
_COMMAND: Final = (
    b"*12\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n4\r\n"
    b"$%d\r\n%b\r\n$%d\r\n%b:records\r\n$%d\r\n%b:lease\r\n$%d\r\n%b:read\r\n"
    b"$%d\r\n%d\r\n$%d\r\n%d\r\n$%d\r\n%b\r\n$1\r\n%d\r\n$%d\r\n%d\r\n"
)


def packed(sha: bytes, key: bytes, lease: int, number: int, data: bytes, end: bool, remember: int) -> bytes:
    """Return the command that stores a record, as Redis reads it (RESP 2, arrays of bulk strings)."""
    size = len(key)
    return _COMMAND % (
        *(sha, size, key, size + 8, key, size + 6, key, size + 5, key),
        *(len(b"%d" % lease), lease, len(b"%d" % number), number, len(data), data, end, len(b"%d" % remember), remember),
    )


class RecordConnection:
    """A connection to the Redis at *url*. It connects when it is used, and again after it broke."""

    def __init__(self, url: str, *, connect_timeout_s: float) -> None:
        # The caller has a timeout for an exchange: one for each step would be a timer each.
        redis: Redis = Redis.from_url(url, socket_timeout=None, socket_connect_timeout=connect_timeout_s)
        pool: Any = redis.connection_pool
        self._connection = pool.make_connection()

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send *commands* in one piece, and return the reply to each, which may be Redis's error. Raises what redis-py raises
        where the connection breaks: any of them may have been carried out."""
        connection = self._connection
        await connection.send_packed_command(b"".join(commands), check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()
