"""Any ASGI application on the package's own HTTP server."""

from __future__ import annotations

from autonomousai.errors import ProviderError
from autonomousai.http.server.asgi import ASGIApp, run_asgi
from autonomousai.http.server.exchange import Exchange
from autonomousai.wires.errors import encode_error


class ASGIApplication:
    """An `Application` whose requests an ASGI application answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle(self, exchange: Exchange) -> None:
        await run_asgi(self._app, exchange, [])

    def launch(self, exchange: Exchange) -> bool:
        return False

    def encode_error(self, error: ProviderError) -> tuple[int, dict[str, str], bytes]:
        return encode_error(error)
