"""A response's headers as they came, read when somebody asks for one: most of them nobody does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Headers(Mapping[str, str]):
    """A response's headers; their names are case-insensitive, and repeated ones are joined. Decoded when they are asked for."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    @property
    def fields(self) -> int:
        """How many lines they took."""
        return len(self._fields)

    def get(self, name: str, default: Any = None) -> Any:
        values = self.values_of(name)
        return ", ".join(values).strip() if values else default

    def values_of(self, name: str) -> list[str]:
        """Return the values of all fields with this name."""
        key, size = name.lower().encode(), len(name)
        return [_text(value) for field, value in self._fields if len(field) == size and field.lower() == key]

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


def _text(value: bytes) -> str:
    """UTF-8, which is what servers send that send more than ASCII; else Latin-1, in which every byte means something
    (RFC 9110 section 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
