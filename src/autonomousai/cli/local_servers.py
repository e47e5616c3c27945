"""Servers of models that run on this machine: Ollama, llama-server, LM Studio, vLLM, and this package's own.

They are looked for on their usual ports on request, recognized by what they answer, and asked for no more than their list of
models. No key is sent. `AUTONOMOUSAI_FIND_PORTS` names other ports.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec

from ..clients.openai import OpenAICompatible
from ..clients.vendors import VENDORS, VendorName, vendor_by_owner
from ..config import Config, ModelConfig, OpenAIConfig
from ..errors import ConfigError, HTTPError
from ..models import MODEL_ALIASES, MODELS
from ..timeouts import Clocks
from ..wires.json import decode

#: The ports of Ollama, llama-server, LM Studio and vLLM, unless they were told otherwise.
PORTS: Final = (11434, 8080, 1234, 8000)

_VARIABLE: Final = "AUTONOMOUSAI_FIND_PORTS"
_OWN: Final = "autonomousai"
_OLLAMA: Final[VendorName] = "ollama"

#: On this machine an answer is there at once, or does not come.
_CLOCKS: Final = Clocks(connect=0.5, first_token=2, idle=1, total=3)


class LocalServer(msgspec.Struct, frozen=True):
    """A server that answered. ``vendor``: whose, None for this package's own; ``models``: those that it lists."""

    title: str
    base_url: str
    vendor: VendorName | None
    models: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.vendor or _OWN

    def said(self, verb: str) -> str:
        """Return who it is, where, and with which models, in words."""
        shown = ", ".join(self.models[:3]) + (f" and {len(self.models) - 3} more" if len(self.models) > 3 else "")
        comma = "," if verb.startswith("which") else ""
        return f"{self.title}{comma} {verb} at {self.base_url} with {shown or 'no model yet'}"


async def find_servers() -> list[LocalServer]:
    """Return the servers on this machine that are known by their answers, in the order of their ports. Raises `ConfigError`
    for a variable that names no ports."""
    found = await asyncio.gather(*(_look_at(port) for port in find_ports()))
    return [server for server in found if server is not None]


async def find_one() -> list[LocalServer]:
    """Return those that have a model, at least one. Raises `ConfigError` where there is none."""
    if found := [server for server in await find_servers() if server.models]:
        return found
    raise ConfigError(
        f"no server with a model was found on this machine ({said_ports()}); "
        "start one, or leave out --find to use the engine here"
    )


def reach_directly(env: MutableMapping[str, str]) -> None:
    """Except this machine from the proxies of *env*, which child processes inherit: what was found is on it."""
    variable = "no_proxy" if "no_proxy" in env else "NO_PROXY"
    env[variable] = ",".join(filter(None, (env.get(variable), "127.0.0.1")))


def said_ports() -> str:
    """Return the ports in words."""
    ports = find_ports()
    return f"port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"


def with_servers(config: Config, servers: list[LocalServer]) -> Config:
    """Return *config*, and in it the models of other programs' servers, by their names, unless these are in use."""
    upstreams, models = dict(config.upstreams), dict(config.models)
    taken = {*MODELS, *MODEL_ALIASES, *models, *(alias for model in models.values() for alias in model.aliases)}
    for server in servers:
        names = [name for name in server.models if name not in taken]
        if server.vendor is None or not names:
            continue
        upstream = next(name for name in _names_for(server) if name not in upstreams)
        upstreams[upstream] = OpenAIConfig(base_url=server.base_url, vendor=server.vendor)
        models |= {name: ModelConfig(route=(upstream,)) for name in names}
        taken.update(names)
    return msgspec.structs.replace(config, upstreams=upstreams, models=models)


def _names_for(server: LocalServer) -> tuple[str, ...]:
    return (server.name, f"{server.name}-{server.base_url.rpartition(':')[2].removesuffix('/v1')}")


def find_ports() -> tuple[int, ...]:
    """Return the ports that are looked at. Raises `ConfigError` for a variable that names none."""
    if not (given := os.environ.get(_VARIABLE)):
        return PORTS
    try:
        ports = tuple(dict.fromkeys(int(port) for port in given.split(",")))
    except ValueError:
        ports = ()
    if not ports or not all(0 < port < 65536 for port in ports):
        raise ConfigError(f"{_VARIABLE} is {given[:100]!r}, which names no ports; write them as in 11434,8080")
    return ports


async def _look_at(port: int) -> LocalServer | None:
    root = f"http://127.0.0.1:{port}"
    async with OpenAICompatible(f"{root}/v1", api_key="", timeout=_CLOCKS, retries=0, trust_env=False) as server:
        try:
            listed = await server.list_models()
        except HTTPError:
            return None
    names = tuple(model.id for model in listed)
    owners = {model.owned_by for model in listed}
    if _OWN in owners:
        return LocalServer("autonomousai", f"{root}/v1", None, names)
    vendor = vendor_by_owner(owners)
    if vendor is None and await _is_ollama(root):  # an own model's owner is its author
        vendor = _OLLAMA
    return None if vendor is None else LocalServer(VENDORS[vendor].title, f"{root}/v1", vendor, names)


async def _is_ollama(root: str) -> bool:
    async with OpenAICompatible(root, api_key="", timeout=_CLOCKS, retries=0, trust_env=False) as server:
        try:
            version: Any = decode(await server.fetch("/api/version"))
        except (HTTPError, ValueError, RecursionError):
            return False
    return isinstance(version, dict) and isinstance(version.get("version"), str)
