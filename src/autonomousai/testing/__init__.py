"""Test doubles for this package's users: a provider and a server whose answers are scripted, recorded, or broken on the way.

Imports no third-party package. `pytest_autonomousai` makes fixtures of them.
"""

from __future__ import annotations

from .chaos import CHAOS, Chaos, Fault
from .completions import chunks, completion, event
from .documents import document_script, embedding_list, text_chunks, text_completion
from .doubles.double import Double
from .doubles.fixtures import LiveLLM, RecordedLLM, ScriptedLLM
from .doubles.makers import live, record, replay, scripted
from .gemini import gemini_answer, gemini_chunks, gemini_event
from .messages import message, message_event, message_events
from .provider import Call, ScriptedProvider, answer, embeddings
from .recordings.recording import Recording, RecordingError
from .recordings.tape import MissingRecordingError
from .responses import response, response_event, response_events
from .scripts import FAULTS, Script
from .server import Request, ScriptedServer
from .steps import Close, End, Hang, Head, Pause, Raw, Reset, Send, Step

__all__ = [
    "CHAOS",
    "FAULTS",
    "Call",
    "Chaos",
    "Close",
    "Double",
    "End",
    "Fault",
    "Hang",
    "Head",
    "LiveLLM",
    "MissingRecordingError",
    "Pause",
    "Raw",
    "RecordedLLM",
    "Recording",
    "RecordingError",
    "Request",
    "Reset",
    "Script",
    "ScriptedLLM",
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
    "gemini_answer",
    "gemini_chunks",
    "gemini_event",
    "live",
    "message",
    "message_event",
    "message_events",
    "record",
    "replay",
    "response",
    "response_event",
    "response_events",
    "scripted",
    "text_chunks",
    "text_completion",
]
