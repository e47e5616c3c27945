"""Small documents beside answers, such as lists of models and counts of tokens: fetched whole, again where that can help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from ..errors import HTTPError
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.transport import read_body
from ..timeouts import Clocks
from ..wires.redaction import secrets_of
from . import retries as policy
from .error_details import explain

#: Bytes of a document.
_LARGEST: Final = 16 * 1024 * 1024


class ErrorReader(Protocol):
    """What makes an error of a response that is none of success: a wire's `decode_error`."""

    def __call__(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> HTTPError: ...


async def fetch_document(
    pool: HttpPool,
    url: str,
    *,
    headers: Mapping[str, str],
    clocks: Clocks,
    read_error: ErrorReader,
    retries: int = 0,
    body: bytes | None = None,
    deadline: float | None = None,
    proxy: Proxy | None = None,
) -> bytes:
    """Return the document at *url*: of a GET request, or of a POST request with *body*. Raises `HTTPError` and its kin.

    *retries*: see `retry_delay`.
    """
    failures = 0
    while True:
        try:
            return await _fetch_once(pool, url, headers, clocks, read_error, body, deadline, proxy)
        except HTTPError as error:
            failures += 1
            delay = policy.retry_delay(error, failures, retries)
            if delay is None:
                explain(error, pool, url, proxy, failures=failures, retries=retries)
                raise
        await policy.sleep(delay)


async def _fetch_once(
    pool: HttpPool,
    url: str,
    headers: Mapping[str, str],
    clocks: Clocks,
    read_error: ErrorReader,
    body: bytes | None,
    deadline: float | None,
    proxy: Proxy | None,
) -> bytes:
    if body is None:
        response = await pool.get(url, headers=headers, clocks=clocks, deadline=deadline, proxy=proxy)
    else:
        response = await pool.post(
            url, headers=headers, body=body, clocks=clocks, streaming=False, deadline=deadline, proxy=proxy
        )
    try:
        document = await read_body(response, _LARGEST, as_far_as_it_comes=response.status != 200)
        if response.status != 200:
            raise read_error(response.status, document, response.headers, secrets=secrets_of(headers))
        return document
    finally:
        await response.aclose()
