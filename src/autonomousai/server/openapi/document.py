"""The OpenAPI document: every path that is served, with its requests, answers, errors and headers. Serves nothing itself.

It says nothing that a stranger must not know: neither the models' names nor any upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..._version import __version__
from ...wires.base import MODEL_IN_PATH, Operation
from ...wires.message_schemas import message_schemas
from ...wires.registry import COUNTED, SERVED, WIRES, key_headers, key_queries, models_paths, resumed_wires, streamed_wires
from ...wires.shapes import Schema
from ..auth import PROBE_PATHS
from .admin import SCHEMAS, SCHEME, TAG, admin_paths
from .answers import answer_schemas
from .ollama import ollama_paths
from .parts import (
    HEADERS,
    answer_of,
    errors_of,
    events_of,
    get_operation,
    in_path,
    in_query,
    json_of,
    lines_of,
    without_bodies,
)

_CHAT = "Chat"
_RESUME = "Streams that can be resumed"
_KEPT = "Responses that are kept"
_SERVER = "The server itself"

_ABOUT: Final = """\
Chat answers, streamed or complete, over {wires}.

A streamed answer is server-sent events: each is one `Chunk`, and the last one is `[DONE]`. A stream that ends without it was \
cut. After the head was sent an error travels as an event of the shape `Error`; then neither a finish reason nor `[DONE]` \
follows. Lines that begin with a colon are comments.

Every answer has the header `x-request-id`, under which the server's log knows it, and in `x-client-request-id` \
what the caller calls it in that header or in `x-request-id`. Every error has the shape `Error`. A wrong \
method is 405 with the header `allow`, an unknown path 404. On any path a request that does not come in time is 408, one whose \
target is too long 414, one whose head is too large 431, and one that is no HTTP/1.1 400, 501 or 505. OpenAI's paths may be \
written without `/v1` too."""

_FOR_CHAT: Final = ("400", "404", "413", "415", "429", "500", "502", "503", "504", "4XX", "5XX")
_FOR_STREAMS: Final = ("404", "410", "500", "503")
_NO_STREAM: Final = "There is no such stream, or it is another caller's."

_NO_RESPONSE: Final = "There is no such response, not any more, or it is another caller's."
_NUMBER: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,15}$"}
_DELETED: Final[Schema] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "object": {"const": "response"}, "deleted": {"const": True}},
    "required": ["id", "object", "deleted"],
}
_ITEMS: Final[Schema] = {
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"type": "object"}},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
    "required": ["object", "data", "first_id", "last_id", "has_more"],
}

_USAGE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "by": ("What the answers are grouped by.", {"type": "string", "enum": ["day", "key", "model", "upstream", "wire"]}),
    "since": ("From when on: a time ago (7d, 24h, 30m), a date or a time.", {"type": "string"}),
    "until": ("Up to when, as `since`.", {"type": "string"}),
    "timezone": ("Whose days are meant: UTC, or a name such as Europe/Berlin.", {"type": "string"}),
}

_EVENT: Final = {
    "type": "object",
    "description": "A server-sent event. `id`: its number, where the stream can be resumed.",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"const": "message"},
        "data": {
            "anyOf": [
                {"const": "[DONE]"},
                {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Chunk", "Error")]},
                },
            ],
            "description": "JSON text, or the end.",
        },
    },
    "required": ["data"],
}


_RESUMABLE: Final = {
    "name": "X-Stream-Resumable",
    "in": "header",
    "required": False,
    "description": "`1`: a streamed answer may be resumed when the connection breaks. Its events have ids, and the answer has "
    "the header `x-stream-id`.",
    "schema": {"type": "string"},
    "example": "1",
}


def make_document(*, vision: bool, asks_key: bool) -> dict[str, Any]:
    """The whole document. *vision*: whether some model takes images. *asks_key*: whether callers need a key."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "autonomousai",
            "version": __version__,
            "summary": f"Chat completions over {_wires()}",
            "description": _ABOUT.replace("{wires}", _wires()),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name} for name in (_CHAT, _KEPT, _RESUME, _SERVER, TAG)],
        "paths": _paths(asks_key=asks_key),
        "components": {
            "schemas": dict(sorted(_schemas(vision=vision).items())),
            "headers": HEADERS,
            "securitySchemes": {**(schemes := _key_schemes() if asks_key else {}), **SCHEME},
        },
    }
    if asks_key:
        document["security"] = [{name: []} for name in schemes]
    return document


def _wires() -> str:
    """Return the wires' names in one phrase."""
    *most, last = [wire.title for wire in streamed_wires().values()]
    return f"{', '.join(most)} and {last}" if most else last


