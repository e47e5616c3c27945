"""Certificates of an authority that exists for one test run alone, and TLS before a server that speaks none."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache

import trustme

from tests.support.relay import Relay, join


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(*names: str) -> ssl.SSLContext:
    """A server's TLS context for *names*, by default loopback's, signed by the `authority`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    """A client's TLS context that trusts the `authority` and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def authority_pem() -> bytes:
    """The authority's certificate, for a file that SSL_CERT_FILE names."""
    return authority().cert_pem.bytes()


class TlsRelay(Relay):
    """Speaks TLS before the server on the Unix *socket*, from a connection's first byte on."""

    def __init__(self, socket: str) -> None:
        super().__init__(server_context())
        self._socket = socket

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await join(reader, writer, *await asyncio.open_unix_connection(self._socket))
