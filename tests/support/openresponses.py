"""Streams and documents of the Responses API, read as clients read them and held to the models of the Open Responses
specification.
"""

from __future__ import annotations

import json
from typing import Any

from openresponses_types import types as models
from pydantic import TypeAdapter

Json = dict[str, Any]

_RESOURCE = TypeAdapter(models.ResponseResource)

#: Members that the specification does not name, and those whose type is another in it: it has no place for a schema's text.
_OF_OTHER_TYPES = (
    *("custom_tool_call", "image_generation_call", "web_search_call"),
    *("local_shell_call", "shell_call", "apply_patch_call", "tool_search_call"),
)


def _event_models() -> dict[str, TypeAdapter[Any]]:
    """The models of events by their type."""
    found = {}
    for name in dir(models):
        model = getattr(models, name)
        if name.endswith("StreamingEvent"):
            (kind,) = list(model.model_fields["type"].annotation)
            found[str(kind)] = TypeAdapter(model)
    return found


_EVENTS = _event_models()

#: Events that OpenAI has and the specification has not, or under another name.
FURTHER = frozenset(
    {
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
    }
)


def check_response(response: Json) -> Json:
    """Check that a response has every member that the specification names, and return it."""
    fields = set(models.ResponseResource.model_fields)
    assert fields <= response.keys(), fields - response.keys()
    known = [item for item in response["output"] if item["type"] not in _OF_OTHER_TYPES]
    functions = [tool for tool in response["tools"] if tool["type"] == "function"]
    _RESOURCE.validate_python({**response, "output": known, "tools": functions})
    return response


def check_event(event: Json) -> Json:
    """Check an event, and return it."""
    kind = event["type"]
    if "response" in event:
        check_response(event["response"])
        event_without = {**event, "response": {**event["response"], "output": [], "tools": []}}
        _EVENTS[kind].validate_python(event_without)
    elif kind not in FURTHER and event.get("item", {}).get("type") not in _OF_OTHER_TYPES:
        _EVENTS[kind].validate_python(event)
    return event


def read_events(body: bytes) -> list[Json]:
    """Return the checked events of a stream, without the ``[DONE]`` at its end; comments and ids are left out."""
    found: list[Json] = []
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" not in lines or lines["data"] == "[DONE]":
            continue
        event = json.loads(lines["data"])
        assert lines["event"] == event["type"]
        found.append(check_event(event))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def folded(events: list[Json]) -> list[Json]:
    """Return the output that the deltas of a stream make, item by item, each held to the events that say it is done."""
    items: dict[int, Json] = {}
    texts: dict[tuple[Any, ...], str] = {}
    done: set[int] = set()
    for event in events:
        kind, index = event["type"], event.get("output_index")
        if index is not None:
            assert index not in done, "an event of an item that is done"
        if kind == "response.output_item.added":
            assert index == len(items)
            items[index] = event["item"]
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == items[index]["id"]
            items[index] = event["item"]
            done.add(index)
        elif kind.endswith(".delta"):
            place = _place(event)
            texts[place] = texts.get(place, "") + event["delta"]
            assert event["item_id"] == items[index]["id"]
        elif kind.endswith(".done") and "part" not in event:
            (text,) = [event[name] for name in ("text", "refusal", "arguments", "input") if name in event]
            assert texts.get(_place(event), "") == text
    assert done == set(items)
    return [items[index] for index in sorted(items)]


def _place(event: Json) -> tuple[Any, ...]:
    kind = event["type"].rpartition(".")[0]
    return kind, event["output_index"], event.get("content_index"), event.get("summary_index")


def types_of(events: list[Json]) -> list[str]:
    """Return the types, without what they all begin with."""
    return [event["type"].removeprefix("response.") for event in events]
