"""HTTP's small print (RFC 9110 and RFC 9112), section by section: docs/http.md has a row for each test here."""

from __future__ import annotations

import asyncio
import gzip
import re
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from autonomousai.http.server import refusals
from tests.support.sockets import CHAT, HELLO, Answer, Connection, ask, request

DOCUMENT = Path(__file__).parents[2] / "docs" / "http.md"

HOST = b"host: localhost\r\n"
JSON = b"content-type: application/json\r\n"
BODY = b'{"model":"llama","messages":[{"role":"user","content":"Hello"}]}'
INVALID = (400, "invalid_http")


def get(*lines: bytes, target: bytes = b"/healthz", version: bytes = b"1.1", host: bytes = HOST) -> bytes:
    return b"GET %b HTTP/%b\r\n%b%b\r\n" % (target, version, host, b"".join(lines))


def post(*lines: bytes, body: bytes = b"", target: bytes = CHAT.encode(), version: bytes = b"1.1") -> bytes:
    return b"POST %b HTTP/%b\r\n%b%b%b\r\n%b" % (target, version, HOST, JSON, b"".join(lines), body)


async def until_closed(port: int, data: bytes) -> tuple[Answer, bytes]:
    """The answer, and what comes after it before the connection ends."""
    async with Connection(port) as connection:
        return await connection.ask(data), await connection.rest()


async def test_each_row_has_its_test():
    """The document and this file are of one mind."""
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text().partition("\n# As a client")[0]))
    here = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}

    assert here - {"test_each_row_has_its_test"} == named


# ---- RFC 9112


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /healthz HTTP/1.1\nhost: localhost\n\n", id="bare LF in the request line"),
        pytest.param(get(b"a: b\nc: d\r\n"), id="bare LF behind a header"),
        pytest.param(get(b"a: b\rc\r\n"), id="bare CR in a header"),
        pytest.param(post(b"transfer-encoding: chunked\r\n", body=b"2\n{}\r\n0\r\n\r\n"), id="bare LF behind a chunk's size"),
        pytest.param(get(b" a: b\r\n"), id="a space before the first header"),
    ],
)
async def test_a_bare_cr_or_lf_ends_no_line(port, data):
    """Section 2.2: what two readers could take for one line or for two is refused."""
    got, rest = await until_closed(port, data)

    assert (INVALID, b"") == (got.told, rest)


async def test_an_empty_line_before_a_request_is_ignored(port):
    """Section 2.2: some clients send one after a body."""
    assert 200 == (await ask(port, b"\r\n" + get())).status


@pytest.mark.parametrize(
    ("version", "told"),
    [(b"1.2", INVALID), (b"0.9", (505, "http_version_not_supported")), (b"2.0", (505, "http_version_not_supported")),
     (b"9.9", (505, "http_version_not_supported"))],
)  # fmt: skip
async def test_another_version_is_refused(port, version, told):
    """Section 2.3, and RFC 9110 section 15.6.6."""
    got, rest = await until_closed(port, get(version=version))

    assert (told, "close", b"") == (got.told, got["connection"], rest)


@pytest.mark.parametrize("line", [b"GET /a b HTTP/1.1", b"GET /\xe9 HTTP/1.1", b"GET x HTTP/1.1", b" HTTP/1.1"])
async def test_a_request_line_that_is_none_is_refused(port, line):
    """Section 3: no space in a target, and none is put right."""
    assert INVALID == (await ask(port, line + b"\r\n" + HOST + b"\r\n")).told


async def test_a_target_that_is_too_long_is_414(port):
    """Section 3: and 8,000 bytes are none such."""
    fits, long = get(target=b"/healthz?" + b"x" * 8000), get(target=b"/" + b"x" * refusals.MAX_TARGET)

    assert 200 == (await ask(port, fits)).status
    assert (414, "uri_too_long") == (await ask(port, long)).told


async def test_a_whole_url_is_a_target(port):
    """Section 3.2.2: absolute-form; its host counts instead of the header's, and credentials have no place in it."""
    took = [
        (await ask(port, get(target=target, host=b"host: evil.example\r\n"))).status
        for target in (b"http://localhost/v1/models", b"http://localhost:1/v1/models?x", b"HTTP://LOCALHOST/v1/models")
    ]
    refused = [await ask(port, get(target=target)) for target in (b"http://u:p@localhost/", b"ftp://localhost/", b"http:///x")]

    assert [200, 200, 200] == took
    assert [INVALID] * 3 == [each.told for each in refused]


