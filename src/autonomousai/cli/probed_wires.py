"""What a server speaks beside chat completions: Responses, Messages, embeddings. Each is asked one short question by the client
that an upstream of a config would have; what that takes for an answer is one."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..clients.anthropic import Anthropic
from ..clients.openai import OpenAICompatible
from ..clients.vendors import VendorName
from ..errors import HTTPError, StatusError
from ..timeouts import Clocks
from ..wires.anthropic_messages.message import KeyHeader

_HELLO: Final[list[dict[str, Any]]] = [{"role": "user", "content": "Say hello."}]
_MAX_TOKENS: Final = 32

#: Said of a Messages API that wants the key elsewhere than Anthropic's.
AUTHORIZATION: Final = "the key goes in Authorization"

#: Names that models for embeddings have.
_EMBEDS: Final = re.compile(r"embed|\bbge\b|\bgte\b|\be5\b|minilm", re.IGNORECASE)


class WireTarget(msgspec.Struct, frozen=True):
    """Where and how is asked. ``listed``: the names of the server's models."""

    base_url: str
    vendor: VendorName | None
    api_key: str | None
    model: str
    listed: tuple[str, ...]
    clocks: Clocks

    @property
    def root(self) -> str:
        """The base URL of the Messages API there."""
        return self.base_url.partition("?")[0].removesuffix("/v1")

    def client(self, api: Any = "chat") -> OpenAICompatible:
        """Return a client of OpenAI's wires."""
        return OpenAICompatible(
            self.base_url, vendor=self.vendor, api_key=self.api_key or "", timeout=self.clocks, retries=0, api=api
        )


async def ask_responses(target: WireTarget) -> str:
    """Return what the Responses API said, in words. Raises `HTTPError` where it does not answer."""
    async with target.client("responses") as provider:
        answer = provider.create_async_generator(target.model, _HELLO, stream=True, max_tokens=_MAX_TOKENS)
        return _told(await answer.text(), answer.finish)


async def ask_messages(target: WireTarget) -> str:
    """Return what the Messages API said, whether it counts tokens, and where it wants a key that it refuses in its usual place.
    Raises `HTTPError` where it does not answer."""
    try:
        return await _ask_messages(target, "x-api-key")
    except StatusError as error:
        if error.status != 401 or not target.api_key:
            raise
        return f"{await _ask_messages(target, 'authorization')}; {AUTHORIZATION}"


async def _ask_messages(target: WireTarget, key_header: KeyHeader) -> str:
    key = target.api_key or ""
    async with Anthropic(target.root, api_key=key, key_header=key_header, timeout=target.clocks, retries=0) as provider:
        answer = provider.create_async_generator(target.model, _HELLO, stream=True, max_tokens=_MAX_TOKENS)
        told = _told(await answer.text(), answer.finish)
        with suppress(HTTPError):
            return f"{told}; it counts tokens ({await provider.count_prompt(target.model, _HELLO)})"
    return f"{told}; it does not count tokens"


async def ask_embeddings(target: WireTarget) -> str:
    """Return what was made of a text, by a model whose name says that it makes vectors, where one is listed. Raises `HTTPError`
    where nothing was."""
    model = next(filter(makes_vectors, (target.model, *target.listed)), target.model)
    async with target.client() as provider:
        made = await provider.embed(model, "Hello")
    return f"{sum(map(len, made.vectors))} numbers for a text, by {model}"


def makes_vectors(model: str) -> bool:
    """Return whether a model's name says that it makes embeddings."""
    return _EMBEDS.search(model) is not None


def _told(text: str, finish: Any) -> str:
    return f"{len(text)} characters, ended by {finish.reason or 'no reason'!r}"
