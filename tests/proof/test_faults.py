"""Every fault that an upstream can play, through the real server over real sockets: scored as the caller and as the upstream
see it. What is right stands in a table, a row for each fault; the same rows hold on all wires, streamed (resumable or not) and
whole."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import Config, RetryConfig, ServerConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import FAULTS, Close, Head, Pause, Script, ScriptedServer, Send, chunks, event
from tests.support.sockets import CHAT, HELLO, PATIENCE, Answer, Connection, events, listening, request, text_of

from .sample import SEED

AGENT = "/api/v1/ai/chat"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
WIRES = (CHAT, AGENT, MESSAGES, RESPONSES)

#: How a whole stream ends.
ENDS = {**dict.fromkeys(WIRES, b"[DONE]\n\n"), MESSAGES: b'{"type":"message_stop"}\n\n'}

#: What the body of a request has beside the messages.
BESIDE: dict[str, dict[str, Any]] = {MESSAGES: {"max_tokens": 99}, RESPONSES: {"input": "Hello"}}


class Way(NamedTuple):
    """How somebody asks."""

    path: str
    stream: bool
    resumable: bool = False


WAYS = [Way(path, stream) for path in WIRES for stream in (True, False)] + [Way(path, True, True) for path in WIRES]
TEXT = "Hello world"

#: Where an upstream falls silent, this is how long it is waited for; everywhere else nobody should wait at all.
SILENCE = {"first_token": 0.5, "idle": 0.5, "total": PATIENCE}
PATIENT = {"first_token": PATIENCE, "idle": PATIENCE, "total": PATIENCE}

#: What an upstream is asked at the most, for one answer and for its rest; and where no other can be asked.
ATTEMPTS = 2
AT_LAST = 2 * ATTEMPTS


class Right(NamedTuple):
    """What is right where an upstream plays a fault.

    ``asked``: the requests that it sees where it is the only one, and ``asked_first`` where a healthy one comes after it.
    ``outcome`` and ``upstream_status``: what is noted of each of its attempts. ``seen``: how each answer ended, as it sees it
    (where the answer is over for us before it has ended, either may come first).
    ``status`` and ``code``: what the caller is told where it is the only one; ``text``: what the caller got before that.
    ``next``: whether the healthy one is asked. ``whole``: what ``asked`` and ``asked_first`` are where the caller has seen
    nothing yet, as it does not stream.
    """

    asked: int
    outcome: str
    seen: str
    upstream_status: int | None = 200
    status: int = 200
    code: str | None = None
    text: str = ""
    asked_first: int = 0
    next: bool = True
    retry_after: str | None = None
    clocks: dict[str, float] = PATIENT
    whole: tuple[int, int] | None = None

    def asked_by(self, way: Way) -> tuple[int, int]:
        """The requests that the upstream sees: alone, and before a healthy one."""
        return (self.asked, self.asked_first) if way.stream or self.whole is None else self.whole


def whole(seen: str) -> Right:
    """No fault at all, for the caller: the answer is whole, and asked for once."""
    return Right(1, "ok", seen, text=TEXT, asked_first=1, next=False)


def refused(upstream_status: int, status: int, code: str | None, *, asked: int, **more: Any) -> Right:
    """An answer of that status from the upstream."""
    alone = AT_LAST if asked == ATTEMPTS else asked
    return Right(
        alone, "status", "finished", upstream_status=upstream_status, status=status, code=code, asked_first=asked, **more
    )


def broken(outcome: str, seen: str, code: str | None, *, status: int = 502, **more: Any) -> Right:
    """Nothing was delivered: asked again, then the next."""
    return Right(more.pop("asked", AT_LAST), outcome, seen, status=status, code=code, **{"asked_first": ATTEMPTS, **more})


def torn(outcome: str, seen: str, code: str) -> Right:
    """Something was delivered: the rest is looked for, where the answer began as well. Another answer, where nothing was."""
    alone, first = 1 + AT_LAST, 1 + ATTEMPTS
    return Right(alone, outcome, seen, status=502, code=code, text="Hello wor", asked_first=first, whole=(AT_LAST, ATTEMPTS))


RIGHT: dict[str, Right] = {
    "bad_request": refused(400, 400, None, asked=1, next=False),
    "unauthorized": refused(401, 502, "upstream_401", asked=1),
    "not_found": refused(404, 502, "upstream_404", asked=1),
    "rate_limited": refused(429, 429, None, asked=ATTEMPTS, retry_after="1"),
    "server_error": refused(500, 500, None, asked=ATTEMPTS),
    "overloaded": refused(503, 503, None, asked=ATTEMPTS, retry_after="1"),
    "reset_before_headers": broken("reset", "reset", None, upstream_status=None),
    "reset_after_headers": broken("cut", "reset", "upstream_incomplete"),
    "reset_after_text": torn("cut", "reset", "upstream_incomplete"),
    "hang_up": broken("reset", "closed", None, upstream_status=None),
    "silence": broken(
        "first_token_timeout",
        "left",
        "first_token_timeout",
        status=504,
        upstream_status=None,
        asked=1,
        asked_first=1,
        clocks=SILENCE,
    ),
    "cut": torn("cut", "closed", "upstream_incomplete"),
    "cut_with_terminator": torn("cut", "finished", "upstream_incomplete"),
    "empty_stream": broken("cut", "finished", "upstream_incomplete"),
    "stall": torn("idle_timeout", "left", "idle_timeout")._replace(
        asked=2, status=504, asked_first=1, clocks=SILENCE, whole=(2, 1)
    ),
    "stall_before_text": broken(
        "first_token_timeout", "left", "first_token_timeout", status=504, asked=1, asked_first=1, clocks=SILENCE
    ),
    "malformed_event": torn("stream_error", "finished or left", "unreadable_event"),
    "missing_done": whole("finished"),
    "error_event": torn("stream_error", "finished or left", "scripted"),
    "error_event_first": broken("stream_error", "finished or left", "scripted"),
    "trickle": whole("finished"),
    "lingering": whole("left"),
    "lingering_without_done": whole("left"),
    "wrong_content_type": whole("finished"),
    "document": whole("finished"),
    "cut_document": broken("cut", "closed", "upstream_incomplete"),
    "html": Right(1, "stream_error", "finished", status=502, code="upstream_error", asked_first=1),
    "html_502": refused(502, 502, None, asked=ATTEMPTS),
    "not_http": Right(1, "reset", "closed", upstream_status=None, status=502, asked_first=1),
}

STREAM = chunks("Hello", " world", usage={"prompt_tokens": 1, "completion_tokens": 2})
FILTERED = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "content_filter"}}

#: Faults that need arguments, and what is right of each.
MORE: dict[str, tuple[Callable[[], Script], Right]] = {
    "split in the middle of every line": (
        lambda: Script.body(STREAM, at=[at for at, byte in enumerate(STREAM) if byte in b":{ }"]),
        whole("finished or left"),
    ),
    "usage and no [DONE]": (
        lambda: Script.body(STREAM.removesuffix(event("[DONE]"))),
        whole("finished"),
    ),
    "an error event, then [DONE]": (
        lambda: Script.error_event("Hello", " wor", done=True),
        torn("stream_error", "finished or left", "scripted"),
    ),
    "a finish reason, then a cut": (
        lambda: Script(Head(), Send(chunks("Hello", " world", done=False)), Close()),
        whole("closed"),
    ),
    "a finish reason, cut before its end": (
        lambda: Script.body(chunks("Hello", " world", done=False)[:-3]),
        torn("cut", "finished", "upstream_incomplete")._replace(text=TEXT),
    ),
    "a finish reason without its blank line": (
        lambda: Script.body(chunks("Hello", " world", done=False)[:-1]),
        whole("finished"),
    ),
    "the content policy": (
        lambda: Script.status(400, FILTERED),
        refused(400, 400, "content_filter", asked=1, next=False),
    ),
    "a rate limit that lasts": (
        lambda: Script.status(429, retry_after=3600),
        refused(429, 429, None, asked=1, retry_after="3600"),
    ),
    "a redirect": (
        lambda: Script.status(307, b"", headers={"Location": "/elsewhere"}),
        Right(1, "reset", "finished", upstream_status=307, status=502, asked_first=1),
    ),
}

CASES = {**{name: (FAULTS[name], right) for name, right in RIGHT.items()}, **MORE}


class Seen(NamedTuple):
    """All that a caller sees of an answer."""

    status: int
    text: str
    finish: str | None
    code: str | None
    done: bool
    retry_after: str | None


class Account(NamedTuple):
    """What the server says of how the answer came about."""

    upstream: str
    attempts: list[tuple[str, str, int | None]]
    splices: list[tuple[int, str, str]]
    length: int
    sha256: str


Asked = tuple[Seen, Account | None]


async def ask(port: int, path: str, stream: bool, resumable: bool = False) -> Asked:
    headers = {"x_stream_resumable": "1"} if resumable else {}
    async with Connection(port) as connection:
        answer = await connection.ask(request("POST", path, asking(path, stream=stream), **headers))
    streamed = stream and answer.status == 200
    assert ("text/event-stream; charset=utf-8" if streamed else "application/json") == answer["content-type"]
    if path == MESSAGES:
        return read_message(answer, streamed=streamed)
    if answer.status != 200:
        return Seen(answer.status, "", None, answer.error["code"], False, answer["retry-after"]), None
    if path == RESPONSES:
        return read_response(events(answer.body) if stream else [answer.json()], streamed=stream)
    if not stream:
        document = answer.json()
        choice = document["choices"][0]
        seen = Seen(200, choice["message"]["content"], choice["finish_reason"], None, True, None)
        return seen, account(document["x_autonomousai"])
    payloads = events(answer.body)
    done = payloads[-1] == "[DONE]"
    chunks = [payload for payload in payloads if payload != "[DONE]"]
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", ()) if choice["finish_reason"]]
    error = chunks[-1].get("error", {})
    told = [chunk["x_autonomousai"] for chunk in chunks if "x_autonomousai" in chunk]
    assert (len(finishes), len(told), "error" in chunks[-1]) == ((1, 1, False) if done else (0, 0, True))
    seen = Seen(200, text_of(payloads), finishes[0] if finishes else None, error.get("code"), done, None)
    return seen, account(told[0]) if told else None


def asking(path: str, *, stream: bool) -> dict[str, Any]:
    """The body of a request."""
    return {**HELLO, "stream": stream, **BESIDE.get(path, {})}


def read_message(answer: Answer, *, streamed: bool) -> Asked:
    """What a caller of the Messages API sees, in the words of chat completions. Its errors have no codes."""
    if answer.status != 200:
        assert "error" == answer.json()["type"]
        return Seen(answer.status, "", None, None, False, answer["retry-after"]), None
    if not streamed:
        message = answer.json()
        text = "".join(block["text"] for block in message["content"])
        return Seen(200, text, {"end_turn": "stop"}[message["stop_reason"]], None, True, None), account(
            message["x_autonomousai"]
        )
    payloads = events(answer.body)
    text = "".join(payload["delta"]["text"] for payload in payloads if payload["type"] == "content_block_delta")
    last = payloads[-1]["type"]
    ends = [payload for payload in payloads if payload["type"] == "message_delta"]
    assert (len(ends), last) in ((1, "message_stop"), (0, "error"))
    assert 1 == sum(payload["type"] == "message_start" for payload in payloads)
    if not ends:
        return Seen(200, text, None, None, False, None), None
    finish = {"end_turn": "stop"}[ends[0]["delta"]["stop_reason"]]
    return Seen(200, text, finish, None, True, None), account(ends[0]["x_autonomousai"])


def read_response(payloads: list[Any], *, streamed: bool) -> Asked:
    """What a caller of the Responses API sees, in the words of chat completions."""
    done = not streamed or payloads[-1] == "[DONE]"
    said = [payload for payload in payloads if payload != "[DONE]"]
    response = said[-1]["response"] if streamed else said[-1]
    text = "".join(part["text"] for item in response["output"] for part in item["content"])
    ends = [event["type"] for event in said if event.get("type") in ("response.completed", "response.failed", "error")]
    assert ends == ([f"response.{response['status']}"] if streamed else [])
    assert "".join(event["delta"] for event in said if "delta" in event) == (text if streamed else "")
    code = response.get("x_autonomousai", {}).get("code") or (response["error"] or {}).get("code")
    seen = Seen(200, text, {"completed": "stop"}.get(response["status"]), code, done, None)
    return seen, account(response["x_autonomousai"]) if done else None


def told(way: Way, right: Asked) -> Asked:
    """What of *right* a caller is told that way."""
    seen, evidence = right
    return (seen._replace(code=None), evidence) if way.path == MESSAGES else right


def account(extension: Any) -> Account:
    assert all(attempt["ms"] >= 0 for attempt in extension["attempts"])
    return Account(
        extension["upstream"],
        [(attempt["upstream"], attempt["outcome"], attempt["status"]) for attempt in extension["attempts"]],
        [(splice["offset"], splice["from"], splice["to"]) for splice in extension["splices"]],
        extension["length"],
        extension["sha256"],
    )


def gateway(servers: list[ScriptedServer], clocks: dict[str, float]) -> Gateway:
    """One over these upstreams, in this order, as the server makes it of its config."""
    upstreams = [
        Upstream(f"u{number}", OpenAICompatible(server.url, timeout=clocks, prefill="no", retries=0))
        for number, server in enumerate(servers)
    ]
    retry = RetryConfig(attempts=ATTEMPTS, backoff=0)
    return Gateway(upstreams, {"llama": [upstream.name for upstream in upstreams]}, retry=retry, total=PATIENCE)


async def ends(server: ScriptedServer) -> list[str | None]:
    """How each answer ended, as the upstream sees it."""
    return [await each.over() for each in server.requests]


def are(asked: list[str | None], seen: str, number: int) -> bool:
    """Whether so many answers ended so."""
    return len(asked) == number and {str(end) for end in asked} <= set(seen.split(" or "))


def right_answer(attempts: list[tuple[str, str, int | None]], splices: list[tuple[int, str, str]]) -> Asked:
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    return Seen(200, TEXT, "stop", None, True, None), Account(attempts[-1][0], attempts, splices, len(TEXT), digest)


def right_alone(right: Right, *, stream: bool) -> Asked:
    """What the caller should see where there is no other upstream."""
    if right.outcome == "ok":
        return right_answer([("u0", "ok", 200)], [])
    if stream and right.text:
        return Seen(200, right.text, None, right.code, False, None), None
    return Seen(right.status, "", None, right.code, False, right.retry_after), None


def right_with_another(right: Right, way: Way) -> Asked:
    """What the caller should see where a healthy upstream comes next: a whole answer, wherever shopping around is right."""
    if not right.next:
        return right_alone(right, stream=way.stream)
    _, asked_first = right.asked_by(way)
    tried = [("u0", right.outcome, right.upstream_status)] * asked_first
    return right_answer([*tried, ("u1", "ok", 200)], [(len(right.text), "u0", "u1")] if right.text and way.stream else [])


def test_every_fault_has_its_row() -> None:
    """A fault that somebody adds to `FAULTS` must say here what is right."""
    assert set(FAULTS) == set(RIGHT)


@pytest.mark.parametrize("fault", CASES)
async def test_an_upstream_alone(fault: str) -> None:
    """A whole answer, or the truth about a broken one, with its exact text; and the upstream is asked no more than that."""
    script, right = CASES[fault]

    async def one(way: Way) -> tuple[Asked, bool]:
        async with ScriptedServer(script()) as upstream:
            async with listening(create_app(provider=gateway([upstream], right.clocks))) as server:
                seen = await ask(server.port, *way)
            return seen, are(await ends(upstream), right.seen, right.asked_by(way)[0])

    expected = [(told(way, right_alone(right, stream=way.stream)), True) for way in WAYS]
    assert expected == await asyncio.gather(*(one(way) for way in WAYS))


@pytest.mark.parametrize("fault", CASES)
async def test_an_upstream_with_a_healthy_one_after_it(fault: str) -> None:
    """The caller gets the whole answer wherever the fault is not the caller's own; each attempt and splice is declared."""
    script, right = CASES[fault]

    async def one(way: Way) -> tuple[Asked, bool, bool]:
        async with ScriptedServer(script()) as upstream, ScriptedServer(Script.stream("Hello", " world")) as healthy:
            async with listening(create_app(provider=gateway([upstream, healthy], right.clocks))) as server:
                seen = await ask(server.port, *way)
            asked = are(await ends(upstream), right.seen, right.asked_by(way)[1])
            return seen, asked, are(await ends(healthy), "finished", int(right.next))

    expected = [(told(way, right_with_another(right, way)), True, True) for way in WAYS]
    assert expected == await asyncio.gather(*(one(way) for way in WAYS))


