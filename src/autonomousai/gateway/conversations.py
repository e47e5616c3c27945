"""Which conversation a request belongs to, so that its turns go to one upstream, which has its beginning in a cache. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ..request import ChatRequest

#: Request fields that name a conversation, the finest first.
_NAMES: Final = ("prompt_cache_key", "session_id", "session", "conversation", "thread_id", "threadId", "user")

#: Bytes of a digest.
_DIGEST: Final = 8

#: Roles that speak before the conversation begins.
_PREAMBLE: Final = frozenset({"system", "developer"})


def conversation_of(request: ChatRequest) -> bytes | None:
    """Return a digest of what all turns of a request's conversation have in common: the name that the request gives to it, else
    its beginning up to the first message that is not the system's. None for what is no conversation.

    A response that continues a kept one (``previous_response_id``) has that conversation's messages before its own by now.
    """
    if not request.messages:
        return None
    document = {} if request.origin is None else request.origin.document
    for name in _NAMES:
        if key := _name_in(request.fields.get(name)) or _name_in(document.get(name)):
            return _digest(f"{name}={key}")
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping) and (key := _name_in(metadata.get("user_id"))):  # of the Messages API
        return _digest(f"user_id={key}")
    beginning: list[str] = []
    for message in request.messages:
        beginning.append(f"{message.get('role')}: {_text_of(message.get('content'))}")
        if message.get("role") not in _PREAMBLE:
            break
    return _digest("\n".join(beginning))


def affinity(conversation: bytes, upstream: str, weight: float) -> float:
    """Return how close an upstream is to a conversation (weighted rendezvous hashing): the closest gets it. Of many
    conversations each upstream gets its weight's share, and one more upstream takes that from all others alike. The same in
    every process."""
    drawn = (int.from_bytes(_digest(f"{conversation.hex()} {upstream}")) + 0.5) / 2 ** (8 * _DIGEST)  # above 0, below 1
    return weight / -math.log(drawn) if drawn < 1 else math.inf


def _name_in(value: Any) -> str:
    """Return a name, or the id of an object that has one; "" for anything else."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _text_of(content: Any) -> str:
    """Return the text of a message's content: clients write it in one piece or in several, and move their marks for caches from
    turn to turn. What is no text counts as it is written."""
    if not isinstance(content, list):
        return str(content)
    texts = (part.get("text") if isinstance(part, Mapping) else None for part in content)
    return "".join(text if isinstance(text, str) else repr(part) for text, part in zip(texts, content, strict=True))


def _digest(text: str) -> bytes:
    from hashlib import blake2b  # noqa: PLC0415  it is slow to come, and few routes want it

    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=_DIGEST).digest()
