"""Conversations as documents: Markdown to read, JSON to send again. Knows messages; no disk, no terminal."""

from __future__ import annotations

from typing import Any

import msgspec

from ...events import Messages


def transcript_json(messages: Messages) -> str:
    """The messages as a JSON document that can be sent as a request's ``messages``; an answer that is not whole says so."""
    return msgspec.json.format(msgspec.json.encode(messages), indent=2).decode() + "\n"


def transcript_markdown(messages: Messages) -> str:
    """The messages as Markdown, a heading each; under an answer that is not whole stands why."""
    return "\n".join(
        f"## {message['role']}\n\n{_words(message['content']).rstrip()}\n"
        + (f"\n*(incomplete: {message['incomplete']})*\n" if "incomplete" in message else "")
        for message in messages
    )


def _words(content: Any) -> str:
    """A content's text; in the place of an image stands that there was one."""
    if isinstance(content, str):
        return content
    return "\n\n".join(part["text"] if part.get("type") == "text" else "*(an image)*" for part in content)
