"""`autonomousai doctor`: what is installed here, who answers, what an upstream can do. Tells what was seen, and never a key."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from .. import __version__
from ..clients.autonomousai import AutonomousAI
from ..clients.openai import OpenAICompatible
from ..clients.vendors import ANTHROPIC_VENDOR, is_anthropics, vendor_at, vendor_of
from ..config import load_config
from ..engine.weights import present, weights_path
from ..errors import ConfigError, ProviderError
from ..http.urls import check_base_url, openai_base_url, without_credentials
from ..models import HOSTED, MODELS, WEIGHTS
from ..timeouts import Clocks
from .columns import table
from .errors import in_words
from .exit_codes import DONE, FAILED, SETUP
from .fetching import weights_for
from .local_servers import LocalServer, find_servers, said_ports
from .probe import Finding, Probe
from .routes import describe_policy
from .terminal import Terminal, megabytes, printable
from .toml import write_toml

#: A service that answers at all does so within these; a person waits no longer to learn that it does not.
_CLOCKS: Final = Clocks(connect=5, first_token=15, idle=10, total=25)

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*).*?;.*extra == ['\"]([\w-]+)['\"]")
#: Columns where no terminal says how many: cells hold sentences, and one of them would stretch every row.
_PIPED: Final = 120
#: Extras for who works on this package, and the one that stands for all.
_NOT_FOR_USERS: Final = frozenset({"dev", "docs", "sample", "all"})


def doctor(args: argparse.Namespace, terminal: Terminal) -> int:
    """Look, and tell."""
    if args.upstream:
        return asyncio.run(_upstream(args, terminal))
    routes = _routes(args.config) if args.config else []
    findings, code = asyncio.run(_here(terminal, args.base_url, args.api_key, asks_hosted=args.hosted))
    findings += routes
    if args.json:
        terminal.write(msgspec.json.encode({"findings": findings}).decode() + "\n")
    else:
        terminal.write(_table(findings, terminal))
    return code


def _table(findings: list[Finding], terminal: Terminal) -> str:
    return table(
        [
            {"check": each.check, "result": each.result, "found": printable(each.found), "how": printable(each.how)}
            for each in findings
        ],
        width=terminal.columns() if terminal.out_is_terminal else _PIPED,
    )


# ---- an upstream


async def _upstream(args: argparse.Namespace, terminal: Terminal) -> int:
    key, variable = _key(args)
    probe = Probe(args.upstream, api_key=key, model=args.model)
    spinner = terminal.spinner(f"asking {without_credentials(probe.base_url)}")
    try:
        with terminal.interrupts.cancel_main():
            await probe.run()
    finally:
        spinner.stop()
    named = variable or probe.row.key_env or "UPSTREAM_API_KEY"
    section = _section(probe, terminal, named=named if key else "") if probe.answers else None
    if args.json:
        document: dict[str, Any] = {
            "upstream": without_credentials(probe.base_url),
            "model": probe.model,
            "findings": probe.findings,
        }
        terminal.write(msgspec.json.encode({**document, "config": section}).decode() + "\n")
    else:
        terminal.write(_table(probe.findings, terminal))
        if section:
            terminal.write(f"\n# for a config of `autonomousai serve --config FILE`\n{section}")
    return DONE if probe.answers else FAILED


def _key(args: argparse.Namespace) -> tuple[str | None, str]:
    """Return the key that the upstream is asked with, and the variable that it came from: none where it is the option's, that
    of the vendor whose address it is, or this package's own."""
    url = check_base_url(args.upstream, query=True)
    variable = ANTHROPIC_VENDOR.key_env if is_anthropics(url) else vendor_of(vendor_at(url)).key_env
    if args.api_key is not None:
        return args.api_key or None, ""
    if variable and os.environ.get(variable):
        return os.environ[variable], variable
    return os.environ.get("AUTONOMOUSAI_API_KEY") or None, "AUTONOMOUSAI_API_KEY"


def _section(probe: Probe, terminal: Terminal, *, named: str) -> str | None:
    """Return the section of a config that says what was found out, and a route to it. ``named``: the variable of the key."""
    settings = dict(probe.settings)
    ordered: dict[str, Any] = {name: settings.pop(name) for name in ("kind", "vendor", "base_url") if name in settings}
    if named and named != probe.row.key_env:
        ordered["api_key"] = f"env:{named}"
    try:
        return write_toml({"upstreams": {probe.name: {**ordered, **settings}}, "models": {"llama": {"route": [probe.name]}}})
    except ConfigError as error:
        terminal.note(str(error))  # what was found out is worth its table
        return None


# ---- this machine


