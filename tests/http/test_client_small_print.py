"""HTTP's small print as a client keeps to it (RFC 9110 and RFC 9112): docs/http.md has a row for each test here. Each holds for
both transports."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autonomousai import ConfigError, HTTPError, IncompleteStreamError, OpenAICompatible, StatusError
from autonomousai.http.pool import HttpPool
from autonomousai.http.transport import read_body
from autonomousai.testing import Request, Script, ScriptedServer
from autonomousai.testing.completions import chunks
from autonomousai.testing.steps import Close, Raw, Reset
from autonomousai.timeouts import Clocks
from tests.support.raw import RawConnection, answering

DOCUMENT = Path(__file__).parents[2] / "docs" / "http.md"

CLOCKS = Clocks(connect=60, first_token=60, idle=60, total=60)
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = [{"role": "user", "content": "Hello"}]


def test_each_row_has_its_test() -> None:
    """The document and this file are of one mind."""
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text().partition("\n# As a client")[2]))
    here = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}

    assert here - {"test_each_row_has_its_test"} == named


@pytest.fixture(params=["aiohttp", "ours"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[HttpPool]:
    pool = HttpPool(direct=request.param == "ours", trust_env=False)
    yield pool
    await pool.aclose()


def of(body: bytes, *headers: bytes) -> bytes:
    """A complete answer."""
    return OK + b"".join(line + b"\r\n" for line in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def hear(pool: HttpPool, data: bytes, *, again: bool = False) -> list[str]:
    """What comes of an answer with these bytes, once or twice: status and body, or the name of the error. The connection ends
    with each, but for the first of two."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(data)
        if not again or connection.heard == 2:
            connection.close()

    heard = []
    async with answering(serve) as server:
        for _ in range(1 + again):
            try:
                response = await pool.get(server.url, headers={}, clocks=CLOCKS)
                try:
                    body = (await read_body(response, 1 << 20)).decode()
                    heard.append(f"{response.status} {body}")
                    response.release()
                finally:
                    await response.aclose()
            except HTTPError as error:
                heard.append("no HTTP" if "did not answer in HTTP" in str(error) else type(error).__name__)
        if again:
            heard.append(f"{server.connections} connections")
            await pool.aclose()
    return heard


async def asked(pool: HttpPool, url: str = "", **headers: str) -> Request:
    """A request, as its server got it."""
    async with ScriptedServer(Script.status(200, "{}")) as server:
        target = url.replace("SERVER", server.url.removeprefix("http://")) or server.url
        response = await pool.post(target, headers=headers, body=b"{}", clocks=CLOCKS, streaming=False)
        await read_body(response, 100)
        await response.aclose()
    return server.requests[0]


# ---- requests


async def test_a_request_has_one_line_one_host_and_a_length(pool: HttpPool) -> None:
    """RFC 9112, sections 3, 3.2 and 6.2: a request line in origin form, Host first named, a length and no coding."""
    request = await asked(pool, "http://SERVER/v1/x?a=b#fragment")
    lines = request.head.decode().split("\r\n")

    assert "POST /v1/x?a=b HTTP/1.1" == lines[0]
    assert 1 == len([line for line in lines if line.lower().startswith("host:")])
    assert "2" == request.headers["content-length"]
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
def test_a_header_that_would_be_two_is_not_sent(value: str) -> None:
    """RFC 9110, section 5.5."""
    with pytest.raises(ConfigError):
        OpenAICompatible("http://127.0.0.1:1", headers={"X-A": value})


async def test_compression_is_not_asked_for(pool: HttpPool) -> None:
    """RFC 9110, section 12.5.3: pieces of a stream would wait for one another."""
    request = await asked(pool)

    assert request.headers.get("accept-encoding", "identity") == "identity"


async def test_credentials_of_an_address_are_sent_as_basic(pool: HttpPool) -> None:
    """RFC 9110, section 11.6.2."""
    request = await asked(pool, "http://user:pw@SERVER/")

    assert "Basic dXNlcjpwdw==" == request.headers["authorization"]
    assert b"user" not in request.head.split(b"\r\n")[0]


# ---- status lines


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe4\xf6", b"HTTP/1.0 200 OK"])
async def test_a_reason_phrase_says_nothing(line: bytes, pool: HttpPool) -> None:
    """RFC 9112, section 4: it may be missing, and is not looked at."""
    assert ["200 hi"] == await hear(pool, line + b"\r\nContent-Length: 2\r\n\r\nhi")


