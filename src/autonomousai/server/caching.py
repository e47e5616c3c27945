"""Which requests may get an answer that was given before, and what theirs is kept under.

The name is made of everything that an answer depends on: the API, the model and the upstreams of its route, all of the request,
and the caller's key, unless callers share answers. ``Cache-Control`` of a request (RFC 9111, section 5.2.1) is heeded:
``no-store`` keeps nothing and gives nothing that was kept, ``no-cache`` has the answer made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ..caching.opening import open_cache
from ..caching.provider import CachingProvider
from ..http.server.exchange import Exchange
from ..kinds.kind import UpstreamConfig
from ..provider import AsyncGeneratorProvider
from ..request import ChatRequest
from ..settings import CacheConfig
from ..telemetry.metrics import Sample

#: Members of a request by which its answer is only told otherwise.
_FORMS: Final = frozenset({"stream", "stream_options", "store", "background", "metadata"})

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str, order="deterministic")


class AnswerCache:
    """The cache of one server. ``source``: answers from it, and else from *provider*. *upstreams*: the config's. ``is_shared``:
    whether other servers have the same."""

    def __init__(self, config: CacheConfig, provider: AsyncGeneratorProvider, upstreams: Mapping[str, UpstreamConfig]) -> None:
        self.source = CachingProvider(provider, open_cache(config))
        self.is_shared = config.store != "memory:"
        self._shared = config.shared
        self._salts: dict[str, bytes] = {}
        self.follow(upstreams, getattr(provider, "routes", {}))

    def follow(self, upstreams: Mapping[str, UpstreamConfig], routes: Mapping[str, Iterable[Any]]) -> None:
        """Take the *upstreams* of another config: an answer of other ones is another answer."""
        self._salts = {
            model: _ENCODER.encode([[name, upstreams.get(name)] for name in (each.name for each in route)])
            for model, route in routes.items()
        }

    def named(self, request: ChatRequest, model: str, exchange: Exchange, wire: str, owner: bytes) -> ChatRequest:
        """Return *request* with the name under which its answer may be kept; unchanged where it may not."""
        told = exchange.head.get(b"cache-control", b"").lower().replace(b"\n", b",").split(b",")
        directives = {directive.strip() for directive in told}
        if b"no-store" in directives:
            return request
        origin = request.origin
        document = {} if origin is None else {**origin.document, **origin.changes, "headers": origin.headers}
        parts = [wire, model, request.messages, _without_forms(request.fields), _without_forms(document)]
        digest = hashlib.sha256(_ENCODER.encode(parts))
        digest.update(self._salts.get(model, b""))
        digest.update(b"" if self._shared else owner)
        return msgspec.structs.replace(request, cached_as=digest.hexdigest(), refresh=b"no-cache" in directives)

    def samples(self) -> Iterable[Sample]:
        """Return what is counted."""
        for outcome, count in self.source.counts.items():
            yield "cache_total", (outcome,), [count]


def _without_forms(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _FORMS}
