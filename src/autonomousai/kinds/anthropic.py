"""Upstreams of the kind ``anthropic``: Anthropic, and whatever speaks its Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..clients.vendors import ANTHROPIC_VENDOR, is_anthropics
from ..errors import ConfigError
from ..settings import Count, PriceConfig, Secret, UpstreamHeaders
from ..timeouts import Clocks
from ..wires.anthropic_messages.message import DEFAULT_MAX_TOKENS, VERSION, KeyHeader
from .kind import UpstreamConfig, UpstreamSetup, check_base_url

if TYPE_CHECKING:
    from ..clients.anthropic import Anthropic


class AnthropicConfig(UpstreamConfig, frozen=True, tag="anthropic"):
    """A server that speaks Anthropic's Messages API: its root, under which ``/v1/messages`` is asked. ``api_key``: absent, that
    of the vendor's variable for the vendor's own server, and none for another. ``max_tokens``: the longest answer where a
    caller names none, which the API wants. ``headers``: sent with each request, over those that the client sends itself."""

    base_url: str = ANTHROPIC_VENDOR.base_url
    api_key: Secret | None = None
    key_header: KeyHeader = "x-api-key"
    version: str = VERSION
    beta: tuple[str, ...] = ()
    model: str | None = None
    max_tokens: Count = DEFAULT_MAX_TOKENS
    prefill: Literal["yes", "no", "auto"] = "auto"
    headers: UpstreamHeaders = {}
    vision: bool = True
    context: Count | None = None
    clocks: Clocks = Clocks()
    price: PriceConfig | None = None

    @classmethod
    def completed(cls, table: dict[str, Any]) -> dict[str, Any]:
        """See `UpstreamConfig.completed`: the vendor's key is in its environment variable."""
        url = table.get("base_url", ANTHROPIC_VENDOR.base_url)
        is_vendors = isinstance(url, str) and is_anthropics(url)
        return {"api_key": f"env:{ANTHROPIC_VENDOR.key_env}", **table} if is_vendors else table

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
        for name, values in (("version", (self.version,)), ("beta", self.beta)):
            if not all(value.isascii() and value.isprintable() and value.strip() for value in values):
                raise ConfigError("is no value of a header", key=f"{key}.{name}", advice="write visible ASCII characters")

    def make_provider(self, setup: UpstreamSetup) -> Anthropic:
        """See `UpstreamConfig.make_provider`."""
        from ..clients.anthropic import Anthropic  # noqa: PLC0415  a config without this kind needs no such client

        return Anthropic(
            self.base_url,
            api_key=self.api_key,
            key_header=self.key_header,
            version=self.version,
            beta=self.beta,
            model=self.model,
            max_tokens=self.max_tokens,
            timeout=self.clocks,
            vision=self.vision,
            context=self.context,
            prefill=self.prefill,
            headers=self.headers,
            retries=0,
        )
