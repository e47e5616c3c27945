"""A response's headers as they came, read when somebody asks for one: most of them nobody does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Headers(Mapping[str, str]):
    """A response's headers; their names are case-insensitive, and repeated ones are joined. Decoded when they are asked for."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def get(self, name: str, default: Any = None) -> Any:
        key = name.lower().encode()
        size = len(key)
        values = [value for field, value in self._fields if len(field) == size and field.lower() == key]
        return b", ".join(values).decode("utf-8", "surrogateescape").strip() if values else default

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
