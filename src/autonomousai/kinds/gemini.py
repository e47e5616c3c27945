"""Upstreams of the kind ``gemini``: Google's Gemini API in its own words, and whatever speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..clients.vendors import GEMINI_VENDOR
from ..errors import ConfigError
from ..http.urls import clean_base_url
from ..settings import Count, PriceConfig, Secret, UpstreamHeaders
from ..timeouts import Clocks
from .kind import UpstreamConfig, UpstreamSetup, check_base_url

if TYPE_CHECKING:
    from ..clients.gemini import Gemini


class GeminiConfig(UpstreamConfig, frozen=True, tag="gemini"):
    """A server that speaks Google's Gemini API: its root, under which ``/v1beta/models/{model}:generateContent`` is asked.
    ``api_key``: absent, that of the vendor's variable for the vendor's own server, and none for another. ``headers``: sent with
    each request, over those that the client sends itself."""

    base_url: str = GEMINI_VENDOR.base_url
    api_key: Secret | None = None
    version: str = "v1beta"
    model: str | None = None
    headers: UpstreamHeaders = {}
    vision: bool = True
    context: Count | None = None
    clocks: Clocks = Clocks()
    price: PriceConfig | None = None

    @classmethod
    def completed(cls, table: dict[str, Any]) -> dict[str, Any]:
        """See `UpstreamConfig.completed`: the vendor's key is in its environment variable."""
        url = table.get("base_url", GEMINI_VENDOR.base_url)
        is_vendors = isinstance(url, str) and clean_base_url(url) == GEMINI_VENDOR.base_url
        return {"api_key": f"env:{GEMINI_VENDOR.key_env}", **table} if is_vendors else table

    @property
    def place(self) -> str:
        """See `UpstreamConfig.place`."""
        return self.base_url

    def check(self, key: str) -> None:
        """See `UpstreamConfig.check`."""
        check_base_url(key, self.base_url)
        if self.model == "":
            advice = "name the upstream's model, or leave the key out to send the caller's"
            raise ConfigError("is empty", key=f"{key}.model", advice=advice)
        if not self.version.isalnum() or not self.version.isascii():
            raise ConfigError("is no version of the API", key=f"{key}.version", advice='write one such as "v1beta"')

    def make_provider(self, setup: UpstreamSetup) -> Gemini:
        """See `UpstreamConfig.make_provider`."""
        from ..clients.gemini import Gemini  # noqa: PLC0415  a config without this kind needs no such client

        return Gemini(
            self.base_url,
            api_key=self.api_key,
            version=self.version,
            model=self.model,
            timeout=self.clocks,
            vision=self.vision,
            context=self.context,
            headers=self.headers,
            retries=0,
        )