def _schemas(*, vision: bool) -> dict[str, Schema]:
    """Return the requests and answers of all wires, and what they are made of."""
    schemas = {**message_schemas(vision=vision), **answer_schemas(), **SCHEMAS, "Event": _EVENT}
    for wire in WIRES.values():
        for table in (wire.fields, wire.count_fields, *wire.further_fields):
            if table is not None:
                schemas |= {table.name: table.schema, **table.components}
        schemas |= wire.schemas()
    return schemas


def _key_schemes() -> dict[str, Schema]:
    """Return the headers that a key may stand in, and the members of the query."""
    own = {f"key-in-{name}": {"type": "apiKey", "in": "header", "name": name} for name in key_headers()}
    own |= {f"key-in-query-{name}": {"type": "apiKey", "in": "query", "name": name} for name in key_queries()}
    return {"key": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"}, **own}


def _paths(*, asks_key: bool) -> dict[str, Any]:
    guarded = ("401", "403") if asks_key else ("403",)
    open_to_all: Schema = {"security": []} if asks_key else {}
    paths: dict[str, Any] = {
        path: {**_named_in(path), "post": _chat(wire.operation(path), guarded, has_events=wire.has_events)}
        for path, wire in (*SERVED.items(), *COUNTED.items())
    }
    for path, wire in models_paths().items():
        name = f"listModelsOver{wire.name.title().replace('_', '')}"
        error = wire.operation(wire.paths[0]).error
        content = json_of(wire.models_schema)
        listing = get_operation(f"The models, over {wire.title}", name, _CHAT, content, ("503", *guarded), error)
        paths[path] = {"get": listing}
        if wire.model_schema:
            name = f"getModelOver{wire.name.title().replace('_', '')}"
            one = get_operation(
                f"One model, over {wire.title}", name, _CHAT, json_of(wire.model_schema), ("404", "503", *guarded), error
            )
            paths[path + "/{id}"] = {"parameters": [in_path("id", "A model's name or alias.", format="model")], "get": one}
    listings = [wire for wire in WIRES.values() if wire.models_header is not None]
    lists = json_of("ModelList", *(wire.models_schema for wire in listings))
    one = json_of("Model", *(wire.model_schema for wire in listings))
    shapes = ("Error", *(wire.operation(wire.paths[0]).error for wire in listings))
    paths["/v1/models"] = {"get": get_operation("The models", "listModels", _CHAT, lists, ("503", *guarded), *shapes)}
    paths["/v1/models/{id}"] = {
        "parameters": [in_path("id", "A model's name or alias.", format="model")],
        "get": get_operation("One model", "getModel", _CHAT, one, ("404", "503", *guarded), *shapes),
    }
    usage = [in_query(name, about, schema) for name, (about, schema) in _USAGE.items()]
    paths["/v1/usage"] = {
        "parameters": usage,
        "get": get_operation(
            "What your key used", "getUsage", _SERVER, json_of("UsageDocument"), ("400", "404", "503", *guarded)
        ),
    }
    paths |= ollama_paths(_CHAT, guarded)
    paths["/v1/streams/{id}"] = _streams(guarded)
    paths |= _kept(guarded)
    paths |= admin_paths(usage)
    for path, summary, content, more in (
        ("/health", "Is it alive?", json_of("Health"), {}),
        ("/healthz", "Is it alive?", json_of("Health"), {}),
        ("/readyz", "Does it take requests?", json_of("Readiness"), {"503": answer_of("It does not.", json_of("Readiness"))}),
        ("/metrics", "Its counters, for Prometheus", {"text/plain": {"schema": {"type": "string"}}}, {}),
        ("/", "The page for people", {kind: {"schema": {"type": "string"}} for kind in ("text/html", "text/plain")}, {}),
        ("/docs", "This description, for people", {"text/html": {"schema": {"type": "string"}}}, {}),
        ("/openapi.json", "This description", {"application/json": {"schema": {"type": "object"}}}, {}),
    ):
        is_open = path != "/metrics"
        statuses = () if path in PROBE_PATHS else ("403",) if is_open else guarded
        name = path.strip("/").partition(".")[0] or "page"
        operation = get_operation(summary, name, _SERVER, content, statuses)
        operation["responses"].update(more)
        paths[path] = {"get": {**operation, **(open_to_all if is_open else {})}}
    return paths


def _named_in(path: str) -> Schema:
    """Return the parameters that all requests to *path* have."""
    return {"parameters": [in_path("model", "A model's name or alias.", format="model")]} if MODEL_IN_PATH in path else {}


def _chat(operation: Operation, guarded: Iterable[str], *, has_events: bool) -> Schema:
    if operation.event:
        streamed = events_of([operation.event]) if has_events else lines_of([operation.event])
        content = {**json_of(operation.answer), **streamed}
        answer = answer_of(
            f"The answer: complete, or with `stream` as {'events' if has_events else 'lines of JSON'}.",
            content,
            *(["x-stream-id"] if has_events else []),
        )
    else:
        answer = answer_of("As asked.", json_of(operation.answer))
    parameters = [in_query(name, says, {"type": "string"}) for name, says in operation.query.items()]
    parameters += [_RESUMABLE] if operation.event and has_events else []
    return {
        "tags": [_CHAT],
        "operationId": operation.id,
        "summary": operation.summary,
        **({"parameters": parameters} if parameters else {}),
        "requestBody": {
            "required": True,
            "content": {"application/json": {**json_of(operation.request)["application/json"], "example": operation.example}},
        },
        "responses": {"200": answer, **errors_of((*_FOR_CHAT, *guarded), operation.error)},
    }


def _streams(guarded: Iterable[str]) -> Schema:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The id of the last event that was received; without it, the stream comes from its beginning.",
        "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"},
        "example": "17",
    }
    wire = {
        "name": "wire",
        "in": "query",
        "required": False,
        "description": "The API to read the stream over, by default the one that it was begun over. Each has ids of its own.",
        "schema": {"type": "string", "enum": list(resumed_wires())},
    }
    streamed = (wire.operation(path).event for path, wire in SERVED.items() if wire.streams and wire.has_events)
    events = list(dict.fromkeys(filter(None, streamed)))
    errors = errors_of((*_FOR_STREAMS, *guarded))
    errors["404"]["description"] = _NO_STREAM
    shapes = dict.fromkeys(wire.operation(path).error for path, wire in SERVED.items())
    reading = errors_of((*_FOR_STREAMS, *guarded, "400"), *shapes)
    reading["404"]["description"] = _NO_STREAM
    nothing = {"204": answer_of("The stream has ended, and nothing came after that event.", {})}
    return {
        "parameters": [in_path("id", "What the header `x-stream-id` of the first answer said.", format="stream-id")],
        "get": {
            "tags": [_RESUME],
            "operationId": "resumeStream",
            "summary": "Read a stream on",
            "parameters": [last, wire],
            "responses": {
                "200": answer_of("The events after that one.", events_of(events), "x-stream-id"),
                **nothing,
                **reading,
            },
        },
        "head": {
            "tags": [_RESUME],
            "operationId": "findStream",
            "summary": "Can it be read on?",
            "parameters": [last, wire],
            "responses": {"200": answer_of("It can.", {}, "x-stream-id"), **nothing, **without_bodies(reading)},
        },
        "delete": {
            "tags": [_RESUME],
            "operationId": "stopStream",
            "summary": "Stop a stream, and let it go",
            "responses": {"204": answer_of("It is stopped.", {}), **errors},
        },
    }


