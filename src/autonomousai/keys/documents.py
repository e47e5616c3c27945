"""Where keys are kept that were made while servers run: documents by id, each under a name of its own, and a version of all of
them. What a document says is not known here.
"""

from __future__ import annotations

from typing import Protocol


class NameTakenError(Exception):
    """Another document has the name."""


class DocumentStoreError(Exception):
    """The store cannot be reached."""


class DocumentStore(Protocol):
    """``shared``: all servers and workers that use the same place see the same documents. All methods but `open` and `aclose`
    raise `DocumentStoreError`."""

    shared: bool

    async def open(self) -> None: ...
    async def aclose(self) -> None: ...

    async def version(self) -> int:
        """Return a number that grows with each change."""

    async def load(self) -> list[bytes]:
        """Return all documents."""

    async def put(self, id: str, name: str, document: bytes) -> None:
        """Keep *document*, in the place of that with the same *id*. Raises `NameTakenError`."""

    async def delete(self, id: str) -> None:
        """Drop the document of that *id*, if there is one."""


class MemoryDocuments:
    """Documents in this process alone, until it ends."""

    shared = False

    def __init__(self) -> None:
        self._version = 0
        self._documents: dict[str, tuple[str, bytes]] = {}

    async def open(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def version(self) -> int:
        return self._version

    async def load(self) -> list[bytes]:
        return [document for _, document in self._documents.values()]

    async def put(self, id: str, name: str, document: bytes) -> None:
        if any(other == name and each != id for each, (other, _) in self._documents.items()):
            raise NameTakenError(name)
        self._documents[id] = (name, document)
        self._version += 1

    async def delete(self, id: str) -> None:
        self._documents.pop(id, None)
        self._version += 1
