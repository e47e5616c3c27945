"""Test doubles for this package's users: a provider and a server whose answers are scripted. Imports no third-party package."""

from __future__ import annotations

from .completions import chunks, completion, event
from .documents import document_script, embedding_list, text_chunks, text_completion
from .messages import message, message_event, message_events
from .provider import Call, ScriptedProvider, answer, embeddings
from .responses import response, response_event, response_events
from .scripts import FAULTS, Script
from .server import Request, ScriptedServer
from .steps import Close, End, Hang, Head, Pause, Raw, Reset, Send, Step

__all__ = [
    "FAULTS",
    "Call",
    "Close",
    "End",
    "Hang",
    "Head",
    "Pause",
    "Raw",
    "Request",
    "Reset",
    "Script",
    "ScriptedProvider",
    "ScriptedServer",
    "Send",
    "Step",
    "answer",
    "chunks",
    "completion",
    "document_script",
    "embedding_list",
    "embeddings",
    "event",
    "message",
    "message_event",
    "message_events",
    "response",
    "response_event",
    "response_events",
    "text_chunks",
    "text_completion",
]