async def _here(
    terminal: Terminal, base_url: str | None, api_key: str | None, *, asks_hosted: bool
) -> tuple[list[Finding], int]:
    named_by = "--base-url" if base_url else "AUTONOMOUSAI_BASE_URL"
    base_url = base_url or os.environ.get("AUTONOMOUSAI_BASE_URL")
    spinner = terminal.spinner("calling the hosted service" if asks_hosted else "looking for servers")
    try:
        with terminal.interrupts.cancel_main():
            hosted, server, local = await asyncio.gather(
                _hosted(asks_hosted), _server(base_url, named_by, api_key), find_servers()
            )
    finally:
        spinner.stop()
    engine = _engine()
    findings = [
        Finding("package", "yes", f"autonomousai {__version__}", str(Path(__file__).parents[1])),
        Finding("Python", "yes", f"{platform.python_version()} on {platform.platform(terse=True)}", sys.executable),
        *_extras(),
        engine,
        *_weights(),
        hosted,
        server,
        *_local(local),
    ]
    if base_url:
        return findings, DONE if server.result == "yes" else FAILED
    ready = engine.result == "yes" and any(map(present, WEIGHTS))
    return findings, DONE if ready else SETUP


def _extras() -> Iterator[Finding]:
    """Each extra, by what the installed package says that it is made of."""
    parts: dict[str, list[str]] = {}
    try:
        for line in metadata.requires("autonomousai") or ():
            if match := _REQUIREMENT.match(line):
                parts.setdefault(match[2], []).append(match[1])
    except metadata.PackageNotFoundError:
        yield Finding("extras", "unknown", "the package was not installed by pip", "its metadata")
    for extra, names in parts.items():
        names = [name for name in names if name != "autonomousai"]
        if extra in _NOT_FOR_USERS or not names:
            continue
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        here = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
        how = f"pip install 'autonomousai[{extra}]' brings {', '.join(missing)}" if missing else "installed"
        yield Finding(f"extra {extra}", "no" if missing else "yes", here or "nothing of it", how)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _engine() -> Finding:
    if importlib.util.find_spec("xllamacpp") is None:
        return Finding("engine", "no", "not installed", "pip install 'autonomousai[local]'")
    return Finding("engine", "yes", f"llama.cpp by xllamacpp {_version('xllamacpp')}", "installed")


def _weights() -> Iterator[Finding]:
    for name, row in WEIGHTS.items():
        plays = ", ".join(model for model in MODELS if weights_for(model) == name)
        if present(name):
            found = f"{megabytes(row.size)}; answers as {plays}" if plays else megabytes(row.size)
            yield Finding(f"weights {name}", "yes", found, str(weights_path(name)))
        else:
            yield Finding(f"weights {name}", "no", f"not here ({megabytes(row.size)})", f"autonomousai pull {name}")


def _local(servers: list[LocalServer]) -> Iterator[Finding]:
    """The servers of models that run on this machine, each with what asks it."""
    for number, server in enumerate(servers, 1):
        how = f"autonomousai chat --base-url {server.base_url}"
        yield Finding(f"local server {number}", "yes", server.said("runs"), how)
    if not servers:
        yield Finding("local servers", "no", f"none on {said_ports()}", "GET /v1/models on this machine")


def _routes(path: Path) -> list[Finding]:
    """How the upstreams of each model are asked that the config at *path* would serve. Raises `ConfigError`."""
    config = load_config(path, os.environ)
    return [
        Finding(f"route of {name}", "yes", describe_policy(model, config), " > ".join(model.route or ()))
        for name, model in config.served().items()
    ]


async def _hosted(asks: bool) -> Finding:
    """Whether the hosted service answers a question: what `working` would be, as far as this machine can see. It is on another
    machine, and is called on request alone."""
    if not asks:
        return Finding("hosted service", "unknown", "not called", "autonomousai doctor --hosted")
    how = f"POST {HOSTED}/api/v1/ai/chat"
    began = time.monotonic()
    async with AutonomousAI(HOSTED, api_key="", timeout=_CLOCKS, retries=0) as provider:
        asked = provider.create_async_generator(
            "llama", [{"role": "user", "content": "Say hello."}], stream=True, max_tokens=16
        )
        try:
            text = await asked.text()
        except ProviderError as error:
            return Finding("hosted service", "no", f"working would be False: {in_words(error)}", how)
    seconds = time.monotonic() - began
    if not text.strip():
        return Finding("hosted service", "no", "working would be False: it answered with no text", how)
    return Finding("hosted service", "yes", f"working would be True: it answered in {seconds:.1f} s", how)


async def _server(base_url: str | None, named_by: str, api_key: str | None) -> Finding:
    """Whether the server answers that *named_by*, an option or the environment, names."""
    if not base_url:
        return Finding("server", "unknown", "none is named", "AUTONOMOUSAI_BASE_URL is not set")
    began = time.monotonic()
    key = api_key or os.environ.get("AUTONOMOUSAI_API_KEY") or None
    try:
        root = openai_base_url(base_url).removesuffix("/v1")
        async with OpenAICompatible(openai_base_url(base_url), api_key=key, timeout=_CLOCKS, retries=0) as server:
            models = await server.fetch_models()
    except ProviderError as error:
        return Finding("server", "no", in_words(error), f"GET /v1/models at {named_by}")
    found = f"{without_credentials(root)} lists {len(models)} models, in {1000 * (time.monotonic() - began):.0f} ms"
    return Finding("server", "yes", found, f"GET /v1/models at {named_by}")
