"""The server of a kept conversation: what named it is kept with it, and names it again when the conversation continues.

Holds no key."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import urlsplit

import msgspec


class KeptServer(msgspec.Struct, omit_defaults=True, frozen=True):
    """A server as options of ``chat`` name it. ``keyless``: it was found on this machine, and the environment's key is not for
    it."""

    base_url: str
    wire: str | None = None
    vendor: str | None = None
    keyless: bool = False


def is_named(args: argparse.Namespace) -> bool:
    """Return whether an option says who answers: a server, or the engine of this machine."""
    return bool(args.base_url or args.vendor or args.weights or args.context)


def take_up(args: argparse.Namespace, server: KeptServer | None) -> None:
    """Fill the options of ``chat`` with the *server* of the conversation that it continues, where they name none."""
    if server is None or is_named(args):
        return
    args.base_url, args.vendor = server.base_url, server.vendor
    args.wire = args.wire or server.wire
    if server.keyless and args.api_key is None:
        args.api_key = ""


def to_keep(base_url: str, wire: Any, vendor: Any, api_key: str | None) -> KeptServer:
    """Return what is kept of a server: no user and no password. A query holds no key: such a base URL is refused."""
    parts = urlsplit(base_url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return KeptServer(shown, wire, vendor, api_key == "")
