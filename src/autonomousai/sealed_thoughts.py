"""What a model thought, as its vendor signs or encrypts it: Anthropic's ``thinking`` and ``redacted_thinking``, OpenAI's items
``reasoning``, Gemini's signature of a call, the member ``extra_content``, and OpenRouter's ``reasoning_details``. A vendor
takes its own back, unchanged, with the next turn, and the model continues from there.

Callers of another API get it in a place of theirs, and send it back from there:

- chat completions: the members ``thinking_blocks`` and ``reasoning_items`` of a message, as LiteLLM calls them;
- Messages: the signature of a thinking block, or a block ``redacted_thinking``;
- Responses: the ``encrypted_content`` of an item ``reasoning``.

In the latter two it is packed: text that begins with `PREFIX`, and holds all of it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec

from .events import Event, Extra, Message, Messages

Json = dict[str, Any]

PREFIX: Final = "aa1."

#: The members of a message of chat completions: Anthropic's blocks, and OpenAI's items.
BLOCKS: Final = "thinking_blocks"
ITEMS: Final = "reasoning_items"

#: The member of a message of chat completions with what OpenRouter says of thoughts; see `reasoning_details`.
DETAILS: Final = "reasoning_details"

#: The type of what a vendor gave with a call, or with a message without one; callers of other APIs have it beside the call, for
#: most send back no member of a call that they do not know.
OF_CALL: Final = "extra_content"

_MESSAGES: Final = "anthropic_messages"
_RESPONSES: Final = "openai_responses"
_GEMINI: Final = "google_gemini"


def sealed_in(event: Event) -> Json | None:
    """Return the block or the item that *event* completes, as its vendor wants it back; None where it completes none."""
    if not isinstance(event, Extra):
        return None
    if event.wire == _RESPONSES:
        return _encrypted(event.members.get("item"))
    if event.wire == _GEMINI:
        signature = event.members.get("signature")
        return of_text(signature) if isinstance(signature, str) else None
    return _signed(event.members) if event.wire == _MESSAGES else None


def frames_message(event: Event) -> bool:
    """Return whether *event* says alone what stands at the beginning of a message of the Messages API and at its end. Other
    APIs have a place for none of it."""
    return isinstance(event, Extra) and event.wire == _MESSAGES and event.members.keys() <= _FRAMES


_FRAMES: Final = frozenset({"message_start", "message_delta"})


def _signed(members: Json) -> Json | None:
    block, delta, thought = members.get("content_block"), members.get("delta"), members.get("thought")
    if isinstance(block, dict) and block.get("type") == "redacted_thinking" and isinstance(block.get("data"), str):
        return block
    signature = delta.get("signature") if isinstance(delta, dict) else None
    if not isinstance(signature, str) or not signature or not isinstance(thought, str) or is_packed(signature):
        return None
    return {"type": "thinking", "thinking": thought, "signature": signature}


def _encrypted(item: Any) -> Json | None:
    is_sealed = isinstance(item, dict) and item.get("type") == "reasoning" and isinstance(item.get("encrypted_content"), str)
    return item if is_sealed and not is_packed(item["encrypted_content"]) else None


def of_call(call_id: str | None, extra: Json | None) -> Json | None:
    """Return what a vendor gave with a call and wants back with it; None where it gave nothing."""
    content = (extra or {}).get(OF_CALL)
    return {"type": OF_CALL, "id": call_id, "content": content} if content is not None and call_id else None


def of_text(signature: str) -> Json:
    """Return Gemini's signature of what was said without a call, which belongs to the message."""
    return {"type": OF_CALL, "id": None, "content": {"google": {"thought_signature": signature}}}


def is_of_call(sealed: Json | None) -> bool:
    """Return whether *sealed* belongs to a call."""
    return sealed is not None and sealed.get("type") == OF_CALL and sealed.get("id") is not None


def members_of(sealed: Json) -> Json:
    """Return the members of a message of chat completions that hold such thoughts."""
    if sealed.get("type") == OF_CALL:
        return {OF_CALL: sealed.get("content")}
    return {ITEMS if sealed.get("type") == "reasoning" else BLOCKS: [sealed]}


def pack(sealed: Json) -> str:
    """Return *sealed* as one text, see `PREFIX`.

    Example::

        assert unpack(pack({"type": "redacted_thinking", "data": "x"})) == {"type": "redacted_thinking", "data": "x"}
    """
    return PREFIX + urlsafe_b64encode(msgspec.json.encode(sealed)).decode()


def is_packed(text: Any) -> bool:
    """Return whether *text* was made by `pack`, here or at another server of this package."""
    return isinstance(text, str) and text.startswith(PREFIX)


def unpack(text: Any) -> Json | None:
    """Return what `pack` made a text of; None where it made none of it, or the text was changed since."""
    if not is_packed(text):
        return None
    try:
        sealed = msgspec.json.decode(urlsafe_b64decode(text[len(PREFIX) :]))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    return sealed if isinstance(sealed, dict) and isinstance(sealed.get("type"), str) else None


def add_sealed(message: Message, packed: Any) -> bool:
    """Put what is *packed* into its member of a message of the assistant. Returns whether it was packed."""
    if (sealed := unpack(packed)) is None:
        return False
    if sealed["type"] == OF_CALL and not is_of_call(sealed):
        message.setdefault(OF_CALL, sealed.get("content"))
        return True
    if sealed["type"] == OF_CALL:
        for call in message.get("tool_calls") or ():
            if call.get("id") == sealed.get("id"):
                call.setdefault(OF_CALL, sealed.get("content"))
        return True
    if sealed["type"] == DETAILS:
        message.setdefault(DETAILS, []).extend(details if isinstance(details := sealed.get(DETAILS), list) else ())
        return True
    for name, thoughts in members_of(sealed).items():
        message.setdefault(name, []).extend(thoughts)
    return True


def without_sealed(messages: Messages) -> Messages:
    """Return *messages* as servers of chat completions know them."""
    if not any(BLOCKS in message or ITEMS in message for message in messages):
        return messages
    return [{name: value for name, value in message.items() if name not in (BLOCKS, ITEMS)} for message in messages]
