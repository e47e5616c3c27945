"""Where this process runs out of descriptors, it says so: no upstream is blamed, and new callers are refused in time."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autonomousai import OpenAICompatible, StatusError
from autonomousai.config import BreakerConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.http.server.connections import Connections
from autonomousai.http.server.listener import listen
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedProvider, ScriptedServer
from autonomousai.workers.descriptors import raise_descriptor_limit
from tests.support.sockets import CHAT, HELLO, Connection, request

MESSAGES = [{"role": "user", "content": "Hello"}]


@contextmanager
def soft_limit(descriptors: int) -> Iterator[None]:
    """Within the block, so many descriptors may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def none_left() -> Iterator[None]:
    """Within the block, no descriptor can be had."""
    lowest = os.dup(0)
    os.close(lowest)
    with soft_limit(lowest):
        yield


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.usefixtures("transport")
async def test_running_out_of_descriptors_is_no_upstreams_failure(host: str) -> None:
    """The caller gets a 503, the breakers stay closed, no other upstream is asked; and when there are some again, an answer."""
    async with ScriptedServer(Script.stream("Hello")) as server:
        urls = [server.url.replace("127.0.0.1", host)] * 2
        upstreams = [
            Upstream(f"u{number}", OpenAICompatible(url, retries=0, prefill="no"), breaker=BreakerConfig(failures=1))
            for number, url in enumerate(urls)
        ]
        async with Gateway(upstreams, {"llama": ["u0", "u1"]}) as made:
            # What a first connection needs once is there before the shortage.
            await made.create_async_generator("llama", MESSAGES, stream=True).text()
            await upstreams[0].provider.aclose()
            refused = made.create_async_generator("llama", MESSAGES, stream=True)
            with none_left(), pytest.raises(StatusError) as caught:
                await refused.text()
            text = await made.create_async_generator("llama", MESSAGES, stream=True).text()

    assert refused.report is not None
    assert (503, "overloaded", "Hello") == (caught.value.status, caught.value.code, text)
    assert [("u0", "connect_error")] == [(each.upstream, each.outcome) for each in refused.report.attempts]
    assert ["closed", "closed"] == [upstream.breaker.state for upstream in upstreams]


async def test_new_callers_are_refused_while_some_are_left() -> None:
    """A caller whose connection would use the reserve gets a 503 that says when to come back, and the connection ends."""
    app = create_app(provider=ScriptedProvider())
    connections = Connections(descriptors=0)
    server = await asyncio.get_running_loop().create_server(lambda: None, "127.0.0.1", 0)  # type: ignore[arg-type,return-value]
    listener = server.sockets[0].dup()
    server.close()
    served = await listen(app, listener, connections)
    async with Connection(listener.getsockname()[1]) as connection:
        answer = await connection.ask(request("POST", CHAT, HELLO))
    served.close()
    await connections.none_left.wait()
    await app.aclose()

    assert (503, "overloaded", "close") == (*answer.told, answer["connection"])
    assert int(answer["retry-after"] or 0) >= 1


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    """The server takes what it may have, and keeps a reserve: a half, at most 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with soft_limit(512):
        room = raise_descriptor_limit()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    if hard == resource.RLIM_INFINITY:
        hard = soft
    assert (hard, hard - min(hard // 2, 1_024)) == (soft, room)