@pytest.mark.parametrize("line", [b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 abc", b"HTTP/2.0 200 OK", b"ICY 200 OK"])
async def test_what_is_no_status_line_is_refused(line: bytes, pool: HttpPool) -> None:
    """RFC 9112, section 4: three digits behind a version of HTTP/1."""
    assert ["no HTTP"] == await hear(pool, line + b"\r\nContent-Length: 2\r\n\r\nhi")


@pytest.mark.parametrize("status", [b"000", b"001", b"099"])
async def test_a_status_below_100_is_refused(status: bytes, pool: HttpPool) -> None:
    """RFC 9110, section 15: there is none."""
    assert ["no HTTP"] == await hear(pool, b"HTTP/1.1 %b X\r\nContent-Length: 2\r\n\r\nhi" % status)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("status", [600, 999])
async def test_a_status_above_599_is_the_servers_fault(status: int) -> None:
    """RFC 9110, section 15: as a 5xx, which may pass."""
    async with ScriptedServer(Script.status(status)) as server, OpenAICompatible(server.url, retries=0) as provider:
        with pytest.raises(StatusError) as caught:
            await provider.create_async_generator("m", HELLO).text()

    assert (status, True) == (caught.value.status, caught.value.retryable)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(("status", "retryable"), [(299, None), (418, False), (471, False), (599, True)])
async def test_an_unknown_status_is_one_of_its_class(status: int, retryable: bool | None) -> None:
    """RFC 9110, section 15: 299 is a success, 471 the request's fault, 599 the server's."""
    script = Script(Raw(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(chunks("Hi"))) + chunks("Hi")), Close())
    async with ScriptedServer(script) as server, OpenAICompatible(server.url, retries=0) as provider:
        answer = provider.create_async_generator("m", HELLO, stream=True)
        if retryable is None:
            assert "Hi" == await answer.text()
            return
        with pytest.raises(StatusError) as caught:
            await answer.text()

    assert (status, retryable) == (caught.value.status, caught.value.retryable)


@pytest.mark.parametrize("status", [100, 102, 103, 104, 199])
async def test_interim_answers_are_passed_over(status: int, pool: HttpPool) -> None:
    """RFC 9110, section 15.2: any number of them, known or not, before the answer; alone they are none."""
    interim = b"HTTP/1.1 %d X\r\nLink: </style.css>\r\n\r\n" % status

    assert ["200 hi"] == await hear(pool, interim * 3 + of(b"hi"))
    assert "200" not in "".join(await hear(pool, interim))


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
async def test_nothing_of_an_interim_answer_is_in_the_answer(framing: bytes, pool: HttpPool) -> None:
    """RFC 9110, section 8.6: it has no body; one that has is never taken for the answer's."""
    (heard,) = await hear(pool, b"HTTP/1.1 199 X\r\n" + framing + of(b"hi"))

    assert heard in ("200 hi", "no HTTP")


@pytest.mark.usefixtures("transport")
async def test_no_other_protocol_is_spoken() -> None:
    """RFC 9110, section 7.8: 101 to who asked for no upgrade is an error."""
    script = Script(Raw(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), Close())
    async with ScriptedServer(script) as server, OpenAICompatible(server.url, retries=0) as provider:
        with pytest.raises(HTTPError, match="answered 101 where an answer should be; check base_url"):
            await provider.create_async_generator("m", HELLO).text()


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(status: int) -> None:
    """RFC 9110, section 15.4: a key and a prompt go where they were meant to go; the error names the address."""
    async with ScriptedServer() as other:
        script = Script.status(status, headers={"Location": f"{other.url}/elsewhere"})
        async with ScriptedServer(script) as server, OpenAICompatible(server.url, api_key="the-key") as provider:
            with pytest.raises(HTTPError, match=f"answered {status} and redirects to {other.url}/elsewhere") as caught:
                await provider.create_async_generator("m", HELLO).text()

    assert ([], 1, False) == (other.requests, len(server.requests), caught.value.retryable)


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(status: int, pool: HttpPool) -> None:
    """RFC 9112, section 6.3: whatever their headers say."""
    heard = await hear(pool, b"HTTP/1.1 %d X\r\nContent-Length: 3\r\n\r\n" % status)

    assert [f"{status} "] == heard


# ---- headers


@pytest.mark.parametrize(
    "line", [b"Bad Name: x", b": x", b"no colon", b"X-A: a\rb", b"X-A: a\0b"], ids=lambda line: repr(line)[2:-1]
)
async def test_a_malformed_header_is_refused(line: bytes, pool: HttpPool) -> None:
    """RFC 9112, sections 5 and 5.1; RFC 9110, section 5.5."""
    assert "200" not in "".join(await hear(pool, of(b"hi", line)))


async def test_a_folded_header_is_one_line(pool: HttpPool) -> None:
    """RFC 9112, section 5.2: servers that are old still fold; a client may read it as spaces."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(of(b"hi", b"X-A: a", b" b"))
        connection.close()

    async with answering(serve) as server:
        response = await pool.get(server.url, headers={}, clocks=CLOCKS)
        told = response.headers.get("x-a", "")
        await response.aclose()

    assert ["a", "b"] == told.split()


# ---- where a body ends


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2, 3\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
    ],
    ids=lambda headers: headers.decode().replace("\r\n", "; "),
)
async def test_where_an_answer_ends_is_said_once(headers: bytes, pool: HttpPool) -> None:
    """RFC 9112, sections 6.1 to 6.3: what two readers could end in two places is no answer."""
    assert "200 hi" not in await hear(pool, OK + headers + b"\r\n2\r\nhi\r\n0\r\n\r\n")


async def test_chunks_in_http_1_0_are_refused(pool: HttpPool) -> None:
    """RFC 9112, section 6.1."""
    assert ["no HTTP"] == await hear(pool, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")


async def test_without_framing_the_connection_ends_an_answer(pool: HttpPool) -> None:
    """RFC 9112, section 6.3: its end in good order is the body's."""
    assert ["200 hi"] == await hear(pool, OK + b"\r\nhi")


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 9\r\n\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhi",
    ],
    ids=["a length", "no last chunk", "half a chunk"],
)
async def test_an_answer_that_breaks_off_is_incomplete(data: bytes, pool: HttpPool) -> None:
    """RFC 9112, section 8."""
    assert [IncompleteStreamError.__name__] == await hear(pool, data)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
