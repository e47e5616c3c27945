"""A completion, whole: one document <-> the events of an answer (OpenAI API reference, "The chat completion object").

Knows no stream. A document that can be read proves the answer's end.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import HTTPError
from ...events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Extra,
    FinishReason,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
    ToolCallDelta,
    join_tool_calls,
)
from ...sealed_thoughts import members_of, sealed_in
from ..citations import as_chat
from ..finish_reasons import chat_reason, with_foreign_reason
from ..foreign_errors import error_in_event
from ..json import mend
from ..merging import merge_values
from ..unreadable import notes_on, unreadable
from .chunks import TRAILER, UNREADABLE, WIRE, Choice, Chunk, Delta, as_chunk, load, unknown_members, unwrapped
from .encoder import merge_members, usage_object
from .interpreter import ChunkInterpreter
from .odd_events import DONE, meant_by
from .tool_calls import ToolCallIndexer
from .usual import decode_usual_completion

_BOM = b"\xef\xbb\xbf"
_REASONS_OF_NOTHING = ("content_filter", "length")  # an answer without a message may have them

#: What a message says once; calls can be several.
_SAID: Final = tuple(name for name in Delta.__struct_fields__ if name not in ("reasoning_key", "tool_calls"))

_json = msgspec.json.Encoder().encode


def decode_completion(body: bytes) -> Batch:
    """Return a whole answer that was not streamed: `Started`, what it says, `FinishReason`.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success.
    """
    if (usual := decode_usual_completion(body)) is not None:
        return usual
    obj = _load_document(body)
    if obj is None:
        return _decode_events(body)
    chunk = as_chunk(obj)
    error = error_in_event(obj)
    if error is not None:
        error.partial = _text_of(chunk)
        raise error
    chunk.choices = _by_index(chunk.choices or [])
    first = next((choice for choice in chunk.choices if not choice.index), None)
    says_nothing = first is None or (first.message is None and first.delta is None and first.text is None)
    if first is None or (says_nothing and first.finish_reason not in _REASONS_OF_NOTHING):
        raise unreadable("the answer holds no message and", body)
    for choice in chunk.choices:
        choice.delta = choice.message or choice.delta
        for place, call in enumerate(choice.delta.tool_calls or () if choice.delta else ()):
            call.index = place  # each is whole, and one of its own
    answer = ChunkInterpreter()
    answer._done = True  # a document that can be read is whole
    answer._places = ToolCallIndexer(holds=False)
    batch: Batch = []
    unknown = unknown_members(obj)
    answer._started = True  # the document's members are those of no other one
    answer._model = chunk.model or None
    answer._notes = notes_on(body)
    answer._take(chunk, batch, {})
    if answer.failure is not None:
        answer.failure.partial = _text_of(chunk)
        raise answer.failure
    answer._open.clear()
    finish = answer.finish()
    events: Batch = [Started(answer._model)]
    if unknown:
        events.append(Extra(unknown, len([event for event in batch if not isinstance(event, Extra)]), WIRE))
    events += [event for event in batch if not isinstance(event, Extra)]
    finish = finish if finish.evidence != "done" else msgspec.structs.replace(finish, evidence="body")
    return [*events, finish]


def _by_index(choices: list[Choice]) -> list[Choice]:
    """Return the choices of a document, one of each index. Servers spread one message over several choices of one index, or of
    none (GitHub Copilot: the text, then a choice for each call): they are joined. Another text in such a choice is another
    answer. A choice that is alone is the first, whatever its index: most clients read by position."""
    if len(choices) == 1:
        choices[0].index = 0
    kept: dict[int, Choice] = {}
    for place, choice in enumerate(choices):
        choice.message = choice.message or choice.delta
        first = kept.setdefault(choice.index or 0, choice)
        if first is not choice and not _join(first, choice) and not choice.index and place not in kept:
            choice.index = place
            kept[place] = choice
    return list(kept.values())


def _join(first: Choice, other: Choice) -> bool:
    """Add what *other* says to *first*. Returns False, and changes nothing, where both say something else of one kind."""
    said, more = first.message, other.message
    if said is None or more is None:
        return more is None and other.text is None
    names = [name for name in _SAID if getattr(more, name)]
    if any(getattr(said, name) not in (None, "", getattr(more, name)) for name in names):
        return False
    for name in names:
        setattr(said, name, getattr(more, name))
    if more.tool_calls:
        ids = {call.id for call in said.tool_calls or () if call.id}
        said.tool_calls = [*(said.tool_calls or ()), *(call for call in more.tool_calls if call.id not in ids)]
        first.finish_reason = other.finish_reason or first.finish_reason
    return True


def _text_of(chunk: Chunk) -> str:
    """Return the text of a document's first choice, as far as there is one."""
    first = next((choice for choice in chunk.choices or () if not choice.index), Choice())
    said = first.message or first.delta
    return mend((first.text if said is None else said.content) or "")


def _load_document(body: bytes) -> dict[str, Any] | None:
    try:
        obj = load(body.removeprefix(_BOM))
    except UNREADABLE:
        obj = None
    return unwrapped(obj) if isinstance(obj, dict) else None


