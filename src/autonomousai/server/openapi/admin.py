"""The description of what an admin key opens: keys, their use, and a reload of the config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ...keys.checks import LONGEST_KEEP_S, MAX_LABEL, MAX_LABELS
from ...keys.records import NAME
from ...wires.registry import WIRES
from ...wires.shapes import Schema
from .parts import answer_of, errors_of, in_path, in_query, json_of

TAG: Final = "Administration"

#: The scheme of the key that opens these paths, and no other.
SCHEME: Final[dict[str, Schema]] = {
    "admin-key": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer KEY`, of the keys in `server.admin_keys`.",
    }
}

_NAME: Final[Schema] = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_COUNT: Final[Schema] = {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31 - 1}
_TOKENS: Final[Schema] = {**_COUNT, "maximum": 2**53 - 1}

#: What the holder of a key may do: the fields of a policy.
_POLICY: Final[dict[str, Schema]] = {
    "models": {"type": ["array", "null"], "items": {"type": "string", "pattern": r"^[^\s*]+\*?$"}},
    "wires": {"type": ["array", "null"], "items": {"enum": list(WIRES)}},
    "expires": {"type": ["string", "null"], "format": "date-time"},
    "requests_per_minute": _COUNT,
    "tokens_per_minute": _COUNT,
    "max_concurrency": _COUNT,
    "budget": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1_000_000, "description": "in US dollars"},
    "token_budget": _TOKENS,
    "budget_period": {"enum": ["day", "month", None]},
    "labels": {
        "type": ["object", "null"],
        "maxProperties": MAX_LABELS,
        "propertyNames": {"minLength": 1, "maxLength": MAX_LABEL},
        "additionalProperties": {"type": "string", "maxLength": MAX_LABEL},
    },
    "disabled": {"type": ["boolean", "null"]},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "NewKey": {
        "type": "object",
        "description": "A key that is to be made: its name, and what its holder may do.",
        "properties": {"name": _NAME, **_POLICY},
        "required": ["name"],
        "additionalProperties": False,
    },
    "KeyChange": {
        "type": "object",
        "description": "Fields of a key that are to be changed; null takes a limit away.",
        "properties": _POLICY,
        "additionalProperties": False,
    },
    "KeyRotation": {
        "type": "object",
        "description": "`keep_old_s`: the seconds that the old secret opens.",
        "properties": {"keep_old_s": {"type": "number", "minimum": 0, "maximum": LONGEST_KEEP_S}},
        "additionalProperties": False,
    },
}

_NO_KEY: Final = "There is no such key."
_CONFLICT: Final = "The name is taken, or the key stands in the config, which alone changes it."


def admin_paths(usage: Iterable[Schema]) -> dict[str, Schema]:
    """Return the paths. *usage*: the parameters of a question about use."""
    name = in_path("name", "The key's name.", **_NAME, format="key-name")
    one = ("400", "404", "409", "413")
    key = "/admin/keys/{name}"
    return {
        "/admin/keys": {
            "get": _operation("listKeys", "The keys with names", "KeyList"),
            "post": _operation("createKey", "Make a key", "NewSecret", ("400", "409", "413"), _BODIES["NewKey"], status="201"),
        },
        key: {
            "parameters": [name],
            "get": _operation("getKey", "A key, with what it has used", "KeyWithUsage", ("404",)),
            "post": _operation("changeKey", "Change fields of a key", "Key", one, _BODIES["KeyChange"]),
            "delete": _operation("deleteKey", "Delete a key", "DeletedKey", ("404", "409")),
        },
        f"{key}/disable": {
            "parameters": [name],
            "post": _operation("disableKey", "Disable a key", "Key", ("404", "409")),
        },
        f"{key}/enable": {
            "parameters": [name],
            "post": _operation("enableKey", "Enable a key", "Key", ("404", "409")),
        },
        f"{key}/rotate": {
            "parameters": [name],
            "post": _operation("rotateKey", "Give a key another secret", "NewSecret", one, _BODIES["KeyRotation"]),
        },
        "/admin/usage": {
            "parameters": [*usage, in_query("key", "The name of a key, to see its use alone.", {"type": "string"})],
            "get": _with(
                _operation("getAllUsage", "What all keys used", "UsageDocument", ("400", "404")),
                {"404": "This server keeps no ledger."},
            ),
        },
        "/admin/reload": {
            "post": _with(
                _operation("reloadConfig", "Load the config's file again", "Reloaded", ("400", "409")),
                {
                    "400": "The config cannot be served, and the one before stays.",
                    "409": "The server was started without a config file.",
                },
            ),
        },
    }


_BODIES: Final[dict[str, tuple[str, Any]]] = {
    "NewKey": ("NewKey", {"name": "shop", "requests_per_minute": 60, "budget": 50.0, "labels": {"team": "shop"}}),
    "KeyChange": ("KeyChange", {"token_budget": 1_000_000, "budget_period": "day"}),
    "KeyRotation": ("KeyRotation", {"keep_old_s": 3600}),
}


def _operation(
    id: str,
    summary: str,
    result: str,
    statuses: Iterable[str] = (),
    body: tuple[str, Any] | None = None,
    *,
    status: str = "200",
) -> Schema:
    """Return one operation. *body*: the schema of its request, and an example."""
    errors = errors_of((*statuses, "401", "403", "500", "503"))
    operation: Schema = {
        "tags": [TAG],
        "operationId": id,
        "summary": summary,
        "security": [{name: []} for name in SCHEME],
        "responses": {status: answer_of("As asked.", json_of(result)), **errors},
    }
    if body is not None:
        content = json_of(body[0])
        content["application/json"]["example"] = body[1]
        operation["requestBody"] = {"required": id == "createKey", "content": content}
    said = {
        "401": "The admin key is missing or wrong.",
        "403": "No admin key is configured, or the Host header is not one of this server's names.",
        "404": _NO_KEY,
        "409": _CONFLICT,
    }
    return _with(operation, said)


def _with(operation: Schema, said: dict[str, str]) -> Schema:
    """Return *operation* with what *said* says of its answers."""
    for status, description in said.items():
        if status in operation["responses"]:
            operation["responses"][status]["description"] = description
    return operation
