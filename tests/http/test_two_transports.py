"""Two transports that behave as one: what servers may send, over aiohttp's and over ours, in one table."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autonomousai import (
    Anthropic,
    AutonomousAI,
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    OpenAICompatible,
)
from autonomousai.http import aiohttp_transport
from autonomousai.http.headers import MAX_FIELDS
from autonomousai.http.pool import HttpPool
from autonomousai.http.request_head import is_sent
from autonomousai.http.strict_heads import MAX_HEAD
from autonomousai.http.transport import read_body
from autonomousai.testing import Script, ScriptedServer
from autonomousai.timeouts import Clocks
from tests.support.raw import RawConnection, answering
from tests.support.tls import authority, authority_pem, client_context, server_context

CLOCKS = Clocks(connect=60, first_token=60, idle=60, total=60)
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=["aiohttp", "ours"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[HttpPool]:
    pool = HttpPool(direct=request.param == "ours", trust_env=False)
    yield pool
    await pool.aclose()


class Heard(NamedTuple):
    """A response: its status (0 where it was refused), its body, how it ended, and its header ``X-A``."""

    status: int
    body: bytes
    end: str = "whole"
    header: str | None = None


REFUSED = Heard(0, b"", "refused")
CLOSED = Heard(0, b"", "closed")
HELLO = Heard(200, b"hello")


def _told(error: HTTPError, end: str) -> str:
    """How a response ended; every error is one line."""
    return end if "\n" not in str(error) else f"{end}, in many lines"


async def hear(pool: HttpPool, url: str) -> Heard:
    """What comes for a GET of *url*."""
    try:
        response = await pool.get(url, headers={}, clocks=CLOCKS)
    except HTTPError as error:
        return REFUSED._replace(end=_told(error, "refused" if "did not answer in HTTP" in str(error) else "closed"))
    body = b""
    try:
        while data := await response.read_some():
            body += data
    except IncompleteStreamError as error:
        return Heard(response.status, body, _told(error, "incomplete"), response.headers.get("x-a"))
    finally:
        await response.aclose()
    return Heard(response.status, body, "whole", response.headers.get("X-A"))


def of(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with these header lines and its length."""
    lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def chunked(*chunks: bytes, fields: bytes = b"") -> bytes:
    return OK + fields + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0)
END = b"0\r\n\r\n"

