"""The vendors of OpenAI-compatible servers: one row each, and what in it the client does otherwise. Knows no network.

A vendor is a row and not a class: where it is asked, how a request names its caller, and which of the quirks hold there. What
no row says is found out by asking, as with any server. `FACTS_OF` is the month in which the rows were last compared with what
the vendors document; docs/reference/vendors.md is made of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ..errors import ConfigError
from ..http.urls import clean_base_url
from ..suggestions import did_you_mean

#: When the rows were last compared with the vendors' documents.
FACTS_OF: Final = "November 2026"

VendorName: TypeAlias = Literal[
    "openai", "azure", "gemini", "groq", "mistral", "deepseek", "openrouter", "together", "fireworks", "xai", "perplexity",
    "cerebras", "nvidia", "moonshot", "zai", "alibaba", "huggingface", "sambanova",
    "bedrock", "cohere", "minimax", "deepinfra", "novita", "siliconflow", "volcengine", "nebius", "baseten", "scaleway",
    "github", "vercel",
    "ollama", "lmstudio", "vllm", "llama-server", "sglang",
]  # fmt: skip


class Continuation(msgspec.Struct, frozen=True):
    """How a server is asked to continue a final message of the assistant: ``fields`` of the request, members of that
    ``message``, and what the path of the base URL must end in (``below``) for it."""

    fields: Mapping[str, Any] = {}
    message: Mapping[str, Any] = {}
    below: str = ""


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    ``base_url``: where it is asked; ``""`` where each customer has an address of its own. ``key_env``: the environment variable
    of its key, ``""`` where none is needed; ``other_key_env``: the one that is read where that is not set. ``base_url_env``:
    the one from which clients read another base URL. ``key_header``: the header that carries the bare key, ``""`` for
    ``Authorization: Bearer``. ``forms``: the `adaptations` that hold for all its models, so that no refusal is needed to learn
    them. ``continuation``: how it continues an answer, None where that is found out. ``call_id_length``: the letters and digits
    that ids of tool calls must have, 0 for any. ``reasoning``: the member of its answers that holds the reasoning. ``embeds``:
    whether it has embeddings, None where that is not known. ``health``: the path under its base URL that says without cost
    whether it is up; one that begins with ``..`` is beside the API's root, ``""``: there is none.

    ``hosts``: names of its hosts beside that of the base URL, or their ends (``.example.com``); ``owned_by``: what its list of
    models says; ``header``: how a header begins that its answers alone have. All three tell who a server is.
    """

    title: str
    base_url: str = ""
    base_url_env: str = ""
    key_env: str = ""
    other_key_env: str = ""
    key_header: str = ""
    forms: tuple[str, ...] = ()
    continuation: Continuation | None = None
    call_id_length: int = 0
    reasoning: str = ""
    embeds: bool | None = None
    hosts: tuple[str, ...] = ()
    owned_by: str = ""
    header: str = ""
    health: str = "/models"

    def address(self) -> str:
        """Return where its clients ask: the base URL that its environment variable names, else its own."""
        named = os.environ.get(self.base_url_env, "").strip() if self.base_url_env else ""
        return named or self.base_url

    def auth_headers(self, key: str) -> dict[str, str]:
        """Return the header that says who asks."""
        return {self.key_header: key} if self.key_header else {"Authorization": f"Bearer {key}"}


#: A server of no known vendor.
ANY_VENDOR: Final = Vendor(title="any OpenAI-compatible server")

_PREFIX: Final = Continuation(message={"prefix": True})
_PARTIAL: Final = Continuation(message={"partial": True})
_OLD_NAME: Final = ("max_tokens",)
_NEW_NAME: Final = ("max_completion_tokens",)
#: Of those who refuse what they do not know in a message.
_NO_REASONING: Final = ("no_reasoning",)

