"""A further wire is one row of the registry: everything that a server says of its wires, and does with them, follows.

The wire here is unlike the others in all that it may be: its request, its errors, its key's header, its list of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from autonomousai.config import Config
from autonomousai.events import Batch, FinishReason
from autonomousai.request import ChatRequest
from autonomousai.server.openapi.document import make_document
from autonomousai.testing import Pause, ScriptedProvider, answer
from autonomousai.wires.base import AnswerHead, Operation, StreamEncoder, Wire
from autonomousai.wires.openai_chat.request import chat_request
from autonomousai.wires.registry import SERVED, WIRES
from autonomousai.wires.request_body import decode_object
from autonomousai.workers.banner import banner
from tests.conftest import Serve
from tests.support.sockets import CHAT, Connection, ask, events, request, text_of
from tests.support.sockets import HELLO as CHAT_HELLO

PATH = "/v1/yell"
HELLO = {"say": "Hello", "loud": True}


class YellEncoder:
    """Each batch is one event: its text in capitals."""

    def __init__(self, ids: Iterator[str] | None) -> None:
        self._ids = ids

    def _event(self, data: bytes) -> bytes:
        return (b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()) + b"data: %b\n\n" % data

    def write(self, batch: Batch) -> bytes:
        text = "".join(event for event in batch if type(event) is str)
        return self._event(msgspec.json.encode(text.upper())) if text else b""

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        return self._event(b"!")

    def sign(self, progress: int) -> bytes:
        return b": %d\n\n" % progress

    def fail(self, error: BaseException) -> bytes:
        return YellWire().encode_error_event(error)


class YellWire(Wire):
    """Everything in capitals."""

    name = "yell"
    title = "the yelling wire"
    root = "/v1/yell"
    paths: ClassVar[tuple[str, ...]] = (PATH,)
    key_header = "x-yell-key"
    models_path = "/v1/yellers"
    models_schema = "Yellers"

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        document = decode_object(body)
        messages = [{"role": "user", "content": document.pop("say", None) or ""}]
        return chat_request("", messages, {"stream": document.pop("loud", False), **document})

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        return YellEncoder(ids)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        return msgspec.json.encode({"yelled": "".join(event for event in events if type(event) is str).upper()})

    def operation(self, path: str) -> Operation:
        return Operation("yell", "Yell", "YellRequest", "Yelled", "YellEvent", {"say": "Hello"}, error="YellError")

    def schemas(self) -> dict[str, Any]:
        return {name: {"type": "object"} for name in ("YellRequest", "Yelled", "YellEvent", "YellError", "Yellers")}

    def encode_models(self, models: Any) -> bytes:
        return msgspec.json.encode([model.id.upper() for model in models])

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        status, headers, body = super().encode_error(error, request_id)
        return status, headers, msgspec.json.encode({"ouch": msgspec.json.decode(body)["error"]["code"]})

    def encode_error_event(self, error: BaseException) -> bytes:
        return b"data: %b\n\n" % self.encode_error(error)[2]


@pytest.fixture(autouse=True)
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The row."""
    wire = YellWire()
    monkeypatch.setitem(WIRES, wire.name, wire)
    for path in wire.paths:
        monkeypatch.setitem(SERVED, path, wire)
    return wire


async def test_it_is_served(serve: Serve) -> None:
    """Whole and streamed."""
    port = (await serve()).port

    whole = await ask(port, request("POST", PATH, {"say": "Hello"}))
    streamed = await ask(port, request("POST", PATH, HELLO))

    assert (200, {"yelled": "HELLO WORLD"}) == (whole.status, whole.json())
    assert (200, b'data: "HELLO"\n\ndata: " WORLD"\n\ndata: !\n\n') == (streamed.status, streamed.body)


async def test_its_stream_is_resumed_over_it_and_over_others(serve: Serve) -> None:
    """After any event, over the wire that it was begun over, or over a named one."""
    port = (await serve()).port

    first = await ask(port, request("POST", PATH, HELLO, x_stream_resumable="1"))
    place = f"/v1/streams/{first['x-stream-id']}"
    again = await ask(port, request("GET", place))
    rest = await ask(port, request("GET", place, last_event_id="1"))
    chat = await ask(port, request("GET", f"{place}?wire=openai_chat"))

    assert b'id: 1\ndata: "HELLO"\n\nid: 2\ndata: " WORLD"\n\nid: 3\ndata: !\n\n' == first.body == again.body
    assert first.body.partition(b"\n\n")[2] == rest.body
    assert "Hello world" == text_of(events(chat.body))


async def test_a_stream_of_another_is_read_over_it(serve: Serve) -> None:
    """By its name."""
    port = (await serve()).port

    first = await ask(port, request("POST", CHAT, {**CHAT_HELLO, "stream": True}, x_stream_resumable="1"))
    got = await ask(port, request("GET", f"/v1/streams/{first['x-stream-id']}?wire=yell"))

    assert b'id: 1\ndata: "HELLO"\n\nid: 2\ndata: " WORLD"\n\nid: 3\ndata: !\n\n' == got.body


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request("GET", PATH), 405, "method_not_allowed"),
        (request("POST", PATH, b"{", content_type="application/json"), 400, "invalid_json"),
        (request("POST", PATH, HELLO, host="evil.example"), 403, "host_not_allowed"),
        (request("GET", "/v1/streams/str_nothing?wire=yell"), 404, "stream_not_found"),
    ],
)
async def test_an_error_has_its_shape(port: int, sent: bytes, status: int, code: str) -> None:
    """Whoever finds it: the wire, the router, the access control, or the streams."""
    got = await ask(port, sent)

    assert (status, {"ouch": code}) == (got.status, got.json())


