"""Requests that are no conversation: a raw prompt, texts to embed, documents to rank. Only an upstream of their own wire can be
asked for them, at the wire's own path; a chat template must not come between. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

from ..errors import StatusError
from ..request import ChatRequest, OriginalRequest

#: The code of what no upstream of a model can do.
UNSUPPORTED_ENDPOINT: Final = "unsupported_endpoint"

#: The names of the wires of this kind.
COMPLETIONS_WIRE: Final = "openai_completions"
EMBEDDINGS_WIRE: Final = "openai_embeddings"
RERANK_WIRE: Final = "openai_rerank"

#: What is asked of an upstream over each of them, in words.
OPERATIONS: Final = {
    COMPLETIONS_WIRE: "completes a raw prompt (text completions)",
    EMBEDDINGS_WIRE: "makes embeddings",
    RERANK_WIRE: "ranks documents",
}

#: The wire of requests that are a conversation, unless that is kept by the upstream itself.
RESPONSES_WIRE: Final = "openai_responses"

#: The wire of requests that are a conversation, unless its beginning is kept by the upstream itself.
GEMINI_WIRE: Final = "google_gemini"

_ABILITIES: Final = {
    **OPERATIONS,
    RESPONSES_WIRE: "knows what the request refers to: a conversation, a prompt or items that such a server keeps",
    GEMINI_WIRE: "knows the cached content that the request refers to",
}
_REMEDY: Final = "route the model to a server that does, as an upstream of the kind openai"
_REMEDIES: Final = {
    RESPONSES_WIRE: f'{_REMEDY} with api = "responses"',
    GEMINI_WIRE: "send the complete conversation, or route the model to an upstream of the kind gemini",
}


def raw_request(wire: str, model: str, document: dict[str, Any], *, continuable: bool = False, **more: Any) -> ChatRequest:
    """Return the request that *document* is, as it is asked over *wire*. *more*: further members of the `ChatRequest`."""
    origin = OriginalRequest(wire, document, continuable=continuable)
    return ChatRequest(model, [], origin=origin, **more)


def embedding_request(model: str, input: str | Sequence[Any], fields: Mapping[str, Any]) -> ChatRequest:
    """Return the request for the embeddings that *model* makes of *input*; *fields* that are None are left out. Raises
    `ValueError` for an empty input, and for one that is none."""
    if isinstance(input, Mapping | bytes) or not (isinstance(input, str) or hasattr(input, "__iter__") or input is None):
        raise ValueError(f"input: must be a text, a list of texts, or tokens, not {type(input).__name__}")
    texts: Any = input if isinstance(input, str) else list(input or ())
    if not texts:
        raise ValueError("input: must not be empty; give a text, or a list of texts")
    for place, each in enumerate(texts if isinstance(texts, list) else ()):
        if not isinstance(each, str | Sequence) and not hasattr(each, "__index__"):
            raise ValueError(f"input[{place}]: must be a text, or a list of tokens, not {type(each).__name__}")
    given = {name: value for name, value in fields.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"the request field {name!r} must be a number, not {value}")
    return raw_request(EMBEDDINGS_WIRE, model, {"input": texts, **given}, fields=given)


def unsupported(model: str, wire: str) -> StatusError:
    """Return the error for a request over *wire* that no upstream of *model* can be asked."""
    ability, remedy = _ABILITIES.get(wire, f"answers over the wire {wire}"), _REMEDIES.get(wire, _REMEDY)
    return StatusError(
        f"no upstream of {model[:200]!r} {ability}; {remedy}",
        status=404,
        type="invalid_request_error",
        param="model",
        code=UNSUPPORTED_ENDPOINT,
    )
