"""`autonomousai models` and `pull`: which models there are, here or at a server, what they are, and how they come and go."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from ..clients.openai import OpenAICompatible
from ..config import load_config
from ..engine.hub import HUB, fetch_hub_model, find_hub_model
from ..engine.library import InstalledModel, add_file, find_model_file, free_name, installed_models, offered_models, remove
from ..engine.weights import present, weights_path
from ..errors import ConfigError
from ..http.urls import openai_base_url
from ..models import DEFAULT_WEIGHTS, MODEL_ALIASES, MODELS, WEIGHTS
from ..suggestions import did_you_mean
from .columns import table
from .exit_codes import DONE, UsageError
from .fetching import fetch, weights_for
from .terminal import Terminal, megabytes

_STORES = ("ollama:", "lmstudio:")


def pull(args: argparse.Namespace, terminal: Terminal) -> int:
    """Fetch or register a model; the path of its file is the output."""
    given = args.name or DEFAULT_WEIGHTS
    model = MODEL_ALIASES.get(given, given)
    weights = MODELS[model].weights[0] if model in MODELS else given
    is_file = "/" in given or given.endswith(".gguf")
    if args.copy and not is_file and not given.startswith(_STORES):
        raise UsageError("--copy is for files: what is fetched is kept here anyway")
    if args.name_as and weights in WEIGHTS:
        raise UsageError(f"--name is for models of your own: {weights} has its name")
    if given.startswith(HUB):
        path = _pull_from_hub(given, args.name_as, terminal)
    elif given.startswith(_STORES):
        stored = find_model_file(given)
        path = _register(stored, args.name_as or given.partition(":")[2], args.copy, terminal)
    elif is_file:
        path = _register(InstalledModel("", Path(given), given), args.name_as, args.copy, terminal)
    elif weights in WEIGHTS:
        if present(weights):
            terminal.note(f"{weights} is here already")
        path = Path(fetch(weights, terminal))
    else:
        raise UsageError(
            f"there is no model and there are no weights called {given!r}; there are: {', '.join((*WEIGHTS, *MODELS))}; "
            f"or give the path of a GGUF file, or hf:OWNER/REPO{did_you_mean(given, (*WEIGHTS, *MODELS, *MODEL_ALIASES))}"
        )
    terminal.write(f"{path}\n")
    return DONE


def _register(found: InstalledModel, name: str | None, copy: bool, terminal: Terminal) -> Path:
    model = add_file(found.path, name=name, copy=copy, projector=found.projector)
    terminal.note(f"{model.name} is {'a copy of ' + str(found.path) if copy else 'this file, which stays where it is'}")
    return model.path


def _pull_from_hub(reference: str, name: str | None, terminal: Terminal) -> Path:
    found = find_hub_model(reference)
    name = free_name(name or found.name, found.source)
    installed = installed_models().get(name)
    if installed is not None and installed.path.is_file():
        terminal.note(f"{name} is here already")
        return installed.path
    terminal.note(f"{name}: {found.source}, {megabytes(found.size)} (licence: {found.licence or 'its card states none'})")
    with terminal.progress(f"fetching {name}", found.size) as progress:
        model = fetch_hub_model(found, name=name, progress=progress)
    terminal.note(f"fetched {name}")
    return model.path


def models(args: argparse.Namespace, terminal: Terminal) -> int:
    """List the models of this machine or of a server, or the weights; or list, show or remove the installed ones."""
    if args.action is not None:
        return _ACTIONS[args.action](args, terminal)
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
        async with OpenAICompatible(openai_base_url(base_url), api_key=api_key) as server:
            return [{"model": entry.id, "aliases": entry.aliases} for entry in await server.list_models()]


# ---- the installed ones


def _list(args: argparse.Namespace, terminal: Terminal) -> int:
    installed, offered = installed_models(_models_dir(args)), offered_models()
    rows = [_row(model) for model in (*installed.values(), *offered.values())]
    if args.json:
        terminal.write(msgspec.json.encode(rows).decode() + "\n")
        return DONE
    if rows:
        hidden = ("path", "architecture", "parameters", "offered", "files", "problem", "sha256")
        terminal.write(table(rows, without=hidden))
    if not installed:
        terminal.note("no model is installed yet; `autonomousai pull` fetches one")
    if offered:
        terminal.note(f"use what another program keeps by its name: autonomousai chat --weights {next(iter(offered))}")
    for row in rows:
        if row["problem"]:
            terminal.note(row["problem"])
    return DONE


def _show(args: argparse.Namespace, terminal: Terminal) -> int:
    row = _row(find_model_file(args.name, _models_dir(args)))
    if args.json:
        terminal.write(msgspec.json.encode(row).decode() + "\n")
        return DONE
    told = {name: value for name, value in row.items() if value not in ("", None, []) and name != "offered"}
    width = max(map(len, told))
    for name, value in told.items():
        terminal.write(f"{name.ljust(width)}  {_words(name, value)}\n")
    return DONE


def _remove(args: argparse.Namespace, terminal: Terminal) -> int:
    model = find_model_file(args.name, _models_dir(args))
    deleted = remove(args.name, _models_dir(args))
    if not deleted:
        terminal.note(f"{args.name} is no model any more; its file stays: {model.path}")
    for path in deleted:
        terminal.write(f"{path}\n")
    return DONE


_ACTIONS = {"list": _list, "show": _show, "remove": _remove}


def _models_dir(args: argparse.Namespace) -> str | None:
    return load_config(args.config, os.environ).engine.models_dir if args.config else None


def _row(model: InstalledModel) -> dict[str, Any]:
    """Return what is known of a model. Of a file that cannot be read, why."""
    row: dict[str, Any] = {
        "name": model.name,
        "size": None,
        "quantisation": "",
        "context": None,
        "can": [],
        "licence": model.licence,
        "from": model.source,
        "path": str(model.path),
        "architecture": "",
        "parameters": None,
        "files": [],
        "sha256": model.sha256,
        "offered": model.offered,
        "problem": "",
    }
    try:
        file = model.read()
    except ConfigError as error:
        return row | {"problem": str(error)}
    return row | {
        "size": file.size,
        "quantisation": file.quantisation,
        "context": file.context or None,
        "can": file.abilities,
        "licence": model.licence or file.licence,
        "architecture": file.architecture,
        "parameters": file.parameters,
        "files": [str(part) for part in file.parts],
    }


def _words(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if name == "size":
        return f"{megabytes(value)} ({value:,} bytes)"
    return f"{value:,}{' tokens' if name == 'context' else ''}" if isinstance(value, int) else str(value)
