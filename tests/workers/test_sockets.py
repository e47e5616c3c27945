"""The sockets of several workers: at one address, which is theirs alone, or one socket where the system has no more."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from autonomousai.errors import ConfigError
from autonomousai.workers import sockets
from autonomousai.workers.sockets import bind, open_listeners

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system does not share connections out")
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


@LINUX
@HOSTS
def test_each_worker_has_a_socket_at_the_one_address(kept, host):
    """As many as workers, all at the port that the first one got."""
    bound = kept.enter_context(bind(host, 0))
    address = bound.getsockname()

    listeners = [kept.enter_context(each) for each in open_listeners(bound, 3)]

    assert [address] * 3 == [each.getsockname() for each in listeners]
    assert [1] * 3 == [each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in listeners]
    assert [False] * 3 == [each.getblocking() for each in listeners]


@LINUX
@HOSTS
def test_a_server_that_listens_is_not_joined(kept, host):
    """Neither by one that comes later, nor by one that was bound before the first one listened."""
    first = kept.enter_context(bind(host, 0))
    port = first.getsockname()[1]
    second = kept.enter_context(bind(host, port))
    for each in open_listeners(first, 2):
        kept.enter_context(each)

    with pytest.raises(ConfigError, match=r"cannot listen on .*in use"):
        bind(host, port)
    with pytest.raises(OSError, match="in use") as raised:
        open_listeners(second, 2)

    assert errno.EADDRINUSE == raised.value.errno


@LINUX
def test_another_program_that_would_share_the_address_is_not_joined(kept):
    """It listens with `SO_REUSEPORT` itself."""
    other = kept.enter_context(socket.create_server(("127.0.0.1", 0), reuse_port=True))

    with pytest.raises(ConfigError, match="in use"):
        bind("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("lacks", ["_SHARES_OUT", "_beside"])
def test_one_socket_serves_all_where_there_are_no_more(kept, monkeypatch, lacks):
    """The system is known to share nothing out, or refuses the second socket: the bound one listens for all."""

    def refuse(bound: socket.socket) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(sockets, lacks, False if lacks == "_SHARES_OUT" else refuse)
    bound = kept.enter_context(bind("127.0.0.1", 0))

    listeners = open_listeners(bound, 2)

    assert [bound] == listeners
    with socket.create_connection(bound.getsockname()):
        taken, _ = bound.accept()
        taken.close()
