"""A server that repeats what it was sent does not put the key into an error, over either transport."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from autonomousai import AutonomousAI, HTTPError, OpenAICompatible
from autonomousai.request import CallOptions, ChatRequest
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.completions import event
from autonomousai.testing.steps import End, Head, Send

HELLO = [{"role": "user", "content": "Hello"}]
KEY = "operators-key-4f9c2b7e1d8a"
BASE64 = base64.b64encode(f"user:{KEY}".encode()).decode()


def repeated(said: str) -> dict[str, Script]:
    """All places in which a server can say something."""
    error: dict[str, Any] = {"error": {"message": said, "type": said, "code": said, "param": said}}
    return {
        "an error": Script.status(401, error),
        "an error in text": Script.status(500, said, content_type="text/plain"),
        "a header": Script.status(503, headers={"x-request-id": said}),
        "a redirect": Script.status(302, headers={"Location": f"http://127.0.0.1/?k={said}"}),
        "an error event": Script.body(event(error)),
        "an error with status 200": Script.status(200, error),
        "a vendor's error": Script.status(200, {"base_resp": {"status_code": 1004, "status_msg": said}}),
        "an event that cannot be read": Script.body(f"data: <{said}>\n\n".encode()),
        "a document that cannot be read": Script(Head(content_type="application/json"), Send(("{" + said).encode()), End()),
        "a finish reason": Script.body(event({"choices": [{"delta": {}, "finish_reason": f"{said}.abort"}]})),
    }


PLACES = list(repeated(""))


@pytest.mark.parametrize("said", [KEY, f"Bearer {KEY}", BASE64, KEY[:16]], ids=["key", "header", "base64", "cut"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("client", [OpenAICompatible, AutonomousAI])
async def test_the_key_is_not_repeated(client: Any, place: str, said: str) -> None:
    """Neither by the message, nor by any member of the error."""
    async with ScriptedServer(repeated(said)[place]) as server, client(server.url, api_key=KEY) as provider:
        with pytest.raises(HTTPError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True, retries=0).text()

    shown = json.dumps([str(caught.value), {name: str(value) for name, value in vars(caught.value).items()}])
    assert said.removeprefix("Bearer ") not in shown


def test_what_is_shown_of_a_request_has_no_key() -> None:
    """A program that reports errors writes down the variables of each frame, as `repr` shows them."""
    options = CallOptions(api_key=KEY, headers={"X-Key": KEY})
    provider = OpenAICompatible(f"http://user:{KEY}@127.0.0.1:9/v1?api-version={KEY}", api_key=KEY, headers={"X-Key": KEY})
    stream: Any = provider.stream(ChatRequest("m", HELLO), options)
    shown = [repr(each) for each in (provider, provider._options, options, stream, stream._request)]

    assert [] == [each for each in shown if KEY in each]
    assert "<PreparedRequest http://127.0.0.1:9/v1/chat/completions, " in shown[-1]
