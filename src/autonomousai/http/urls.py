"""Addresses: what a base URL must look like, and how it may be shown. Does no I/O."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError
from ..late import late_pattern

#: What is copied along with an address: quotes and a byte order mark; white space, which `str.strip` knows, too.
_AROUND: Final = "\"'`\ufeff\u200b"

#: What is appended to a base URL, and is sometimes copied with it.
_ROUTES: Final = late_pattern(
    r"(?:/chat)?/completions|/responses|/messages|/embeddings|/api/v1/ai/(?:chat(?:-hermes|-vision)?|summary)"
)


def split_url(url: str, what: str) -> SplitResult:
    """The parts of an absolute URL with a host, or a `ConfigError` that shows no credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{what} URL cannot be read: {fault_in_url(error)}; write it as http://host:port") from None
    if not parts.scheme or not parts.hostname or port == 0 or "\\" in parts.hostname:
        raise ConfigError(f"{what} {_bare(parts)!r} is not a URL; write it as http://host:port")
    if not _can_be_looked_up(parts.hostname):
        raise ConfigError(f"{what} {_bare(parts)!r} has a host that cannot be: dots part names of 1 to 63 characters")
    return parts


def fault_in_url(error: ValueError) -> str:
    """Return why a URL could not be split, without a part of it: what `urllib` quotes may be of a password.

    Example::

        assert "hush" not in fault_in_url(ValueError("Port could not be cast to integer value as 'hush'"))
    """
    said = str(error)
    return (
        said
        if said in _FAULTS
        else "its port is no number, or a password has one of /?#@ that is not written as %2F %3F %23 %40"
    )


#: What `urllib` says of a URL that quotes nothing of it.
_FAULTS: Final = ("Invalid IPv6 URL", "Port out of range 0-65535")


def _can_be_looked_up(host: str) -> bool:
    """Return whether *host* can be written as DNS has it (RFC 1035 section 2.3.4): a resolver's own error names no URL."""
    if ":" in host:
        return True
    try:
        labels = (host if host.isascii() else host.encode("idna").decode()).removesuffix(".").split(".")
    except UnicodeError:
        return False
    return all(0 < len(label) < 64 for label in labels)


def _bare(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def without_credentials(url: str) -> str:
    """*url* as it may be shown: no user, no password, no query."""
    return _bare(urlsplit(url))


def machine_of(url: str) -> str | None:
    """Return the host and the port of *url*, which an upstream shares with others at the same place; None where it has no
    host."""
    parts = urlsplit(url)
    if not parts.hostname:
        return None
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    return f"{'127.0.0.1' if parts.hostname in ('localhost', '::1') else parts.hostname}:{port}"


def authority(host: str, port: int) -> str:
    """Return *host* and *port* as they stand in a URL: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def clean_base_url(url: str) -> str:
    """*url*, which may be another library's object, without what is often copied with it: white space and quotes around it,
    slashes at the end of its path. The zone of an IPv6 address is written as the system has it (RFC 6874)."""
    root, mark, query = str(url).strip().strip(_AROUND).strip().partition("?")
    if "[" in root:
        root = root.replace("%25", "%", 1) if "%25" in root.partition("]")[0] else root
    return f"{root.rstrip('/')}{mark}{query}"


def copied_route(path: str) -> str:
    """The route of a server that a base URL's *path* ends in, which is to be left out, or nothing."""
    found = re.search(f"({_ROUTES.pattern})/*$", path)
    return found[1] if found else ""


def check_base_url(url: str, said_by: str = "base_url", *, query: bool = False) -> str:
    """*url*, cleaned; `ConfigError` where it is no http(s) URL. ``said_by``: what holds it, for errors. ``query``: whether it
    may have one, which then goes with each request; see `below`."""
    cleaned = clean_base_url(url)
    parts = split_url(cleaned, said_by)
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{said_by} {_bare(parts)!r} must begin with http:// or https://")
    if re.search(r"\s", cleaned):
        raise ConfigError(f"{said_by} {_bare(parts)!r} has white space in it; write it as http://host:port")
    if (parts.query and not query) or parts.fragment:
        raise ConfigError(f"{said_by} {_bare(parts)!r} must end with its path: what comes after '?' or '#' would be lost")
    if holds_key(parts.query):
        raise ConfigError(f"{said_by} {_bare(parts)!r} carries a key behind its '?': pass it as api_key")
    if route := copied_route(parts.path):
        raise ConfigError(f"{said_by} {_bare(parts)!r} names a route of the server; leave out {route}")
    return cleaned


#: Names of a query's parameters whose values are secrets.
_KEY: Final = late_pattern(r"auth|key|token|secret|password|credential|\bsig\b", re.IGNORECASE)


def holds_key(query: str) -> bool:
    """Whether a URL's *query* has a parameter that looks like a key: it would be shown wherever the URL is."""
    return any(_KEY.search(part.partition("=")[0]) for part in query.split("&"))


def below(base_url: str, path: str) -> str:
    """The URL of *path* below a base URL, with the base URL's query."""
    root, mark, query = base_url.partition("?")
    return f"{root}{path}{mark}{query}"


def beside_root(base_url: str) -> str:
    """Return *base_url* without the ``/v1`` at the end of its path, where the API's root has one."""
    root, mark, query = base_url.partition("?")
    return f"{root.removesuffix('/v1')}{mark}{query}"


def has_path(url: str) -> bool:
    """Whether a base URL names more than a server's root."""
    return bool(urlsplit(clean_base_url(url)).path.strip("/"))


def openai_base_url(url: str) -> str:
    """The base URL of the OpenAI wire at *url*: itself, and of a bare root what servers have there mostly."""
    cleaned = check_base_url(url)
    return cleaned if has_path(cleaned) else f"{cleaned}/v1"
