"""The chat page at ``/``, and its files under ``/page/``: as they lie in this folder, with no build, and from nowhere else.

What a model says is shown by this page and must never run in it. The page sees to that (`markdown.js`); should it fail, the
policy here lets no script run that is not a file of this package, nor any text become one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..auth import PAGE_PATH
from .served import File

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

HEADERS: Final = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data: blob:",
            "manifest-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types dompurify worker pdf",
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
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}

#: The service worker, which lies among the files and is allowed the whole page: relative to itself, wherever that is mounted.
_WORKER: Final = "worker.js"

#: What the service worker keeps for a visit without the server, see `shell`.
_SHELL: Final = "shell.json"


#: What programs read at the root. Ollama's clients look for its first words; who asks by curl reads what this is.
_TO_PROGRAMS: Final = (
    "Ollama is running, or rather autonomousai, which speaks its API and those of OpenAI, Anthropic and Google.\n"
    "Browsers get a chat page here. Its models: /v1/models\n"
)


def routes() -> list[Route]:
    """The page, and its files."""
    return [
        Route("/", _page, methods=["GET"]),
        Route("/usage", _usage, methods=["GET"], include_in_schema=False),  # for an admin
        Route(PAGE_PATH + "{name:path}", _file, methods=["GET"], include_in_schema=False),  # for the page alone
    ]


async def _page(request: Request) -> Response:
    if _is_program(request):  # which looks here whether Ollama runs (Ollama FAQ)
        return PlainTextResponse(_TO_PROGRAMS, headers={"cache-control": "no-store"})
    return page_files()["index.html"].response(request)


def _is_program(request: Request) -> bool:
    """Return whether a request says what it takes, and nothing by which a browser would be known, which gets the page."""
    head = request.headers
    takes = head.get("accept", "text/html")
    return not ("text/html" in takes or "sec-fetch-mode" in head or "mozilla" in head.get("user-agent", "").lower())


async def _usage(request: Request) -> Response:
    return page_files()["usage/index.html"].response(request)


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    found = shell() if name == _SHELL else page_files().get(name)
    if found is None:
        raise HTTPException(404)
    return found.response(request)


@cache
def shell() -> File:
    """What the page needs to open: its files by their paths, each with its SHA-256, and one version of them all. By the
    checksums a browser keeps a complete set or none, and never one file of another version."""
    needed = {name: file.sha256 for name, file in sorted(page_files().items()) if is_needed(name)}
    version = hashlib.sha256(json.dumps(needed).encode()).hexdigest()[:16]
    body = json.dumps({"version": version, "files": needed}).encode()
    return File(body, {**HEADERS, "content-type": "application/json"})


def is_needed(name: str) -> bool:
    """Return whether the page itself needs this file: not a licence, the page of usage, nor the 1.9 MB for PDF files."""
    return not name.endswith(".txt") and not name.startswith(("usage/", "vendor/pdfjs/"))


@cache
def page_files() -> dict[str, File]:
    """All files of the page by their paths, read once: a path that is none of these is nothing, wherever it points."""
    from importlib.resources import files  # noqa: PLC0415  it brings as much as the server's own modules of a folder

    return dict(_walk(files(__name__), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, File]]:
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif suffix in _TYPES:
            name = prefix + entry.name
            scope = {"service-worker-allowed": "../"} if name == _WORKER else {}
            yield name, File(entry.read_bytes(), {**HEADERS, **scope, "content-type": _TYPES[suffix]})
