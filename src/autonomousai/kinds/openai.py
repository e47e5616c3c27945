"""Upstreams of the kind ``openai``: whatever speaks OpenAI's chat completions, or its Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..clients.vendors import VENDORS, VendorName, vendor_of
from ..errors import ConfigError
from ..http.urls import without_credentials
from ..settings import Count, PriceConfig, Secret, UpstreamHeaders
from ..timeouts import Clocks
from .kind import UpstreamConfig, UpstreamSetup, check_base_url

if TYPE_CHECKING:
    from ..clients.openai import OpenAICompatible


class OpenAIConfig(UpstreamConfig, frozen=True, tag="openai"):
    """An OpenAI-compatible server. ``vendor``: whose it is, which says where it is and the variable of its key, unless they are
    written, and what it wants otherwise. ``model``: the name sent upstream; absent, the caller's. ``api``: which of OpenAI's
    APIs is asked, at ``{base_url}/chat/completions`` or ``{base_url}/responses``. ``headers``: sent with each request, over
    those that the client sends itself."""

    base_url: str | None = None
    api_key: Secret | None = None
    model: str | None = None
    vendor: VendorName | None = None
    api: Literal["chat", "responses"] = "chat"
    prefill: Literal["yes", "no", "auto"] = "auto"
    headers: UpstreamHeaders = {}
    vision: bool = False
    context: Count | None = None
    clocks: Clocks = Clocks()
    price: PriceConfig | None = None

    @property
    def place(self) -> str:
        """See `UpstreamConfig.place`."""
        return without_credentials(self.base_url or vendor_of(self.vendor).base_url)

    @classmethod
    def completed(cls, table: dict[str, Any]) -> dict[str, Any]:
        """See `UpstreamConfig.completed`: a vendor's key is in its environment variable."""
        vendor = table.get("vendor")
        variable = next((row.key_env for name, row in VENDORS.items() if name == vendor), "")
        return {"api_key": f"env:{variable}", **table} if variable else table

    def check(self, key: str) -> None:
        """See `UpstreamConfig.check`."""
        url = self.base_url if self.base_url is not None else vendor_of(self.vendor).base_url
        if self.base_url is None and not url:
            where = (
                "write the server's address"
                if self.vendor
                else f"write it, or name one of these with vendor: {', '.join(VENDORS)}"
            )
            raise ConfigError("is missing", key=f"{key}.base_url", advice=where)
        check_base_url(key, url, query=True)
        if self.model == "":
            advice = "name the upstream's model, or leave the key out to send the caller's"
            raise ConfigError("is empty", key=f"{key}.model", advice=advice)

    def make_provider(self, setup: UpstreamSetup) -> OpenAICompatible:
        """See `UpstreamConfig.make_provider`."""
        from ..clients.openai import OpenAICompatible  # noqa: PLC0415  a config without this kind needs no such client

        return OpenAICompatible(
            self.base_url or vendor_of(self.vendor).base_url,  # a config says itself where it asks, and no environment
            vendor=self.vendor,
            api_key=self.api_key,
            model=self.model,
            timeout=self.clocks,
            vision=self.vision,
            context=self.context,
            prefill=self.prefill,
            api=self.api,
            headers=self.headers,
            retries=0,
        )
