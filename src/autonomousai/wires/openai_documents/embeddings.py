"""OpenAI's embeddings as a `Wire` (OpenAI API reference, "Embeddings"): texts, or tokens, become vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from ...embeddings import as_vector, pack_vector
from ...errors import StatusError, StreamError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation
from ..fields import FieldTable, RequestField, missing, table_of
from ..prompts import texts_or_tokens
from ..raw import EMBEDDINGS_WIRE, raw_request
from ..raw_errors import read_raw_error
from ..request_body import decode_object, encode_request
from ..shapes import NAME, TEXT, whole
from .document import DocumentWire, Members, route_of

_decode_entries: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_vectors: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

EMBEDDINGS: Final = FieldTable(
    name="EmbeddingRequest",
    says="A request of OpenAI's embeddings. A field without a row is passed on to the upstream.",
    rows=table_of(
        RequestField("model", TEXT, "One of `GET /v1/models`, or an alias; absent or empty: the default model."),
        RequestField(
            "input",
            texts_or_tokens(NAME),
            "A text, a list of texts, or tokens of the upstream's own vocabulary; none empty.",
            needed=True,
        ),
        RequestField("dimensions", whole(1, 2**31 - 1), "How many numbers a vector has, where the model can say it in fewer."),
        RequestField(
            "encoding_format",
            TEXT,
            "`float`: lists of numbers, the default; `base64`: little-endian floats of 32 bits. You get this one, whichever "
            "the upstream answers with; another format goes as it comes.",
        ),
        RequestField("user", TEXT, "Who uses your application, for the upstream."),
    ),
    ignored=frozenset({"stream"}),  # there is nothing to stream
)


class OpenAIEmbeddingsWire(DocumentWire):
    """``POST /v1/embeddings``."""

    name = EMBEDDINGS_WIRE
    title = "OpenAI's embeddings"
    root = "/v1"
    paths: ClassVar[tuple[str, ...]] = ("/v1/embeddings",)
    fields: ClassVar[FieldTable | None] = EMBEDDINGS
    holds = "data"

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        document = decode_object(body)
        model = EMBEDDINGS.take(document, "model")
        texts = EMBEDDINGS.take(document, "input")
        if texts is None:
            raise missing("input", "send a text, or a list of texts", document)
        fields = EMBEDDINGS.check(document)
        echo = {"encoding_format": fields.get("encoding_format", "float")}
        return raw_request(self.name, model or "", {"input": texts, **fields}, fields=fields, echo=echo)

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        assert request.origin is not None
        return encode_request({"model": model, **request.origin.document})

    def read_members(self, members: dict[str, msgspec.Raw]) -> Members:
        """See `DocumentWire.read_members`: the vectors, in the order of their inputs."""
        try:
            entries = _entries_of(members["data"])
            places = [_place_of(entry, place) for place, entry in enumerate(entries)]
        except msgspec.DecodeError as error:
            raise StreamError(f"the embeddings cannot be read: {error}", status=200, retryable=True) from None
        if not entries or any("embedding" not in entry for entry in entries):
            raise StreamError("the answer lacks embeddings", status=200, retryable=True)
        for entry in entries:
            _check_vector(entry)
        if sorted(places) == list(range(len(entries))):
            entries = [entry for _, entry in sorted(zip(places, entries, strict=True), key=lambda pair: pair[0])]
        return {**members, "data": entries}

    def check_answer(self, batch: Batch, asked: bytes) -> None:
        """See `Wire.check_answer`: vectors are distinguished by their order alone, so none may be missing."""
        inputs = _decode_asked(asked).input
        self._check_count(batch, len(inputs) if isinstance(inputs, list) and not isinstance(inputs[0], int) else 1)

    def _check_count(self, batch: Batch, count: int) -> None:
        """Raise `StreamError` unless *batch* has so many vectors."""
        if (vectors := len(self.members_of(batch)["data"])) != count:
            raise StreamError(f"the server answered {count} inputs with {vectors} embeddings", status=200, retryable=True)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`. The usage that an upstream does not tell is 0: clients want its members."""
        members = self.members_of(events)
        wanted = (head.echo or {}).get("encoding_format", "float")
        data = [
            {"object": "embedding", **entry, "index": place, "embedding": in_format(entry["embedding"], wanted)}
            for place, entry in enumerate(members["data"])
        ]
        document = {
            "object": "list",
            "data": data,
            **{name: value for name, value in members.items() if name not in ("object", "data", "usage")},
            "model": head.model,
            "usage": _usage_of(members.get("usage")),
            "x_autonomousai": route_of(extension),
        }
        return msgspec.json.encode(document)

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """See `Wire.decode_error`."""
        return read_raw_error(self.name, status, body, headers, secrets=secrets)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        return Operation(
            id="embeddings",
            summary="Make embeddings",
            request="EmbeddingRequest",
            answer="EmbeddingList",
            event="",
            example={"model": "llama", "input": ["The capital of France", "Paris"], "encoding_format": "float"},
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        vector = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}], "description": "Or in base64."}
        entry = {
            "type": "object",
            "properties": {"object": {"const": "embedding"}, "index": {"type": "integer", "minimum": 0}, "embedding": vector},
            "required": ["object", "index", "embedding"],
        }
        count = {"type": "integer", "minimum": 0}
        return {
            "EmbeddingList": {
                "type": "object",
                "description": "A vector for each input, in their order.",
                "properties": {
                    "object": {"const": "list"},
                    "data": {"type": "array", "items": entry, "minItems": 1},
                    "model": {"type": "string"},
                    "usage": {
                        "type": "object",
                        "properties": {"prompt_tokens": count, "total_tokens": count},
                        "description": "0 where the upstream counted nothing.",
                    },
                    "x_autonomousai": {"$ref": "#/components/schemas/AnswerRoute"},
                },
                "required": ["object", "data", "model", "usage", "x_autonomousai"],
            },
            "AnswerRoute": {
                "type": "object",
                "description": "Which upstream answered, and what was tried.",
                "properties": {
                    "upstream": {"type": ["string", "null"]},
                    "attempts": {"type": "array", "items": {"$ref": "#/components/schemas/Attempt"}},
                },
                "required": ["upstream", "attempts"],
            },
        }


