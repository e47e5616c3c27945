"""The connection on which records go to Redis: kept for them alone, and one exchange after the other.

redis-py's own commands take a connection from a pool, give it back, and are measured, each time; a record of a paced stream is
one small script, so that all this is most of its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

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


_LINE_END: Final = b"\r\n"

#: Bytes that are read at once.
_READ: Final = 1 << 16


class RecordConnection:
    """A connection to the Redis at *url*. It connects when it is used, and again after it broke."""

    def __init__(self, url: str, *, connect_timeout_s: float) -> None:
        # The caller has a timeout for an exchange: one for each step would be a timer each.
        redis: Redis = Redis.from_url(url, protocol=2, socket_timeout=None, socket_connect_timeout=connect_timeout_s)
        pool: Any = redis.connection_pool
        self._connection = pool.make_connection()

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send *commands* in one piece, and return the reply to each, which may be Redis's error. Raises what redis-py raises
        where the connection breaks: any of them may have been carried out."""
        connection = self._connection
        try:
            await connection.send_packed_command(b"".join(commands), check_health=False)
            return [_read_reply(line) for line in await self._lines(len(commands))]
        except BaseException:  # replies may come that no command waits for
            await connection.disconnect(nowait=True)
            raise

    async def _lines(self, count: int) -> list[bytes]:
        """Return so many lines, without their ends."""
        received = b""
        while received.count(_LINE_END) < count:
            try:
                # redis-py's own reading takes longer for a reply than Redis does to store a record.
                data = await self._connection._reader.read(_READ)
            except OSError as error:
                raise RedisConnectionError(str(error)) from error
            if not data:
                raise RedisConnectionError("the connection was closed")
            received += data
        lines = received.split(_LINE_END)
        if len(lines) != count + 1 or lines[-1]:
            raise InvalidResponse("there are more replies than commands")
        return lines[:count]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()


def _read_reply(line: bytes) -> Any:
    """Return the integer, or the error, that a reply is."""
    kind, said = line[:1], line[1:]
    if kind == b":":
        return int(said)
    if kind != b"-":
        raise InvalidResponse(f"a record's reply is neither a number nor an error: {line[:20]!r}")
    text = said.decode(errors="replace")
    return NoScriptError(text) if text.startswith("NOSCRIPT ") else ResponseError(text)
