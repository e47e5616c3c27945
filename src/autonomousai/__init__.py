"""autonomousai: stream answers from language models, and know when they are whole.

The curated public names; nothing else is promised. Importing this is quick: aiohttp comes with the first request.
"""

from __future__ import annotations

from ._version import __version__
from .clocks import Clocks
from .errors import (
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name, and it is one
)
from .events import FinishReason, Messages, Reasoning, ToolCall, ToolCalls, Usage
from .provider import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin
from .providers.autonomousai import AutonomousAI
from .providers.llamacpp import LlamaCpp
from .providers.openai import OpenAICompatible

__all__ = [
    "AsyncGeneratorProvider",
    "AsyncResult",
    "AutonomousAI",
    "Clocks",
    "ConfigError",
    "ConnectError",
    "FinishReason",
    "HTTPError",
    "IncompleteStreamError",
    "InvalidMessagesError",
    "LlamaCpp",
    "Messages",
    "ModelNotFoundError",
    "OpenAICompatible",
    "ProviderError",
    "ProviderModelMixin",
    "Reasoning",
    "StatusError",
    "StreamError",
    "TimeoutError",
    "ToolCall",
    "ToolCalls",
    "Usage",
    "__version__",
]
