"""The server on Ray Serve, without Ray: what passes between a server and an engine's replica. With Ray: `tests/houses`."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autonomousai.errors import ConfigError, ConnectError, IncompleteStreamError, StatusError
from autonomousai.events import FinishReason
from autonomousai.request import CallOptions, ChatRequest
from autonomousai.testing import ScriptedProvider

MESSAGES = [{"role": "user", "content": "Hello"}]


class ReplicaDiedError(Exception):
    """What stands for Ray's own errors."""


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with stand-ins for what it imports of Ray."""
    names = {
        "ray": {"serve": SimpleNamespace(Application=object)},
        "ray.exceptions": {"RayError": ReplicaDiedError},
        "ray.serve": {},
        "ray.serve.exceptions": {"RayServeException": ReplicaDiedError},
        "ray.serve.handle": {"DeploymentHandle": dict},
    }
    for name, members in names.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "autonomousai.ray", raising=False)
    import autonomousai.ray  # noqa: PLC0415  it imports the stand-ins

    return autonomousai.ray


class Answering:
    """Ray's answer of a method that yields: it can be cancelled."""

    def __init__(self, source: AsyncGenerator[bytes], dies_after: int | None) -> None:
        self.cancelled = False
        self._source = source
        self._dies_after = dies_after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for data in self._source:
            if count == self._dies_after:
                raise ReplicaDiedError
            count += 1
            yield data

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A deployment of one replica, in this process."""

    def __init__(self, replica: Any, dies_after: int | None = None) -> None:
        self._replica = replica
        self._dies_after = dies_after
        self.answers: list[Answering] = []
        self.generate = SimpleNamespace(remote=self._generate)

    def options(self, *, stream: bool) -> Handle:
        assert stream
        return self

    def _generate(self, data: bytes) -> Answering:
        self.answers.append(Answering(self._replica.generate(data), self._dies_after))
        return self.answers[-1]


def replica_of(on_ray: ModuleType, provider: ScriptedProvider) -> Any:
    replica = on_ray.EngineReplica.__new__(on_ray.EngineReplica)
    replica._engine = provider
    return replica


async def read(on_ray: ModuleType, handle: Handle, *, stream: bool = True) -> list[Any]:
    local = ScriptedProvider()
    request = ChatRequest("llama", MESSAGES, stream=stream, fields={"seed": 1})
    return [event async for batch in on_ray.RayEngine(handle, local).stream(request, CallOptions()) for event in batch]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_comes_as_the_replica_made_it(on_ray: ModuleType, stream: bool) -> None:
    provider = ScriptedProvider(["Hello", " world", FinishReason("stop", "finish_reason")])
    handle = Handle(replica_of(on_ray, provider))
    events = await read(on_ray, handle, stream=stream)

    assert "Hello world" == "".join(event for event in events if isinstance(event, str))
    assert isinstance(events[-1], FinishReason)
    assert handle.answers[0].cancelled


async def test_an_error_is_the_replicas_own(on_ray: ModuleType) -> None:
    provider = ScriptedProvider([StatusError("the prompt is too long", status=400, code="context_length_exceeded")])
    with pytest.raises(StatusError, match="too long") as caught:
        await read(on_ray, Handle(replica_of(on_ray, provider)))

    assert (400, "context_length_exceeded") == (caught.value.status, caught.value.code)


async def test_a_replica_that_dies_breaks_its_answer(on_ray: ModuleType) -> None:
    """Before the first word another can be asked; after it, the answer is not complete."""
    provider = ScriptedProvider(["Hello", " world"], ["Hello", " world"])
    with pytest.raises(ConnectError, match="no replica of the engine answers") as caught:
        await read(on_ray, Handle(replica_of(on_ray, provider), dies_after=0))
    with pytest.raises(IncompleteStreamError):
        await read(on_ray, Handle(replica_of(on_ray, provider), dies_after=1))

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "config"),
        ({"config": "nowhere.toml"}, "cannot be read"),
        ({"config": "nowhere.toml", "replicas": "many"}, "replicas"),
        ({"config": "nowhere.toml", "replica": 2}, "replica"),
    ],
)
def test_what_cannot_be_built_is_said(on_ray: ModuleType, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        on_ray.build(arguments)


def test_replicas_need_a_state_that_they_share(on_ray: ModuleType, tmp_path: Path) -> None:
    (config := tmp_path / "a.toml").write_text("[server]\nport = 0\n")
    with pytest.raises(ConfigError, match=r"server\.state"):
        on_ray.build({"config": str(config), "replicas": "2"})
