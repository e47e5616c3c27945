"""Redis over TLS (``rediss://``): all that is shared goes that way, and a server that another authority vouches for is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from autonomousai.config import Config, KeyConfig, Secret, ServerConfig
from autonomousai.errors import ConfigError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.settings import CacheConfig
from autonomousai.testing import ScriptedProvider
from tests.support.metrics import counted
from tests.support.redis import redis_server
from tests.support.sockets import CHAT, HELLO, PATIENCE, ask, events, listening, request
from tests.support.tls import TlsRelay, authority_pem


@pytest.fixture
def authority(tmp_path: Path) -> str:
    """The file with the certificate of the authority, as a URL names it."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    return quote(str(path))


async def test_all_that_is_shared_goes_over_tls(authority: str) -> None:
    """Streams, limits, breakers and cached answers."""
    with redis_server() as url:
        async with TlsRelay(url.removeprefix("unix://")) as relay, Redis.from_url(url) as redis:
            state = f"rediss://127.0.0.1:{relay.port}/0?ssl_ca_certs={authority}"
            config = Config(
                server=ServerConfig(state=state, admin_keys=(Secret("sk-admin"),)),
                keys={"shop": KeyConfig(key=Secret("sk-shop"), requests_per_minute=100)},
                cache=CacheConfig(store=state),
            )
            upstream = Upstream("there", ScriptedProvider())
            provider = Gateway([upstream], {"llama": ["there"]})
            async with listening(create_app(config, provider=provider)) as place:
                headers = {"authorization": "Bearer sk-shop", "x_stream_resumable": "1"}
                said = await ask(place.port, request("POST", CHAT, {**HELLO, "stream": True}, **headers))
                while upstream.breaker.state != "open":
                    upstream.breaker.failure()
                kinds: set[str] = set()
                async with asyncio.timeout(PATIENCE):
                    while len(kinds) < 4:
                        kinds = {key.decode().split(":")[1] for key in await redis.keys("autonomousai:*")} - {"bytes"}
                        await asyncio.sleep(0)
                failing = (await counted(place.port, "sk-admin")).by("store_failing", "store")

    assert (200, "[DONE]") == (said.status, events(said.body)[-1])
    assert {"stream", "key", "breaker", "answer"} == kinds
    assert {} == failing


async def test_a_server_of_another_authority_is_refused() -> None:
    """The operator reads why, at the start."""
    with redis_server() as url:
        async with TlsRelay(url.removeprefix("unix://")) as relay:
            config = Config(server=ServerConfig(state=f"rediss://127.0.0.1:{relay.port}"))
            app = create_app(config, provider=ScriptedProvider())
            with pytest.raises(ConfigError, match="certificate verify failed"):
                await app.start()
            await app.aclose()
