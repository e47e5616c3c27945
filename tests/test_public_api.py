"""The public names: exactly these, documented, and quick to import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import autonomousai
import autonomousai.testing

PUBLIC = [
    "Annotations",
    "Anthropic",
    "AsyncGeneratorProvider",
    "AsyncResult",
    "AutonomousAI",
    "ChoiceEvent",
    "Clocks",
    "Completion",
    "ConfigError",
    "ConnectError",
    "FinishReason",
    "Gemini",
    "HTTPError",
    "Images",
    "IncompleteStreamError",
    "InvalidMessagesError",
    "LlamaCpp",
    "LogProbs",
    "Messages",
    "ModelNotFoundError",
    "OpenAICompatible",
    "ProviderError",
    "ProviderModelMixin",
    "Reasoning",
    "Refusal",
    "StatusError",
    "StreamError",
    "TimeoutError",
    "ToolCall",
    "ToolCalls",
    "Usage",
    "__version__",
]


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has imported after *statement*."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_exactly_these() -> None:
    """A name is added here and in the changelog, or it is not public."""
    assert PUBLIC == sorted(autonomousai.__all__)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in ("__version__", "Messages")])
def test_every_public_name_exists_and_promises_something(name: str) -> None:
    """A public class has a docstring of its own."""
    thing = vars(autonomousai).get(name) or getattr(autonomousai, name)

    assert inspect.getdoc(thing)


def test_star_import_brings_the_public_names() -> None:
    """`from autonomousai import *` works, lazily exported or not."""
    namespace: dict[str, object] = {}
    exec("from autonomousai import *", namespace)  # what is tested

    assert set(PUBLIC) <= set(namespace)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="NoSuchThing"):
        _ = autonomousai.NoSuchThing


def test_testing_has_its_own_list() -> None:
    """Every name of `autonomousai.testing` is there."""
    assert [] == [name for name in autonomousai.testing.__all__ if not hasattr(autonomousai.testing, name)]


@pytest.mark.parametrize(
    "statement",
    [
        "import autonomousai",
        "from autonomousai import *",
        "from autonomousai import AutonomousAI; AutonomousAI(base_url='http://127.0.0.1:1')",
        (
            "import os; os.environ['AUTONOMOUSAI_BASE_URL'] = 'http://127.0.0.1:1'; "
            "from autonomousai import AutonomousAI as A; A.create_async_generator('llama', [{'role': 'user', 'content': 'x'}])"
        ),
    ],
)
def test_importing_and_preparing_is_quick(statement: str) -> None:
    """Neither aiohttp, httptools nor the server's dependencies come before the first request."""
    imported = modules_after(statement)

    foreign = {"aiohttp", "httptools", "starlette", "uvicorn", "xllamacpp", "rich", "prompt_toolkit", "openai", "llm"}
    assert set() == imported & foreign


def test_the_test_doubles_need_no_third_party_client() -> None:
    """`autonomousai.testing` is the standard library's asyncio alone."""
    imported = modules_after("import autonomousai.testing")

    assert set() == imported & {"aiohttp", "starlette", "uvicorn", "xllamacpp", "trustme", "cryptography"}