async def test_a_tunnel_is_refused(port):
    """Section 3.2.3: authority-form is for proxies."""
    assert INVALID == (await ask(port, b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n")).told


async def test_the_server_as_a_whole_can_be_asked(port):
    """Section 3.2.4: asterisk-form, with OPTIONS alone."""
    async with Connection(port) as connection:
        options = await connection.ask(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        got = await connection.ask(get(target=b"*"))

    assert (204, INVALID) == (options.status, got.told)


@pytest.mark.parametrize("host", [b"", HOST * 2], ids=["none", "two"])
async def test_a_request_has_one_host(port, host):
    """Section 3.2: also where every host is allowed; HTTP/1.0 may have none."""
    assert INVALID == (await ask(port, get(host=host))).told


async def test_an_old_request_may_lack_a_host(serve):
    """Section 3.2 and appendix C.1.1."""
    got, rest = await until_closed((await serve()).port, get(version=b"1.0", host=b""))

    assert (200, b"") == (got.status, rest)


@pytest.mark.parametrize("name", [b"a b", b"a\x00", b"a\xe9", b"a(", b"", b"a ", b"\xff"])
async def test_a_headers_name_is_a_token(port, name):
    """Section 5.1: no space before the colon, and no byte that is no token's (RFC 9110 section 5.6.2)."""
    assert INVALID == (await ask(port, get(name + b": b\r\n"))).told


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\x7fb"])
async def test_a_headers_value_has_no_control_characters(port, value):
    """RFC 9110 section 5.5; bytes above 127 are text of no kind, and pass."""
    assert INVALID == (await ask(port, get(b"a: " + value + b"\r\n"))).told
    assert 200 == (await ask(port, get(b"a: \xe9\xff\t b\r\n"))).status


@pytest.mark.parametrize("fold", [b" b", b"\tb"])
async def test_a_folded_header_is_refused(port, fold):
    """Section 5.2: obs-fold."""
    assert INVALID == (await ask(port, get(b"a: a\r\n" + fold + b"\r\n"))).told


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity", b"chunked;q=1"])
async def test_an_unknown_transfer_coding_is_501(port, coding):
    """Section 6.1: and the connection ends, as nobody knows where the body does."""
    got, rest = await until_closed(port, post(b"transfer-encoding: %b\r\n" % coding, body=b"0\r\n\r\n"))

    assert ((501, "not_implemented"), b"") == (got.told, rest)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(post(b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", body=b"0\r\n\r\n"), id="both"),
        pytest.param(post(b"transfer-encoding: chunked\r\n", b"content-length: 5\r\n", body=b"0\r\n\r\n"), id="both, turned"),
        pytest.param(post(b"transfer-encoding: chunked\r\n" * 2, body=b"0\r\n\r\n"), id="twice chunked"),
        pytest.param(post(b"transfer-encoding: chunked, chunked\r\n", body=b"0\r\n\r\n"), id="twice chunked in a line"),
        pytest.param(post(b"transfer-encoding: chunked\r\n", body=b"0\r\n\r\n", version=b"1.0"), id="HTTP/1.0"),
        pytest.param(post(b"content-length: 64\r\n" * 2, body=BODY), id="two lengths"),
        pytest.param(post(b"content-length: 64, 64\r\n", body=BODY), id="two lengths in a line"),
        pytest.param(post(b"content-length: +64\r\n", body=BODY), id="a sign"),
        pytest.param(post(b"content-length: 0x40\r\n", body=BODY), id="hexadecimal"),
        pytest.param(post(b"content-length: \r\n", body=BODY), id="empty"),
        pytest.param(post(b"content-length: 99999999999999999999\r\n", body=BODY), id="beyond all numbers"),
    ],
)
async def test_where_a_body_ends_is_said_once(port, provider, data):
    """Sections 6.1 to 6.3: what two readers could cut in two ways ends the connection. (A coding twice may be a 501.)"""
    got, rest = await until_closed(port, data + get(target=b"/smuggled"))

    assert (True, [], b"") == (got.status in (400, 501), provider.calls, rest)


async def test_a_body_without_a_length_is_empty(port):
    """Section 6.3: 411 is not used, as nothing is known to be missing; the next request is read where it begins."""
    async with Connection(port) as connection:
        got = await connection.ask(post())
        after = await connection.ask(get())

    assert ((400, "invalid_json"), 200) == (got.told, after.status)


@pytest.mark.parametrize("size", [b"2;a=b", b'2;a="b;c"', b"02", b"0000000002;a"])
async def test_chunk_extensions_are_ignored(port, size):
    """Section 7.1.1."""
    chunks = b"%b\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, BODY[:2], len(BODY) - 2, BODY[2:])

    assert 200 == (await ask(port, post(b"transfer-encoding: chunked\r\n", body=chunks))).status


@pytest.mark.parametrize("size", [b"-2", b"g", b"", b"2 2", b"fffffffffffffffff"])
async def test_a_chunks_size_is_a_hexadecimal_number(port, provider, size):
    """Section 7.1."""
    got = await ask(port, post(b"transfer-encoding: chunked\r\n", body=size + b"\r\n{}\r\n0\r\n\r\n"))

    assert (400, []) == (got.status, provider.calls)


async def test_trailers_are_dropped(port):
    """Section 7.1.2: they change nothing of the head, and the next request is read."""
    chunks = b"%x\r\n%b\r\n0\r\nhost: evil.example\r\ncontent-type: text/plain\r\n\r\n" % (len(BODY), BODY)
    async with Connection(port) as connection:
        got = await connection.ask(post(b"transfer-encoding: chunked\r\n", body=chunks))
        after = await connection.ask(get())

    assert (200, 200) == (got.status, after.status)


@pytest.mark.parametrize("te", [b"trailers", b"gzip;q=0.5", b""])
async def test_te_is_ignored(port, te):
    """Section 7.4: what is sent has no coding but chunks, and no trailers."""
    assert 200 == (await ask(port, get(b"te: %b\r\nconnection: te\r\n" % te))).status


async def test_a_body_that_breaks_off_asks_nobody(port, provider):
    """Section 8: an incomplete request is none."""
    async with Connection(port) as connection:
        await connection.send(post(b"content-length: 64\r\n", body=BODY[:-1]))
        connection.writer.write_eof()
        rest = await connection.rest()

    assert (b"", []) == (rest, provider.calls)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [(b"1.1", b"", True), (b"1.1", b"keep-alive", True), (b"1.1", b"close", False), (b"1.1", b"Keep-Alive, CLOSE", False),
     (b"1.0", b"", False), (b"1.0", b"keep-alive", False)],
)  # fmt: skip
async def test_a_connection_is_kept_as_asked(port, version, connection, stays):
    """Section 9.3: 1.1 stays unless it says otherwise; 1.0 never does, and is told so."""
    lines = [b"connection: %b\r\n" % connection] if connection else []
    async with Connection(port) as line:
        got = await line.ask(get(*lines, version=version))
        if stays:
            assert 200 == (await line.ask(get())).status
        else:
            assert ("close", b"") == (got["connection"], await line.rest())


async def test_requests_behind_one_another_are_answered_in_order(port):
    """Section 9.3.2: pipelining."""
    async with Connection(port) as connection:
        await connection.send(get() + post(b"content-length: 64\r\n", body=BODY) + get(target=b"/nothing") + get())
        got = [(await connection.answer()).status for _ in range(4)]

    assert [200, 200, 404, 200] == got


async def test_who_sends_no_more_is_answered_whole(port):
    """Section 9.6: half a connection is enough for an answer."""
    async with Connection(port) as connection:
        await connection.send(post(b"content-length: 64\r\n", body=BODY))
        connection.writer.write_eof()
        got = (await connection.rest()).rpartition(b"HTTP/1.1 ")[2]

    assert (b"200 OK", True, b"}") == (got[:6], b"connection: close\r\n" in got, got[-1:])


async def test_an_answer_that_ends_the_connection_says_so(port):
    """Section 9.6."""
    got, rest = await until_closed(port, b"nonsense\r\n\r\n")

    assert ("close", b"") == (got["connection"], rest)


# ---- RFC 9110


@pytest.mark.parametrize("path", [b"/v1/%63hat/completions", b"/%76%31/chat/completions"])
async def test_a_path_is_decoded_once(port, path):
    """Section 4.2.3: an escaped letter is that letter; an escaped percent sign is one, and begins no escape."""
    took = await ask(port, post(b"content-length: 64\r\n", body=BODY, target=path))
    twice = await ask(port, post(b"content-length: 64\r\n", body=BODY, target=path.replace(b"%", b"%25")))

    assert (200, 404) == (took.status, twice.status)


@pytest.mark.parametrize("path", [b"/%", b"/%zz", b"/%ff", b"/%00", b"/../healthz", b"/healthz/x", b"/healthz%20"])
async def test_an_odd_path_is_nothing(port, path):
    """Section 4.2.3: it is a 404, not another path, and no error of ours."""
    assert 404 == (await ask(port, get(target=path))).status


@pytest.mark.parametrize("path", [b"//healthz", b"/healthz/", b"/healthz%2f"])
async def test_needless_slashes_say_nothing(port, path):
    """A base URL that ends in a slash, joined with a path that begins with one, means the path."""
    assert 200 == (await ask(port, get(target=path))).status


async def test_answers_have_a_date(port):
    """Section 6.6.1: in GMT, also in refusals."""
    dates = [(await ask(port, data))["date"] for data in (get(), get(target=b"/nothing"), b"nonsense\r\n\r\n")]

    assert all(date and date.endswith(" GMT") and parsedate_to_datetime(date).year > 2000 for date in dates)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"TLS/1.0"])
