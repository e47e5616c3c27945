"""The server on Ray Serve: ``serve run autonomousai.ray:build config=/path/autonomousai.toml replicas=2``.

Replicas of the server stand behind Ray's proxy. Each upstream of the kind ``llamacpp`` is a deployment of its own,
``engine-NAME``, whose replicas have an engine each; Ray starts and ends them by how many answers wait. An answer whose engine
or whose server dies is finished as ever: by the gateway's rescue, and by the streams that callers resume.

What replicas share is what servers share: `server.state` in Redis, the ledger in PostgreSQL. Keys of the form ``env:NAME`` are
read where a replica runs. Needs the extra ``ray``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from .answer import Answer
from .batches import BatchStream, GeneratedBatches, JoinedBatches
from .config import Config, LlamaCppConfig, parse_config
from .engine.provider import LlamaCpp
from .errors import ConfigError, ConnectError, IncompleteStreamError, ProviderError
from .events import Batch, FinishReason
from .kinds.kind import UpstreamSetup
from .provider import AsyncGeneratorProvider
from .request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from .server.app import App
from .server.upstreams import UpstreamMaker
from .streams.records import Record, RecordedError, decode_record, encode_record
from .telemetry.access_log import open_log
from .telemetry.tracer import open_tracer

_Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]

#: Answers that one replica of the server takes at once, above which Ray starts another where it may.
_TARGET: Final = 200


class RayArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `build` takes. ``config``: the path of the config, which is read where `build` is called. ``replicas``: of the
    server, ``max_replicas`` at most; ``engine_replicas`` and ``max_engine_replicas``: of each engine. ``engine_cpus``: that Ray
    counts for one engine."""

    config: str
    replicas: _Count = 1
    max_replicas: _Count = 1
    engine_replicas: _Count = 1
    max_engine_replicas: _Count = 1
    engine_cpus: Annotated[float, msgspec.Meta(ge=0)] = 1


class AskedEngine(msgspec.Struct, frozen=True):
    """What an engine's replica is asked. ``total``: seconds that the answer may take."""

    request: ChatRequest
    total: float | None


def build(arguments: Mapping[str, Any]) -> serve.Application:
    """Return the application. Raises `ConfigError` for arguments or a config that cannot be served.

    Example::

        serve.run(build({"config": "autonomousai.toml", "replicas": 2, "engine_replicas": 2}))
    """
    try:
        given = msgspec.convert(dict(arguments), RayArguments, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(f"{name}=…" for name in RayArguments.__struct_fields__)
        raise ConfigError(f"the arguments of autonomousai.ray:build: {error}", advice=f"write {known}") from None
    try:
        text = Path(given.config).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given.config!r} cannot be read: {error}", advice="give the path of a TOML file") from None
    config = parse_config(text, os.environ)
    most = max(given.replicas, given.max_replicas)
    if most > 1 and not config.server.state.startswith(("redis", "unix")):
        problem = "replicas on several machines cannot share it, so a stream could not be resumed at another"
        raise ConfigError(problem, key="server.state", advice="set it to redis://host[:port]")
    engines = [name for name, upstream in config.upstreams.items() if isinstance(upstream, LlamaCppConfig)]
    deployed = [_engine(name, text, config, given) for name in engines]

    def make_app() -> App:  # called where the replica runs; Ray wants a function
        return _make_app(text, engines)

    server = serve.deployment(serve.ingress(make_app)())
    return server.options(
        name="autonomousai",
        autoscaling_config=_scale(given.replicas, most, _TARGET),
        max_ongoing_requests=2 * config.server.max_concurrency,
        graceful_shutdown_timeout_s=config.server.drain_s,
    ).bind(*deployed)


def _scale(least: int, most: int, target: int) -> dict[str, Any]:
    return {"min_replicas": least, "max_replicas": max(least, most), "target_ongoing_requests": target}


def _engine(name: str, text: str, config: Config, given: RayArguments) -> serve.Application:
    """Return the deployment of an engine. More answers than it has slots wait at its replicas, and start further ones."""
    upstream = config.upstreams[name]
    assert isinstance(upstream, LlamaCppConfig)
    return (
        serve.deployment(EngineReplica)
        .options(
            name=_deployment_of(name),
            autoscaling_config=_scale(given.engine_replicas, given.max_engine_replicas, upstream.slots),
            max_ongoing_requests=4 * upstream.slots,
            graceful_shutdown_timeout_s=config.server.drain_s,
            ray_actor_options={"num_cpus": given.engine_cpus},
        )
        .bind(name, text)
    )


def _deployment_of(name: str) -> str:
    return f"engine-{name}"


