"""What the engine's owner and its child process say to each other: one line of JSON each way. Imports nothing of the package,
so that the child need not import its owner's modules, nor the owner the child's.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class EngineSettings(msgspec.Struct, frozen=True):
    """What the owner says. ``context``: tokens a slot; ``threads``: 0 for one less than the child may use; ``task``: chat,
    embeddings or rerank; ``projector``: the file with which the weights see, "" for none."""

    weights: str
    name: str
    socket: str
    api_key: str
    slots: int
    context: int
    threads: int
    task: str = "chat"
    projector: str = ""


class EngineReady(msgspec.Struct, frozen=True):
    """What the child says when its socket answers, or why it does not. ``control``, ``longest``: see
    `gguf.Tokenizer`; 0 where it is not known. ``tools``, ``thoughts``: see
    `chat_template.ToolStyle`, `chat_template.ThoughtStyle`."""

    control: list[str] = []
    longest: int = 0
    error: str = ""
    tools: str = ""
    thoughts: Literal["always", "default", "tags", ""] = ""
