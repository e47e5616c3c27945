"""Where a ledger is: what ``[ledger] url`` says, checked. Imports no database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ..directories import user_directory
from ..errors import ConfigError
from ..http.urls import fault_in_url

#: What switches the ledger off.
OFF: Final = "off"

_KEY: Final = "ledger.url"
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_ADVICE: Final = "write a path, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


class LedgerPlace(msgspec.Struct, frozen=True):
    """A database. ``url``: as SQLAlchemy wants it, with its password; ``path``: of a SQLite file, None for a server; ``name``:
    how it is called in messages. ``is_default``: nothing named it, so that its folder may be made."""

    url: str
    path: Path | None
    name: str
    is_default: bool = False


def place_of(url: str, env: Mapping[str, str] = os.environ) -> LedgerPlace | None:
    """Return the database that *url* names, None for ``"off"``. Raises `ConfigError` for one that is none."""
    if url == OFF:
        return None
    if not url:
        try:
            file = user_directory("data", env) / "ledger.db"
        except RuntimeError:
            raise ConfigError("is missing, and there is no home directory", key=_KEY, advice=_ADVICE) from None
        return LedgerPlace(f"sqlite:///{file}", file, str(file), is_default=True)
    scheme, colon, _ = url.partition("://")
    if not colon:
        return _file(url.removeprefix("sqlite:"))
    if scheme == "sqlite":
        return _file(url.removeprefix("sqlite:///"))
    if scheme in _POSTGRES:
        return LedgerPlace(_postgres(url), None, _shown(url))
    raise ConfigError(f"{scheme}:// is no database that is supported", key=_KEY, advice=_ADVICE)


def _file(path: str) -> LedgerPlace:
    if not path or path.startswith(("sqlite:", ":memory:")) or path.endswith("/"):
        raise ConfigError("names no file", key=_KEY, advice=_ADVICE)
    file = Path(path).expanduser()
    return LedgerPlace(f"sqlite:///{file}", file, str(file))


def _postgres(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise ConfigError(f"is not a URL ({fault_in_url(error)})", key=_KEY, advice=_ADVICE) from None
    return "postgresql+psycopg://" + url.partition("://")[2]


def _shown(url: str) -> str:
    """Return *url* without its password, and without its query, which may hold one."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    host = parts.hostname or ""
    return f"postgresql://{user}{f'[{host}]' if ':' in host else host}{port}{parts.path}"