async def test_an_upgrade_is_ignored(port, protocol):
    """Section 7.8: the request is answered as if it had not wished for one."""
    upgrade = b"upgrade: %b\r\nconnection: upgrade\r\n" % protocol

    assert 200 == (await ask(port, post(upgrade, b"content-length: 64\r\n", body=BODY))).status


async def test_no_length_stands_where_no_body_can_be(port):
    """Section 8.6: 204 has none; 304 neither."""
    page = await ask(port, get(target=b"/"))
    nothing = await ask(port, b"OPTIONS /v1/models HTTP/1.1\r\n" + HOST + b"\r\n")
    same = await ask(port, get(b"if-none-match: %b\r\n" % (page["etag"] or "").encode(), target=b"/"))

    assert [(204, None, None), (304, None, None)] == [
        (each.status, each["content-length"], each["transfer-encoding"]) for each in (nothing, same)
    ]


@pytest.mark.parametrize("method", [b"FOO", b"get", b"M-SEARCH-2"])
async def test_an_unknown_method_is_501(port, method):
    """Section 9.1."""
    assert (501, "not_implemented") == (await ask(port, get().replace(b"GET", method))).told


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/openapi.json", "/docs", "/metrics", "/nothing"])
async def test_head_is_get_without_its_body(port, path):
    """Section 9.3.2: the same head, and nothing behind it."""
    async with Connection(port) as connection:
        whole = await connection.ask(request("GET", path))
        head = await connection.ask(request("HEAD", path))
        after = await connection.ask(get())

    def told(each: Answer) -> dict[str, str]:
        varying = ("date", "x-request-id", *(("content-length",) if path == "/metrics" else ()))
        return {name: value for name, value in each.headers if name not in varying}

    assert (whole.status, told(whole), 200) == (head.status, told(head), after.status)


