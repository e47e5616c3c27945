"""What the words of the command line do, and which exit code they end with. The composition root of the program."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from .chat import Desk, Settings, UsageError, ask_once, check_text, fetch, read_prompt, require_engine, weights_for
from .config import Config, LlamaCppConfig, load_config
from .errors import ConfigError, HTTPError, IncompleteStreamError, ProviderError, StreamError
from .models import DEFAULT_WEIGHTS, MODEL_ALIASES, MODELS, WEIGHTS
from .providers.openai import OpenAICompatible
from .providers.weights import present, weights_path
from .repl import converse
from .terminal import JsonView, OutputError, Terminal, megabytes

DONE, FAILED, USAGE, SETUP, INCOMPLETE = range(5)


def run(args: argparse.Namespace) -> int:
    """Run one command, and translate whatever ends it into words on stderr and an exit code."""
    terminal = Terminal(sys.stdout, sys.stderr, os.environ)
    try:
        with terminal.interrupts:
            return COMMANDS[args.command](args, terminal)
    except UsageError as error:
        terminal.error(str(error), command=args.command)
        return USAGE
    except ProviderError as error:
        if args.command == "chat" and args.json:
            with suppress(OutputError):
                JsonView(terminal).error(error)
        terminal.error(str(error))
        return exit_code(error)
    except OutputError as error:
        terminal.error(str(error))
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 128 + terminal.end_interrupted()


def exit_code(error: ProviderError) -> int:
    """Whose turn it is: the caller's, the operator's, or a failed request's, with or without a beginning of an answer."""
    if isinstance(error, ConfigError):
        return SETUP
    if not isinstance(error, HTTPError):
        return USAGE
    return INCOMPLETE if error.partial or isinstance(error, IncompleteStreamError) else FAILED


def chat(args: argparse.Namespace, terminal: Terminal) -> int:
    """One answer, or a conversation."""
    base_url = args.base_url or os.environ.get("AUTONOMOUSAI_BASE_URL") or None
    for option, value in (("--api-key", args.api_key), ("--proxy", args.proxy)):
        if value and not base_url:
            raise UsageError(f"{option} is for a server: name it with --base-url")
    check_text(args.system or "", "--system")
    prompt = read_prompt(args.prompt, sys.stdin, terminal)
    fields = {"temperature": args.temperature, "max_tokens": args.max_tokens, "seed": args.seed}
    settings = Settings(
        model=args.model,
        system=args.system,
        fields={name: value for name, value in fields.items() if value is not None},
        stream=args.stream,
        json=args.json,
        base_url=base_url,
        api_key=args.api_key,
        proxy=args.proxy,
    )
    desk = Desk(settings, terminal)
    desk.prepare()
    asyncio.run(converse(desk) if prompt is None else ask_once(desk, prompt))
    return DONE


def serve(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the server until it is told to stop; its exit code is ours."""
    try:
        from .server.serve import run as run_server  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__ or "?"):
            raise
        raise ConfigError("the server is not installed; run: pip install 'autonomousai[server]'") from None
    config = load_config(args.config, os.environ)
    fetch_missing(config, terminal)
    terminal.interrupts.restore()  # from here on the server minds the signals
    return run_server(config, host=args.host, port=args.port, workers=args.workers, log=args.log)


def fetch_missing(config: Config, terminal: Terminal) -> None:
    """Fetch the weights of the engines that *config* names, where they are missing."""
    engines = [upstream for upstream in config.upstreams.values() if isinstance(upstream, LlamaCppConfig)]
    if engines:
        require_engine()
    for weights in dict.fromkeys(engine.weights for engine in engines):
        if weights in WEIGHTS and not present(weights):
            fetch(weights, terminal)


def pull(args: argparse.Namespace, terminal: Terminal) -> int:
    """Fetch weights; the path of the file is the output."""
    name = args.name or DEFAULT_WEIGHTS
    model = MODEL_ALIASES.get(name, name)
    weights = MODELS[model].weights[0] if model in MODELS else name
    if weights not in WEIGHTS:
        raise UsageError(
            f"there is no model and there are no weights called {name!r}; there are: {', '.join((*WEIGHTS, *MODELS))}"
        )
    if present(weights):
        terminal.note(f"{weights} is here already")
    terminal.write(f"{fetch(weights, terminal)}\n")
    return DONE


def models(args: argparse.Namespace, terminal: Terminal) -> int:
    """List the models of this machine or of a server, or the weights."""
    if args.weights and args.base_url:
        raise UsageError("--weights lists what this machine has; it does not go with --base-url")
    base_url = args.base_url or os.environ.get("AUTONOMOUSAI_BASE_URL")
    if args.weights:
        rows = _weights_rows()
    elif base_url:
        rows = asyncio.run(_server_rows(base_url, args.api_key or os.environ.get("AUTONOMOUSAI_API_KEY"), terminal))
    else:
        rows = _model_rows()
    if args.json:
        terminal.write(msgspec.json.encode(rows).decode() + "\n")
        return DONE
    terminal.write(table(rows, without=("description", "path")))
    if not args.weights and not base_url:
        for model, row in MODELS.items():
            if row.weights[0] != weights_for(model):
                terminal.note(f"`autonomousai pull {model}` fetches better weights for {model}: {row.weights[0]}")
    return DONE


def _model_rows() -> list[dict[str, Any]]:
    return [
        {"model": name, "aliases": [row.alias], "weights": weights_for(name), "present": present(weights_for(name))}
        for name, row in MODELS.items()
    ]


def _weights_rows() -> list[dict[str, Any]]:
    return [
        {
            "weights": name,
            "size": row.size,
            "present": present(name),
            "licence": row.licence,
            "description": row.description,
            "path": str(weights_path(name)),
        }
        for name, row in WEIGHTS.items()
    ]


async def _server_rows(base_url: str, api_key: str | None, terminal: Terminal) -> list[dict[str, Any]]:
    with terminal.interrupts.cancel_main():
        async with OpenAICompatible(f"{base_url.rstrip('/')}/v1", api_key=api_key) as server:
            body = await server.fetch("/models")
    try:
        return [{"model": entry.id, "aliases": entry.aliases} for entry in msgspec.json.decode(body, type=_Listing).data]
    except msgspec.DecodeError as error:
        raise StreamError(f"the server's list of models cannot be read: {error}", status=200) from None


class _Entry(msgspec.Struct):
    id: str
    aliases: list[str] = []


class _Listing(msgspec.Struct):
    data: list[_Entry]


def table(rows: list[dict[str, Any]], *, without: tuple[str, ...] = ()) -> str:
    """*rows* in columns, with a heading; sizes and yes or no as people write them. ``without``: what only JSON tells."""
    keys = [key for key in (rows or [{}])[0] if key not in without]
    cells = [[key.upper() for key in keys], *([_cell(key, row[key]) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "\n".join(lines) + "\n"


def _cell(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return megabytes(value) if key == "size" else str(value)


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "chat": chat,
    "serve": serve,
    "models": models,
    "pull": pull,
}
