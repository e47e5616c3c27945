"""`autonomousai keys`: callers' keys are made, listed and changed, over HTTP at a running server or in its database."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from ..config import load_config
from ..errors import ConfigError, StatusError
from ..http.pool import HttpPool
from ..http.transport import read_body
from ..http.urls import check_base_url
from ..timeouts import Clocks
from ..wires.foreign_errors import read_error
from .columns import table
from .exit_codes import DONE, UsageError
from .terminal import Terminal

_VARIABLE: Final = "AUTONOMOUSAI_ADMIN_KEY"
_DEFAULT_URL: Final = "http://127.0.0.1:8000"
_CLOCKS: Final = Clocks(connect=5, first_token=30, idle=30, total=30)
_BODY: Final = 16_000_000

#: By option of `create`, the field of a key that it is.
_FIELDS: Final = (
    "models",
    "wires",
    "expires",
    "requests_per_minute",
    "tokens_per_minute",
    "max_concurrency",
    "budget",
    "token_budget",
    "budget_period",
)

#: What the list shows of a key, in this order.
_COLUMNS: Final = ("name", "source", "state", "models", "limits", "labels")


class Administration(Protocol):
    """What the actions are done by; see `keys.administration`."""

    async def list(self) -> dict[str, Any]: ...
    async def create(self, document: dict[str, Any]) -> dict[str, Any]: ...
    async def show(self, name: str) -> dict[str, Any]: ...
    async def change(self, name: str, document: dict[str, Any]) -> dict[str, Any]: ...
    async def rotate(self, name: str, document: dict[str, Any]) -> dict[str, Any]: ...
    async def delete(self, name: str) -> dict[str, Any]: ...


def keys(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do what the action says, and show what came of it."""
    if args.config is not None and args.base_url:
        raise UsageError("--config opens the database itself; it does not go with --base-url")
    return asyncio.run(_run(args, terminal))


async def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    action = args.action or "list"
    if args.config is not None:
        from ..server.key_store import open_administration  # noqa: PLC0415  the server is an optional extra

        async with open_administration(load_config(args.config, os.environ)) as administration:
            document = await _ACTIONS[action](administration, args)
    else:
        async with _RemoteAdministration(args, os.environ) as remote:
            document = await _ACTIONS[action](remote, args)
    _show(action, document, args, terminal)
    return DONE


async def _create(administration: Administration, args: argparse.Namespace) -> dict[str, Any]:
    document = {"name": args.name, **{name: value for name in _FIELDS if (value := getattr(args, name)) is not None}}
    if args.label:
        document["labels"] = dict(args.label)
    return await administration.create(document)


_ACTIONS: Final[dict[str, Callable[[Any, argparse.Namespace], Awaitable[dict[str, Any]]]]] = {
    "list": lambda administration, args: administration.list(),
    "create": _create,
    "show": lambda administration, args: administration.show(args.name),
    "disable": lambda administration, args: administration.change(args.name, {"disabled": True}),
    "enable": lambda administration, args: administration.change(args.name, {"disabled": False}),
    "rotate": lambda administration, args: administration.rotate(args.name, {"keep_old_s": args.keep_old}),
    "delete": lambda administration, args: administration.delete(args.name),
}


def _show(action: str, document: dict[str, Any], args: argparse.Namespace, terminal: Terminal) -> None:
    if args.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
    elif action == "list":
        if not document["data"]:
            terminal.note("there is no key with a name; `autonomousai keys create NAME` makes one")
            return
        terminal.write(table([_row(key) for key in document["data"]]))
    elif "key" in document:
        terminal.write(f"{document['key']}\n")
        terminal.note(f"this is the key {document['name']!r}; it is shown this once, and kept as a hash alone")
    elif action == "show":
        lines = {**{name: value for name, value in document.items() if name not in ("object", "usage")}, **_used(document)}
        terminal.write("".join(f"{name}: {_said(value)}\n" for name, value in lines.items()))
    else:
        terminal.note(f"{document['name']}: {'deleted' if action == 'delete' else f'{action}d'}")


def _row(key: Mapping[str, Any]) -> dict[str, Any]:
    limits = [f"{name} {_said(key[name])}" for name in _FIELDS[3:-1] if name in key]
    state = "disabled" if key.get("disabled") else f"until {key['expires'][:10]}" if "expires" in key else "enabled"
    row = {**key, "state": state, "limits": limits, "labels": _said(key.get("labels", {}))}
    return {name: row.get(name, "") for name in _COLUMNS}


def _used(key: Mapping[str, Any]) -> dict[str, str]:
    """Return what a key has used in its budget's period, and what is left, in words."""
    usage = key.get("usage", {})  # a server of an older version says nothing of it
    amounts = {"used": ("tokens", "cost"), "left": ("tokens_left", "budget_left")}
    words = {
        said: " and ".join(
            f"{usage[name]:,} tokens" if "tokens" in name else f"{usage[name]:,.4f} US dollars"
            for name in names
            if name in usage
        )
        for said, names in amounts.items()
    }
    if words["used"]:
        words["used"] += f" in {usage['period']}"
    if words["left"]:
        words["left"] += f", until {usage['until']}"
    if "under_way" in usage:
        words["under way"] = f"{usage['under_way']:,}"
    return {said: text for said, text in words.items() if text}


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


class _RemoteAdministration:
    """The keys of a running server, over HTTP."""

    def __init__(self, args: argparse.Namespace, env: Mapping[str, str]) -> None:
        url = args.base_url or env.get("AUTONOMOUSAI_BASE_URL") or _DEFAULT_URL
        self._root = check_base_url(url, "--base-url").removesuffix("/v1") + "/admin/keys"
        self._key = args.admin_key or env.get(_VARIABLE) or ""
        if not self._key:
            raise ConfigError(f"no admin key was given; set {_VARIABLE} to one of the server's admin_keys")
        self._pool = HttpPool()

    async def __aenter__(self) -> _RemoteAdministration:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._pool.aclose()

    async def list(self) -> dict[str, Any]:
        return await self._ask("GET", "")

    async def create(self, document: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", "", document)

    async def show(self, name: str) -> dict[str, Any]:
        return await self._ask("GET", f"/{quote(name, safe='')}")

    async def change(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", f"/{quote(name, safe='')}", document)

    async def rotate(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", f"/{quote(name, safe='')}/rotate", document)

    async def delete(self, name: str) -> dict[str, Any]:
        return await self._ask("DELETE", f"/{quote(name, safe='')}")

    async def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json", "content-type": "application/json"}
        url = self._root + path
        if document is not None:
            body = msgspec.json.encode(document)
            sent = self._pool.post(url, headers=headers, body=body, clocks=_CLOCKS, streaming=False)
        else:
            send = self._pool.get if method == "GET" else self._pool.delete
            sent = send(url, headers=headers, clocks=_CLOCKS)
        response = await sent
        try:
            answer = await read_body(response, _BODY)
        finally:
            await response.aclose()
        if response.status >= 400:
            raise _failed(read_error(response.status, answer, response.headers, secrets=(self._key,)))
        with suppress(msgspec.DecodeError):
            decoded = msgspec.json.decode(answer)
            if isinstance(decoded, dict):
                return decoded
        raise ConfigError(f"{self._root} did not answer as a server of this package does; correct --base-url")


def _failed(error: StatusError) -> Exception:
    if error.status == 401:
        return ConfigError(f"the server takes another admin key; set {_VARIABLE} to one of its admin_keys")
    if error.status == 404 and error.code == "key_not_found":
        error.advise("autonomousai keys list shows those that there are")
    return error