@pytest.mark.parametrize(
    ("path", "allow"),
    [(CHAT, "OPTIONS, POST"), ("/v1/models", "GET, HEAD, OPTIONS"), ("/healthz", "GET, HEAD, OPTIONS"),
     ("/v1/streams/x", "DELETE, GET, HEAD, OPTIONS")],
)  # fmt: skip
async def test_options_tells_the_methods(port, path, allow):
    """Section 9.3.7."""
    got = await ask(port, request("OPTIONS", path))

    assert (204, allow) == (got.status, got["allow"])


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("POST", "/v1/models"), ("PUT", "/"), ("TRACE", "/healthz")])
async def test_a_wrong_method_is_405_and_tells_the_right_ones(port, method, path):
    """Sections 9.3.8, 10.2.1 and 15.5.6: TRACE is nowhere one of them."""
    got = await ask(port, request(method, path))

    assert (405, "method_not_allowed") == got.told
    assert method not in (got["allow"] or "").split(", ") != [""]


async def test_who_waits_to_be_told_to_continue_is_told(port):
    """Section 10.1.1: 100, once somebody wants the body; not where it has come already, nor in HTTP/1.0."""
    expect = post(b"expect: 100-Continue\r\n", b"content-length: 64\r\n")
    async with Connection(port) as connection:
        await connection.send(expect)
        interim = await connection.until(b"\r\n\r\n")
        waited = await connection.ask(BODY)
        at_once = await connection.ask(expect + BODY)
        old = await connection.ask(expect.replace(b"HTTP/1.1", b"HTTP/1.0") + BODY)

    assert (b"HTTP/1.1 100 Continue\r\n\r\n", [200] * 3) == (interim, [each.status for each in (waited, at_once, old)])


