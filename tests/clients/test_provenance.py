"""The client checks what the server says of the text it sent."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from autonomousai import AutonomousAI, StreamError
from autonomousai.testing import Script, ScriptedServer, completion, event

pytestmark = pytest.mark.usefixtures("transport")

HELLO = [{"role": "user", "content": "Hello"}]


def stream_with(evidence: dict[str, Any]) -> Script:
    first = event({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]})
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_autonomousai": evidence})
    return Script.body(first + last + event("[DONE]"))


def document_with(evidence: dict[str, Any]) -> Script:
    body = completion("Hello")
    return Script.status(200, body[:-1] + b', "x_autonomousai": ' + str(evidence).replace("'", '"').encode() + b"}")


@pytest.mark.parametrize("script", [stream_with, document_with])
async def test_a_text_that_is_not_the_one_sent_is_an_error(script: Any) -> None:
    """A mismatch is an error with the text that arrived; the right sum passes."""
    right = {"length": 5, "sha256": hashlib.sha256(b"Hello").hexdigest()}
    wrong = {"length": 6, "sha256": hashlib.sha256(b"Hello!").hexdigest()}
    async with ScriptedServer(script(right), script(wrong)) as server, AutonomousAI(server.url) as provider:
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()
        with pytest.raises(StreamError, match="6 characters") as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (text, caught.value.code) == ("Hello", "checksum_mismatch")
