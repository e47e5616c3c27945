"""Who may enter, and how much: hosts, keys, origins, bodies, places, and the door when it is closing."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

from autonomousai.config import Config
from autonomousai.server import create_app
from autonomousai.settings import KeyConfig, Secret, ServerConfig
from autonomousai.testing import Pause, answer
from tests.support.sockets import CHAT, HELLO, Connection, ask, listening, request

KEY = "sk-correct-horse"
PATHS = ["/v1/models", "/metrics", "/", "/nothing"]
AGENT = "/api/v1/ai/chat"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.9.9.9",
        "[::1]",
        "[::1]:8000",
        "localhost.:1",
        "my.example",
    ],
)
async def test_this_machines_names_may_be_borne(serve, host):
    """Loopback's names and addresses are right with any port, and so are the allowed ones."""
    port = (await serve(allowed_hosts=("My.Example",))).port

    assert 200 == (await ask(port, request("GET", "/v1/models", host=host))).status


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "localhost:port",
        "localhost@evil.example",
        "localhost, evil.example",
        "",
    ],
)
async def test_a_foreign_host_is_refused(port, path, host):
    """A page that had its name point at this machine gets nothing, on any path."""
    assert (403, "host_not_allowed") == (await ask(port, request("GET", path, host=host))).told


async def test_two_hosts_are_refused(port):
    """A request with two Host headers is refused, though one of them is right."""
    data = request("GET", "/v1/models").replace(b"\r\n\r\n", b"\r\nhost: localhost\r\n\r\n")

    assert (400, "invalid_http") == (await ask(port, data)).told


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
async def test_a_probe_needs_neither_a_name_of_ours_nor_a_key(serve, path, method):
    """An orchestrator asks a container by its address."""
    port = (await serve(api_keys=[KEY], allowed_hosts=("my.example",))).port

    assert 200 == (await ask(port, request(method, path, host="10.0.0.7:8000"))).status


@pytest.mark.parametrize("target", ["http://evil.example/v1/models", "http://evil.example:80/v1/models?x"])
async def test_the_host_of_a_whole_url_is_the_host(port, target):
    """RFC 9112 section 3.2.2: it counts instead of the header."""
    assert (403, "host_not_allowed") == (await ask(port, request("GET", target))).told


async def test_a_foreign_host_starts_no_generation(port, provider):
    """A chat request under a foreign name reaches no model."""
    answer = await ask(port, request("POST", CHAT, HELLO, host="evil.example"))

    assert (403, []) == (answer.status, provider.calls)


async def test_a_public_server_takes_any_host(serve):
    """Where every machine may come, with a key, the Host header proves nothing and is not looked at."""
    port = (await serve(host="0.0.0.0", api_keys=[KEY])).port

    answer = await ask(port, request("GET", "/v1/models", host="ai.example.org", authorization=f"Bearer {KEY}"))

    assert 200 == answer.status


