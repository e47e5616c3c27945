"""The coding agents that `autonomousai launch` starts, a row each: how one is installed, and how it is pointed at a server.

Only flags and environment variables are used: no file of an agent's own configuration is written or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec


class LaunchTarget(NamedTuple):
    """What an agent is pointed at. ``base_url``: of the OpenAI wires, mostly ``…/v1``; ``root``: the same without ``/v1``;
    ``context``: tokens, None where the server does not say."""

    base_url: str
    api_key: str
    model: str
    context: int | None = None

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")


class AgentProgram(NamedTuple):
    """An agent: its name for people, how to install it, the arguments that come before the user's own, the variables, and
    the tokens of context that it needs: for its instructions and tools, which come before the first word of a user, and for
    a first answer. ``commands``: words of its own that our arguments come behind."""

    title: str
    install: str
    arguments: Callable[[LaunchTarget], Sequence[str]]
    variables: Callable[[LaunchTarget], dict[str, str]]
    tokens: int
    commands: frozenset[str] = frozenset()

    def command_line(self, target: LaunchTarget, passed_on: Sequence[str]) -> list[str]:
        """Return the arguments of the program: the user's own, with ours before them, or behind a first word that is a
        command."""
        at = 1 if passed_on and passed_on[0] in self.commands else 0
        return [*passed_on[:at], *self.arguments(target), *passed_on[at:]]


def _codex_arguments(target: LaunchTarget) -> list[str]:
    """Return the configuration of a provider as flags: Codex reads no variable that names a server."""
    provider = "model_providers.autonomousai"
    settings: dict[str, str | int] = {
        "model_provider": "autonomousai",
        "model": target.model,
        f"{provider}.name": "AutonomousAI",
        f"{provider}.base_url": target.base_url,
        f"{provider}.wire_api": "responses",
        f"{provider}.env_key": "AUTONOMOUSAI_API_KEY",
    }
    if target.context:
        settings["model_context_window"] = target.context
    # The values are TOML; its basic strings and integers are written as JSON's.
    return [word for key, value in settings.items() for word in ("-c", f"{key}={msgspec.json.encode(value).decode()}")]


def _opencode_config(target: LaunchTarget) -> str:
    """Return the configuration that opencode merges into its user's own."""
    limit = {"limit": {"context": target.context, "output": min(target.context // 2, 32_000)}} if target.context else {}
    config = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "autonomousai": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "AutonomousAI",
                "options": {"baseURL": target.base_url, "apiKey": "{env:AUTONOMOUSAI_API_KEY}"},
                "models": {target.model: {"name": target.model, **limit}},
            }
        },
        "model": f"autonomousai/{target.model}",
        "small_model": f"autonomousai/{target.model}",
    }
    return msgspec.json.encode(config).decode()


def _claude_variables(target: LaunchTarget) -> dict[str, str]:
    models = ("", "SMALL_FAST_", "DEFAULT_HAIKU_", "DEFAULT_SONNET_", "DEFAULT_OPUS_")
    return {
        "ANTHROPIC_BASE_URL": target.root,
        "ANTHROPIC_AUTH_TOKEN": target.api_key,
        # A key of the user's for the vendor must not go to another server, and would be asked about.
        "ANTHROPIC_API_KEY": "",
        **{f"ANTHROPIC_{each}MODEL": target.model for each in models},
        "CLAUDE_CODE_SUBAGENT_MODEL": target.model,
    }


PROGRAMS: Final[dict[str, AgentProgram]] = {
    "codex": AgentProgram(
        "Codex",
        "npm install -g @openai/codex",
        _codex_arguments,
        lambda target: {"AUTONOMOUSAI_API_KEY": target.api_key},
        25_000,
        # Codex forgets the `-c` before one of these where another comes behind it.
        frozenset({"exec", "e", "review", "resume", "fork"}),
    ),
    "claude": AgentProgram(
        "Claude Code", "npm install -g @anthropic-ai/claude-code", lambda target: (), _claude_variables, 25_000
    ),
    "opencode": AgentProgram(
        "opencode",
        "npm install -g opencode-ai",
        lambda target: (),
        lambda target: {"OPENCODE_CONFIG_CONTENT": _opencode_config(target), "AUTONOMOUSAI_API_KEY": target.api_key},
        16_000,
    ),
    "aider": AgentProgram(
        "Aider",
        "python3 -m pip install aider-chat",
        lambda target: ("--model", f"openai/{target.model}", "--no-show-model-warnings"),
        lambda target: {"OPENAI_API_BASE": target.base_url, "OPENAI_API_KEY": target.api_key},
        8_000,
    ),
    "qwen": AgentProgram(
        "Qwen Code",
        "npm install -g @qwen-code/qwen-code",
        lambda target: ("--auth-type", "openai"),
        lambda target: {
            "OPENAI_BASE_URL": target.base_url,
            "OPENAI_API_KEY": target.api_key,
            "OPENAI_MODEL": target.model,
        },
        25_000,
    ),
}
