"""PostgreSQL over TLS: the server of the tests speaks none, so that a proxy before it does."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from autonomousai.ledger.database import Database, DatabaseAwayError
from autonomousai.ledger.place import place_of
from tests.support.postgres import PostgresServer
from tests.support.tls import authority_pem, server_context

from .entries import entry
from .test_writer import ids_in, until, writer

#: What a client asks first (Frontend/Backend Protocol, 55.2.10 and 55.2.11): its length, and the number of the request.
_SSL_REQUEST, _GSS_REQUEST = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)


@asynccontextmanager
async def tls_before(socket: str) -> AsyncIterator[int]:
    """Speak PostgreSQL's TLS on a port before the server on *socket*, until the block is left."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await reader.readexactly(8)) != _SSL_REQUEST:
                assert asked == _GSS_REQUEST
                writer.write(b"N")
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(server_context())
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(socket)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_entries_are_written_over_tls(postgres: PostgresServer, tmp_path: Path) -> None:
    """With a certificate that is verified; one of another authority is no database."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    database = postgres.database("over_tls")
    socket = f"{database.partition('?host=')[2]}/.s.PGSQL.5432"
    async with tls_before(socket) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/over_tls?sslmode=verify-full"
        ledger = writer(f"{url}&sslrootcert={quote(str(path))}")
        await ledger.open()
        ledger.take(entry("over_tls"))
        await until(lambda: ledger.written == 1)
        await ledger.aclose()

        place = place_of(f"{url}&sslrootcert=system")
        assert place is not None
        other = Database(place)
        with pytest.raises(DatabaseAwayError):
            await asyncio.to_thread(other.open)
        other.close()

    assert ["over_tls"] == ids_in(database)