@pytest.mark.parametrize("given", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer   {KEY} ", "Bearer sk-2"])
async def test_each_of_the_keys_opens(serve, given):
    """Any configured key will do; the scheme's case does not matter."""
    port = (await serve(api_keys=[KEY, "sk-2"])).port

    assert 200 == (await ask(port, request("GET", "/v1/models", authorization=given))).status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer sk-wrong"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer schl\u00fcssel"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/nothing", CHAT, AGENT])
async def test_without_a_right_key_nothing_is_told(serve, provider, path, headers):
    """A missing or wrong key is a 401 in OpenAI's shape, on every path that needs one; the body is not even looked at."""
    port = (await serve(api_keys=[KEY])).port
    method = "POST" if path in (CHAT, AGENT) else "GET"

    answer = await ask(port, request(method, path, **headers))

    assert ((401, "invalid_api_key"), []) == (answer.told, provider.calls)
    assert KEY not in answer.body.decode()


@pytest.mark.parametrize("given", ["Bearer ", "Bearer", "Basic dTpw", ""])
async def test_an_authorization_without_a_key_hides_no_other(provider, given):
    """A client without a key sends an empty one, and a proxy one of its own: the key may stand where the vendor has it. It is
    not remembered for the next caller behind the same proxy."""
    team = "sk-team-0123456789abcdef"
    config = Config(server=ServerConfig(api_keys=(Secret(KEY),)), keys={"team": KeyConfig(key=Secret(team))})
    async with listening(create_app(config, provider=provider)) as place:
        sent = [(given, KEY), (given, team), (given, "sk-wrong"), (given, ""), ("Bearer sk-wrong", KEY)]
        answers = [
            await ask(place.port, request("GET", "/v1/models", authorization=header, **{"x-api-key": secret}))
            for header, secret in sent
        ]

    assert [200, 200, 401, 401, 401] == [answer.status for answer in answers]


async def test_two_keys_at_once_are_refused(serve):
    """A request with two authorization headers is not guessed at."""
    port = (await serve(api_keys=[KEY])).port
    data = request("GET", "/v1/models", authorization=f"Bearer {KEY}")

    assert 401 == (await ask(port, data.replace(b"\r\n\r\n", b"\r\nauthorization: Bearer x\r\n\r\n"))).status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/page/main.js"])
async def test_what_watches_us_needs_no_key(serve, path):
    """The probes and the page are open."""
    port = (await serve(api_keys=[KEY])).port

    assert 200 == (await ask(port, request("GET", path))).status


@pytest.mark.parametrize("path", [CHAT, AGENT])
@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"),
        *("text/plain, application/json", "application/json, text/plain", "text/plain; x=application/json"),
    ],
)
async def test_a_body_must_say_that_it_is_json(port, provider, path, kind):
    """Whatever a foreign page could post without asking is a 415."""
    answer = await ask(port, request("POST", path, b'{"model": "llama"}', content_type=kind))

    assert ((415, "unsupported_media_type"), []) == (answer.told, provider.calls)


async def test_a_body_without_a_type_is_refused(port):
    """No content type at all is a 415 too."""
    assert (415, "unsupported_media_type") == (await ask(port, request("POST", CHAT, b"{}"))).told


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json; charset=utf-8", "Application/JSON", "application/json ;x=y", "application/json, application/json"),
        *("text/json", "application/vnd.api+json; charset=utf-8"),
    ],
)
async def test_parameters_and_case_of_the_type_do_not_matter(port, kind):
    """JSON is JSON."""
    assert 200 == (await ask(port, request("POST", CHAT, HELLO, content_type=kind))).status


def bare_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress),
    "in other letters": ("X-GZIP", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its head": ("deflate", bare_deflate),
    "nothing": ("identity", bytes),
    "a charset, as .NET's clients say it": ("utf-8", bytes),
    "an empty one": ("", bytes),
}


@pytest.mark.parametrize(("coding", "pack"), PACKED.values(), ids=PACKED)
async def test_a_packed_body_is_unpacked(port, coding, pack):
    """Whatever it is packed in that can be undone; what names no coding says nothing."""
    packed = pack(json.dumps(HELLO).encode())

    assert (
        200 == (await ask(port, request("POST", CHAT, packed, content_type="application/json", content_encoding=coding))).status
    )


async def test_a_packed_body_may_come_in_pieces(port):
    """Chunked, of no length that is known."""
    packed = gzip.compress(json.dumps(HELLO).encode())
    data = request("POST", CHAT, content_type="application/json", content_encoding="gzip", transfer_encoding="chunked")
    async with Connection(port) as connection:
        await connection.send(data)
        for byte in packed:
            await connection.send(b"1\r\n%c\r\n" % byte)
        await connection.send(b"0\r\n\r\n")

        assert 200 == (await connection.answer()).status


