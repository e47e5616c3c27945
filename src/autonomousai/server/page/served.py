"""One file of the page in the forms in which it is sent: as it is, or with gzip for a client that takes that (RFC 9110,
section 12.5.3). A form has an entity tag of its own, and is made once, when it is first asked for."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

#: Types whose files are compressed already.
_DENSE: Final = ("font/", "image/png")


class Form(NamedTuple):
    """What is sent of a file."""

    body: bytes
    headers: dict[str, str]


class File:
    """One file, and its headers without those that depend on the form."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.body = body
        self.sha256 = hashlib.sha256(body).hexdigest()
        self._headers = headers
        self._is_dense = headers["content-type"].startswith(_DENSE)

    @cached_property
    def plain(self) -> Form:
        """The file as it is."""
        vary = {} if self._is_dense else {"vary": "accept-encoding"}
        return Form(self.body, {**self._headers, **vary, "etag": f'"{self.sha256[:32]}"'})

    @cached_property
    def gzipped(self) -> Form:
        """The file with gzip; as it is where that saves nothing."""
        if self._is_dense or len(body := gzip.compress(self.body, 9, mtime=0)) >= len(self.body):
            return self.plain
        return Form(body, {**self.plain.headers, "etag": f'"{self.sha256[:32]}-gzip"', "content-encoding": "gzip"})

    def response(self, request: Request) -> Response:
        """Return the response to a GET or a HEAD: 304 where the client names the form that it would get."""
        form = self.gzipped if takes_gzip(",".join(request.headers.getlist("accept-encoding"))) else self.plain
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if form.headers["etag"] in known:
            kept = ("etag", "cache-control", "vary")
            return Response(status_code=304, headers={name: form.headers[name] for name in kept if name in form.headers})
        return Response(form.body, headers=form.headers)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether the value of an ``accept-encoding`` header allows gzip: by its name or else by ``*``, at a weight above 0.

    assert takes_gzip("br;q=1.0, gzip;q=0.8") and not takes_gzip("*, gzip;q=0")
    """
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip().replace("x-gzip", "gzip")] = _is_positive(weight)
    return weights.get("gzip", weights.get("*", False))


def _is_positive(weight: str) -> bool:
    name, _, value = weight.partition("=")
    try:
        return name.strip() != "q" or float(value) > 0
    except ValueError:
        return False  # a weight that cannot be read allows nothing: the file as it is can always be read
