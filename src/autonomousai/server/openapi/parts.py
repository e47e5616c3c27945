"""The parts that the description of every operation is made of: its parameters, contents, answers and errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ...wires.shapes import Schema

HEADERS: Final[dict[str, Schema]] = {
    "x-request-id": {
        "description": "This request's name in the server's log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req_[0-9a-f]{24}$"},
    },
    "x-stream-id": {
        "description": "Where the stream can be resumed: its id under `/v1/streams/`.",
        "schema": {"type": "string"},
    },
    "retry-after": {"description": "Seconds after which to try again.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
}

#: What may go wrong, by status; each of the shape `Error`.
ERRORS: Final[dict[str, str]] = {
    "400": "The request is wrong: `param` names the field, `message` says how.",
    "401": "The API key is missing or wrong.",
    "403": "The Host header is not one of this server's names.",
    "404": "There is no such model.",
    "409": "It cannot be done as things are.",
    "410": "The stream was let go, or the event after which to continue.",
    "413": "The body is too large.",
    "415": "The body is not `application/json`, or is compressed otherwise than in gzip or deflate.",
    "429": "Every upstream wants fewer requests.",
    "500": "A mistake of this server's, or of its configuration.",
    "502": "The upstream could not be reached, failed, or broke off.",
    "503": "Too many requests, or this server is shutting down.",
    "504": "The upstream did not answer in time.",
    "4XX": "The upstream refused the request with this status.",
    "5XX": "The upstream failed with this status.",
}


def in_query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def get_operation(summary: str, name: str, tag: str, content: Schema, statuses: Iterable[str], *errors: str) -> Schema:
    return {
        "tags": [tag],
        "operationId": name,
        "summary": summary,
        "responses": {"200": answer_of("As asked.", content), **errors_of((*statuses, "500"), *errors)},
    }


def in_path(name: str, description: str, **more: str) -> Schema:
    schema = {"type": "string", "minLength": 1, **more}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def json_of(*schemas: str) -> Schema:
    """A document of one of these schemas."""
    return {"application/json": {"schema": any_of(schemas)}}


def any_of(names: Sequence[str]) -> Schema:
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def events_of(names: list[str]) -> Schema:
    """A stream of events of one of these schemas: in OpenAPI 3.1 the schema is that of one event, as its tools read it."""
    return {"text/event-stream": {"schema": any_of(names)}}


def lines_of(names: list[str]) -> Schema:
    """A stream of lines of one of these schemas."""
    return {"application/x-ndjson": {"schema": any_of(names)}}


def answer_of(description: str, content: Schema, *more: str) -> Schema:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *more)}
    return {"description": description, "headers": headers, **({"content": content} if content else {})}


def errors_of(statuses: Iterable[str], *schemas: str) -> dict[str, Schema]:
    waits = ("429", "503")
    return {
        status: answer_of(ERRORS[status], json_of(*(schemas or ("Error",))), *(["retry-after"] if status in waits else []))
        for status in sorted(set(statuses))
    }


def without_bodies(answers: dict[str, Schema]) -> dict[str, Schema]:
    return {status: {key: value for key, value in answer.items() if key != "content"} for status, answer in answers.items()}
