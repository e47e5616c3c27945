"""Models that are loaded when they are asked for, on the real engine: the same small weights under several names."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from autonomousai.engine import weights
from autonomousai.engine.handle import BUSY
from autonomousai.engine.loader import ModelPool, memory_for
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import ConfigError, StatusError
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.request import ChatRequest

QUESTION = [{"role": "user", "content": "Say hello."}]
SLOTS, CONTEXT = 2, 512


class Models:
    """Providers of models that share a pool, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = weights.pull(DEFAULT_WEIGHTS)
        #: What one of them takes.
        self.needs = memory_for(self._file, slots=SLOTS, context=CONTEXT)
        self.providers: dict[str, LlamaCpp] = {}

    def add(self, pool: ModelPool, *names: str) -> list[LlamaCpp]:
        for name in names:
            path = self._folder / f"{name}.gguf"
            if not path.exists():
                path.symlink_to(self._file)
            self.providers[name] = LlamaCpp(str(path), slots=SLOTS, context=CONTEXT, pool=pool)
        return [self.providers[name] for name in names]


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[Models]:
    models = Models(tmp_path)
    yield models
    for provider in models.providers.values():
        await provider.aclose()


async def ask(provider: LlamaCpp) -> str:
    """A short answer."""
    return await provider.create_async_generator("m", QUESTION, stream=True, max_tokens=3, temperature=0).text()


async def becomes(provider: LlamaCpp, state: str) -> None:
    """Wait until the engine says that it is in this state."""
    engine = (await provider._engines.get()).supervisor
    changed = asyncio.Event()
    engine.watchers.append(changed.set)  # type: ignore[attr-defined]
    while provider.state != state:
        await changed.wait()
        changed.clear()
    engine.watchers.remove(changed.set)  # type: ignore[attr-defined]


async def test_callers_share_one_load(models: Models) -> None:
    """It begins with the first request; the name of the file is the model's."""
    (provider,) = models.add(ModelPool(memory=models.needs), "a")
    await provider.start()
    before = provider.state
    result = provider.create_async_generator("m", QUESTION, stream=True, max_tokens=3, temperature=0)
    texts = await asyncio.gather(ask(provider), ask(provider), result.text())

    assert ("stopped", "ready") == (before, provider.state)
    assert 1 == len(set(texts))
    assert result.finish is not None
    assert "a" == result.finish.model
    assert 1 == (await provider.metrics())["loads_total"]


async def test_an_idle_model_is_unloaded_and_loaded_again(models: Models) -> None:
    """Its process ends; the next answer is the same."""
    (provider,) = models.add(ModelPool(memory=models.needs, idle_s=0), "a")
    first = await ask(provider)
    await becomes(provider, "unloaded")
    pid = provider.pid
    second = await ask(provider)

    assert (None, first) == (pid, second)
    counted = await provider.metrics()
    assert (2, 0) == (counted["loads_total"], counted["evictions_total"])


async def test_the_model_that_was_used_longest_ago_makes_room(models: Models) -> None:
    """Two fit; the third takes the place of the one that nothing was asked of for the longest time."""
    a, b, c = models.add(ModelPool(memory=2 * models.needs), "a", "b", "c")
    for provider in (a, b, a, c):
        await ask(provider)

    assert ["ready", "unloaded", "ready"] == [provider.state for provider in (a, b, c)]
    assert [0, 1, 0] == [(await provider.metrics())["evictions_total"] for provider in (a, b, c)]


async def test_a_model_that_answers_is_not_unloaded(models: Models) -> None:
    """Who needs its memory waits until the answer has ended."""
    a, b = models.add(ModelPool(memory=models.needs, idle_s=0), "a", "b")
    answer = a.create_async_generator("m", QUESTION, stream=True, max_tokens=20, temperature=0)
    batches = answer.batches()
    await anext(batches)
    waiting = asyncio.create_task(ask(b))
    await becomes(b, "starting")
    while (batch := await anext(batches, None)) is not None:
        during = (a.state, b.state, waiting.done())
        assert batch
    text = await waiting

    assert ("ready", "starting", False) == during
    assert answer.finish is not None
    assert text


