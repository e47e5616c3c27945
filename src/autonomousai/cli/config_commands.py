"""``autonomousai config``: a server's config is checked and shown, and the defaults of ``chat`` are kept."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

import msgspec

from ..config import load_config
from ..errors import ConfigError
from ..http.urls import authority, has_path, without_credentials
from ..kinds.openai import OpenAIConfig
from ..ledger.place import place_of
from ..suggestions import did_you_mean
from . import defaults
from .columns import table
from .exit_codes import DONE, FAILED, UsageError
from .routes import describe_policy
from .terminal import Terminal
from .toml import write_toml


def show_config(args: argparse.Namespace, terminal: Terminal) -> int:
    """Say what a config would serve, print it with every key, or show and change the defaults of ``chat``."""
    if args.action in ("set", "unset"):
        path = defaults.change(args.key, args.value if args.action == "set" else None, os.environ)
        terminal.remark(f"kept in {path}")
        return DONE
    if args.action == "get":
        return _show_defaults(args.key, terminal)
    config = load_config(args.file, os.environ)
    if args.action == "show":
        terminal.write(write_toml(_shown(msgspec.to_builtins(config, enc_hook=str))))
        return DONE
    served = config.served()
    if not served:
        first = next(iter(config.upstreams))
        write = f'write [models.llama] and route = ["{first}"]'
        raise ConfigError(f"{args.file}: models: none has a route, so that nothing would be served; {write}")
    if config.ledger is not None:
        place_of(config.ledger.url)  # as the start would refuse it
    rows = [
        {
            "model": name,
            "aliases": list(model.aliases),
            "upstreams": [f"{upstream} ({config.upstreams[upstream].place})" for upstream in model.route or ()],
            "policy": describe_policy(model, config),
        }
        for name, model in served.items()
    ]
    terminal.write(f"{args.file}: ok; it would listen on http://{authority(config.server.host, config.server.port)}\n")
    terminal.write(table(rows))
    for name, upstream in config.upstreams.items():
        if isinstance(upstream, OpenAIConfig) and upstream.base_url and not has_path(upstream.base_url):
            url = without_credentials(upstream.base_url).rstrip("/")
            terminal.note(f"upstreams.{name}.base_url: {url} has no path; most servers of OpenAI's API answer at {url}/v1")
    return DONE


def _show_defaults(key: str | None, terminal: Terminal) -> int:
    """Print one default, or all of them as TOML. Exit code 1 where the one is not kept."""
    key = None if key is None else defaults.as_key(key)
    if key is not None and key not in defaults.KEYS:
        raise UsageError(f"unknown key {key!r}; keys: {', '.join(defaults.KEYS)}{did_you_mean(key, defaults.KEYS)}")
    kept = {name: value for name, value in msgspec.to_builtins(defaults.load(os.environ)).items() if value is not None}
    if key is None:
        terminal.write(write_toml(kept))
        return DONE
    if key not in kept:
        return FAILED
    value = kept[key]
    terminal.write(f"{str(value).lower() if isinstance(value, bool) else value}\n")
    return DONE


#: Keys of a config that are secrets, or may hold one.
_SECRETS = frozenset({"api_key", "api_keys", "admin_keys", "key", "headers"})


def _shown(value: Any, key: str = "") -> Any:
    """A config as it may be shown: without its keys, and without what has no value."""
    if key in _SECRETS and value:
        return ["***"] * len(value) if isinstance(value, list | tuple) else "***"
    if key in ("state", "url"):  # a query may hold a password, too
        return re.sub(r"(\bpassword=)[^&]*", r"\1***", re.sub(r"(://)[^/@]*@", r"\1***@", value))
    if isinstance(value, dict):
        return {name: _shown(each, name) for name, each in value.items() if each is not None}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value