ANSWERS: dict[str, tuple[bytes, Heard]] = {
    # Statuses.
    **{
        f"status {status}": (of(b"hello", status=b"%d Odd" % status), Heard(status, b"hello"))
        for status in (200, 299, 300, 399, 409, 418, 430, 499, 520, 527, 529, 530, 598, 599, 600, 777, 999)
    },
    "status 204 with a body": (of(b"hello", status=b"204 No Content"), Heard(204, b"")),
    "status 101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\1\2", Heard(101, b"")),
    "status 099": (of(b"hello", status=b"099 Odd"), REFUSED),
    "a status of four digits": (of(b"hello", status=b"1000 Odd"), REFUSED),
    "interim ones before it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + of(b"hello"),
        HELLO,
    ),
    "without a reason": (of(b"hello", status=b"200"), HELLO),
    "an empty reason": (of(b"hello", status=b"200 "), HELLO),
    "odd bytes in the reason": (of(b"hello", status=b"200 \xe9\xff\x01\x80"), HELLO),
    # Heads.
    "a large head": (of(b"hello", b"X: " + b"x" * (MAX_HEAD - 200)), HELLO),
    "a head that is too large": (of(b"hello", b"X: " + b"x" * MAX_HEAD), REFUSED),
    "many headers": (of(b"hello", *[b"X-B: b"] * (MAX_FIELDS - 1)), HELLO),
    "too many headers": (of(b"hello", *[b"X-B: b"] * MAX_FIELDS), REFUSED),
    "a header in UTF-8": (of(b"hello", b"X-A: caf\xc3\xa9"), Heard(200, b"hello", header="café")),
    "a header in Latin-1": (of(b"hello", b"X-A: caf\xe9"), Heard(200, b"hello", header="café")),
    "a header twice": (of(b"hello", b"X-A: a", b"x-a: b"), Heard(200, b"hello", header="a, b")),
    "a folded header": (of(b"hello", b"X-A: a", b"  b"), Heard(200, b"hello", header="a b")),
    "a space before the colon": (of(b"hello", b"X-A : a"), Heard(200, b"hello", header="a")),
    "a control character": (of(b"hello", b"X-A: a\x01b"), Heard(200, b"hello", header="a b")),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", HELLO),
    "empty lines before it": (b"\r\n\r\n" + of(b"hello"), HELLO),
    "a zero byte": (of(b"hello", b"X-A: \0"), REFUSED),
    "a bare carriage return": (of(b"hello", b"X-A: a\rX-B: b"), REFUSED),
    "a line without a colon": (of(b"hello", b"nonsense"), REFUSED),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", REFUSED),
    "a web page": (b"<html>hello</html>\r\n", REFUSED),
    "another protocol": (b"SSH-2.0-OpenSSH_9 of a secret kind\r\n", REFUSED),
    "half a head": (OK + b"Content-Le", CLOSED),
    "nothing": (b"", CLOSED),
    # Lengths.
    "the same length twice": (of(b"hello", b"Content-Length: 5"), HELLO),
    "a list of the same length": (OK + b"Content-Length: 5, 5\r\n\r\nhello", HELLO),
    "two lengths": (of(b"hello", b"Content-Length: 6"), REFUSED),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", REFUSED),
    "length and chunked": (chunked(b"5\r\nhello\r\n", END, fields=b"Content-Length: 5\r\n"), REFUSED),
    "short of its length": (OK + b"Content-Length: 9\r\n\r\nhello", Heard(200, b"hello", "incomplete")),
    "more than its length": (of(b"hello") + of(b"forged"), HELLO),
    "without a length": (OK + b"\r\nhello", HELLO),
    "of HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", HELLO),
    # Chunks.
    "extensions and trailers": (chunked(b'5;a=b;c="d"\r\nhello\r\n', b"0\r\nX-A: a\r\n\r\n"), HELLO),
    "chunked in capitals": (OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n" + END, HELLO),
    "spaces after a chunk's size": (chunked(b"5  \r\nhello\r\n", END), HELLO),
    "identity as a transfer coding": (OK + b"Transfer-Encoding: identity\r\n\r\nhello", HELLO),
    "chunked twice": (chunked(b"5\r\nhello\r\n", END, fields=b"Transfer-Encoding: chunked\r\n"), HELLO),
    "chunked, chunked": (OK + b"Transfer-Encoding: chunked, Chunked\r\n\r\n5\r\nhello\r\n" + END, HELLO),
    "chunked and another coding": (chunked(END, fields=b"Transfer-Encoding: gzip\r\n"), REFUSED),
    "another transfer coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END, REFUSED),
    "chunked in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + END, REFUSED),
    "chunks without their end": (chunked(b"5\r\nhello\r\n"), Heard(200, b"hello", "incomplete")),
    "chunks with bare line feeds": (chunked(b"5\nhello\n0\n\n"), Heard(200, b"", "incomplete")),
    "garbage between chunks": (chunked(b"5\r\nhello\r\nxyz\r\n"), Heard(200, b"hello", "incomplete")),
    # Codings of the body.
    **{
        f"Content-Encoding: {coding}": (of(b"hello", b"Content-Encoding: " + coding.encode()), HELLO)
        for coding in ("", "identity", "utf-8", "UTF8", "none", "binary", "application/json", "identity, utf-8")
    },
    "gzip": (of(gzip.compress(b"hello", mtime=0), b"Content-Encoding: gzip"), HELLO),
    "gzip in capitals": (of(gzip.compress(b"hello", mtime=0), b"Content-Encoding: X-GZIP"), HELLO),
    "gzip beside nothing": (of(gzip.compress(b"hello", mtime=0), b"Content-Encoding: identity, gzip"), HELLO),
    "gzip in two members": (of(PACKED, b"Content-Encoding: gzip"), HELLO),
    "gzip with padding": (of(PACKED + b"\0" * 9, b"Content-Encoding: gzip"), HELLO),
    "gzip until the end": (OK + b"Content-Encoding: gzip\r\n\r\n" + PACKED, HELLO),
    "gzip and no body": (of(b"", b"Content-Encoding: gzip"), Heard(200, b"")),
    "gzip, cut": (of(PACKED[:-4], b"Content-Encoding: gzip"), Heard(200, b"hello", "incomplete")),
    "gzip and a cut connection": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\n" + PACKED,
        Heard(200, b"hello", "incomplete"),
    ),
    "gzip that is none": (of(b"hello", b"Content-Encoding: gzip"), HELLO),
    "gzip that only begins so": (of(b"\x1fhello", b"Content-Encoding: gzip"), Heard(200, b"", "incomplete")),
    "gzip that is called deflate": (of(gzip.compress(b"hello", mtime=0), b"Content-Encoding: deflate"), HELLO),
    "deflate": (of(zlib.compress(b"hello"), b"Content-Encoding: deflate"), HELLO),
    "bare deflate": (of(bare_deflate(b"hello"), b"Content-Encoding: deflate"), HELLO),
    "two codings": (of(b"hello", b"Content-Encoding: gzip, deflate"), REFUSED),
    "a coding that is not undone": (of(b"hello", b"Content-Encoding: br"), REFUSED),
    **{
        f"a refusal in {coding}": (
            b"HTTP/1.1 503 X\r\nContent-Encoding: %b\r\nContent-Length: 5\r\n\r\nhello" % coding,
            Heard(503, b""),
        )
        for coding in (b"br", b"zstd", b"gzip, gzip")
    },
    "such a coding in chunks": (chunked(b"5\r\nhello\r\n", END, fields=b"Content-Encoding: zstd\r\n"), REFUSED),
}


