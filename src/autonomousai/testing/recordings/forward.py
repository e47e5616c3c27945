"""A step that hands a request on to a live upstream, and its answer back as it comes; it may write both down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from ...errors import ConfigError, HTTPError, ProviderError
from ...http.pool import HttpPool
from ...http.transport import Response
from ...timeouts import Clocks
from ..scripts import Script
from ..server import Request
from ..steps import Head, Line
from ..texts import LAST_EVENT
from .recording import RecordedAnswer, RecordedEnd
from .scrubbing import Scrubber

#: A client's timeouts are what is tested: these only end what would last for ever.
_CLOCKS: Final = Clocks(connect=30, first_token=3600, idle=3600, total=36_000, first_token_alive=3600)

#: Headers that belong to one connection (RFC 9110 section 7.6.1), or that the next one has anew.
_OF_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"content-length", "content-encoding", "host", "accept-encoding", "expect", "proxy-connection"}
)


class LiveUpstream:
    """Where requests are handed on to: the origin of *url*, whose path the callers' own base URL has."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not a URL of an upstream; write it as https://api.example.com/v1")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        #: The part of the URL that callers repeat.
        self.path = parts.path.rstrip("/")
        #: What went wrong on the way there.
        self.failures: list[str] = []
        self._pool = HttpPool()

    async def send(self, request: Request) -> Response:
        """Send a request on. Raises `HTTPError` and its kin."""
        target = request.path if request.path.startswith("/") else f"/{request.path}"
        return await self._pool.request(
            request.method,
            self.origin + target,
            headers={name: value for name, value in request.headers.items() if name not in _OF_CONNECTION},
            body=request.body or None,
            clocks=_CLOCKS,
        )

    async def aclose(self) -> None:
        """Close the connections there."""
        await self._pool.aclose()


class Forward:
    """Answers *request* with what the upstream answers. ``record``: where that is written down, without secrets."""

    def __init__(
        self,
        upstream: LiveUpstream,
        request: Request,
        url: str,
        record: RecordedAnswer | None = None,
        scrubber: Scrubber | None = None,
    ) -> None:
        self._upstream = upstream
        self._request = request
        self._url = url
        self._record = record
        self._scrubber = scrubber or Scrubber()
        self._secrets = self._scrubber.secrets(request.path, request.headers)
        self._then = 0.0
        #: Bytes that the answer's body has, where its head says so.
        self._length: int | None = None

    async def play(self, line: Line) -> None:
        self._then = asyncio.get_running_loop().time()
        try:
            response = await self._upstream.send(self._request)
        except ProviderError as error:
            self._upstream.failures.append(f"{self._request.method} {self._request.shown_path}: {error}")
            await self._refuse(line, str(error))
            return
        try:
            self._note_head(response)
            await self._head(response).play(line)
            while data := await response.read_some():
                response.progress()
                self._note(data)
                await line.write_body(data)
            self._end("finished")
            await line.end()
        except HTTPError as error:
            self._end("closed")
            self._upstream.failures.append(f"{self._request.method} {self._request.shown_path} broke off: {error}")
            line.close()
        finally:
            self._end("left")
            await response.aclose()

    def _end(self, end: RecordedEnd) -> None:
        """Note how the answer ended, the first time, and remove its secrets. One whose last event had come lacks nothing."""
        record, self._record = self._record, None
        if record is not None:
            body = b"".join(data for _, data in record.pieces)
            complete = LAST_EVENT.search(body) is not None or len(body) == self._length
            record.end = "finished" if end == "left" and complete else end
            record.pieces = self._scrubber.pieces(record.pieces, self._secrets)

    async def _refuse(self, line: Line, why: str) -> None:
        body = {"error": {"message": f"autonomousai.testing: {why}", "type": "upstream_error", "param": None, "code": None}}
        for step in Script.status(502, body).steps:
            await step.play(line)
        await line.end()

    def _head(self, response: Response) -> Head:
        headers = {name: self._home(value) for name, value in _kept(response.headers).items() if name != "content-type"}
        length = response.headers.get("content-length")
        coded = response.headers.get("content-encoding") is not None
        bodiless = self._request.method == "HEAD" or response.status in (204, 304)
        self._length = 0 if bodiless else int(length) if length is not None and length.isdecimal() and not coded else None
        return Head(response.status, response.headers.get("content-type"), headers, self._length)

    def _home(self, value: str) -> str:
        """A header's value with this server's address in the place of the upstream's: redirects lead through it too."""
        return value.replace(self._upstream.origin, self._url)

    def _note_head(self, response: Response) -> None:
        if self._record is not None:
            self._record.status = response.status
            headers = {name: self._home(value) for name, value in _kept(response.headers).items()}
            kept = self._scrubber.answer_headers(headers, self._secrets)
            self._record.headers = {name: value.replace(self._url, "") for name, value in kept.items()}

    def _note(self, data: bytes) -> None:
        if self._record is not None:
            now = asyncio.get_running_loop().time()
            self._record.add(round((now - self._then) * 1000), data)
            self._then = now


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in named.items() if name not in _OF_CONNECTION}
