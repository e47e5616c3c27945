"""aiohttp's errors in our own: one border. A test holds every error of aiohttp against the table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp

from ..errors import ConfigError, ConnectError
from ..errors import TimeoutError as ClockError
from ..timeouts import Clocks
from .aiohttp_connector import ConnectionAttempt
from .descriptors import is_short, no_descriptors
from .failures import closed_before_answer, host_not_found, not_connected, not_http, request_failed, tls_failed, without_quotes
from .transport import StaleConnectionError

#: What goes wrong at the proxy, where there is one.
AT_PROXY = (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError)

_Translation: TypeAlias = Callable[[Any, str], Exception]

#: What can go wrong before the response's head: the first row that fits. A test holds every error of aiohttp against it.
TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], _Translation], ...] = (
    (
        (aiohttp.ClientHttpProxyError,),
        lambda error, where: ConnectError(
            f"{where} refused the connection with status {error.status}",
            advice="check its credentials" if error.status == 407 else "check the proxy",
            retryable=error.status >= 500,
        ),
    ),
    (
        (aiohttp.ClientProxyConnectionError,),
        lambda error, where: ConnectError(f"cannot connect to {where}: {_reason(error)}", advice="check the proxy's address"),
    ),
    (
        (aiohttp.ClientConnectorDNSError,),
        lambda error, where: host_not_found(where, _reason(error)),
    ),
    (
        (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch),
        lambda error, where: tls_failed(where, error),
    ),
    (
        (aiohttp.ClientConnectorError,),
        lambda error, where: not_connected(where, _reason(error)),
    ),
    (
        (aiohttp.InvalidURL,),
        lambda error, where: ConfigError(f"{where!r} is not a URL that a request can be sent to"),
    ),
    (
        (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError),
        lambda error, where: closed_before_answer(where),
    ),
    (
        (aiohttp.ClientResponseError,),
        lambda error, where: not_http(where, error.message),
    ),
    (
        (aiohttp.ClientError, OSError),
        lambda error, where: request_failed(where, error),
    ),
)


def translate(error: Exception, attempt: ConnectionAttempt, clocks: Clocks, where: str) -> Exception:
    """What went wrong before the response's head came, in our own errors. What is none of aiohttp's stays as it is."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ClockError("connect", clocks.connect)
    if isinstance(error, asyncio.TimeoutError):
        return timeout_error(attempt, clocks)
    if attempt.is_stale and isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return StaleConnectionError()
    cause = getattr(error, "os_error", None) or error
    if attempt.connected is None and isinstance(cause, OSError) and is_short(cause):
        return no_descriptors()
    for kinds, translation in TRANSLATIONS:
        if isinstance(error, kinds):
            return translation(error, where)
    return error


def timeout_error(attempt: ConnectionAttempt, clocks: Clocks) -> ClockError:
    """Return the error of an *attempt* whose time was over before the response's head came."""
    first = attempt.first_token
    silent = attempt.connected is not None and first is not None and attempt.connected + first < attempt.deadline
    return ClockError("first_token", clocks.first_token) if silent else ClockError("total", clocks.total)


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return str(getattr(cause, "strerror", None) or cause)


def payload_problem(error: Exception) -> object:
    """Why a body broke off, in the words of our own transport where aiohttp's are those of its parser."""
    if isinstance(error, aiohttp.ClientPayloadError) and "not completed" in str(error):
        return "the server closed the connection"
    return without_quotes(str(error))