@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "bytewise"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer(answer: str, bytewise: bool, pool: HttpPool) -> None:
    """However it comes, and over whichever transport, the same is heard of it."""
    data, expected = ANSWERS[answer]

    async def serve(connection: RawConnection) -> None:
        await connection.send(data, bytewise=bytewise and len(data) < 2000)
        connection.close()

    async with answering(serve) as server:
        heard = await hear(pool, server.url)

    assert expected == heard


#: SSH's banner, and the alert of a server that waited for TLS.
NO_HTTP = [b"SSH-2.0 hunter2\r\n\r\n", bytes.fromhex("15030100020246")]


@pytest.mark.parametrize("data", NO_HTTP, ids=["ssh", "tls"])
async def test_what_is_not_http_is_not_quoted(data: bytes, pool: HttpPool) -> None:
    """The error says what is wrong with it, in one line, and not what it was; and that TLS may be missing."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(data)
        connection.close()

    async with answering(serve) as server:
        with pytest.raises(HTTPError) as caught:
            await pool.get(server.url, headers={}, clocks=CLOCKS)

    assert str(caught.value).startswith(f"the server at {server.url} did not answer in HTTP: ")
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).endswith("; does https:// belong there?")


@pytest.mark.parametrize("data", [of(b"hello", b"Content-Encoding: zstd"), chunked(fields=b"Content-Encoding: zstd\r\n")])
async def test_a_coding_that_is_not_undone_is_named(data: bytes, pool: HttpPool) -> None:
    """However the body is framed."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(data)
        connection.close()

    async with answering(serve) as server:
        with pytest.raises(HTTPError, match="a body compressed as zstd, though none was asked for"):
            await pool.get(server.url, headers={}, clocks=CLOCKS)


async def test_trailers_are_not_headers_of_the_next_response(pool: HttpPool) -> None:
    """What follows one body says nothing of another one."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(chunked(b"5\r\nhello\r\n", b"0\r\nX-A: a\r\n\r\n"))

    async with answering(serve) as server:
        heard = [await hear(pool, server.url) for _ in range(2)]
        await pool.aclose()

    assert ([HELLO, HELLO], [1, 1]) == (heard, server.asked)


# ---- connections that were kept ---------------------------------------------------------------------------------------


async def post(pool: HttpPool, url: str) -> bytes:
    response = await pool.post(url, headers={}, body=b"{}", clocks=CLOCKS, streaming=False)
    try:
        return await read_body(response, 100)
    finally:
        await response.aclose()


@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.reset])
async def test_a_server_that_closes_after_each_answer_costs_no_request(end: object, pool: HttpPool) -> None:
    """It does not say that it will: what was asked over the connection meanwhile is asked again."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(of(b"hello"))
        connection.close() if end is RawConnection.close else connection.reset()

    async with answering(serve) as server:
        texts = [await post(pool, server.url) for _ in range(50)]

    assert [b"hello"] * 50 == texts


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_kept_connection_that_ends_with_the_next_request_costs_none(end: str, pool: HttpPool) -> None:
    """Nothing of an answer came: the request is sent once more, over a new connection, even where others are kept."""
    together = 0

    async def serve(connection: RawConnection) -> None:
        nonlocal together
        together += 1
        if connection.heard > 1:
            getattr(connection, end)()
            return
        while together < 3:
            await asyncio.sleep(0)
        await connection.send(of(b"hello"))

    async with answering(serve) as server:
        await asyncio.gather(*[post(pool, server.url) for _ in range(3)])
        text = await post(pool, server.url)
        await pool.aclose()

    assert (b"hello", 4, 5) == (text, server.connections, len(server.asked))


