"""The only list of the kinds of upstreams. The config's keys, its errors, its reference and the providers are made from it."""

from __future__ import annotations

from typing import Final

from .anthropic import AnthropicConfig
from .autonomousai import AutonomousAIConfig
from .gemini import GeminiConfig
from .kind import UpstreamConfig
from .llamacpp import LlamaCppConfig
from .openai import OpenAIConfig

_KINDS: Final[tuple[type[UpstreamConfig], ...]] = (
    LlamaCppConfig,
    OpenAIConfig,
    AnthropicConfig,
    GeminiConfig,
    AutonomousAIConfig,
)

#: By name.
KINDS: Final[dict[str, type[UpstreamConfig]]] = {str(kind.__struct_config__.tag): kind for kind in _KINDS}

#: The upstreams of a config that names none.
DEFAULT_UPSTREAMS: Final[dict[str, UpstreamConfig]] = {"embedded": LlamaCppConfig()}