async def test_an_error_inside_a_stream_has_its_shape(serve: Serve, provider: ScriptedProvider) -> None:
    """Also of a stream that is read on without naming the wire, when the server ends."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" world")])
    serving = await serve()

    async with Connection(serving.port) as asking, Connection(serving.port) as reading:
        await asking.send(request("POST", PATH, HELLO, x_stream_resumable="1"))
        _, head = await asking.head()
        await reading.send(request("GET", f"/v1/streams/{dict(head)['x-stream-id']}"))
        await reading.head()
        heard = await reading.piece()
        serving.app.drain()
        serving.app.cancel_all()
        while b"ouch" not in heard:
            heard += await reading.piece()

    assert heard.endswith(b'data: {"ouch":"shutting_down"}\n\n')


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x_yell_key": "sk-right"}, 200),
        ({"authorization": "Bearer sk-right"}, 200),
        ({"x_yell_key": "sk-wrong"}, 401),
        ({"x_yell_key": ""}, 401),
        ({"authorization": "Bearer sk-wrong", "x_yell_key": "sk-right"}, 401),
        ({}, 401),
    ],
)
async def test_a_key_may_stand_in_its_header(serve: Serve, headers: dict[str, str], status: int) -> None:
    """On any path; where a bearer key is sent too, that one counts."""
    port = (await serve(api_keys=["sk-right"])).port

    assert status == (await ask(port, request("POST", PATH, HELLO, **headers))).status
    assert status == (await ask(port, request("GET", "/v1/models", **headers))).status


async def test_a_key_that_is_sent_twice_is_none(serve: Serve) -> None:
    """Which of the two counted would depend on who is asked."""
    port = (await serve(api_keys=["sk-right"])).port
    sent = request("POST", PATH, HELLO, x_yell_key="sk-right")

    got = await ask(port, sent.replace(b"x-yell-key: sk-right", b"x-yell-key: sk-right\r\nx-yell-key: sk-right"))

    assert 401 == got.status


async def test_a_stream_is_its_callers_by_that_key(serve: Serve) -> None:
    """Another caller's key does not find it."""
    port = (await serve(api_keys=["sk-one", "sk-two"])).port

    first = await ask(port, request("POST", PATH, HELLO, x_yell_key="sk-one", x_stream_resumable="1"))
    place = f"/v1/streams/{first['x-stream-id']}"

    assert 200 == (await ask(port, request("GET", place, x_yell_key="sk-one"))).status
    assert 404 == (await ask(port, request("GET", place, x_yell_key="sk-two"))).status


async def test_it_lists_the_models_in_its_shape(serve: Serve) -> None:
    """At its own path, beside OpenAI's."""
    port = (await serve(ScriptedProvider(models=["llama", "own"]))).port

    assert ["LLAMA", "OWN"] == (await ask(port, request("GET", "/v1/yellers"))).json()
    assert ["llama", "own"] == [each["id"] for each in (await ask(port, request("GET", "/v1/models"))).json()["data"]]


async def test_it_is_counted_by_its_paths(port: int) -> None:
    """Not as an unknown one."""
    await ask(port, request("POST", PATH, HELLO))
    await ask(port, request("GET", "/v1/yellers"))

    text = (await ask(port, request("GET", "/metrics"))).body.decode()
    assert f'route="{PATH}"' in text
    assert 'route="/v1/yellers"' in text


def test_it_is_described() -> None:
    """Its operation, its schemas, its errors, the header of its key, and its events where streams are read on."""
    document = make_document(vision=False, asks_key=True)

    def schema(answer: dict[str, Any], kind: str = "application/json") -> str:
        return str(answer["content"][kind]["schema"]["$ref"]).rpartition("/")[2]

    yell = document["paths"][PATH]["post"]
    assert ("yell", "Yell", "YellRequest") == (yell["operationId"], yell["summary"], schema(yell["requestBody"]))
    assert ("Yelled", "YellEvent") == (schema(yell["responses"]["200"]), schema(yell["responses"]["200"], "text/event-stream"))
    assert {"YellError"} == {schema(answer) for status, answer in yell["responses"].items() if status != "200"}
    assert "Yellers" == schema(document["paths"]["/v1/yellers"]["get"]["responses"]["200"])
    assert {"type": "apiKey", "in": "header", "name": "x-yell-key"} in document["components"]["securitySchemes"].values()
    assert "the yelling wire" in document["info"]["description"]
    resumed = document["paths"]["/v1/streams/{id}"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
    assert {"$ref": "#/components/schemas/YellEvent"} in resumed["anyOf"]


def test_the_banner_names_it() -> None:
    """With the base URL that its clients are given."""
    lines = banner(Config(), ScriptedProvider(), "http://localhost:1").splitlines()

    rows = [re.split(r"  +", line.strip()) for line in lines]
    assert ["the yelling wire", "http://localhost:1/v1/yell"] in rows
    assert ["the OpenAI API", "http://localhost:1/v1"] in rows


def test_no_upstream_is_asked_over_a_wire_that_is_only_served(wire: Wire) -> None:
    """Which is said where somebody tries."""
    for ask_it in (lambda: wire.encode_request(ChatRequest("", []), ""), wire.decoder, lambda: wire.decode_answer(b"")):
        with pytest.raises(NotImplementedError, match="no upstream is asked over the wire yell"):
            ask_it()