@pytest.mark.parametrize(
    ("coding", "body", "told"),
    [
        ("br", b"{}", (415, "unsupported_content_encoding")),
        ("zstd", b"{}", (415, "unsupported_content_encoding")),
        ("gzip, gzip", b"{}", (415, "unsupported_content_encoding")),
        ("gzip", b"{}", (400, "invalid_content_encoding")),
        ("gzip", gzip.compress(b"{}")[:-4], (400, "invalid_content_encoding")),
        ("deflate", zlib.compress(b"{}") + b"{}", (400, "invalid_content_encoding")),
        ("gzip", gzip.compress(b" " * 1001), (413, "body_too_large")),
        ("gzip", gzip.compress(b" " * 10_000_000), (413, "body_too_large")),
    ],
    ids=["brotli", "zstd", "twice", "not packed", "cut", "more behind it", "a byte too many", "a bomb"],
)
async def test_a_body_that_cannot_be_unpacked_is_refused(serve, provider, coding, body, told):
    """And one that is too large when it is unpacked: no more of it is."""
    port = (await serve(max_body=1000)).port

    got = await ask(port, request("POST", CHAT, body, content_type="application/json", content_encoding=coding))

    assert (told, []) == (got.told, provider.calls)


async def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(serve):
    """A content-length past the bound is a 413 at once."""
    port = (await serve(max_body=1000)).port
    head, _, _ = request("POST", CHAT, HELLO, content_length="1001").partition(b"\r\n\r\n")

    assert (413, "body_too_large") == (await ask(port, head + b"\r\n\r\n")).told


async def test_a_body_that_grows_too_large_is_refused(serve):
    """A chunked body announces nothing, and is bounded all the same."""
    port = (await serve(max_body=1000)).port
    head, _, _ = request("POST", CHAT, transfer_encoding="chunked", content_type="application/json").partition(b"\r\n\r\n")

    async with Connection(port) as connection:
        await connection.send(head + b"\r\n\r\n")
        for _ in range(3):
            await connection.send(b"200\r\n" + b" " * 512 + b"\r\n")
        answer = await connection.answer()

    assert (413, "body_too_large") == answer.told


async def test_a_body_of_exactly_the_bound_is_read(serve, provider):
    """The bound itself is allowed, announced or chunked."""
    data = request("POST", CHAT, HELLO)
    body = data.partition(b"\r\n\r\n")[2]
    port = (await serve(max_body=len(body))).port
    chunked = request("POST", CHAT, transfer_encoding="chunked", content_type="application/json")

    answers = [await ask(port, data), await ask(port, chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))]

    assert [200, 200] == [answer.status for answer in answers]


# Origins


ORIGIN = "https://app.example.org"


async def test_without_configuration_no_origin_is_let_in(port):
    """A preflight gets no permission, and an answer no header that would let a foreign page read it."""
    asked = {"origin": ORIGIN, "access_control_request_method": "POST", "access_control_request_headers": "content-type"}

    preflight = await ask(port, request("OPTIONS", CHAT, **asked))
    answer = await ask(port, request("POST", CHAT, HELLO, origin=ORIGIN))

    names = {name for name, _ in [*preflight.headers, *answer.headers]}
    assert set() == {name for name in names if name.startswith("access-control")}


async def test_a_configured_origin_is_let_in(serve):
    """A preflight from it is granted, and its answers, errors among them, can be read."""
    port = (await serve(cors_origins=(ORIGIN,), api_keys=[KEY])).port
    asked = {
        "origin": ORIGIN,
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }

    preflight = await ask(port, request("OPTIONS", CHAT, **asked))
    answer = await ask(port, request("POST", CHAT, HELLO, origin=ORIGIN, authorization=f"Bearer {KEY}"))
    refused = await ask(port, request("POST", CHAT, HELLO, origin=ORIGIN))

    assert (200, 200, 401) == (preflight.status, answer.status, refused.status)
    assert [ORIGIN] * 3 == [each["access-control-allow-origin"] for each in (preflight, answer, refused)]
    assert "authorization" in (preflight["access-control-allow-headers"] or "")


