"""What `serve` says on stderr once it is ready: what is served, where, by whom, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._version import __version__
from ..config import Config
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..settings import asks_key
from ..wires.registry import WIRES


def banner(config: Config, provider: AsyncGeneratorProvider, url: str) -> str:
    """Lines for people, without a key or anything of one."""
    return "\n".join(_lines(config, provider, url)) + "\n"


def _lines(config: Config, provider: AsyncGeneratorProvider, url: str) -> Iterator[str]:
    yield f"autonomousai {__version__} serves"
    keys = len(config.server.api_keys) + len(config.keys)
    yield from _table(
        {
            **{wire.title: url + wire.root for wire in WIRES.values()},
            "a page to chat": f"{url}/",
            "metrics": f"{url}/metrics",
            "keys": f"{keys}: callers send one as a bearer key"
            if asks_key(config.server, config.keys)
            else "none are required; only this machine can connect",
        }
    )
    yield "models, and the upstreams that answer for them, in this order:"
    yield from _table({model: ", ".join(names) or "-" for model, names in _routes(provider).items()})
    if described := _upstreams(provider):
        yield "upstreams:"
        yield from _table(described)


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        yield f"  {name:<{width}}  {text}"


def _routes(provider: AsyncGeneratorProvider) -> Mapping[str, Sequence[str]]:
    routes = getattr(provider, "routes", None)
    if routes is not None:
        return {model: [upstream.name for upstream in upstreams] for model, upstreams in routes.items()}
    return dict.fromkeys(provider.get_models(), ()) if isinstance(provider, ProviderModelMixin) else {}


def _upstreams(provider: AsyncGeneratorProvider) -> Mapping[str, str]:
    """A gateway's upstreams that are on a route, and what each of them is."""
    used = {name for names in _routes(provider).values() for name in names}
    upstreams: Mapping[str, Any] = getattr(provider, "upstreams", {})
    return {name: _about(upstream.provider) for name, upstream in upstreams.items() if name in used}


def _about(provider: AsyncGeneratorProvider) -> str:
    weights = getattr(provider, "weights", None)
    return f"the embedded engine, with the weights {weights}" if weights else provider.url