async def test_an_answer_whose_end_had_come_is_whole(end: Close | Reset) -> None:
    """RFC 9112, section 8: what proves its end is the wire's [DONE], however the connection ends behind it."""
    async with ScriptedServer(Script(Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n"), *_chunked(chunks("Hi")), end)) as server:
        async with OpenAICompatible(server.url, retries=0) as provider:
            assert "Hi" == await provider.create_async_generator("m", HELLO, stream=True).text()


def _chunked(data: bytes) -> list[Raw]:
    return [Raw(b"%x\r\n%b\r\n" % (len(data), data))]


@pytest.mark.parametrize("size", [b"2;ext=1", b"2 ", b"02", b'2;a="b;c"'])
async def test_chunk_extensions_and_zeros_say_nothing(size: bytes, pool: HttpPool) -> None:
    """RFC 9112, sections 7.1 and 7.1.1."""
    assert ["200 hi"] == await hear(pool, OK + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhi\r\n0\r\n\r\n")


@pytest.mark.parametrize("size", [b"zz", b"-2", b"", b"2x"])
async def test_a_chunk_size_that_is_none_is_refused(size: bytes, pool: HttpPool) -> None:
    """RFC 9112, section 7.1."""
    heard = await hear(pool, OK + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhi\r\n0\r\n\r\n")

    assert "200 hi" not in heard


async def test_trailers_are_no_headers(pool: HttpPool) -> None:
    """RFC 9110, section 6.5.1: they are read and dropped."""
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n"

    assert ["200 hi", "200 hi", "1 connections"] == await hear(pool, data, again=True)


async def test_a_body_is_unpacked_though_nobody_asked(pool: HttpPool) -> None:
    """RFC 9110, section 8.4: some servers and proxies compress whatever is asked."""
    assert ["200 hi"] == await hear(pool, of(gzip.compress(b"hi"), b"Content-Encoding: gzip"))


# ---- connections


async def test_a_connection_is_used_again(pool: HttpPool) -> None:
    """RFC 9112, section 9.3: after an answer that was read to its end."""
    assert ["200 hi", "200 hi", "1 connections"] == await hear(pool, of(b"hi"), again=True)


@pytest.mark.parametrize(
    "data", [of(b"hi", b"Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"], ids=["close", "1.0"]
)
async def test_a_connection_that_ends_is_not_used_again(data: bytes, pool: HttpPool) -> None:
    """RFC 9112, sections 9.3 and 9.6."""
    assert ["200 hi", "200 hi", "2 connections"] == await hear(pool, data, again=True)


async def test_what_comes_behind_an_answer_answers_nothing(pool: HttpPool) -> None:
    """RFC 9112, section 9.2: the connection ends, and the next request gets an answer of its own."""
    heard = await hear(pool, of(b"hi") + of(b"smuggled"), again=True)

    assert ["200 hi", "200 hi", "2 connections"] == heard


@pytest.mark.usefixtures("transport")
async def test_a_request_that_was_begun_to_be_answered_is_not_sent_again() -> None:
    """RFC 9110, section 9.2.2: a POST is repeated for a caller who allows it, and never behind the first event."""
    script = Script(Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n"), *_chunked(chunks("Hi", finish=None, done=False)), Reset())
    async with ScriptedServer(script) as server, OpenAICompatible(server.url, retries=3) as provider:
        with pytest.raises(IncompleteStreamError) as caught:
            await provider.create_async_generator("m", HELLO, stream=True).text()

    assert ("Hi", 1) == (caught.value.partial, len(server.requests))


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("said", ["3", "3.5", "Thu, 01 Jan 1970 00:00:00 GMT", "soon"])
async def test_retry_after_is_heeded(said: str) -> None:
    """RFC 9110, section 10.2.3: seconds or a date; nonsense is none."""
    async with ScriptedServer(Script.status(503, headers={"Retry-After": said})) as server:
        async with OpenAICompatible(server.url, retries=0) as provider:
            with pytest.raises(StatusError) as caught:
                await provider.create_async_generator("m", HELLO).text()

    assert {"3": 3.0, "3.5": 3.5, "soon": None}.get(said, 0.0) == caught.value.retry_after
