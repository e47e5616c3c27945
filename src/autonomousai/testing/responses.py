"""Answers of OpenAI's Responses API as its servers write them, for scripts: streamed and as a document.

Bytes are written here with `json` alone, not with our own wire: what tests the wire must not be made by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
Part = str | Mapping[str, Any]

_USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}

#: What a response says beside its output: every member that the API has, with its default.
_MEMBERS: Json = {
    "background": False, "completed_at": None, "created_at": 1_700_000_000, "error": None, "frequency_penalty": 0.0,
    "incomplete_details": None, "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "object": "response", "parallel_tool_calls": True, "presence_penalty": 0.0, "previous_response_id": None,
    "prompt_cache_key": None, "reasoning": None, "safety_identifier": None, "service_tier": "default", "store": False,
    "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_logprobs": 0,
    "top_p": 1.0, "truncation": "disabled",
}  # fmt: skip


def response_events(
    *parts: Part,
    finish: str | None = "completed",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
    id: str = "resp_scripted",
) -> bytes:
    """Return a streamed answer of the Responses API: ``response_events("Hello", " world", finish="completed", usage=…)``.

    A text is one delta; texts in a row are one message. A mapping is a whole item, such as ``{"type": "function_call",
    "call_id": "call_1", "name": "f", "arguments": "{}"}`` or ``{"type": "reasoning", "summary": [{"type": "summary_text",
    "text": "hm"}]}``. *finish*: the status that the last event tells, ``completed``, ``incomplete`` or ``failed``. Without one
    the answer breaks off: its last item does not end.
    """
    begun = _response(id, model, "in_progress", [], None)
    events: list[Json] = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    groups = _groups(parts)
    items = [_item(index, group) for index, group in enumerate(groups)]
    for index, group in enumerate(groups):
        said = list(_item_events(index, items[index], group))
        events += said if finish is not None or index < len(groups) - 1 else [each for each in said if _is_begun(each)]
    if finish is not None:
        events.append({"type": f"response.{finish}", "response": _response(id, model, finish, items, usage)})
    return b"".join(response_event({**event, "sequence_number": number}) for number, event in enumerate(events))


def response_event(payload: Mapping[str, Any]) -> bytes:
    """Return one event of a stream, of the type that *payload* names."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"event: {payload['type']}\ndata: {text}\n\n".encode()


def response(
    *parts: Part,
    finish: str = "completed",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
    id: str = "resp_scripted",
) -> bytes:
    """Return a whole answer of the Responses API as JSON; the arguments are those of `response_events`."""
    items = [_item(index, group) for index, group in enumerate(_groups(parts))]
    return json.dumps(_response(id, model, finish, items, usage), ensure_ascii=False).encode()


def _response(id: str, model: str, status: str, output: list[Json], usage: Mapping[str, Any] | None) -> Json:
    counted = {**_USAGE, **(usage or {})}
    counted.setdefault("input_tokens_details", {"cached_tokens": 0})
    counted.setdefault("output_tokens_details", {"reasoning_tokens": 0})
    said = {**_MEMBERS, "id": id, "model": model, "status": status, "output": output, "usage": counted}
    if status == "in_progress":
        said["usage"] = None
    elif status == "incomplete":
        said["incomplete_details"] = {"reason": "max_output_tokens"}
    elif status == "failed":
        said["error"] = {"code": "server_error", "message": "scripted failure"}
    else:
        said["completed_at"] = said["created_at"]
    return said


# ---- items: a group is the texts of a message, or what was given as a whole item


def _groups(parts: tuple[Part, ...]) -> list[list[str] | Mapping[str, Any]]:
    groups: list[list[str] | Mapping[str, Any]] = []
    for part in parts:
        if not isinstance(part, str):
            groups.append(part)
        elif groups and isinstance(groups[-1], list):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _item(index: int, group: list[str] | Mapping[str, Any]) -> Json:
    if isinstance(group, list):
        content = [_text("".join(group))]
        return {"type": "message", "id": f"msg_{index}", "status": "completed", "role": "assistant", "content": content}
    own: Json = {"content": []} if group["type"] == "reasoning" else {"status": "completed"}
    return {"id": f"item_{index}", **own, **group}


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item_events(index: int, item: Json, group: list[str] | Mapping[str, Any]) -> Iterator[Json]:
    place = {"item_id": item["id"], "output_index": index}
    empty = {name: value for name, value in _EMPTY.items() if name in item}
    begun = {"status": "in_progress"} if "status" in item else {}
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty, **begun}}
    if isinstance(group, list):
        yield from _texts(place, group)
    elif isinstance(arguments := group.get("arguments"), str):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments}
        yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments, "name": item.get("name")}
    else:
        for number, part in enumerate(group.get("summary") or ()):
            yield from _summary({**place, "summary_index": number}, part)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


#: What an item begins with, of the members that its deltas fill.
_EMPTY: Json = {"content": [], "arguments": "", "summary": []}


def _texts(place: Json, texts: list[str]) -> Iterator[Json]:
    place = {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _text("")}
    for text in texts:
        yield {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []}
    whole = "".join(texts)
    yield {"type": "response.output_text.done", **place, "text": whole, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text(whole)}


def _summary(place: Json, part: Mapping[str, Any]) -> Iterator[Json]:
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **place, "delta": part["text"]}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": dict(part)}


def _is_begun(event: Json) -> bool:
    """Whether an event is one of an item that does not end."""
    return str(event["type"]).endswith((".added", ".delta"))
