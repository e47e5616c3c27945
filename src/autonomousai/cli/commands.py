"""What each command does, and which exit code it ends with. The composition root of the program: of all commands, it imports
the one that is run."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from ..errors import ConfigError, HTTPError, IncompleteStreamError, ProviderError, StatusError
from ..wires.raw_errors import names_unknown_model
from .arguments import KEY_ENV, read_arguments
from .errors import tell
from .exit_codes import FAILED, INCOMPLETE, SETUP, USAGE, UsageError
from .terminal import OutputError, Terminal

if TYPE_CHECKING:
    from .views import JsonView

Command: TypeAlias = Callable[[argparse.Namespace, Terminal], int]


def run(args: argparse.Namespace) -> int:
    """Run one command, and translate whatever ends it into words on stderr and an exit code."""
    terminal = Terminal(sys.stdout, sys.stderr, os.environ)
    try:
        read_arguments(args)
        with terminal.interrupts:
            return command_of(args.command)(args, terminal)
    except UsageError as error:
        terminal.error(str(error), command=" ".join(filter(None, (args.command, getattr(args, "action", None)))))
        return USAGE
    except ProviderError as error:
        if args.command == "chat" and args.json:
            with suppress(OutputError):
                _json_view(terminal).error(error)
        base_url = getattr(args, "base_url", None) or os.environ.get("AUTONOMOUSAI_BASE_URL")
        asks_server = bool(base_url) and hasattr(args, "wire")
        tell(terminal, error, asks_server=asks_server, key_env=getattr(args, "key_env", KEY_ENV))
        return exit_code(error)
    except OutputError as error:
        terminal.error(str(error))
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        received = terminal.end_interrupted()
        if args.command == "chat" and args.json and not terminal.stuck:
            with suppress(OutputError):
                _json_view(terminal).stopped()
        return 128 + received


def exit_code(error: ProviderError) -> int:
    """Whose turn it is: the caller's, the operator's, or a failed request's, with or without a beginning of an answer."""
    if isinstance(error, ConfigError):
        return SETUP
    if not isinstance(error, HTTPError):
        return USAGE
    if isinstance(error, StatusError) and error.status == 404 and names_unknown_model(error):
        return USAGE  # as for a model that is known here not to be there
    return INCOMPLETE if error.partial or isinstance(error, IncompleteStreamError) else FAILED


def command_of(name: str) -> Command:
    """Import what does the command of that name, and return it. What one command needs, most others would wait for in vain."""
    found: Command
    match name:
        case "chat":
            from .chat.command import chat as found  # noqa: PLC0415  only the command that is run
        case "history":
            from .history import history as found  # noqa: PLC0415  only the command that is run
        case "templates":
            from .template_commands import show_templates as found  # noqa: PLC0415  only the command that is run
        case "serve":
            from .serve import serve as found  # noqa: PLC0415  only the command that is run
        case "launch":
            from .launch import launch as found  # noqa: PLC0415  only the command that is run
        case "config":
            from .config_commands import show_config as found  # noqa: PLC0415  only the command that is run
        case "models":
            from .model_commands import models as found  # noqa: PLC0415  only the command that is run
        case "keys":
            from .key_commands import keys as found  # noqa: PLC0415  only the command that is run
        case "pull":
            from .model_commands import pull as found  # noqa: PLC0415  only the command that is run
        case "usage":
            from .usage import usage as found  # noqa: PLC0415  only the command that is run
        case "doctor":
            from .doctor import doctor as found  # noqa: PLC0415  only the command that is run
        case _:
            from .completion import completion as found  # noqa: PLC0415  only the command that is run
    return found


def _json_view(terminal: Terminal) -> JsonView:
    """Return what shows an answer as JSON."""
    from .views import JsonView  # noqa: PLC0415  one form of one command

    return JsonView(terminal)
