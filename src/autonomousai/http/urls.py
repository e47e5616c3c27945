"""Addresses: what a base URL and a proxy URL must look like, and which proxy the environment names. Does no I/O."""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigError


class Proxy:
    """Where a proxy listens, and the credentials it wants. Made from a URL; its ``repr`` shows no credentials."""

    def __init__(self, url: str) -> None:
        parts = _split(url, "proxy")
        if parts.scheme not in ("http", "https"):
            raise ConfigError(f"proxy {_bare(parts)!r}: only http:// and https:// proxies are supported, as http://host:port")
        self.url = _bare(parts)
        self.headers: dict[str, str] = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def _split(url: str, what: str) -> SplitResult:
    """The parts of an absolute URL with a host, or a `ConfigError` that shows no credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{what} URL cannot be read: {error}; write it as http://host:port") from None
    if not parts.scheme or not parts.hostname or port == 0:
        raise ConfigError(f"{what} {_bare(parts)!r} is not a URL; write it as http://host:port")
    return parts


def _bare(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def without_credentials(url: str) -> str:
    """*url* as it may be shown: no user, no password, no query."""
    return _bare(urlsplit(url))


def authority(host: str, port: int) -> str:
    """Return *host* and *port* as they stand in a URL: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


#: What is appended to a base URL, and is sometimes copied with it.
_ROUTES = ("/chat/completions", "/api/v1/ai/chat")


def check_base_url(url: str) -> str:
    """*url* without its trailing slash; `ConfigError` where it is no http(s) URL."""
    parts = _split(url, "base_url")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"base_url {_bare(parts)!r} must begin with http:// or https://")
    if parts.query or parts.fragment:
        raise ConfigError(f"base_url {_bare(parts)!r} must end with its path: what comes after '?' or '#' would be lost")
    bare = url.rstrip("/")
    for route in _ROUTES:
        if bare.endswith(route):
            raise ConfigError(f"base_url {_bare(parts)!r} names a route of the server; leave out {route}")
    return bare


def tls_advice(error: Exception) -> str:
    """What to check of an address that TLS failed with. OpenSSL calls an answer in plain text a wrong version."""
    return "does http:// belong there?" if "WRONG_VERSION_NUMBER" in str(error) else "check its certificate"


def environment_proxy(url: str) -> Proxy | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for *url*."""
    import urllib.request  # noqa: PLC0415  http.client and email come with it, which no client of ours needs

    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    if not named or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return Proxy(named if "://" in named else f"http://{named}")