async def test_who_waits_too_long_for_memory_is_sent_away(models: Models) -> None:
    """With a 503 that says which model has it; the one that answers does not notice, and later there is room."""
    a, b = models.add(ModelPool(memory=models.needs, patience=0), "a", "b")
    answer = a.create_async_generator("m", QUESTION, stream=True, max_tokens=20, temperature=0)
    batches = answer.batches()
    await anext(batches)
    with pytest.raises(StatusError, match=r"no memory for b while others answer \(a\)") as caught:
        await ask(b)
    while await anext(batches, None) is not None:
        pass

    assert (503, BUSY, True) == (caught.value.status, caught.value.code, caught.value.retry_after is not None)
    assert answer.finish is not None
    assert "unloaded" == b.state


async def test_a_load_that_nobody_waits_for_any_more_is_left(models: Models) -> None:
    """Its caller left while the memory was another's."""
    a, b = models.add(ModelPool(memory=models.needs), "a", "b")
    batches = a.create_async_generator("m", QUESTION, stream=True, max_tokens=20, temperature=0).batches()
    await anext(batches)
    waiting = asyncio.create_task(ask(b))
    await becomes(b, "starting")
    waiting.cancel()
    await becomes(b, "unloaded")
    await batches.aclose()

    assert 0 == (await b.metrics())["loads_total"]
    assert "ready" == a.state


async def test_a_model_that_never_fits_says_so(models: Models) -> None:
    """With what it needs and what there is; nothing is unloaded for it."""
    pool = ModelPool(memory=models.needs)
    (a,) = models.add(pool, "a")
    large = models.providers["large"] = LlamaCpp(a.weights, slots=4, context=CONTEXT, pool=pool)
    await ask(a)

    with pytest.raises(ConfigError, match=r"a\.gguf needs \d+ MB of memory, and models may take \d+ MB together"):
        await ask(large)
    assert ("ready", "unloaded") == (a.state, large.state)


def cut(file: Path) -> bytes:
    return file.read_bytes()[:3_000_000]


def text(file: Path) -> bytes:
    return b"GGUF, but no more of it"


@pytest.mark.parametrize(
    ("broken", "why"),
    [(cut, r"bad\.gguf: RuntimeError.*is not within the file bounds"), (text, r"bad\.gguf: ValueError.*is not a GGUF file")],
)
async def test_a_load_that_fails_says_why_and_harms_no_other(
    broken: Callable[[Path], bytes], why: str, models: Models, tmp_path: Path
) -> None:
    """All who waited are told, in llama.cpp's words; a file that was put right is loaded by the next request."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(broken(weights.pull(DEFAULT_WEIGHTS)))
    a, bad = models.add(ModelPool(memory=3 * models.needs), "a", "bad")
    expected = await ask(a)
    pid = a.pid
    failed = await asyncio.gather(ask(bad), ask(bad), return_exceptions=True)
    state = bad.state
    path.unlink()
    shutil.copyfile(weights.pull(DEFAULT_WEIGHTS), path)
    mended = await ask(bad)

    for error in failed:
        with pytest.raises(ConfigError, match=rf"(?s)cannot start with {why}"):
            raise error  # type: ignore[misc]
    assert "unloaded" == state
    assert (expected, pid) == (mended, a.pid)


async def test_counting_tokens_loads_the_model_too(models: Models) -> None:
    """And nothing unloads it meanwhile."""
    (provider,) = models.add(ModelPool(memory=models.needs, idle_s=0), "a")
    counted = await provider.count_tokens(ChatRequest("m", QUESTION))
    await becomes(provider, "unloaded")

    assert counted > 3


async def test_the_end_comes_while_a_model_loads(models: Models) -> None:
    """Closing waits for nothing, and leaves no process."""
    (provider,) = models.add(ModelPool(memory=models.needs), "a")
    asking = asyncio.create_task(ask(provider))
    while not (await provider.metrics()).get("loads_total"):
        await asyncio.sleep(0)
    await provider.aclose()
    failed = (await asyncio.gather(asking, return_exceptions=True))[0]

    assert isinstance(failed, Exception)
    assert ("stopped", None) == (provider.state, provider.pid)