def _make_app(text: str, engines: list[str]) -> App:
    config = parse_config(text, os.environ)
    providers: dict[str, AsyncGeneratorProvider] = {}
    for name in engines:
        providers[name] = RayEngine(serve.get_deployment_handle(_deployment_of(name)), _local(config, name))
    tracer = open_tracer(config.telemetry)
    maker = UpstreamMaker(tracer, providers=providers)
    return App(config, maker.make(config), log=open_log(config.server.log), tracer=tracer, maker=maker)


def _local(config: Config, name: str) -> LlamaCpp:
    """Return the engine of an upstream as a provider on this machine, which starts nothing yet."""
    upstream = config.upstreams[name]
    assert isinstance(upstream, LlamaCppConfig)
    return upstream.make_provider(UpstreamSetup(name, config.server.queue_s))


class EngineReplica:
    """One engine, on the machine that Ray chose: a replica of the deployment of an upstream."""

    async def __init__(self, name: str, text: str) -> None:  # type: ignore[misc]  # Ray awaits it
        self._engine = _local(parse_config(text, os.environ), name)
        await self._engine.start()

    async def generate(self, data: bytes) -> AsyncGenerator[bytes]:
        """Yield the answer to an encoded `AskedEngine` as records; the last has the end, or the error."""
        asked = msgspec.json.decode(data, type=AskedEngine)
        timeout = None if asked.total is None else {"total": asked.total}
        batches = self._engine.stream(asked.request, CallOptions(answer=Answer(), timeout=timeout))
        try:
            async for batch in batches:
                yield encode_record(Record(batch, end=type(batch[-1]) is FinishReason))
        except ProviderError as error:
            yield encode_record(Record(end=True, error=RecordedError.of(error)))
        finally:
            await batches.aclose()

    async def count_tokens(self, data: bytes) -> int:
        """Return the tokens of an encoded `AskedEngine`."""
        return await self._engine.count_tokens(msgspec.json.decode(data, type=AskedEngine).request)

    async def check_health(self) -> None:
        """Raise where the engine has given up: Ray then starts another replica."""
        if self._engine.state == "failed":
            raise RuntimeError(self._engine.last_log() or "the engine has failed")


class RayEngine(AsyncGeneratorProvider):
    """The replicas of an engine as one provider. *local*: the same engine as a provider on this machine, which says what it can
    do, and is never started."""

    label = "llama.cpp on Ray"

    def __init__(self, handle: DeploymentHandle[Any], local: LlamaCpp) -> None:
        self.capabilities = local.capabilities
        self._handle = handle
        self._local = local

    def repeats(self, request: ChatRequest) -> bool:
        """See `AsyncGeneratorProvider.repeats`: replicas have the same weights."""
        return self._local.repeats(request)

    def details_of(self, model: str) -> Mapping[str, Any]:
        """See `AsyncGeneratorProvider.details_of`."""
        return self._local.details_of(model)

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`. Raises `ConnectError` where no replica answers, and `IncompleteStreamError`
        where one dies in mid-answer."""
        stream = GeneratedBatches(partial(self._batches, request, options))
        return stream if request.stream else JoinedBatches(stream, Answer())

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream_continuation`."""
        return self.stream(request.continued(text), options)

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """See `AsyncGeneratorProvider.count_tokens`."""
        try:
            counted: int = await self._handle.count_tokens.remote(_asked(request, options))
        except (RayError, RayServeException) as error:
            raise _gone(error) from None
        return counted

    async def _batches(self, request: ChatRequest, options: CallOptions) -> AsyncGenerator[Batch]:
        began = False
        try:
            answer = self._handle.options(stream=True).generate.remote(_asked(request, options))
            async with aclosing(_records(answer)) as records:
                async for record in records:
                    if record.error is not None:
                        raise record.error.as_error()
                    began = True
                    yield record.events
                    if record.end:
                        return
        except (RayError, RayServeException) as error:
            raise (IncompleteStreamError() if began else _gone(error)) from None
        raise IncompleteStreamError


async def _records(answer: Any) -> AsyncGenerator[Record]:
    """Yield the records of an answer; leaving it stops the answer where it is generated."""
    try:
        async for data in answer:
            yield decode_record(data)
    finally:
        answer.cancel()


def _asked(request: ChatRequest, options: CallOptions) -> bytes:
    left = None if options.deadline is None else max(options.deadline - asyncio.get_running_loop().time(), 0.001)
    return msgspec.json.encode(AskedEngine(request, left))


def _gone(error: Exception) -> ConnectError:
    return ConnectError(f"no replica of the engine answers ({type(error).__name__})", retryable=True)
