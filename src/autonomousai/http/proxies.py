"""Proxies: how one is written, and which one the environment names for a URL. Does no I/O."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ..errors import ConfigError
from .urls import split_url, without_credentials

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_HTTP: Final = frozenset({"http", "https"})

#: Schemes of SOCKS, and whether the proxy looks the host's name up (curl's notation).
_SOCKS: Final = {"socks4": False, "socks4a": True, "socks5": False, "socks5h": True, "socks": True}


class Proxy:
    """Where a proxy listens, and the credentials it wants. Made from a URL; its ``repr`` shows no credentials.

    ``said_by``: what holds the URL, for errors. ``is_socks``: it speaks SOCKS 4 or 5 (RFC 1928) instead of HTTP.
    """

    def __init__(self, url: str, said_by: str = "proxy") -> None:
        parts = split_url(str(url).strip(), said_by)
        self.url = without_credentials(parts.geturl())
        self.scheme = "socks5h" if parts.scheme == "socks" else parts.scheme
        if self.scheme not in _HTTP and self.scheme not in _SOCKS:
            raise ConfigError(
                f"{said_by} {self.url!r}: proxies are http://, https://, socks5:// (socks5h://, socks4://), as http://host:port"
            )
        self.said_by = said_by
        self.is_socks = self.scheme in _SOCKS
        self.resolves = _SOCKS.get(self.scheme, True)
        self.host = parts.hostname or ""
        self.port = parts.port or 1080
        self.user = None if parts.username is None else unquote(parts.username)
        self.password = None if parts.username is None else unquote(parts.password or "")
        self.headers: dict[str, str] = {}
        if self.user is not None and not self.is_socks:
            login = f"{self.user}:{self.password}"
            self.headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()

    @property
    def title(self) -> str:
        """Return what the proxy is called in errors: by what holds its URL."""
        if self.said_by.startswith("the "):
            return self.said_by
        return "the proxy" if self.said_by == "proxy" else f"the proxy that {self.said_by} names"

    def _key(self) -> tuple[str, str | None, str | None]:
        return self.url, self.user, self.password

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def environment_proxy(url: str) -> Proxy | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for *url*, in either case; None for none.

    Where the environment names none at all, what the system is set to counts, on the systems that have such a setting.
    """
    parts = urlsplit(url)
    name, named = _named(os.environ, parts.scheme)
    if name:
        bypassed = is_bypassed(parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme), _no_proxy())
        return None if bypassed or not named else Proxy(named if "://" in named else f"http://{named}", name)
    if sys.platform in ("darwin", "win32"):
        return _system_proxy(url)
    return None


def _named(environment: Mapping[str, str], scheme: str) -> tuple[str, str]:
    """Return the variable that counts, and its value. One in lower case goes before its twin in upper case, and an empty one
    says that there is no proxy. In a CGI program HTTP_PROXY is a request's header ``Proxy``."""
    for variable in (f"{scheme}_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            if name in environment and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environment):
                value = environment[name].strip().strip("'\"")
                if value or name.islower():
                    return name, value
    return "", ""


def _system_proxy(url: str) -> Proxy | None:
    import urllib.request  # noqa: PLC0415  http.client and email come with it, which no client here needs

    parts = urlsplit(url)
    named = urllib.request.getproxies().get(parts.scheme)
    if not named or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return Proxy(named if "://" in named else f"http://{named}", "the system's proxy")


# ---- NO_PROXY ---------------------------------------------------------------------------------------------------------


def _no_proxy() -> str:
    lower = os.environ.get("no_proxy")
    return os.environ.get("NO_PROXY", "") if lower is None else lower


def is_bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    """Return whether *host* is to be asked directly. *no_proxy*: names with all that is below them, addresses, networks
    (``10.0.0.0/8``), each with a port or without, divided by commas or white space; ``*`` is all there is."""
    host = host.strip("[]").rstrip(".").lower()
    address = _address(host)
    for entry in re.split(r"[,;\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        name, wanted_port = _split_port(entry.strip("'\""))
        if not name or (wanted_port and wanted_port != port):
            continue
        if address is not None and (network := _network(name)) is not None:
            if address in network:
                return True
        elif host == name or host.endswith(f".{name}"):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int]:
    """Return an entry's name, without what is written before it or around it, and its port, or 0. Of an IPv6 address all is
    the name, unless it stands in brackets."""
    entry = entry.rpartition("://")[2]
    if match := re.fullmatch(r"\[([^\]]*)\](/[0-9]+)?(?::([0-9]+))?", entry):
        return match[1] + (match[2] or ""), int(match[3] or 0)
    name, colon, port = entry.rpartition(":")
    if not colon or ":" in name or not port.isdecimal():
        name, port = entry, "0"
    return name.removeprefix("*").strip("."), int(port)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address  # noqa: PLC0415  most environments name no proxy

    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network  # noqa: PLC0415  as above: most name no proxy

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