async def test_another_expectation_is_ignored(port):
    """Section 10.1.1: 417 is not used, as clients that send one want an answer."""
    assert 200 == (await ask(port, post(b"expect: the best\r\n", b"content-length: 64\r\n", body=BODY))).status


async def test_who_has_no_key_is_told_how_to_send_one(serve):
    """Sections 11.6.1 and 15.5.2."""
    got = await ask((await serve(api_keys=["sk-1"])).port, request("GET", "/v1/models"))

    assert (401, "Bearer") == (got.status, got["www-authenticate"])


async def test_what_depends_on_a_header_says_so(serve):
    """Section 12.5.5: with origins configured, answers vary by them."""
    port = (await serve(cors_origins=("https://app.example.org",))).port

    assert "origin" == (await ask(port, request("GET", "/v1/models")))["vary"]


async def test_a_known_page_is_not_sent_again(port):
    """Section 13.1.2."""
    page = await ask(port, get(target=b"/"))
    same = await ask(port, get(b"if-none-match: %b\r\n" % (page["etag"] or "").encode(), target=b"/"))

    assert (304, b"", page["etag"]) == (same.status, same.body, same["etag"])


async def test_a_range_is_ignored(port):
    """Section 14.2: all of it is sent."""
    assert 200 == (await ask(port, get(b"range: bytes=0-1\r\n", target=b"/"))).status


async def test_a_body_that_is_too_large_is_413(serve):
    """Section 15.5.14: by its announced length before any of it is read, or by what has come."""
    port = (await serve(max_body=1000)).port
    announced = await ask(port, post(b"content-length: 1001\r\n"))
    chunks = b"3e9\r\n" + b" " * 1001 + b"\r\n0\r\n\r\n"
    came = await ask(port, post(b"transfer-encoding: chunked\r\n", body=chunks))

    assert [(413, "body_too_large")] * 2 == [announced.told, came.told]


async def test_a_packed_body_is_what_it_holds(port):
    """Section 8.4: gzip here."""
    packed = gzip.compress(BODY)
    lines = JSON + b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(packed)

    assert 200 == (await ask(port, b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (CHAT.encode(), HOST, lines, packed))).status


PLAIN = b"content-type: text/plain\r\n"
PACKED = JSON + b"content-encoding: br\r\n"


@pytest.mark.parametrize(
    ("lines", "name", "wanted"), [(PLAIN, "accept", "application/json"), (PACKED, "accept-encoding", "gzip, deflate")]
)
async def test_what_is_no_plain_json_is_415(port, lines, name, wanted):
    """Section 15.5.16: and what would be taken is said."""
    got = await ask(port, b"POST %b HTTP/1.1\r\n%b%bcontent-length: 64\r\n\r\n%b" % (CHAT.encode(), HOST, lines, BODY))

    assert (415, wanted) == (got.status, got[name])


async def test_a_head_that_is_too_large_is_431(port):
    """RFC 6585 section 5: in bytes, and in headers."""
    large, many = get(b"a: " + b"b" * refusals.MAX_HEAD + b"\r\n"), get(b"a: b\r\n" * refusals.MAX_HEADERS)

    assert [(431, "headers_too_large")] * 2 == [(await ask(port, data)).told for data in (large, many)]


async def test_a_stream_to_an_old_client_ends_with_the_connection(port):
    """RFC 9112 section 6.1: no chunks for HTTP/1.0."""
    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0"))
        _, headers = await connection.head()
        async with asyncio.timeout(60):
            body = await connection.rest()

    assert (None, True) == (dict(headers).get("transfer-encoding"), body.endswith(b"data: [DONE]\n\n"))
