"""The lifespan of an application inside another server (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

from ..errors import ProviderError
from ..http.server.asgi import Receive, Send
from ..http.server.exchange import ServedApplication


async def live(application: ServedApplication, receive: Receive, send: Send) -> None:
    """Start and end *application* as the server around it says."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        if message["type"] == "lifespan.startup":
            try:
                await application.start()
            except ProviderError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
    application.drain()
    application.cancel_all()
    await application.empty()
    await application.aclose()
    await send({"type": "lifespan.shutdown.complete"})