def _decode_events(body: bytes) -> Batch:
    """Return the answer of a body that holds chunks without a stream's framing: a line each, or an item of a list."""
    chunks = meant_by(body.removeprefix(_BOM))
    if not chunks:
        raise unreadable("the answer", body)
    answer = ChunkInterpreter()
    answer._notes = notes_on(body)
    batch: Batch = []
    try:
        for data in chunks:
            if data == DONE:
                answer._read_done(batch)
                break
            obj = unwrapped(load(data))
            answer._read_object(obj, as_chunk(obj), data, "message", batch)
            if answer.complete or answer.failure is not None:
                break
        return [*batch, answer.finish()]
    except HTTPError as error:
        error.partial = "".join([event for event in batch if type(event) is str])
        raise
    except UNREADABLE:
        raise unreadable("the answer", body) from None


def encode_completion(
    events: Batch,
    *,
    id: str,
    created: int,
    model: str,
    finish_reason_at_top: bool = False,
    extension: dict[str, Any] | None = None,
) -> bytes:
    """A whole answer as one document. Its last event is the `FinishReason`; a usage that is not known is left out."""
    finish = events[-1]
    if type(finish) is not FinishReason:
        raise ValueError("the events of a complete answer end with its FinishReason")
    if not _RARE.isdisjoint(map(type, events)) or finish.extra or (type(first := events[0]) is Started and first.extra):
        return _json(_document(events, finish, id, created, model, finish_reason_at_top, extension))
    reason = _json(finish.reason if finish_reason_at_top else chat_reason(finish))
    extension = extension and with_foreign_reason(extension, finish)
    pieces = [
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":'
        % (_json(id), created, _json(model)),
        _json(message_of(events)),
        b',"finish_reason":',
        reason,
        b',"logprobs":null}]',
    ]
    if finish_reason_at_top:
        pieces += (b',"finish_reason":', reason)
    if finish.usage is not None:
        pieces += (b',"usage":', _json(usage_object(finish.usage)))
    if extension is not None:
        pieces += (b',"x_autonomousai":', _json(extension))
    pieces.append(b"}")
    return b"".join(pieces)


#: Events that make a document more than a message with text, reasoning and tool calls.
_RARE: Final = frozenset({Extra, ChoiceEvent, LogProbs, Annotations, Images})


def _document(
    events: Batch,
    finish: FinishReason,
    id: str,
    created: int,
    model: str,
    finish_reason_at_top: bool,
    extension: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a document with several choices, or with unknown members."""
    others: dict[int, Batch] = {}
    for event in events:
        if type(event) is ChoiceEvent:
            others.setdefault(event.index, []).append(event.event)
    choices = [_choice(0, events, finish.reason if finish_reason_at_top else chat_reason(finish))]
    for index, said in sorted(others.items()):
        reason = next((chat_reason(event) for event in said if isinstance(event, FinishReason)), None)
        choices.append(_choice(index, said, reason))
    document: dict[str, Any] = {"id": id, "object": "chat.completion", "created": created, "model": model, "choices": choices}
    if finish_reason_at_top:
        document["finish_reason"] = finish.reason
    if finish.usage is not None:
        document["usage"] = usage_object(finish.usage)
    for members in _unknown_of(events, finish):
        if members:
            merge_members(document, members)
    if extension is not None:
        document["x_autonomousai"] = with_foreign_reason(extension, finish)
    for choice in document["choices"]:
        if (delta := choice.pop("delta", None)) is not None:
            choice.setdefault("message", {})
            merge_values(choice["message"], delta)
    return document


def _unknown_of(events: Batch, finish: FinishReason) -> list[dict[str, Any]]:
    """Return the unknown members of the chunks, in their order."""
    found: list[dict[str, Any]] = []
    constant: dict[str, Any] = {}  # after a splice, those of the upstream that continued
    for event in events:
        if type(event) is Started:
            constant = event.extra or {}
        elif type(event) is Extra and event.wire == WIRE:
            found.append(event.members)
    if finish.extra:
        found.append({name: value for name, value in finish.extra.items() if name != TRAILER})
        found.append(finish.extra.get(TRAILER) or {})
    return [constant, *found]


def _choice(index: int, events: Batch, reason: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "message": message_of(events), "finish_reason": reason, "logprobs": None}
    content: list[Any] = []
    refusal: list[Any] = []
    for event in events:
        if type(event) is LogProbs:
            content += event.content or ()
            refusal += event.refusal or ()
        elif (sealed := sealed_in(event)) is not None:
            merge_values(choice["message"], members_of(sealed))
    if content or refusal:
        choice["logprobs"] = {"content": content or None, "refusal": refusal or None}
    return choice


def message_of(events: Batch) -> dict[str, Any]:
    """Return what the first choice's *events* say, as the message that it is."""
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    deltas: list[ToolCallDelta] = []
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    key = "reasoning_content"
    for event in events:
        if type(event) is str:
            texts.append(event)
        elif type(event) is Reasoning:
            thoughts.append(event.text)
            key = event.key or key
        elif type(event) is Refusal:
            refusals.append(event.text)
        elif type(event) is ToolCallDelta:
            deltas.append(event)
        elif type(event) is Annotations:
            message.setdefault("annotations", []).extend(map(as_chat, event.items))
        elif type(event) is Images:
            message.setdefault("images", []).extend(event.items)
    if texts or not (deltas or refusals):
        message["content"] = "".join(texts)
    if thoughts:
        message[key] = "".join(thoughts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if deltas:
        message["tool_calls"] = [_call(call) for call in join_tool_calls(deltas).calls]
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.extra:
        merge_values(said, call.extra)
        if said["type"] != "function" and not call.name:
            del said["function"]
    return said
