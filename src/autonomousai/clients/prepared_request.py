"""A request to an upstream, ready to be sent, and the other forms that it takes where the server refuses one. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ..errors import HTTPError, StatusError
from ..http.proxies import Proxy
from ..http.urls import without_credentials
from ..timeouts import Clocks
from ..wires.base import Wire
from ..wires.redaction import secrets_of
from .adaptations import is_streamed, other_form
from .learnt_forms import Adaptations
from .retries import DEFAULT_RETRIES


class PreparedRequest(msgspec.Struct, frozen=True):
    """A request, ready to be sent. ``wire``: what its body is written in, and its answer will be. ``retries``: tries after the
    first, as long as nothing came. ``streams_url``: where a stream that broke can be resumed, if the server can. ``deadline``:
    the loop's time by which the answer must be complete, instead of the timeout ``total``. ``others``: see
    `CallOptions`. ``model``: what is asked of the server. ``adaptations``: where it is kept which other form of a request the
    server takes; ``forms``: those that this request has taken already."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    clocks: Clocks
    stream: bool
    wire: Wire
    proxy: Proxy | None = None
    retries: int = DEFAULT_RETRIES
    streams_url: str | None = None
    deadline: float | None = None
    others: bool = False
    model: str = ""
    adaptations: Adaptations | None = None
    forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show no header, and no query: what reports errors shows the variables of each frame, and may write them down."""
        return f"<PreparedRequest {without_credentials(self.url)}, {len(self.body)} bytes>"


#: Forms that one request takes at most. Some are named by the refusal, which could name another one each time.
MOST_FORMS: Final = 16


def adapted(request: PreparedRequest, error: HTTPError) -> PreparedRequest | None:
    """Return *request* in another form, where *error* is a refusal of this one and another was not yet tried."""
    if request.adaptations is None or not isinstance(error, StatusError) or len(request.forms) >= MOST_FORMS:
        return None
    form = other_form(request.body, error, request.adaptations.rows)
    if form is None or form[0] in request.forms:
        return _without_betas(request, error)
    name, body = form
    streams = request.stream and (not request.adaptations.in_body or is_streamed(body))
    return msgspec.structs.replace(request, body=body, stream=streams, forms=(*request.forms, name))


def _without_betas(request: PreparedRequest, error: StatusError) -> PreparedRequest | None:
    """Return *request* without the marks of beta features that *error* refuses; None where it refuses none."""
    if error.status != 400 or not (marks := request.headers.get("anthropic-beta")):
        return None
    from .unknown_extras import BETA, BETAS, refused_betas, without_betas  # noqa: PLC0415  few servers refuse a mark

    refused = refused_betas(marks, f"{error.problem} {error.body}")
    if not refused:
        return None
    headers = {name: value for name, value in request.headers.items() if name != BETAS}
    if left := without_betas(marks, refused):
        headers[BETAS] = left
    forms = (*request.forms, *(f"{BETA} {mark}" for mark in refused))
    return msgspec.structs.replace(request, headers=headers, forms=forms)


def secrets_sent(request: PreparedRequest) -> tuple[str, ...]:
    """Return what must not appear in an error: what the server or the proxy was sent to prove who asks."""
    proxy = {} if request.proxy is None else request.proxy.headers
    return (*secrets_of(request.headers), *secrets_of(proxy))
