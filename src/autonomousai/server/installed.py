"""Models that are installed or removed while the server runs: what is served follows, without a restart.

There is no watching. It is looked at when the models are listed, and when a request names a model that is loaded when it is
asked for, or that there is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from ..engine.library import installed_models
from ..errors import ModelNotFoundError, ProviderError, StatusError

_log = logging.getLogger("autonomousai.server")


class InstalledModels:
    """Has what is served follow what is installed. ``is_stale``: whether that has changed; ``reload``: serves it."""

    def __init__(self, *, is_stale: Callable[[], bool], reload: Callable[[], Awaitable[object]]) -> None:
        self._is_stale = is_stale
        self._reload = reload
        self._lock = asyncio.Lock()

    async def look_again(self, model: str = "") -> None:
        """Serve what is installed now, whichever *model* is requested. Where that cannot be, what was served before stays."""
        async with self._lock:
            if not await asyncio.to_thread(self._is_stale):
                return
            try:
                await self._reload()
            except ProviderError as error:
                _log.warning("models were installed or removed, and are not served so: %s", error)


class InstalledAtTheStart:
    """Says of a model that was installed since the start why it is not served: several workers share the engines that their
    parent began with. ``resolve``: a model's own name; ``models_dir``: that of the config."""

    def __init__(self, resolve: Callable[[str], str], models_dir: str | None) -> None:
        self._resolve = resolve
        self._models_dir = models_dir

    async def look_again(self, model: str = "") -> None:
        """Raise `StatusError` 404 where *model* is installed and not served."""
        with contextlib.suppress(ModelNotFoundError):
            self._resolve(model)
            return
        try:
            installed = await asyncio.to_thread(installed_models, self._models_dir)
        except ProviderError as error:  # of the folder, which callers need not know
            _log.warning("it is not known which models are installed: %s", error)
            return
        if model in installed:
            raise StatusError(
                f"model {model[:200]!r} was installed after this server had started, and several workers share the models that "
                "they started with; restart the server",
                status=404,
                type="invalid_request_error",
                param="model",
                code="model_not_found",
            )
