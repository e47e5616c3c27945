"""Proxies that speak SOCKS 5: over a real one, with and without credentials, and what is said where none can be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from autonomousai import AutonomousAI, ConfigError, ConnectError, OpenAICompatible
from autonomousai.testing import Script, ScriptedServer
from tests.support.socks import SocksProxy
from tests.support.tls import authority_pem, server_context

HELLO = [{"role": "user", "content": "Hello"}]
KINDS = [AutonomousAI, OpenAICompatible]


async def ask(provider: AutonomousAI | OpenAICompatible, **options: Any) -> str:
    return await provider.create_async_generator("llama", HELLO, **options).text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("credentials", [None, "user:p w"])
async def test_requests_go_through_the_proxy(kind: Any, credentials: str | None) -> None:
    """One connection through it, which is kept."""
    async with ScriptedServer() as server, SocksProxy(credentials) as proxy:
        async with kind(server.url, proxy=proxy.url.replace(" ", "%20")) as provider:
            texts = [await ask(provider, stream=stream) for stream in (True, False)]

    assert (["Hello world"] * 2, [("127.0.0.1", server.port)]) == (texts, proxy.log)


async def test_a_connection_through_one_proxy_is_no_other_ones() -> None:
    """Directly, or through another one, is another connection."""
    async with ScriptedServer() as server, SocksProxy() as one, SocksProxy() as other, OpenAICompatible(server.url) as provider:
        for proxy in (one.url, None, other.url, one.url):
            await ask(provider, proxy=proxy)

    assert (1, 1, 3) == (len(one.log), len(other.log), server.connections)


@pytest.mark.parametrize(("scheme", "asked"), [("socks5", "127.0.0.1"), ("socks5h", "localhost"), ("socks", "localhost")])
async def test_who_looks_the_host_up(scheme: str, asked: str) -> None:
    """With socks5h:// it is the proxy."""
    async with ScriptedServer() as server, SocksProxy() as proxy:
        url = server.url.replace("127.0.0.1", "localhost")
        async with OpenAICompatible(url, proxy=proxy.url.replace("socks5", scheme)) as provider:
            await ask(provider)

    assert [asked] == [host for host, _ in proxy.log]


async def test_tls_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees nothing of it; the certificate is the server's."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with ScriptedServer(tls=server_context()) as server, SocksProxy() as proxy:
        async with OpenAICompatible(server.url, proxy=proxy.url) as provider:
            text = await ask(provider)

    assert ("Hello world", 1) == (text, len(proxy.log))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
async def test_the_environment_names_it(kind: Any, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it names any other."""
    async with ScriptedServer() as server, SocksProxy() as proxy, kind(server.url) as provider:
        monkeypatch.setenv(variable, proxy.url)
        await ask(provider)

    assert 1 == len(proxy.log)


@pytest.mark.parametrize("kind", KINDS)
async def test_without_the_extra_the_variable_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the extra that is missing, and no password."""
    monkeypatch.setitem(sys.modules, "python_socks", None)  # type: ignore[arg-type]  # as if it were not installed
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:9")
    async with kind("http://127.0.0.1:9") as provider:
        with pytest.raises(ConfigError) as caught:
            await ask(provider)

    assert "ALL_PROXY 'socks5://127.0.0.1:9' speaks SOCKS, which an extra brings: pip install 'autonomousai[socks]'" == str(
        caught.value
    )


async def test_a_proxy_that_is_not_there_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whose address to check."""
    async with SocksProxy() as gone:
        url = gone.url
    monkeypatch.setenv("ALL_PROXY", url)
    async with OpenAICompatible("http://127.0.0.1:9", retries=0) as provider:
        with pytest.raises(ConnectError, match=r"cannot connect to the proxy that ALL_PROXY names: .*refused"):
            await ask(provider)


@pytest.mark.parametrize("credentials", ["user:wrong", None])
async def test_a_proxy_that_refuses_is_a_connect_error(credentials: str | None) -> None:
    """Because of the credentials, or because it cannot reach the server; the error shows no password."""
    async with SocksProxy("user:right" if credentials else None) as proxy:
        url = f"socks5://{credentials + '@' if credentials else ''}127.0.0.1:{proxy.port}"
        async with OpenAICompatible("http://127.0.0.1:9", proxy=url, retries=0) as provider:
            with pytest.raises(ConnectError, match="the proxy refused the connection") as caught:
                await ask(provider)

    assert "wrong" not in str(caught.value)


async def test_a_stale_connection_through_it_costs_no_request() -> None:
    """As on any other connection."""
    async with ScriptedServer(Script.stream("one"), Script.hang_up(), Script.stream("two")) as server, SocksProxy() as proxy:
        async with OpenAICompatible(server.url, proxy=proxy.url, retries=0) as provider:
            texts = [await ask(provider, stream=True) for _ in range(2)]

    assert (["one", "two"], 2) == (texts, len(proxy.log))
