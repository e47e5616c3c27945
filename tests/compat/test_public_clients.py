"""Two clients of the AutonomousAI wire, written here, that read it as public ones do; one of each habit that was seen.

They are strict where those are: lines split at LF, `startswith("data:")`, the finish reason at the chunk's top level alone.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

ENDPOINTS = {
    "llama": "/api/v1/ai/chat",
    "qwen_coder": "/api/v1/ai/chat",
    "hermes": "/api/v1/ai/chat-hermes",
    "vision": "/api/v1/ai/chat-vision",
    "summary": "/api/v1/ai/summary",
}


def post(url: str, body: dict[str, Any]) -> Any:
    headers = {
        "content-type": "application/json",
        "accept": "*/*",
        "origin": "https://www.autonomous.ai",
        "referer": "https://www.autonomous.ai/",
        "country-code": "US",
        "time-zone": "America/New_York",
    }
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers))


def read_line_by_line(
    real_server: str, model: str, messages: list[dict[str, str]], **fields: Any
) -> Iterator[str | tuple[str, str]]:
    """The streaming client: text, and last ("finish", reason) as it stands at the top level of a chunk."""
    encoded = b64encode(json.dumps(messages).encode()).decode()
    body = {"messages": encoded, "threadId": model, "stream": True, "aiAgent": model, **fields}
    with post(real_server + ENDPOINTS[model], body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        buffer = ""
        for raw in response:
            buffer += raw.decode("utf-8")
            while "\n" in buffer:
                line, buffer = buffer.split("\n", 1)
                if not line.startswith("data:"):
                    continue
                payload = line[5:].strip()
                if payload == "[DONE]":
                    return
                chunk = json.loads(payload)
                if chunk["choices"] and (text := chunk["choices"][0]["delta"].get("content")):
                    yield text
                if chunk.get("finish_reason"):
                    yield "finish", chunk["finish_reason"]


def ask_bare(real_server: str, model: str, prompt: str, **fields: Any) -> str:
    """The client without streaming: the base64 of the bare prompt, a UUID for the thread, the text of the document."""
    body = {
        "messages": b64encode(prompt.encode()).decode(),
        "threadId": "7f7dfb0e-4b0a-4f0e-9d28-3c2d3b1d9f10",
        "stream": False,
        "aiAgent": model,
        "userId": "2b1d7a94-8f5c-4b52-b0a2-5b1c1d7c0e11",
        "useTool": False,
        **fields,
    }
    with post(real_server + ENDPOINTS[model], body) as response:
        assert response.headers["content-type"].startswith("application/json")
        return str(json.load(response)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("model", ENDPOINTS)
def test_the_line_reader_gets_text_and_a_finish_reason(real_server: str, model: str) -> None:
    """On each of the five models' endpoints, and the end comes once and last."""
    chunks = list(read_line_by_line(real_server, model, [{"role": "user", "content": "Name three colours."}], max_tokens=20))

    *texts, finish = chunks
    assert all(isinstance(text, str) for text in texts)
    assert "".join(map(str, texts)).strip()
    assert finish in {("finish", "stop"), ("finish", "length")}


def test_the_line_reader_may_send_history_in_any_script(real_server: str) -> None:
    """What is inside the base64 is UTF-8, and roles arrive in order."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant. 你好 🌍 «ß»"},
        {"role": "user", "content": "The secret word is tiger."},
        {"role": "assistant", "content": "I understand. The secret word is tiger."},
        {"role": "user", "content": "What is the secret word?"},
    ]

    chunks = list(read_line_by_line(real_server, "llama", messages, temperature=0, max_tokens=20))

    assert "tiger" in "".join(str(chunk) for chunk in chunks if isinstance(chunk, str))


@pytest.mark.parametrize("model", ENDPOINTS)
def test_a_bare_prompt_is_answered_whole(real_server: str, model: str) -> None:
    """Base64 of a text that is no JSON is one user's message."""
    assert ask_bare(real_server, model, "Name three colours.", max_tokens=20).strip()


def test_both_clients_get_the_same_answer(real_server: str) -> None:
    """A bare prompt is the same as one user message; streaming changes nothing but the pace."""
    fixed = {"temperature": 0, "seed": 1, "max_tokens": 30}
    prompt = "Name three colours."

    streamed = read_line_by_line(real_server, "llama", [{"role": "user", "content": prompt}], **fixed)
    text = "".join(chunk for chunk in streamed if isinstance(chunk, str))

    assert ask_bare(real_server, "llama", prompt, **fixed) == text


def test_what_cannot_be_read_is_refused_in_json(real_server: str) -> None:
    """A status and an error object, as on the other wire."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(real_server + ENDPOINTS["llama"], {"messages": "%%%", "threadId": "llama", "stream": True, "aiAgent": "llama"})

    with caught.value as refused:
        error = json.load(refused)["error"]
    assert 400 == caught.value.code
    assert error["message"]
