"""``autonomousai launch``: start a coding agent against an `autonomousai` server. An agent is a row of `agents.PROGRAMS`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, Final

from ..clients.openai import OpenAICompatible
from ..config import Config, load_config
from ..errors import ConfigError, ConnectError, HTTPError, ModelNotFoundError, StatusError
from ..http.urls import check_base_url, openai_base_url
from ..models import DEFAULT_MODEL
from ..wires.model_list import ModelEntry
from .agents import PROGRAMS, AgentProgram, LaunchTarget
from .chat.served import OTHER
from .child_processes import own_server, run_child
from .exit_codes import DONE, UsageError
from .fetching import fetch_missing
from .terminal import Terminal

#: Where a server without a config listens.
DEFAULT_SERVER: Final = "http://127.0.0.1:8000"

#: What is sent where no key is known: the agents refuse to start without one.
_NO_KEY: Final = "none"

#: Seconds that an address which was not named may take to say that a server is there.
_LOOK_SECONDS: Final = 5

#: What servers call the tokens of a prompt and its answer together, in their lists of models.
_CONTEXTS: Final = ("context_length", "max_model_len", "context_window")


def launch(args: argparse.Namespace, terminal: Terminal) -> int:
    """Start the agent that *args* name, and return its exit code."""
    program = PROGRAMS[args.program]
    base_url = args.base_url or os.environ.get("AUTONOMOUSAI_BASE_URL") or None
    if base_url and args.config:
        raise UsageError("--config is for a server that is started; it does not go with --base-url")
    api_key = args.api_key or os.environ.get("AUTONOMOUSAI_API_KEY") or _NO_KEY
    if args.print:
        target = _printed_target(args, base_url, api_key, terminal)
        _warn_of_context(program, target, terminal)
        _print(args, target, terminal)
        return DONE
    found = shutil.which(args.program)
    if found is None:
        raise ConfigError(
            f"{program.title} is not installed: no program {args.program!r} is on the PATH; run: {program.install}"
        )
    with _server(args, base_url, api_key, terminal) as target:
        _warn_of_context(program, target, terminal)
        terminal.interrupts.restore()
        return run_child([found, *program.command_line(target, args.passed_on)], {**os.environ, **program.variables(target)})


def _warn_of_context(program: AgentProgram, target: LaunchTarget, terminal: Terminal) -> None:
    if target.context is not None and target.context < program.tokens:
        terminal.note(
            f"the context of {target.model} is too small: it has {target.context:,} tokens, and {program.title} needs "
            f"about {program.tokens:,} to work with; name another model with --model"
        )


@contextmanager
def _server(args: argparse.Namespace, base_url: str | None, api_key: str, terminal: Terminal) -> Iterator[LaunchTarget]:
    """Yield the server that is named, the one that runs on this machine, or one that lives as long as the block."""
    listed = None
    if base_url:
        listed = _list_named(base_url, api_key, terminal)
    elif not args.config:
        listed = _look(openai_base_url(DEFAULT_SERVER), api_key, terminal)
    if base_url or listed is not None:
        yield _choose(openai_base_url(base_url or DEFAULT_SERVER), api_key, args, listed or [])
        return
    config = load_config(args.config, os.environ)
    fetch_missing(config, terminal)
    if api_key == _NO_KEY and (keys := _own_keys(config)):
        api_key = keys[0]
    with own_server(args.config, terminal) as url:
        terminal.note(f"started a server on {url}, until {PROGRAMS[args.program].title} ends")
        yield _choose(openai_base_url(url), api_key, args, _list(openai_base_url(url), api_key, terminal))


def _own_keys(config: Config) -> list[str]:
    """Return the keys that a server with *config* takes: those without a name, which have no limits, first."""
    named = [key.key for key in config.keys.values() if key.key is not None and not key.disabled]
    return [*config.server.api_keys, *named]


def _printed_target(args: argparse.Namespace, base_url: str | None, api_key: str, terminal: Terminal) -> LaunchTarget:
    """Return what would be launched against; nothing is started for it, and a server that is away is no error."""
    url = openai_base_url(base_url or DEFAULT_SERVER)
    listed = None if args.config else _look(url, api_key, terminal)
    if listed is None:
        unseen = f"no server answers at {url}" + ("" if base_url else "; without --print, one is started")
        terminal.note("without --print, a server is started with the config, on a free port" if args.config else unseen)
        return LaunchTarget(url, api_key, args.model or DEFAULT_MODEL)
    return _choose(url, api_key, args, listed)


def _choose(url: str, api_key: str, args: argparse.Namespace, listed: Sequence[ModelEntry]) -> LaunchTarget:
    """Return the target for the model that is named, which the server has to have where it lists any; else for the first that
    chats and has the context which the agent needs, as far as the server says."""
    model = args.model
    if not listed:
        if not model:
            raise UsageError(f"{check_base_url(url)} lists no models: name one with --model")
        return LaunchTarget(url, api_key, model)
    chatting = [each for each in listed if model or not OTHER.search(each.id)] or listed
    roomy = [each for each in chatting if (_context(each.fields) or inf) >= PROGRAMS[args.program].tokens]
    entry = next((each for each in (*roomy, *chatting) if model in ("", each.id, *each.aliases)), None)
    if entry is None:
        raise ModelNotFoundError(model, [each.id for each in listed])
    return LaunchTarget(url, api_key, model or entry.id, _context(entry.fields))


def _context(fields: Any) -> int | None:
    return next((value for name in _CONTEXTS if isinstance(value := fields.get(name), int) and value > 0), None)


def _list(url: str, api_key: str, terminal: Terminal, **options: Any) -> list[ModelEntry]:
    async def fetch() -> list[ModelEntry]:
        with terminal.interrupts.cancel_main():
            async with OpenAICompatible(url, api_key=None if api_key == _NO_KEY else api_key, **options) as server:
                return await server.list_models()

    return asyncio.run(fetch())


def _list_named(base_url: str, api_key: str, terminal: Terminal) -> list[ModelEntry]:
    """Return the models of a server that the user has named. Raises `HTTPError` where it cannot be used."""
    try:
        return _list(openai_base_url(base_url), api_key, terminal)
    except StatusError as error:
        if error.status == 404:  # a server without a list
            return []
        raise


def _look(url: str, api_key: str, terminal: Terminal) -> list[ModelEntry] | None:
    """Return the models of the server at *url*, None where there is none, or something else."""
    try:
        return _list(url, api_key, terminal, retries=0, timeout=_LOOK_SECONDS, trust_env=url != openai_base_url(DEFAULT_SERVER))
    except ConnectError:
        return None
    except StatusError as error:
        if error.status in (401, 403):
            raise
        return None
    except HTTPError:
        return None


def _print(args: argparse.Namespace, target: LaunchTarget, terminal: Terminal) -> None:
    """Write the command with its variables, as a shell reads them; the key is hidden unless it is asked for."""
    if target.api_key != _NO_KEY and not args.show_key:
        target = target._replace(api_key="***")
    program = PROGRAMS[args.program]
    variables = [f"{name}={shlex.quote(value)}" for name, value in program.variables(target).items()]
    command = shlex.join([args.program, *program.command_line(target, args.passed_on)])
    terminal.write(" \\\n".join([*variables, command]) + "\n")
