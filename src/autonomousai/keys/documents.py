"""Where keys are kept that were made while servers run: documents by id, each under a name of its own, and a version of all of
them. What a document says is not known here.
"""

from __future__ import annotations

from typing import Protocol


class NameTakenError(Exception):
    """Another document has the name."""


class DocumentChangedError(Exception):
    """The document is not as it was read: another server has changed or deleted it."""


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

    async def add(self, id: str, name: str, document: bytes) -> None:
        """Keep a new *document*. Raises `NameTakenError`."""

    async def replace(self, id: str, before: bytes, document: bytes) -> None:
        """Keep *document* in the place of *before*. Raises `DocumentChangedError` where that is not there any more."""

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

    async def add(self, id: str, name: str, document: bytes) -> None:
        if any(other == name for other, _ in self._documents.values()):
            raise NameTakenError(name)
        self._documents[id] = (name, document)
        self._version += 1

    async def replace(self, id: str, before: bytes, document: bytes) -> None:
        name, known = self._documents.get(id, ("", b""))
        if known != before:
            raise DocumentChangedError(id)
        self._documents[id] = (name, document)
        self._version += 1

    async def delete(self, id: str) -> None:
        self._documents.pop(id, None)
        self._version += 1
