"""The page at ``/``: what is served here and how to call it. It is static, loads nothing and runs nothing."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

HEADERS = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@cache
def _page() -> str:
    return files(__name__).joinpath("index.html").read_text(encoding="utf-8")


async def page(request: Request) -> Response:
    """``GET /``"""
    return HTMLResponse(_page(), headers=HEADERS)
