"""Errors as values: they survive a copy and a journey to another process."""

from __future__ import annotations

import builtins
import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from autonomousai import (
    AutonomousAI,
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)

ERRORS = [
    ProviderError("what"),
    HTTPError("what", status=500, retryable=True, retry_after=3, partial="Hel", advice="try again"),
    ConnectError("no connection", code="x"),
    StatusError("busy", status=429, body="no", request_id="r-1", retry_after=1.5),
    TimeoutError("first_token", 5, partial="Hel"),
    StreamError("broken", partial="Hel"),
    IncompleteStreamError(partial="Hel"),
    ModelNotFoundError("large", ["small"]),
    InvalidMessagesError("is empty", index=2, field="content"),
    ConfigError("is missing", key="server.port", advice="write it", file="a.toml"),
]


def through_pickle(error: ProviderError) -> ProviderError:
    made: ProviderError = pickle.loads(pickle.dumps(error))
    return made


@pytest.mark.parametrize("again", [through_pickle, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied(error: ProviderError, again: Callable[[ProviderError], ProviderError]) -> None:
    """With its kind, its message, its attributes and its notes."""
    error.add_note("of the caller's")
    made = again(error)

    assert (type(error), str(error), error.args, vars(error)) == (type(made), str(made), made.args, vars(made))
    assert isinstance(made, builtins.TimeoutError) == isinstance(error, TimeoutError)


def ask_nobody() -> str:
    return AutonomousAI("http://127.0.0.1:9", retries=0).complete("llama", [{"role": "user", "content": "Hello"}]).text()


def test_an_error_of_another_process_is_raised_here() -> None:
    """As pools of processes do it: one that cannot be unpickled breaks the pool."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(ConnectError, match="cannot connect"):
        pool.submit(ask_nobody).result()
