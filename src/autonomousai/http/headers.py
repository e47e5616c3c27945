"""A response's headers as they came, read when one is asked for: most never are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

#: Headers that a response may have.
MAX_FIELDS: Final = 256

_VERSIONS: Final = frozenset({"1.0", "1.1"})


class Headers(Mapping[str, str]):
    """A response's headers; their names are case-insensitive, and repeated ones are joined. Decoded when they are asked for."""

    __slots__ = ("_fields", "_sole")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self._fields = fields
        #: By the name in lower case, where none is repeated.
        self._sole: dict[bytes, bytes] | None = None
        if fields:
            names, values = zip(*fields, strict=True)
            sole = dict(zip(map(bytes.lower, names), values, strict=True))
            if len(sole) == len(names):
                self._sole = sole

    def get(self, name: str, default: Any = None) -> Any:
        if self._sole is not None and name.lower().encode() not in self._sole:
            return default
        values = self.values_of(name)
        return ", ".join(values).strip() if values else default

    def is_usual(self) -> bool:
        """Return whether a final response of HTTP/1.1 with these headers is framed beyond doubt, and its body not encoded."""
        sole = self._sole
        return (
            sole is not None
            and len(sole) <= MAX_FIELDS
            and b"content-encoding" not in sole
            and sole.get(b"transfer-encoding", b"chunked") == b"chunked"
        )

    def framing_problem(self, status: int, version: str) -> str:
        """Return why a response with these headers is refused although a parser has read its head, or nothing."""
        if len(self._fields) > MAX_FIELDS:
            return f"more than {MAX_FIELDS} headers"
        transfer = self.values_of("transfer-encoding")
        if status < 100 or version not in _VERSIONS:
            return f"status {status} in HTTP/{version}"
        if transfer and (len(transfer) > 1 or transfer[0].strip().lower() != "chunked"):
            return "a transfer encoding that is not chunked, once"
        if transfer and version == "1.0":
            return "chunks in HTTP/1.0"
        if status < 200 and (transfer or any(length != "0" for length in self.values_of("content-length"))):
            return f"a body in an interim response of status {status}"  # RFC 9110 section 8.6, RFC 9112 section 6.1
        return ""

    def values_of(self, name: str) -> list[str]:
        """Return the values of all fields with this name: UTF-8, which is what servers send that send more than ASCII, else
        Latin-1, in which every byte means something (RFC 9110 section 5.5)."""
        size = len(name)
        values: list[bytes] = []
        for field, value in self._fields:
            if len(field) == size and field.lower() == name.lower().encode():
                values.append(value)
        if not values:
            return []
        try:
            return list(map(bytes.decode, values))
        except UnicodeDecodeError:
            return [value.decode("latin-1") for value in values]

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(field.lower().decode("latin-1") for field, _ in self._fields))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def is_framed(headers: Mapping[str, str]) -> bool:
    """Return whether a body's end shows in its own framing, and not by that of the connection (RFC 9112, section 6.3)."""
    return "chunked" in headers.get("Transfer-Encoding", "").lower() or "Content-Length" in headers
