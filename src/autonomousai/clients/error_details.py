"""What the error that ends a request says beside what went wrong: how often it was tried, which proxy was in the way, and what
a base URL lacks."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..errors import MODEL_CODES, ConnectError, HTTPError, StreamError
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from .retries import LONGEST_WAIT_S

#: Statuses of a server that has other paths, and the paths that are asked for below a base URL without one.
_NO_SUCH_PATH: Final = frozenset({404, 405})
_AT_A_ROOT: Final = frozenset({"/chat/completions", "/responses"})

#: Statuses with which a proxy answers in place of a server that it cannot reach, or does not want to.
_OF_PROXIES: Final = frozenset({403, 407, 500, 502, 503, 504})


def explain(error: HTTPError, pool: HttpPool, url: str, proxy: Proxy | None, *, failures: int, retries: int) -> None:
    """Explain *error*, which ends a request for *url* after as many *failures*. *proxy*: the request's own. With ``retries=0``,
    as a gateway's upstreams are asked, nothing is added: its callers are others than its operator."""
    if not retries:
        return
    if error.status in _NO_SUCH_PATH and error.code not in MODEL_CODES and urlsplit(url).path in _AT_A_ROOT:
        error.advise("check base_url: most end in /v1, and this one has no path; then the model's name")
    if proxy is None and (isinstance(error, ConnectError) or error.status in _OF_PROXIES):
        spared = pool.proxy_to_this_machine(url)
        if spared is not None:
            first = error.advice if isinstance(error, ConnectError) else f"it was asked through {spared.title}"
            error.advise(f"{first}; set NO_PROXY=127.0.0.1,localhost to ask this machine directly")
    _note_tries(error, failures)


def _note_tries(error: HTTPError, failures: int) -> None:
    """Add a note (PEP 678) of how often a client tries, where another try may help."""
    if not error.retryable or isinstance(error, StreamError):
        return
    if error.retry_after is not None and error.retry_after > LONGEST_WAIT_S:
        error.add_note(f"The server asks to wait {error.retry_after:g} s; a client waits {LONGEST_WAIT_S:g} s at most")
    else:
        error.add_note(f"Tries: {failures}. retries=N, for the provider or for one call, is how many may follow the first")
