"""The Gemini API as a `Wire` that upstreams are asked over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from ...errors import StatusError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation, StreamEncoder, Wire
from .decoder import GeminiStreamDecoder, decode_gemini_answer
from .upstream_errors import read_gemini_error
from .upstream_request import write_gemini_request
from .upstream_shapes import WIRE


class GeminiUpstreamWire(Wire):
    """``POST /v1beta/models/{model}:generateContent``, and ``:streamGenerateContent?alt=sse``."""

    name = WIRE
    title = "the Gemini API"
    paths: ClassVar[tuple[str, ...]] = ()

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_gemini_request(request, model)

    decoder = GeminiStreamDecoder
    decode_answer = staticmethod(decode_gemini_answer)

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """See `Wire.decode_error`."""
        return read_gemini_error(status, body, headers, secrets=secrets)

    # ---- what a server needs; upstreams alone are asked over this one

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        raise self._is_only_asked()

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """See `Wire.encoder`."""
        raise self._is_only_asked()

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        raise self._is_only_asked()

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        raise self._is_only_asked()

    def _is_only_asked(self) -> NotImplementedError:
        return NotImplementedError(f"no caller is answered by {self.name} here")


GEMINI_UPSTREAM: Final = GeminiUpstreamWire()
