"""``autonomousai serve``: the config, what it needs fetched, and then the server."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Callable

from ..config import Config, load_config
from ..errors import ConfigError
from .terminal import Terminal


def serve(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the server until it is stopped, and return its exit code."""
    if args.config is not None:  # it means to read the file again, which is read in a moment anyway
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        from ..workers.main import run as run_server  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__ or "?"):
            raise
        raise ConfigError("the server is not installed; run: pip install 'autonomousai[server]'") from None
    complete = _find(terminal) if args.find else _as_it_is

    def load() -> Config:
        return complete(load_config(args.config, os.environ))

    def prepare(config: Config) -> None:
        if any(upstream.runs_engine or upstream.weights_needed for upstream in config.upstreams.values()):
            from .fetching import fetch_missing  # noqa: PLC0415  the engine's files come with it

            fetch_missing(config, terminal)
        terminal.interrupts.restore()  # from here on the server minds the signals

    given = {"host": args.host, "port": args.port, "log": args.log}
    again = None if args.config is None else load
    return run_server(load(), workers=args.workers, load=again, prepare=prepare, **given)


def _as_it_is(config: Config) -> Config:
    return config


def _find(terminal: Terminal) -> Callable[[Config], Config]:
    """Look for servers on this machine, say which there are, and return what adds their models to a config."""
    # Of one option, and a client comes with it.
    from .local_servers import find_servers, reach_directly, said_ports, with_servers  # noqa: PLC0415

    found = asyncio.run(find_servers())
    reach_directly(os.environ)
    if not found:
        terminal.note(f"no other server was found on this machine ({said_ports()})")
    for server in found:
        terminal.note(f"{server.said('runs')}; its models are served by their names")
    return lambda config: with_servers(config, found)