async def test_an_answer_that_had_begun_is_not_asked_for_again(pool: HttpPool) -> None:
    """Half a head shows that the server has read the request."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(of(b"hello") if connection.heard == 1 else b"HTTP/1.1 20")
        if connection.heard > 1:
            connection.close()

    async with answering(serve) as server:
        await post(pool, server.url)
        with pytest.raises(HTTPError, match="closed the connection before it answered"):
            await post(pool, server.url)

    assert [1, 1] == server.asked


async def test_a_new_connection_that_is_closed_too_is_an_error(pool: HttpPool) -> None:
    """A request is sent twice at the most."""

    async def serve(connection: RawConnection) -> None:
        if len(server.asked) == 1:
            await connection.send(of(b"hello"))
        else:
            connection.close()

    async with answering(serve) as server:
        await post(pool, server.url)
        with pytest.raises(HTTPError, match="closed the connection before it answered") as caught:
            await post(pool, server.url)

    assert (True, [1, 1, 2]) == (caught.value.retryable, server.asked)


async def test_what_comes_between_two_requests_is_nobodys(pool: HttpPool) -> None:
    """An answer that comes unasked on a kept connection is not taken for the next one's."""

    async def serve(connection: RawConnection) -> None:
        await connection.send(of(b"hello"))
        if connection.number == 1:
            await connection.send(of(b"forged"))

    async with answering(serve) as server:
        texts = [await post(pool, server.url) for _ in range(3)]
        await pool.aclose()

    assert [b"hello"] * 3 == texts