#: By name.
VENDORS: Final[dict[VendorName, Vendor]] = {
    "openai": Vendor(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        base_url_env="OPENAI_BASE_URL",
        key_env="OPENAI_API_KEY",
        forms=(*_NEW_NAME, *_NO_REASONING),
        embeds=True,
        header="openai-organization:",
    ),
    "azure": Vendor(
        title="Azure OpenAI",
        key_env="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        forms=(*_NEW_NAME, *_NO_REASONING),
        embeds=True,
        hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
        header="apim-request-id:",
    ),
    "gemini": Vendor(
        title="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        forms=_NO_REASONING,
        embeds=True,
    ),
    "groq": Vendor(
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        forms=_NO_REASONING,
        reasoning="reasoning",
        header="x-groq-region:",
    ),
    "mistral": Vendor(
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        forms=(*_OLD_NAME, *_NO_REASONING),
        continuation=_PREFIX,
        call_id_length=9,
        reasoning="content",
        embeds=True,
    ),
    "deepseek": Vendor(
        title="DeepSeek",
        base_url="https://api.deepseek.com",
        key_env="DEEPSEEK_API_KEY",
        forms=_OLD_NAME,
        continuation=Continuation(message={"prefix": True}, below="/beta"),
        reasoning="reasoning_content",
        embeds=False,
    ),
    "openrouter": Vendor(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        reasoning="reasoning",
        embeds=True,
    ),
    "together": Vendor(
        title="Together AI",
        base_url="https://api.together.xyz/v1",
        key_env="TOGETHER_API_KEY",
        forms=_OLD_NAME,
        embeds=True,
        hosts=("api.together.ai",),
    ),
    "fireworks": Vendor(
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env="FIREWORKS_API_KEY",
        reasoning="reasoning_content",
    ),
    "xai": Vendor(
        title="xAI",
        base_url="https://api.x.ai/v1",
        key_env="XAI_API_KEY",
        reasoning="reasoning_content",
        embeds=False,
    ),
    "perplexity": Vendor(
        title="Perplexity",
        base_url="https://api.perplexity.ai",
        key_env="PERPLEXITY_API_KEY",
        health="",  # it documents no list of models
    ),
    "cerebras": Vendor(
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_env="CEREBRAS_API_KEY",
        forms=_NO_REASONING,
        reasoning="reasoning",
        embeds=False,
    ),
    "nvidia": Vendor(
        title="NVIDIA NIM",
        base_url="https://integrate.api.nvidia.com/v1",
        key_env="NVIDIA_API_KEY",
        forms=_OLD_NAME,
    ),
    "moonshot": Vendor(
        title="Moonshot AI (Kimi)",
        base_url="https://api.moonshot.ai/v1",
        key_env="MOONSHOT_API_KEY",
        forms=_OLD_NAME,
        continuation=_PARTIAL,
        reasoning="reasoning_content",
        hosts=("api.moonshot.cn",),
    ),
    "zai": Vendor(
        title="Z.ai (GLM)",
        base_url="https://api.z.ai/api/paas/v4",
        key_env="ZAI_API_KEY",
        forms=_OLD_NAME,
        reasoning="reasoning_content",
        hosts=("open.bigmodel.cn",),
    ),
    "alibaba": Vendor(
        title="Alibaba Model Studio (Qwen)",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_env="DASHSCOPE_API_KEY",
        continuation=_PARTIAL,
        reasoning="reasoning_content",
        hosts=("dashscope.aliyuncs.com",),
    ),
    "huggingface": Vendor(
        title="Hugging Face Inference Providers", base_url="https://router.huggingface.co/v1", key_env="HF_TOKEN"
    ),
    "sambanova": Vendor(title="SambaNova", base_url="https://api.sambanova.ai/v1", key_env="SAMBANOVA_API_KEY"),
    "bedrock": Vendor(  # of its two hosts for each region one ends as those of any customer of Amazon's do
        title="Amazon Bedrock", key_env="AWS_BEARER_TOKEN_BEDROCK", hosts=(".api.aws",), health=""
    ),
    "cohere": Vendor(
        title="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        key_env="COHERE_API_KEY",
        forms=_OLD_NAME,
        embeds=True,
        hosts=("api.cohere.com",),
        health="",
    ),
    "minimax": Vendor(
        title="MiniMax",
        base_url="https://api.minimax.io/v1",
        key_env="MINIMAX_API_KEY",
        hosts=("api.minimaxi.com",),
    ),
    "deepinfra": Vendor(
        title="DeepInfra", base_url="https://api.deepinfra.com/v1/openai", key_env="DEEPINFRA_API_KEY", embeds=True
    ),
    "novita": Vendor(title="Novita AI", base_url="https://api.novita.ai/openai/v1", key_env="NOVITA_API_KEY"),
    "siliconflow": Vendor(
        title="SiliconFlow",
        base_url="https://api.siliconflow.com/v1",
        key_env="SILICONFLOW_API_KEY",
        embeds=True,
        hosts=("api.siliconflow.cn",),
    ),
    "volcengine": Vendor(
        title="Volcengine Ark (Doubao)", base_url="https://ark.cn-beijing.volces.com/api/v3", key_env="ARK_API_KEY", health=""
    ),
    "nebius": Vendor(
        title="Nebius Token Factory",
        base_url="https://api.tokenfactory.nebius.com/v1",
        key_env="NEBIUS_API_KEY",
        embeds=True,
        hosts=("api.studio.nebius.com", "api.studio.nebius.ai"),
    ),
    "baseten": Vendor(title="Baseten", base_url="https://inference.baseten.co/v1", key_env="BASETEN_API_KEY"),
    "scaleway": Vendor(title="Scaleway", base_url="https://api.scaleway.ai/v1", key_env="SCW_SECRET_KEY", embeds=True),
    "github": Vendor(
        title="GitHub Models",
        base_url="https://models.github.ai/inference",
        key_env="GITHUB_TOKEN",
        health="",  # the list of its models is elsewhere
    ),
    "vercel": Vendor(
        title="Vercel AI Gateway", base_url="https://ai-gateway.vercel.sh/v1", key_env="AI_GATEWAY_API_KEY", embeds=True
    ),
    "ollama": Vendor(
        title="Ollama", base_url="http://127.0.0.1:11434/v1", reasoning="reasoning", embeds=True, owned_by="library"
    ),
    "lmstudio": Vendor(
        title="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        reasoning="reasoning_content",
        embeds=True,
        owned_by="organization_owner",
    ),
    "vllm": Vendor(
        title="vLLM",  # it listens on 8000, as this package's own server does: the address is not guessed
        continuation=Continuation(fields={"continue_final_message": True, "add_generation_prompt": False}),
        reasoning="reasoning",
        embeds=True,
        owned_by="vllm",
        health="../health",  # the list of models is there although the engine is dead
    ),
    "llama-server": Vendor(
        title="llama-server (llama.cpp)",
        base_url="http://127.0.0.1:8080/v1",
        continuation=Continuation(),
        reasoning="reasoning_content",
        embeds=True,
        owned_by="llamacpp",
        header="server: llama.cpp",
        health="../health",
    ),
    "sglang": Vendor(
        title="SGLang",
        base_url="http://127.0.0.1:30000/v1",
        continuation=Continuation(fields={"continue_final_message": True}),
        reasoning="reasoning_content",
        embeds=True,
        owned_by="sglang",
        health="../health",
    ),
}


