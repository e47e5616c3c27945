"""autonomousai: stream answers from language models, and know when they are whole.

The curated public names; nothing else is promised. Importing this is quick: a client and the engine come when their class is
asked for, as asyncio does, and aiohttp or httptools with the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .completion import Completion
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
from .events import (
    Annotations,
    ChoiceEvent,
    FinishReason,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    ToolCall,
    ToolCalls,
    Usage,
)
from .request import AnyMessages as Messages
from .timeouts import Clocks

if TYPE_CHECKING:
    from .clients.anthropic import Anthropic
    from .clients.autonomousai import AutonomousAI
    from .clients.gemini import Gemini
    from .clients.openai import OpenAICompatible
    from .engine.provider import LlamaCpp
    from .provider import AsyncGeneratorProvider, ProviderModelMixin
    from .result import AsyncResult

__all__ = [
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


def __getattr__(name: str) -> Any:
    """Import a provider when its class is asked for: most programs use one, and its wires take most of an import's time. The
    process of the engine uses none, and no asyncio."""
    module: Any
    match name:
        case "Anthropic":
            from .clients import anthropic as module  # noqa: PLC0415  its wire comes with it
        case "AutonomousAI":
            from .clients import autonomousai as module  # noqa: PLC0415  its wire comes with it
        case "Gemini":
            from .clients import gemini as module  # noqa: PLC0415  its wire comes with it
        case "OpenAICompatible":
            from .clients import openai as module  # noqa: PLC0415  its wire comes with it
        case "LlamaCpp":
            from .engine import provider as module  # noqa: PLC0415  a client needs none of what it brings
        case "AsyncGeneratorProvider" | "ProviderModelMixin":
            from . import provider as module  # noqa: PLC0415  asyncio comes with it
        case "AsyncResult":
            from . import result as module  # noqa: PLC0415  asyncio comes with it
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
