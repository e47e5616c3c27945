"""Texts to embed and documents to rank, as the embedded engine is asked. Its answer is one document. Knows no process and no
HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import hypot
from typing import Any, Final

from ..embeddings import as_vector
from ..events import Batch, Extra
from ..request import ChatRequest, OriginalRequest
from ..wires.fields import UNSUPPORTED
from ..wires.prompts import is_tokens
from ..wires.raw import EMBEDDINGS_WIRE
from ..wires.shapes import refusal, shown

#: Texts of one request: as many as OpenAI takes.
MOST_TEXTS: Final = 2048

#: They change nothing here: a vector's form is written by the wire, and no caller is billed.
_IDLE: Final = frozenset({"encoding_format", "user"})

#: The forms of a vector that the wire writes.
_FORMS: Final = (None, "float", "base64")


class Documents:
    """One request. ``param``: the field that has the texts; ``texts``: all that must be read.

    Raises `StatusError` 400 that names the field that the engine cannot honour.
    """

    def __init__(self, request: ChatRequest) -> None:
        assert request.origin is not None
        self.wire = request.origin.wire
        given = {**request.origin.document, **request.origin.changes}
        self._dimensions: int | None = None
        if self.wire == EMBEDDINGS_WIRE:
            self._dimensions = given.pop("dimensions", None)
            if (form := given.get("encoding_format")) not in _FORMS:
                raise refusal("encoding_format", f"must be float or base64, not {shown(form)}")
            self.param, self.texts, query = "input", _inputs(given.pop("input")), ""
            self._asked: dict[str, Any] = {"input": self.texts}
        else:
            query = _text("query", given.pop("query"))
            self.param, self.texts = "documents", _texts("documents", given.pop("documents"))
            given.pop("return_documents", None)  # the wire puts the documents beside their places
            self._asked = {"query": query, "documents": self.texts}
            if (top := given.pop("top_n", None)) is not None:
                self._asked["top_n"] = min(top, len(self.texts))
        if len(self.texts) > MOST_TEXTS:
            raise refusal(self.param, f"at most {MOST_TEXTS} texts are accepted at once, not {len(self.texts)}")
        for name, value in given.items():
            if value is not None and name not in _IDLE:
                problem = "is not something that the embedded engine can honour; leave it out"
                raise refusal(name[:100], problem, UNSUPPORTED)
        self._query = query
        #: Whether a text that is too long is cut; see `cut_texts`.
        self.truncates = self.wire == EMBEDDINGS_WIRE and bool(request.fields.get("truncate"))

    @property
    def longest(self) -> int:
        """The bytes of what is read at once, at the most."""
        return len(self._query.encode()) + max(len(text.encode()) for text in self.texts)

    async def cut_texts(self, cut: Callable[[str], Awaitable[str]]) -> None:
        """Put in the place of each text what *cut* returns of it."""
        self._asked["input"] = self.texts = [await cut(text) for text in self.texts]

    def question(self) -> ChatRequest:
        """Return the request to the engine."""
        return ChatRequest("", [], origin=OriginalRequest(self.wire, self._asked))

    def shortened(self, batch: Batch) -> Batch:
        """Return *batch* with its vectors cut to the dimensions that are wanted, and of the length one again (OpenAI API
        reference, "Create embeddings", ``dimensions``). Raises `StatusError` 400 where the weights make fewer."""
        if self._dimensions is None:
            return batch
        return [self._cut(event, self._dimensions) if isinstance(event, Extra) else event for event in batch]

    def _cut(self, answer: Extra, dimensions: int) -> Extra:
        data = [{**entry, "embedding": _cut(as_vector(entry["embedding"]), dimensions)} for entry in answer.members["data"]]
        return Extra({**answer.members, "data": data}, answer.covers, answer.wire)


def _cut(vector: list[float], dimensions: int) -> list[float]:
    if dimensions > len(vector):
        raise refusal("dimensions", f"is {dimensions}, and the weights of this model make {len(vector)}; request at most those")
    cut = vector[:dimensions]
    length = hypot(*cut) or 1.0
    return [number / length for number in cut]


def _inputs(value: Any) -> list[str]:
    if is_tokens(value):
        problem = "the embedded engine takes text, not tokens: those are numbers in the vocabulary of another model; send text"
        raise refusal("input", problem, UNSUPPORTED)
    return [value] if isinstance(value, str) else list(value)


def _texts(param: str, values: list[Any]) -> list[str]:
    return [_text(f"{param}[{place}]", value) for place, value in enumerate(values)]


def _text(param: str, value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise refusal(param, "must be text that is not empty, or an object with one as text", UNSUPPORTED)
    return text