async def test_another_origin_is_not_let_in_by_that(serve):
    """Permission is for the configured origins alone."""
    port = (await serve(cors_origins=(ORIGIN,))).port

    answer = await ask(port, request("POST", CHAT, HELLO, origin="https://evil.example"))

    assert None is answer["access-control-allow-origin"]


async def test_a_page_may_reach_a_private_network(serve):
    """A browser asks first whether a page of the internet may reach a server at home (Private Network Access)."""
    port = (await serve(cors_origins=(ORIGIN,))).port
    asked = {"access_control_request_method": "POST", "access_control_request_private_network": "true"}

    granted = await ask(port, request("OPTIONS", CHAT, origin=ORIGIN, **asked))
    refused = await ask(port, request("OPTIONS", CHAT, origin="https://evil.example", **asked))

    name = "access-control-allow-private-network"
    assert ("true", None) == (granted[name], refused[name])


@pytest.mark.parametrize(
    "asked",
    [{"origin": "https://evil.example"}, {"access_control_request_method": "PATCH"}, {"origin": "null"}],
    ids=["origin", "method", "null"],
)
async def test_a_refused_preflight_has_our_errors_shape(serve, asked):
    """It grants nothing, and says why to who looks at it."""
    port = (await serve(cors_origins=(ORIGIN,))).port

    preflight = await ask(
        port, request("OPTIONS", CHAT, **{"origin": ORIGIN, "access_control_request_method": "POST", **asked})
    )

    assert (403, "cors_not_allowed") == preflight.told
    assert None is preflight["access-control-allow-methods"]


@pytest.mark.parametrize("origin", ["null", "file://", "app://obsidian.md"])
async def test_pages_of_a_disk_and_of_electron_may_ask(serve, origin):
    """Where the config names their origin as the browser writes it."""
    port = (await serve(cors_origins=(origin,))).port

    preflight = await ask(port, request("OPTIONS", CHAT, origin=origin, access_control_request_method="POST"))

    assert (200, origin) == (preflight.status, preflight["access-control-allow-origin"])


async def test_caches_keep_apart_what_depends_on_the_origin(serve):
    """With origins configured every answer says that it depends on it, also one to a caller who has none."""
    port = (await serve(cors_origins=(ORIGIN,))).port
    origins = [{}, {"origin": ORIGIN}, {"origin": "https://evil.example"}]

    answers = [await ask(port, request("GET", "/v1/models", **origin)) for origin in origins]

    assert ["origin"] * 3 == [answer["vary"] for answer in answers]


# Places


async def test_so_many_are_answered_at_once_and_the_next_one_waits(serve, provider):
    """With one place, a second request is taken up when the first is over, and not before."""
    pause = Pause()
    provider.play([pause, "first", *ANSWER], ["second", *ANSWER])
    port = (await serve(max_concurrency=1)).port

    async with asyncio.TaskGroup() as group:
        first = group.create_task(ask(port, request("POST", CHAT, HELLO)))
        await pause.reached.wait()
        second = group.create_task(ask(port, request("POST", CHAT, HELLO)))
        async with Connection(port) as probe:
            while b"in_flight 2" not in (await probe.ask(request("GET", "/metrics"))).body:
                pass
        asked = len(provider.calls)
        pause.release()

    assert (1, 2) == (asked, len(provider.calls))
    assert [200, 200] == [first.result().status, second.result().status]


async def test_who_waits_too_long_for_a_place_is_sent_away(serve, provider):
    """Past queue_s it is a 503 that says when to come back; the model is not asked."""
    pause = Pause()
    provider.play([pause, *ANSWER])
    port = (await serve(max_concurrency=1, queue_s=0.01)).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        refused = await ask(port, request("POST", CHAT, HELLO))
        pause.release()
        answered = await connection.answer()

    assert ((503, "overloaded"), 200, 1) == (refused.told, answered.status, len(provider.calls))
    assert int(refused["retry-after"] or 0) > 0