#: Anthropic, which is no row of the table: its own API is spoken by the provider `Anthropic`.
ANTHROPIC_VENDOR: Final = Vendor(
    title="Anthropic",
    base_url="https://api.anthropic.com",
    base_url_env="ANTHROPIC_BASE_URL",
    key_env="ANTHROPIC_API_KEY",
    key_header="x-api-key",
)


#: Google, in its own API, which the provider `Gemini` speaks; the row of the table is its layer for chat completions.
GEMINI_VENDOR: Final = Vendor(
    title="Google Gemini",
    base_url="https://generativelanguage.googleapis.com",
    base_url_env="GOOGLE_GEMINI_BASE_URL",
    key_env="GEMINI_API_KEY",
    other_key_env="GOOGLE_API_KEY",
    key_header="x-goog-api-key",
)


def is_geminis(base_url: str) -> bool:
    """Return whether the key of the environment is for *base_url*: Google's own server, or the one that the environment names
    in its place."""
    url = clean_base_url(base_url)
    return url in (GEMINI_VENDOR.base_url, clean_base_url(GEMINI_VENDOR.address()))


def is_anthropics(base_url: str) -> bool:
    """Return whether *base_url* is Anthropic's own server."""
    return clean_base_url(base_url).removesuffix("/v1") == ANTHROPIC_VENDOR.base_url


