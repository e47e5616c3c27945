"""The server: both wires over ASGI. Only here starlette is imported."""

from __future__ import annotations

from .app import App, create_app

__all__ = ["App", "create_app"]