async def test_the_queue_is_bounded(serve, provider):
    """As many as there are places may wait; one more is sent away at once, before its body is read."""
    pause = Pause()
    provider.play([pause, *ANSWER])
    port = (await serve(max_concurrency=1, queue_s=1000)).port

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(ask(port, request("POST", CHAT, HELLO))) for _ in range(2)]
        async with Connection(port) as probe:
            while b"in_flight 2" not in (await probe.ask(request("GET", "/metrics"))).body:
                pass
        refused = await ask(port, request("POST", CHAT, HELLO))
        pause.release()

    assert ((503, "overloaded"), [200, 200]) == (refused.told, [task.result().status for task in waiting])


async def test_a_place_is_given_back_whatever_happened(serve, provider):
    """After refusals, errors, bugs and leavers the one place is still there."""
    pause = Pause()
    provider.play(["Hel", RuntimeError("a bug")], [pause], [*ANSWER])
    serving = await serve(max_concurrency=1, queue_s=0)

    await ask(serving.port, request("POST", CHAT, HELLO))
    await ask(serving.port, request("POST", CHAT, {"model": "llama"}))
    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
    await provider.calls[1].over()
    await serving.app.empty()
    answer = await ask(serving.port, request("POST", CHAT, HELLO))

    assert 200 == answer.status


# Closing


async def test_a_closing_server_takes_nothing_new_and_finishes_what_was_begun(serve, provider):
    """While draining, new requests get 503 and a closed connection, the running one its whole answer; it is not ready."""
    pause = Pause()
    provider.play(["Hello", pause, *ANSWER])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await connection.until(b"Hello")
        serving.app.drain()
        chat = await ask(serving.port, request("POST", CHAT, HELLO))
        models = await ask(serving.port, request("GET", "/v1/models"))
        alive, ready, metrics = [await ask(serving.port, request("GET", path)) for path in ("/healthz", "/readyz", "/metrics")]
        pause.release()
        rest = await connection.until(b"data: [DONE]\n\n")
        await serving.app.empty()

    assert [(503, "shutting_down")] * 2 == [chat.told, models.told]
    assert ["close"] * 2 == [chat["connection"], models["connection"]]
    assert 0 < int(chat["retry-after"] or 0) <= Config().server.drain_s
    assert (200, 503, 200) == (alive.status, ready.status, metrics.status)
    assert b" world" in rest


async def test_who_is_still_there_at_the_end_is_told(serve, provider):
    """When the time to drain is over, a stream ends in an error event, a whole answer and a waiting one in a 503; all stop."""
    pause = Pause()
    provider.play(["Hello", pause], [pause])
    serving = await serve(max_concurrency=2)

    async with Connection(serving.port) as stream, Connection(serving.port) as whole, Connection(serving.port) as queued:
        await stream.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await stream.until(b"Hello")
        await whole.send(request("POST", CHAT, HELLO))
        await pause.reached.wait()
        await queued.send(request("POST", CHAT, HELLO))
        async with Connection(serving.port) as probe:
            while b"in_flight 3" not in (await probe.ask(request("GET", "/metrics"))).body:
                pass
        serving.app.drain()
        serving.app.cancel_all()
        told = await stream.until(b"0\r\n\r\n")
        answers = [await whole.answer(), await queued.answer()]
        await serving.app.empty()

    assert b'"code":"shutting_down"' in told
    assert b"[DONE]" not in told
    assert b'"finish_reason":"' not in told
    assert [(503, "shutting_down")] * 2 == [answer.told for answer in answers]
    assert ["cancelled", "cancelled"] == [call.left for call in provider.calls]


ANSWER = answer("Hello", " world")
