"""The sockets that a server listens on: one, or on Linux one for each worker, among which the system shares connections out.

Knows neither workers nor what is served.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Final

from ..errors import ConfigError
from ..http.server.listener import BACKLOG
from ..http.urls import authority

#: Whether the system shares connections out among the sockets of one address (`SO_REUSEPORT` in socket(7)). Elsewhere the
#: option is missing, or gives all of them to the socket that was bound last.
_SHARES_OUT: Final = sys.platform == "linux"


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet. Port 0 is any free one."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"server.port: {port} is no port; choose one between 1 and 65535, or 0 for any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"server.host: cannot find the address {host!r} ({error.strerror or error})") from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise cannot_listen(authority(host, port), error) from None
    return listener


def open_listeners(bound: socket.socket, count: int) -> list[socket.socket]:
    """Return sockets that listen where *bound* is bound and do not block: *count* of them where the system shares connections
    out, and then *bound* is closed; else *bound* alone. Raises `OSError` when another process listens there.

    To find that out, *bound* listens first, without `SO_REUSEPORT`: with it, it would join the other process unnoticed. It is
    closed when the others listen, so that there is no moment at which another server could take the address.
    """
    bound.listen(BACKLOG)
    bound.setblocking(False)
    listeners: list[socket.socket] = []
    if _SHARES_OUT:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listeners.extend(_beside(bound) for _ in range(count))
        except OSError:  # a system that says it is Linux and does without: one socket serves all workers
            for listener in listeners:
                listener.close()
            return [bound]
        bound.close()
    return listeners or [bound]


def _beside(bound: socket.socket) -> socket.socket:
    """Another socket that listens where *bound* does."""
    listener = socket.socket(bound.family, bound.type, bound.proto)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(bound.getsockname())
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def cannot_listen(where: str, error: OSError) -> ConfigError:
    key, advice = _LISTENING.get(error.errno or 0, _TAKEN)
    return ConfigError(f"server.{key}: cannot listen on {where} ({error.strerror or error}); {advice}")


#: Which key is at fault, and what to do about it.
_TAKEN = ("port", "stop what listens there, or choose another with --port (0 takes any free one)")
_LISTENING = {
    errno.EADDRNOTAVAIL: ("host", "this machine has no such address: name one of its own, or 0.0.0.0 for all of them"),
    errno.EACCES: ("port", "ports below 1024 are the system's: choose another with --port, or allow it to this program"),
}
