"""A text that is longer than the weights read at once, cut to what they read: as clients of Ollama want it of texts to embed
(Ollama API reference, "Generate embeddings", ``truncate``). By the tokenizer of the weights, at llama.cpp's own paths.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..clients.openai import OpenAICompatible

#: Tokens left free: a text that ends elsewhere may be cut into one more.
_SPARE: Final = 2


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Text(msgspec.Struct):
    content: str


async def truncated(client: OpenAICompatible, text: str, *, most: int, longest: int, deadline: float) -> str:
    """Return the beginning of *text* that the weights read as fewer than *most* tokens, and the text itself where it is short
    enough. A token has at most *longest* bytes (0: unknown)."""
    data = text.encode()
    if len(data) < most - _SPARE:  # a token has a byte at the least; the others are those around the text
        return text
    if longest:
        text = data[: most * longest].decode(errors="ignore")
    over = len(await _tokens(client, text, deadline, special=True)) + 1 - most
    if over <= 0:
        return text
    tokens = await _tokens(client, text, deadline, special=False)
    kept = tokens[: max(1, len(tokens) - over - _SPARE)]
    answer = await client.fetch("/detokenize", body=msgspec.json.encode({"tokens": kept}), deadline=deadline)
    return msgspec.json.decode(answer, type=_Text).content


async def _tokens(client: OpenAICompatible, text: str, deadline: float, *, special: bool) -> list[int]:
    body = msgspec.json.encode({"content": text, "add_special": special})
    answer = await client.fetch("/tokenize", body=body, deadline=deadline)
    return msgspec.json.decode(answer, type=_Tokens).tokens
