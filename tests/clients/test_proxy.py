"""Proxies: given with the call, with the instance, or by the environment; over real forwarding proxies."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from autonomousai import AutonomousAI, ConfigError, ConnectError, HTTPError, OpenAICompatible, StatusError
from autonomousai.clients import retries as policy
from autonomousai.testing import Script, ScriptedServer
from tests.support.proxy import ForwardingProxy
from tests.support.tls import authority_pem, server_context

HELLO = [{"role": "user", "content": "Hello"}]
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def trusting(tmp_path: Path) -> dict[str, str]:
    """An environment in which the tests' own authority is trusted; it is read when a process first opens a TLS connection."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    return {"SSL_CERT_FILE": str(path)}


async def ask_elsewhere(url: str, environment: dict[str, str], *, proxy: str | None = None) -> str:
    """The answer of the server at *url*, asked by a process of its own with this environment."""
    code = """
import asyncio, sys
from autonomousai import AutonomousAI
async def main(url, proxy):
    async with AutonomousAI(url) as provider:
        messages = [{"role": "user", "content": "Hello"}]
        print(await provider.create_async_generator("llama", messages, proxy=proxy or None).text(), end="")
asyncio.run(main(*sys.argv[1:]))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, url, proxy or "", env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("credentials", [None, "user:pä ss%3A"])
async def test_http_goes_through_the_proxy(credentials: str | None) -> None:
    """For http the proxy is asked for the absolute URL, with its credentials if it wants any."""
    async with (
        ScriptedServer() as server,
        ForwardingProxy(credentials and "user:pä ss:") as proxy,
        AutonomousAI(server.url) as provider,
    ):
        url = proxy.bare_url if credentials is None else proxy.bare_url.replace("://", "://user:p%C3%A4%20ss%3A@")
        text = await provider.create_async_generator("llama", HELLO, proxy=url).text()

    assert text == "Hello world"
    assert [("POST", f"{server.url}/api/v1/ai/chat", False)] == [(seen.method, seen.target, seen.refused) for seen in proxy.log]
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("credentials", [None, "user:pass"])
async def test_https_tunnels_through_the_proxy(credentials: str | None, trusting: dict[str, str]) -> None:
    """For https the proxy is asked to CONNECT, and sees nothing of the request."""
    async with ScriptedServer(tls=server_context()) as server, ForwardingProxy(credentials) as proxy:
        text = await ask_elsewhere(server.url, trusting, proxy=proxy.url)

    assert text == "Hello world"
    assert [("CONNECT", f"127.0.0.1:{server.port}")] == [(seen.method, seen.target) for seen in proxy.log]
    assert "proxy-authorization" not in server.requests[0].headers


async def test_wrong_credentials_for_http_are_said() -> None:
    """A proxy that refuses us for http answers 407: a StatusError."""
    async with ScriptedServer() as server, ForwardingProxy("user:pass") as proxy, AutonomousAI(server.url) as provider:
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("llama", HELLO, proxy=proxy.bare_url).text()

    assert (caught.value.status, server.requests) == (407, [])


async def test_wrong_credentials_for_connect_are_said() -> None:
    """A proxy that refuses the tunnel is a ConnectError that says to check the credentials, and shows none."""
    async with ScriptedServer(tls=server_context()) as server, ForwardingProxy("user:pass") as proxy:
        async with AutonomousAI(server.url, proxy=proxy.bare_url.replace("://", "://user:wrong-secret@")) as provider:
            with pytest.raises(ConnectError, match="407; check its credentials") as caught:
                await provider.create_async_generator("llama", HELLO).text()

    assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_environment_names_the_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY in either case, and ALL_PROXY, are honoured."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy, AutonomousAI(server.url) as provider:
        monkeypatch.setenv(variable, proxy.url)
        await provider.create_async_generator("llama", HELLO).text()

    assert ["POST"] == [seen.method for seen in proxy.log]


async def test_https_proxy_names_the_proxy_for_https(trusting: dict[str, str]) -> None:
    """HTTPS_PROXY is for https alone."""
    async with ScriptedServer(tls=server_context()) as secure, ScriptedServer() as plain, ForwardingProxy() as proxy:
        for server in (secure, plain):
            await ask_elsewhere(server.url, {**trusting, "HTTPS_PROXY": proxy.url})

    assert [f"127.0.0.1:{secure.port}"] == [seen.target for seen in proxy.log]


async def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is asked directly."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy, AutonomousAI(server.url) as provider:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
        text = await provider.create_async_generator("llama", HELLO).text()

    assert (text, proxy.log) == ("Hello world", [])


async def test_the_environment_can_be_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """trust_env=False asks directly, whatever the environment says."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy, AutonomousAI(server.url, trust_env=False) as provider:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await provider.create_async_generator("llama", HELLO).text()

    assert proxy.log == []


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1080", "not a url", "http://", "127.0.0.1:8080", "http://u:hunter2@h:x"])
async def test_a_bad_proxy_is_a_clear_error(proxy: str) -> None:
    """A proxy URL that cannot work is a ConfigError at the call, without its credentials."""
    with pytest.raises(ConfigError, match="proxy") as caught:
        AutonomousAI.create_async_generator("llama", HELLO, proxy=proxy)

    assert "hunter2" not in str(caught.value)


async def test_an_absent_proxy_is_a_connect_error() -> None:
    """Nobody listens where the proxy should be: a ConnectError that says so."""
    async with ForwardingProxy() as gone:
        url = gone.url
    provider = AutonomousAI("http://127.0.0.1:9", timeout={"connect": 0.5})
    with pytest.raises(ConnectError, match="cannot connect to the proxy"):
        await provider.create_async_generator("llama", HELLO, proxy=url).text()
    await provider.aclose()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("http://127.0.0.1:9", "cannot connect to the proxy that http_proxy names: "),
        ("no-such-host.invalid:8080", "cannot find the host of the proxy that http_proxy names: "),
    ],
)
async def test_a_proxy_that_cannot_be_reached_is_named(named: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the variable that is to be looked at, and not the server, which was never asked."""
    monkeypatch.setenv("http_proxy", named)
    async with AutonomousAI("http://127.0.0.1:8", retries=0) as provider:
        with pytest.raises(ConnectError) as caught:
            await provider.create_async_generator("llama", HELLO)

    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("status", [403, 502, 503, 504])
@pytest.mark.parametrize("kind", [AutonomousAI, OpenAICompatible])
async def test_a_proxy_before_this_machine_is_named(kind: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses what it cannot reach, and looks like the server; what the server itself refuses is the server's."""

    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(policy, "sleep", at_once)
    said = []
    for answered in (status, 401):
        async with ScriptedServer(Script.status(answered, "no")) as refusing:
            monkeypatch.setenv("http_proxy", refusing.url)
            async with kind("http://127.0.0.1:8", retries=1) as provider:
                with pytest.raises(StatusError) as caught:
                    await provider.create_async_generator("llama", HELLO)
        said.append(str(caught.value))

    way_out = "set NO_PROXY=127.0.0.1,localhost to ask this machine directly"
    assert said[0].endswith(f"; it was asked through the proxy that http_proxy names; {way_out}")
    assert "http_proxy" not in said[1]


async def test_an_untrusted_certificate_is_a_connect_error() -> None:
    """TLS is checked: a certificate that nobody vouches for is an error that is not retried."""
    async with ScriptedServer(tls=server_context()) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError, match="certificate") as caught:
            await provider.create_async_generator("llama", HELLO).text()

    assert (type(caught.value), caught.value.retryable) == (ConnectError, False)
