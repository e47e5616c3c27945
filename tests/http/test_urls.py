"""Addresses: base URLs as they are copied, and what NO_PROXY and the proxy variables say."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from autonomousai.config import OpenAIConfig
from autonomousai.errors import ConfigError
from autonomousai.http.proxies import Proxy, environment_proxy, is_bypassed
from autonomousai.http.request_head import make_head
from autonomousai.http.urls import check_base_url, has_path, openai_base_url
from autonomousai.ledger.place import place_of

BARE = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (f" {BARE}/v1 \n", f"{BARE}/v1"),
        (f"\t{BARE}", BARE),
        (f'"{BARE}/v1"', f"{BARE}/v1"),
        (f"' {BARE}/v1/ '", f"{BARE}/v1"),
        (f"\ufeff{BARE}/v1", f"{BARE}/v1"),
        (f"{BARE}/v1///", f"{BARE}/v1"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai"),
        ("https://host/models", "https://host/models"),
        ("http://[::1]:8000/v1/", "http://[::1]:8000/v1"),
        ("http://[fe80::1%25eth0]:8000/v1%25", "http://[fe80::1%eth0]:8000/v1%25"),
    ],
)
def test_what_is_copied_with_a_base_url_is_taken_off(written: str, meant: str) -> None:
    """White space, quotes, a byte order mark, slashes at its end; nothing of its path."""
    assert meant == check_base_url(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{BARE}/v1/chat/completions", "leave out /chat/completions"),
        (f"{BARE}/v1/chat/completions/ ", "leave out /chat/completions"),
        (f"{BARE}/v1/completions", "leave out /completions"),
        (f"{BARE}/v1/responses", "leave out /responses"),
        (f"{BARE}/v1/messages", "leave out /messages"),
        (f"{BARE}/v1/embeddings", "leave out /embeddings"),
        (f"{BARE}/api/v1/ai/chat", "leave out /api/v1/ai/chat"),
        (f"{BARE}/api/v1/ai/chat-hermes", "leave out /api/v1/ai/chat-hermes"),
        (f"{BARE}/v1 x", "has white space in it"),
        ("127.0.0.1:8000", "is not a URL; write it as http://host:port"),
        ("   ", "is not a URL; write it as http://host:port"),
        ("ws://host/v1", "must begin with http:// or https://"),
        ("http://[::1:9/v1", "cannot be read: Invalid IPv6 URL"),
        ("http://a..example/v1", "has a host that cannot be"),
        ("http://.example/v1", "has a host that cannot be"),
        (f"http://{'a' * 64}.example/v1", "has a host that cannot be"),
        (f"http://{'é' * 63}.example/v1", "has a host that cannot be"),
    ],
)
def test_what_cannot_be_meant_is_named(written: str, said: str) -> None:
    """The error says who holds the address and what to do."""
    with pytest.raises(ConfigError) as caught:
        check_base_url(written, "AUTONOMOUSAI_BASE_URL")

    assert str(caught.value).startswith("AUTONOMOUSAI_BASE_URL ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path", "openai"),
    [
        (BARE, False, f"{BARE}/v1"),
        (f" {BARE}/ ", False, f"{BARE}/v1"),
        (f"{BARE}/v1", True, f"{BARE}/v1"),
        ("https://host/v1beta/openai", True, "https://host/v1beta/openai"),
        ("https://host/api/paas/v4/", True, "https://host/api/paas/v4"),
        ("https://host/api/v3", True, "https://host/api/v3"),
    ],
)
def test_a_bare_root_is_told_from_a_path(url: str, path: bool, openai: str) -> None:
    """Where no path is given, OpenAI's wire is looked for below /v1."""
    assert (path, openai) == (has_path(url), openai_base_url(url))


# ---- NO_PROXY: host, port, what it holds, whether the host is asked directly