def _kept(guarded: Iterable[str]) -> dict[str, Schema]:
    """Return the paths of responses that are kept."""
    errors = errors_of(("400", "404", "410", "500", "503", *guarded))
    errors["404"]["description"] = _NO_RESPONSE
    id_in_path = [in_path("id", "The `id` of a response that was not asked for with `store: false`.")]

    def operation(name: str, summary: str, content: Schema, parameters: Iterable[Schema] = ()) -> Schema:
        return {
            "tags": [_KEPT],
            "operationId": name,
            "summary": summary,
            **({"parameters": list(parameters)} if parameters else {}),
            "responses": {"200": answer_of("As asked.", content), **errors},
        }

    reading = (
        in_query("stream", "Whether it comes as events, from the first one on.", {"type": "boolean"}),
        in_query("starting_after", "The `sequence_number` of the last event that was received.", _NUMBER),
    )
    paging = (
        in_query("limit", "Items in a page; 20.", {"type": "integer", "minimum": 1, "maximum": 100}),
        in_query("order", "The latest first, or the first.", {"type": "string", "enum": ["desc", "asc"]}),
        in_query("after", "The id of the last item of the page before.", {"type": "string"}),
    )
    get = operation(
        "getResponse", "Read a response again, or on", {**json_of("Response"), **events_of(["ResponsesEvent"])}, reading
    )
    deleted = {"application/json": {"schema": _DELETED}}
    items = {"application/json": {"schema": _ITEMS}}
    return {
        "/v1/responses/{id}": {
            "parameters": id_in_path,
            "get": get,
            "delete": operation("deleteResponse", "Stop a response, and let it go", deleted),
        },
        "/v1/responses/{id}/cancel": {
            "parameters": id_in_path,
            "post": operation("cancelResponse", "Stop a response in the background", json_of("Response")),
        },
        "/v1/responses/{id}/input_items": {
            "parameters": id_in_path,
            "get": operation("listInputItems", "The input of a response", items, paging),
        },
    }
