"""What a provider can do, and how it is: values that it states, in place of questions that are put to its class."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from .errors import StatusError

#: The code of the refusal to count tokens.
CANNOT_COUNT: Final = "count_not_supported"


class Capabilities(msgspec.Struct, frozen=True):
    """What a provider, or one of its models, can do. None: not known.

    ``vision``: takes images. ``tools``: calls tools. ``schema``: answers by a JSON schema. ``reasoning``: tells its reasoning
    apart. ``continues``: continues a last message of the assistant; where it is None, ``await provider.continues()`` finds out.
    ``prefill``: continues it also in a request as any caller sends it, which says nothing of that.
    ``deterministic``: the same request with the same ``seed`` is answered with the same bytes, so that a broken answer can be
    generated again; `AsyncGeneratorProvider.repeats` says of which requests this holds. ``embeddings``: makes embeddings.
    ``context``: tokens of prompt and answer together. ``wires``: over which it answers what is no conversation: raw prompts
    (``openai_completions``), texts to embed, documents to rank. ``weights``: the name of what answers, where the model's is
    another.
    """

    vision: bool = False
    tools: bool | None = None
    schema: bool | None = None
    reasoning: bool | None = None
    continues: bool | None = False
    prefill: bool | None = None
    deterministic: bool = False
    embeddings: bool | None = False
    context: int | None = None
    wires: tuple[str, ...] = ()
    weights: str | None = None


class ProviderStatus(msgspec.Struct, frozen=True):
    """How a provider is. ``state``: whether it takes requests. ``reason``: why it does not. ``orphans``: answers that a server
    continues although their callers left, as it could not be stopped. ``adaptations``: models, and in which other form than
    the usual one they are asked, as the server refused that."""

    state: Literal["ready", "starting", "stopped", "failed"] = "ready"
    reason: str = ""
    orphans: int = 0
    adaptations: tuple[tuple[str, str], ...] = ()


def cannot_count(model: str) -> StatusError:
    """Return the refusal of a provider that cannot count the tokens of a prompt for *model*."""
    return StatusError(
        f"nothing here can count the tokens of a prompt for {model!r}; estimate them",
        status=404,
        type="not_found_error",
        code=CANNOT_COUNT,
    )