BYPASSES = [
    ("127.0.0.1", 80, "127.0.0.1", True),
    ("127.0.0.1", 80, "127.0.0.2", False),
    ("::1", 80, "::1", True),
    ("::1", 80, "[::1]", True),
    ("[::1]", 80, "::1", True),
    ("::1", 8080, "[::1]:8080", True),
    ("::1", 80, "[::1]:8080", False),
    ("::1", 80, "0:0:0:0:0:0:0:1", True),
    ("::1", 80, "::2", False),
    ("fe80::1%eth0", 80, "fe80::/10", True),
    ("::ffff:10.1.2.3", 80, "10.0.0.0/8", True),
    ("10.1.2.3", 80, "10.0.0.0/8", True),
    ("11.1.2.3", 80, "10.0.0.0/8", False),
    ("10.1.2.3", 80, "10.9.9.9/8", True),
    ("fd00::5", 80, "fd00::/8", True),
    ("fd00::5", 80, "[fd00::]/8", True),
    ("fd00::5", 443, "[fd00::]/8:443", True),
    ("10.1.2.3", 8080, "10.0.0.0/8:8080", True),
    ("10.1.2.3", 80, "10.0.0.0/8:8080", False),
    ("host", 8080, "host:8080", True),
    ("host", 80, "host:8080", False),
    ("host", 8080, "host", True),
    ("a.host", 8080, "host:8080", True),
    ("example.com", 80, "example.com", True),
    ("www.example.com", 80, "example.com", True),
    ("www.example.com", 80, ".example.com", True),
    ("example.com", 80, ".example.com", True),
    ("www.example.com", 80, "*.example.com", True),
    ("badexample.com", 80, "example.com", False),
    ("EXAMPLE.com", 80, "Example.COM", True),
    ("example.com.", 80, "example.com", True),
    ("example.com", 80, "example.com.", True),
    ("anything", 80, "*", True),
    ("anything", 80, "a, *", True),
    ("host", 80, "  other ,\thost  ", True),
    ("host", 80, "other host", True),
    ("host", 80, "other,,host,", True),
    ("host", 80, '"host"', True),
    ("host", 80, "http://host", True),
    ("host", 80, "", False),
    ("host", 80, " , ", False),
    ("host", 80, "10.0.0.0/8", False),
    ("host", 80, "ho", False),
]


@pytest.mark.parametrize(("host", "port", "no_proxy", "expected"), BYPASSES)
def test_who_is_asked_directly(host: str, port: int, no_proxy: str, expected: bool) -> None:
    """Names with all below them, addresses, networks, ports, white space, and the star."""
    assert expected == is_bypassed(host, port, no_proxy)


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://h", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "http://h", "http://p:1"),
        ({"http_proxy": "http://p:1", "HTTP_PROXY": "http://p:2"}, "http://h", "http://p:1"),
        ({"http_proxy": "", "HTTP_PROXY": "http://p:2"}, "http://h", None),
        ({"HTTP_PROXY": "http://p:1"}, "https://h", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://h", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://h", "http://p:1"),
        ({"all_proxy": "http://p:1", "HTTPS_PROXY": "http://p:2"}, "https://h", "http://p:2"),
        ({"ALL_PROXY": "socks5://p:1"}, "http://h", "socks5://p:1"),
        ({"HTTP_PROXY": " 'http://p:1' "}, "http://h", "http://p:1"),
        ({"HTTP_PROXY": "p:1"}, "http://h", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h:80"}, "http://h", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "h:81"}, "http://h", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "", "NO_PROXY": "h"}, "http://h", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "::1"}, "http://[::1]:8000", None),
        ({}, "http://h", None),
    ],
)
def test_which_proxy_the_environment_names(
    environment: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either case of letters, lower case first; the scheme's own variable before the one for all."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    proxy = environment_proxy(url)

    assert expected == (proxy and proxy.url)


def test_a_proxy_whose_host_cannot_be_looked_up_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own error would name nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://p..example:3128")

    with pytest.raises(ConfigError, match=r"^HTTP_PROXY 'http://p\.\.example:3128' has a host that cannot be"):
        environment_proxy("http://h")


def test_a_proxy_that_cannot_be_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And shown without its password."""
    monkeypatch.setenv("ALL_PROXY", "ftp://user:hunter2@p:1")

    with pytest.raises(ConfigError, match=r"^ALL_PROXY 'ftp://p:1': proxies are http://") as caught:
        environment_proxy("http://h")

    assert "hunter2" not in str(caught.value)


def test_proxies_are_equal_by_address_and_login() -> None:
    """Whoever logs in as somebody else gets connections of its own."""
    assert Proxy("socks5://a:b@p:1") == Proxy("socks5://a:b@p:1") != Proxy("socks5://a:c@p:1")
    assert "b" not in repr(Proxy("socks5://a:b@p:1")).removeprefix("Proxy(")


#: Passwords that are not written as a URL wants them: the parser takes their beginning for a port.
ODD_PASSWORDS = ["hush/word", "hush#word", "hush?word", "hush[word", "hush\u2100word"]


@pytest.mark.parametrize("password", ODD_PASSWORDS)
@pytest.mark.parametrize(
    "check",
    [
        lambda url: check_base_url(url, "AUTONOMOUSAI_BASE_URL"),
        Proxy,
        lambda url: place_of(url.replace("http", "postgresql")),
        lambda url: OpenAIConfig(base_url=url).check("upstreams.u"),
        lambda url: make_head("POST", url, {}, "a"),
    ],
    ids=["base_url", "proxy", "ledger", "upstream", "request"],
)
def test_no_error_shows_a_part_of_a_password(check: Callable[[str], object], password: str) -> None:
    """Not where its characters break the URL either."""
    with pytest.raises(ConfigError) as caught:
        check(f"http://me:{password}@host:5432/v1")

    assert "hush" not in str(caught.value)
    assert "hush" not in "".join(traceback.format_exception(caught.value, chain=True))