class _Asked(msgspec.Struct):
    input: Any


_decode_asked: Final = msgspec.json.Decoder(_Asked).decode


def _entries_of(data: msgspec.Raw) -> list[dict[str, msgspec.Raw]]:
    """Return the entries of a list, where an entry may also be the vector alone. Raises `DecodeError` where it is no list."""
    try:
        return _decode_entries(data)
    except msgspec.DecodeError:
        return (
            [{"embedding": vector} for vector in _decode_vectors(data)] if bytes(data)[:2] == b"[[" else _decode_entries(data)
        )


def _place_of(entry: dict[str, msgspec.Raw], place: int) -> int:
    """Return an entry's index; *place*, where it names none."""
    index = msgspec.json.decode(entry.get("index", b"null"), type=int | str | None)
    return place if index is None else int(index) if isinstance(index, int) or index.isdecimal() else -1


def _check_vector(entry: dict[str, msgspec.Raw]) -> None:
    """Raise `StreamError` where an entry holds no vector: none, an empty one, or one of nulls. Numbers that are written as
    text, and a vector alone in a list, are put in its place. By a look at the bytes: most are only handed on."""
    raw = bytes(entry["embedding"]).strip()
    if raw[:1] == b"[" and not (b"n" in raw or b'"' in raw or raw[1:2] == b"[") and raw[1:-1].strip():
        return
    if raw[:1] == b"{" or (raw[:1] == b'"' and raw != b'""'):  # in base64, or in a format of the upstream's own
        return
    if raw[:2] == b"[[" and raw.count(b"[") > 2 and b"n" not in raw:  # one for each token
        return
    entry["embedding"] = msgspec.Raw(msgspec.json.encode(as_vector(raw)))


def _usage_of(usage: Any) -> dict[str, Any]:
    """Return what an upstream says of the tokens, with the members that clients want."""
    said = msgspec.json.decode(usage) if isinstance(usage, msgspec.Raw) else usage
    said = said if isinstance(said, dict) else {}
    counts = (said.get(name) for name in ("prompt_tokens", "input_tokens", "total_tokens"))
    prompt = next((count for count in counts if type(count) is int), 0)
    total = said.get("total_tokens")
    return {**said, "prompt_tokens": prompt, "total_tokens": total if type(total) is int else prompt}


def in_format(value: Any, wanted: str) -> Any:
    """Return an embedding as its caller wants it; as it is, where it is so already, or in a format of the upstream's own."""
    raw = bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
    is_text = raw.lstrip()[:1] == b'"'
    if wanted == "float" and is_text:
        return as_vector(raw)
    if wanted == "base64" and not is_text:
        return pack_vector(as_vector(raw))
    return msgspec.Raw(raw)


OPENAI_EMBEDDINGS: Final = OpenAIEmbeddingsWire()
