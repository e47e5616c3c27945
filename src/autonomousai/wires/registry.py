"""The only list of wires. Routes, the kinds of upstreams and the API's description are made from it."""

from __future__ import annotations

from typing import Final

from .autonomousai import AutonomousAIWire
from .base import Wire
from .openai_chat.wire import OpenAIChatWire

OPENAI_CHAT: Final = OpenAIChatWire()
AUTONOMOUSAI: Final = AutonomousAIWire()

#: By name.
WIRES: Final[dict[str, Wire]] = {wire.name: wire for wire in (OPENAI_CHAT, AUTONOMOUSAI)}

#: By the path that a server speaks it at.
SERVED: Final[dict[str, Wire]] = {path: wire for wire in WIRES.values() for path in wire.paths}
