"""PostgreSQL over TLS: the server of the tests speaks none, so that a proxy before it does."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from urllib.parse import quote

import pytest

from autonomousai.ledger.database import Database, DatabaseAwayError
from autonomousai.ledger.place import place_of
from tests.support.postgres import PostgresServer
from tests.support.relay import Relay, join
from tests.support.tls import authority_pem, server_context

from .entries import entry
from .test_writer import ids_in, until, writer

#: What a client asks first (Frontend/Backend Protocol, 55.2.10 and 55.2.11): its length, and the number of the request.
_SSL_REQUEST, _GSS_REQUEST = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)


class PostgresTlsRelay(Relay):
    """Speaks PostgreSQL's TLS before the server on the Unix *socket*."""

    def __init__(self, socket: str) -> None:
        super().__init__()
        self._socket = socket

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (asked := await reader.readexactly(8)) != _SSL_REQUEST:
            assert asked == _GSS_REQUEST
            writer.write(b"N")
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(server_context())
        await join(reader, writer, *await asyncio.open_unix_connection(self._socket))


async def test_entries_are_written_over_tls(postgres: PostgresServer, tmp_path: Path) -> None:
    """With a certificate that is verified; one of another authority is no database."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    database = postgres.database("over_tls")
    socket = f"{database.partition('?host=')[2]}/.s.PGSQL.5432"
    async with PostgresTlsRelay(socket) as relay:
        url = f"postgresql://postgres@127.0.0.1:{relay.port}/over_tls?sslmode=verify-full"
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
