"""How a streamed answer is asked for and read over each served wire, byte by byte, with nothing of the package in it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.support.sockets import Connection, request

Messages = list[dict[str, Any]]


class ServedWire(NamedTuple):
    """One wire as its callers know it. ``body``: of a request for so many tokens; ``text``: what an event says; ``ends``: one
    of these stands at the end of an answer that is proven, and nowhere else. ``seeded``: whether a request can name a seed."""

    path: str
    body: Callable[[Messages, int], dict[str, Any]]
    text: Callable[[dict[str, Any]], str]
    ends: tuple[bytes, ...]
    seeded: bool = True


def _choices(event: dict[str, Any]) -> str:
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))


def _messages(messages: Messages, tokens: int) -> dict[str, Any]:
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    said = [message for message in messages if message["role"] != "system"]
    return {"max_tokens": tokens, "messages": said, **({"system": system} if system else {})}


def _messages_text(event: dict[str, Any]) -> str:
    delta = event.get("delta") or {}
    return str(delta["text"]) if event.get("type") == "content_block_delta" and delta.get("type") == "text_delta" else ""


def _responses(messages: Messages, tokens: int) -> dict[str, Any]:
    return {"input": messages, "max_output_tokens": tokens}


def _responses_text(event: dict[str, Any]) -> str:
    return str(event["delta"]) if event.get("type") == "response.output_text.delta" else ""


_RESPONSES_ENDS = (b"event: response.completed\n", b"event: response.incomplete\n")
_DONE = (b"data: [DONE]\n\n",)

WIRES = {
    "chat": ServedWire(
        "/v1/chat/completions", lambda messages, tokens: {"messages": messages, "max_tokens": tokens}, _choices, _DONE
    ),
    "messages": ServedWire("/v1/messages", _messages, _messages_text, (b"event: message_stop\n",), seeded=False),
    "responses": ServedWire(
        "/v1/responses",
        lambda messages, tokens: {**_responses(messages, tokens), "store": False},
        _responses_text,
        _RESPONSES_ENDS,
    ),
    "kept responses": ServedWire("/v1/responses", _responses, _responses_text, _RESPONSES_ENDS),
    "completions": ServedWire(
        "/v1/completions",
        lambda messages, tokens: {"prompt": f"{messages[-1]['content']} A long answer: First,", "max_tokens": tokens},
        _choices,
        _DONE,
    ),
}


class Streamed(NamedTuple):
    """A streamed answer as it came: its pieces of text, how often an end stood in it, and the events that say an error."""

    pieces: list[str]
    ends: int
    errors: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def stream(
    port: int,
    wire: ServedWire,
    messages: Messages,
    tokens: int,
    *,
    after: int = 0,
    then: Callable[[], Awaitable[None]] | None = None,
    **fields: Any,
) -> Streamed:
    """Ask for an answer and read it to its end; *then* is done when so many pieces of text have come."""
    body = {"model": "llama", "stream": True, **wire.body(messages, tokens), **fields}
    pieces: list[str] = []
    errors: list[dict[str, Any]] = []
    whole = rest = b""
    async with Connection(port) as connection:
        await connection.send(request("POST", wire.path, body))
        status, _ = await connection.head()
        assert status == 200, await connection.piece()
        while piece := await connection.piece():
            whole += piece
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                data = next((line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")), b"[DONE]")
                said = {} if data == b"[DONE]" else json.loads(data)
                if said.get("error") or b"event: error" in event:
                    errors.append(said)
                if text := wire.text(said):
                    pieces.append(text)
                    if len(pieces) == after and then is not None:
                        await then()
    assert rest == b""
    return Streamed(pieces, sum(whole.count(end) for end in wire.ends), errors)
