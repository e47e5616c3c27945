"""The chat page at ``/``, and its files under ``/page/``: as they lie in this folder, with no build, and from nowhere else.

What a model says is shown by this page and must never run in it. The page sees to that (`markdown.js`); should it fail, the
policy here lets no script run that is not a file of this package, nor any text become one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..auth import PAGE_PATH

HEADERS: Final = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data: blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types dompurify",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Kept, but asked for again each time, which costs a 304: so a new version's files are never mixed with an old one's.
    "cache-control": "no-cache",
}

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


class File(NamedTuple):
    """One file of the page."""

    body: bytes
    headers: dict[str, str]


def routes() -> list[Route]:
    """The page, and its files."""
    return [
        Route("/", _page, methods=["GET"]),
        Route(PAGE_PATH + "{name:path}", _file, methods=["GET"], include_in_schema=False),  # for the page alone
    ]


async def _page(request: Request) -> Response:
    return _send(page_files()["index.html"], request)


async def _file(request: Request) -> Response:
    found = page_files().get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return _send(found, request)


def _send(file: File, request: Request) -> Response:
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.headers["etag"] in known:
        return Response(status_code=304, headers={name: file.headers[name] for name in ("etag", "cache-control")})
    return Response(file.body, headers=file.headers)


@cache
def page_files() -> dict[str, File]:
    """All files of the page by their paths, read once: a path that is none of these is nothing, wherever it points."""
    return dict(_walk(files(__name__), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, File]]:
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif suffix in _TYPES:
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            yield prefix + entry.name, File(body, {**HEADERS, "content-type": _TYPES[suffix], "etag": tag})