# ---- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("", "", "check its certificate; authorities beside the system's are named by SSL_CERT_FILE or SSL_CERT_DIR"),
        ("SSL_CERT_FILE", "/no/such.pem", "check its certificate; SSL_CERT_FILE names '/no/such.pem', which is not there"),
        ("SSL_CERT_DIR", "/no/such", "check its certificate; SSL_CERT_DIR names '/no/such', which is not there"),
        (
            "REQUESTS_CA_BUNDLE",
            "/a.pem",
            "check its certificate; REQUESTS_CA_BUNDLE is not read here: set SSL_CERT_FILE to '/a.pem'",
        ),
    ],
)
async def test_an_unknown_authority_is_said(
    variable: str, value: str, advice: str, pool: HttpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variables that would make it known, or the one that names nothing."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, value)
    async with ScriptedServer(tls=server_context()) as server:
        with pytest.raises(ConnectError, match=f"TLS with {server.url}/ failed: .*CERTIFICATE_VERIFY_FAILED") as caught:
            await pool.get(server.url + "/", headers={}, clocks=CLOCKS)

    assert (False, advice) == (caught.value.retryable, caught.value.advice)


async def test_a_server_that_closes_instead_of_tls_is_said(pool: HttpPool) -> None:
    """One that speaks plain HTTP, or a proxy that knows no such host, may say nothing at all."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # what was not read makes a reset of the end
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(ConnectError, match=f"cannot connect to {url}: it was closed before TLS began") as caught:
            await pool.get(url, headers={}, clocks=CLOCKS)

    assert ("check that TLS is spoken there", True) == (caught.value.advice, caught.value.retryable)


async def test_an_authority_of_the_environment_is_trusted(
    pool: HttpPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was named after the first request."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with ScriptedServer(tls=server_context()) as server:
        with pytest.raises(ConnectError):
            await post(pool, server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        text = await post(pool, server.url)

    assert text


@pytest.mark.parametrize("client", [OpenAICompatible, Anthropic, AutonomousAI], ids=lambda each: each.__name__)
async def test_a_client_speaks_tls_as_it_was_told(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an authority and a certificate of its own, where the server wants to see one."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    wanting = server_context()
    wanting.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(wanting)
    own = client_context()
    authority().issue_cert("client@example.org").configure_cert(own)
    async with ScriptedServer(tls=wanting) as server, client(server.url, retries=0, ssl_context=own) as provider:
        text = await provider.chat("llama", [{"role": "user", "content": "Hello"}])

    assert "Hello world" == text


FRAMING = {"Content-Length": "3", "Transfer-Encoding": "chunked", "TE": "trailers", "X-A": "a"}


async def test_a_callers_headers_do_not_frame_the_body(pool: HttpPool) -> None:
    """Headers that are passed on from another request may say how long that one was."""

    async with ScriptedServer(Script.stream("Hello")) as server:
        response = await pool.post(server.url, headers=FRAMING, body=b"{}  ", clocks=CLOCKS, streaming=False)
        await response.aclose()
        asked = server.requests[0]

    assert (b"{}  ", "a", "4") == (asked.body, asked.headers["x-a"], asked.headers["content-length"])
    assert not asked.headers.keys() & {"transfer-encoding", "te"}


@pytest.mark.parametrize("name", ["X A", "", "X:A", "X-A\r\nX-B"])
async def test_a_header_that_is_none_is_not_sent(pool: HttpPool, name: str) -> None:
    """It would be another header, or the beginning of another request."""
    with pytest.raises(ConfigError, match="cannot be sent"):
        await pool.get("http://127.0.0.1:1/", headers={name: "a"}, clocks=CLOCKS)


async def test_headers_that_are_refused_take_none_of_the_next_request(pool: HttpPool) -> None:
    """The next one may have the same as the one before: they are sent with it."""
    async with ScriptedServer(Script.stream("Hello")) as server:
        for headers in ({"X-A": "a"}, {"X A": "a"}, {"X-A": "a"}):
            try:
                response = await pool.post(server.url, headers=headers, body=b"{}", clocks=CLOCKS, streaming=False)
            except ConfigError:
                continue
            await response.aclose()

    assert ["a", "a"] == [asked.headers.get("x-a") for asked in server.requests]


async def test_headers_that_stay_the_same_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client sends the same ones with each request; others are looked at, and sent."""
    seen: list[str] = []

    def look(name: str, value: str) -> bool:
        seen.append(name)
        return is_sent(name, value)

    monkeypatch.setattr(aiohttp_transport, "is_sent", look)
    pool = HttpPool(trust_env=False)
    async with ScriptedServer(Script.document("Hello")) as server:
        for value in ("1", "1", "2"):
            response = await pool.get(server.url, headers={"X-A": value}, clocks=CLOCKS)
            await response.aclose()
    await pool.aclose()

    assert ["X-A", "X-A"] == seen
    assert ["1", "1", "2"] == [request.headers["x-a"] for request in server.requests]


async def test_a_request_is_sent_without_a_task(pool: HttpPool) -> None:
    """Its body goes out with its head, in the same turn of the loop."""

    async def hello(connection: RawConnection) -> None:
        await connection.send(of(b"hello"))

    tasks: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        tasks.append(work.__qualname__)
        return asyncio.Task(work, loop=loop, **more)

    async with answering(hello) as server:
        for _ in range(2):
            asyncio.get_running_loop().set_task_factory(note if server.requests else None)
            response = await pool.post(server.url, headers={}, body=b"{}", clocks=CLOCKS, streaming=True)
            assert b"hello" == await response.read_some()
            await response.aclose()
        asyncio.get_running_loop().set_task_factory(None)
        await pool.aclose()

    assert ([], [1, 1]) == (tasks, server.asked)


async def test_a_connection_whose_request_was_not_taken_carries_no_other(pool: HttpPool) -> None:
    """A server may refuse a large body by its head, and read no more of it."""
    connections = 0
    is_over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(of(b"hello", status=b"413 Too Large"))
        await is_over.wait()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for _ in range(2):
            response = await pool.post(url, headers={}, body=b" " * (1 << 24), clocks=CLOCKS, streaming=True)
            assert (413, b"hello") == (response.status, await response.read_some())
            await response.aclose()
        is_over.set()
        await pool.aclose()

    assert 2 == connections