def test_the_table_shops_around_wherever_it_may() -> None:
    """Whole with a healthy upstream after it: all faults but the two that are the caller's own, and those that are none."""
    assert {"bad_request", "the content policy"} == {
        fault for fault, (_, right) in CASES.items() if not right.next and right.outcome != "ok"
    }


@pytest.mark.parametrize("head_first", [True, False], ids=["after the head", "before the head"])
@pytest.mark.parametrize("path", WIRES)
async def test_a_slow_first_token_is_waited_for(path: str, head_first: bool) -> None:
    """Who is only slow is not asked twice; the caller is sent comments meanwhile, and then the whole answer."""
    pause = Pause()
    slow = Script.slow_first_token(pause, "Hello", " world", head_first=head_first)
    config = Config(server=ServerConfig(keepalive_s=0.05))

    async with ScriptedServer(slow) as upstream:
        async with listening(create_app(config, provider=gateway([upstream], PATIENT))) as server:
            async with Connection(server.port) as connection:
                await connection.send(request("POST", path, asking(path, stream=True)))
                status, _ = await connection.head()
                comments = [await connection.piece() for _ in range(3)]
                pause.release()
                rest = await connection.until(ENDS[path] + b"\r\n0\r\n\r\n")
        asked = await ends(upstream)

    assert (200, 3 * [b": keep-alive\n\n"], ["finished"]) == (status, comments, asked)
    assert b"Hello" in rest
    assert b" world" in rest


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_who_fell_silent_is_not_asked_anything_while_there_is_another(stream: bool) -> None:
    """A machine that hangs in mid-answer hangs with all it has: nobody waits to hear whether it could continue."""
    hanging = ScriptedServer("stall")
    hanging.play("silence", path="/models")
    async with hanging, ScriptedServer(Script.stream("Hello", " world")) as healthy:
        upstreams = [
            Upstream("u0", OpenAICompatible(hanging.url, timeout=SILENCE, retries=0)),
            Upstream("u1", OpenAICompatible(healthy.url, timeout=PATIENT, retries=0, prefill="no")),
        ]
        made = Gateway(upstreams, {"llama": ["u0", "u1"]}, total=PATIENCE)
        async with listening(create_app(provider=made)) as server:
            seen = await ask(server.port, CHAT, stream)
        asked = [each.path for each in hanging.requests]

    splices = [(9, "u0", "u1")] if stream else []
    assert right_answer([("u0", "idle_timeout", 200), ("u1", "ok", 200)], splices) == seen
    assert ["/chat/completions"] == asked


async def test_two_hundred_callers_of_a_flaky_upstream() -> None:
    """Faults of every kind in a seeded order, two hundred callers at once: each gets the whole answer from one of the two."""
    faults = [name for name, right in RIGHT.items() if right.next and right.clocks is PATIENT and right.retry_after is None]
    order = random.Random(SEED).choices(faults, k=200)

    async with ScriptedServer(*order) as flaky, ScriptedServer(Script.stream("Hello", " world")) as healthy:
        async with listening(create_app(provider=gateway([flaky, healthy], PATIENT))) as server:
            answers = await asyncio.gather(*(ask(server.port, *WAYS[at % len(WAYS)]) for at in range(len(order))))
        await ends(flaky)

    assert {(200, TEXT, "stop", True)} == {(seen.status, seen.text, seen.finish, seen.done) for seen, _ in answers}
    assert all(each is not None and each.length == len(TEXT) for _, each in answers)
