"""What a worker says to its parent of a config that it is to follow."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.config import Config, Reloaded
from autonomousai.errors import ConfigError
from autonomousai.workers.messages import ReloadDone
from autonomousai.workers.worker import Parent


class Said:
    """The channel, as far as it is spoken on."""

    def __init__(self) -> None:
        self.words: list[Any] = []

    def say(self, word: Any) -> None:
        self.words.append(word)


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (Reloaded([], [], [], ["llama"]), ""),
        (ConfigError("is wrong", key="models"), "is wrong"),
        (RuntimeError("a bug"), "a worker failed to follow it (RuntimeError)"),
    ],
)
async def test_the_parent_is_always_answered(outcome: Any, problem: str) -> None:
    """It waits for every worker: also one with a bug must answer."""
    parent, said = Parent.__new__(Parent), Said()
    parent._channel = said  # type: ignore[assignment]

    async def reload(config: Config) -> Reloaded:
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Reloaded)
        return outcome

    parent.reload = reload
    await parent._follow(Config())

    (done,) = said.words
    assert isinstance(done, ReloadDone)
    assert (problem in done.problem, done.reloaded is None) == (True, bool(problem))