def takes_anthropics_key(base_url: str) -> bool:
    """Return whether the key of the environment is for *base_url*: Anthropic's own server, or the one that the environment
    names in its place, as Anthropic's own clients read it."""
    named = clean_base_url(ANTHROPIC_VENDOR.address()).removesuffix("/v1")
    return is_anthropics(base_url) or clean_base_url(base_url).removesuffix("/v1") == named


def vendor_of(name: VendorName | None) -> Vendor:
    """Return the row of that name, that of `ANY_VENDOR` for None. Raises `ConfigError` for a name that no row has."""
    if name is None:
        return ANY_VENDOR
    if str(name) == "anthropic":
        raise ConfigError("vendor 'anthropic' has a provider of its own", advice="use Anthropic in place of OpenAICompatible")
    if name not in VENDORS:
        known = f"it is one of {', '.join(map(repr, VENDORS))}{did_you_mean(name, VENDORS)}"
        raise ConfigError(f"vendor {name!r:.100} is unknown", advice=known)
    return VENDORS[name]


def refuse_vendor_name(base_url: str, advice: str, *, key: str = "") -> None:
    """Raise `ConfigError` where a vendor's name stands in the place of a base URL. *advice*: what to write, ``{}`` for the
    name. *key*: of the config, where it stands there."""
    name = clean_base_url(base_url).lower()
    row = ANTHROPIC_VENDOR if name == "anthropic" else next((row for each, row in VENDORS.items() if each == name), None)
    if row is None:
        return
    where = f"its base URL is {row.base_url}" if row.base_url else f"{row.title} has no common one"
    told = f"{where}; {advice.format(name)}" if name in VENDORS and advice else where
    raise ConfigError(f"{name!r} is the name of a vendor, and no base URL", key=key, advice=told)


def key_for(vendor: Vendor, given: str | None, headers: Mapping[str, str]) -> str | None:
    """Return the key that a client of *vendor* sends: the one *given*, ``""`` for none; else the vendor's from the environment,
    unless the client's own *headers* say already who asks. Raises `ConfigError` where one is needed and not set."""
    if given is not None or not vendor.key_env or _names_asker(headers):
        return given
    names = [name for name in (vendor.key_env, vendor.other_key_env) if name]
    key = next((found for name in names if (found := os.environ.get(name, "").strip())), "")
    if not key:
        advice = "set it, or give the key (api_key; --api-key on the command line)"
        raise ConfigError(
            f"the environment variable {vendor.key_env}, for the key of {vendor.title}, is not set", advice=advice
        )
    return key


def _names_asker(headers: Mapping[str, str]) -> bool:
    """Whether a caller's own headers say already who asks."""
    return any(name.lower() in ("authorization", "api-key", "x-api-key", "x-goog-api-key") for name in headers)


# ---- who a server is


def vendor_at(base_url: str) -> VendorName | None:
    """Return the name of the vendor whose hosts *base_url* is one of; hosts of this machine are no vendor's."""
    host = urlsplit(base_url).hostname or ""
    for name, row in VENDORS.items():
        own = urlsplit(row.base_url).hostname if row.key_env and row.base_url else None
        if host in (own, *row.hosts) or any(end.startswith(".") and host.endswith(end) for end in row.hosts):
            return name
    return None


def vendor_by_owner(owners: set[str]) -> VendorName | None:
    """Return the name of the vendor that a list of models says to be the models' owner."""
    return next((name for name, row in VENDORS.items() if row.owned_by and row.owned_by in owners), None)


def vendor_by_headers(headers: Mapping[str, str]) -> VendorName | None:
    """Return the name of the vendor by what only its answers have among their *headers*."""
    lines = [f"{name}: {value}".lower() for name, value in headers.items()]
    return next(
        (name for name, row in VENDORS.items() if row.header and any(line.startswith(row.header) for line in lines)), None
    )
