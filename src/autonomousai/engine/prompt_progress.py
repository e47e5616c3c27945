"""How far llama.cpp is with reading a prompt, from what it says between the batches of it. Pure."""

from __future__ import annotations

from ..events import Batch, Extra, Started

#: The member by which llama.cpp's server tells it, where a request has ``return_progress``.
_MEMBER = "prompt_progress"


def reading_of(batch: Batch) -> tuple[int, int] | None:
    """Return how many tokens of the prompt are read, and how many there are, as *batch* says last; None where it says nothing.

    Example::

        told = {"prompt_progress": {"total": 2100, "cache": 0, "processed": 640, "time_ms": 4100}}
        assert reading_of([Extra(told, 0, "openai_chat")]) == (640, 2100)
    """
    for event in reversed(batch):
        members = event.members if type(event) is Extra else event.extra if type(event) is Started else None
        if members and (told := members.get(_MEMBER)):
            return int(told["processed"]), int(told["total"])
    return None
