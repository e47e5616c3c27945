"""The documents that the server answers with, as structs: what `wire` and `app` write, for the published description.

Nothing is encoded by them: the hot path writes bytes. That both say the same is checked from outside, on real answers.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...ledger.summary import Group, UsageRow
from ...report import Attempt, Splice
from ...settings import Reloaded

Count: TypeAlias = Annotated[int, Meta(ge=0)]
FinishReason: TypeAlias = Annotated[
    str | None,
    Meta(description="stop, length, tool_calls, …, as the upstream named it; null where the end is proven but none was named"),
]


class PromptTokensDetails(msgspec.Struct):
    """Of the prompt's tokens."""

    cached_tokens: Count


class CompletionTokensDetails(msgspec.Struct):
    """Of the answer's tokens."""

    reasoning_tokens: Count


class UsageSchema(msgspec.Struct):
    """Tokens, as the upstream counted them."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptTokensDetails | UnsetType = UNSET
    completion_tokens_details: CompletionTokensDetails | UnsetType = UNSET


class Evidence(msgspec.Struct):
    """How the answer came about, and what its text can be checked against: `length` in characters, a hash over its UTF-8."""

    upstream: str | None
    attempts: list[Attempt]
    splices: list[Splice]
    length: Count
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class FunctionCall(msgspec.Struct):
    """What a model wants called. The arguments are the JSON text that it wrote, which may be invalid JSON."""

    name: str
    arguments: str


class ToolCallSchema(msgspec.Struct):
    """One call that a model asks for."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class AnswerMessage(msgspec.Struct):
    """What the model says."""

    role: Literal["assistant"]
    content: Annotated[str | None, Meta(description="null where there is nothing but tool calls")]
    refusal: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallSchema] | UnsetType = UNSET
    function_call: Annotated[FunctionCall | UnsetType, Meta(description="the older form, for `functions`")] = UNSET


class CompletionChoiceSchema(msgspec.Struct):
    """The one choice of a whole answer."""

    index: Literal[0]
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: dict[str, Any] | None


class ChatCompletion(msgspec.Struct):
    """A whole answer. `model`: who really answered."""

    id: str
    object: Literal["chat.completion"]
    created: Annotated[int, Meta(description="seconds since 1970")]
    model: str
    choices: Annotated[list[CompletionChoiceSchema], Meta(min_length=1)]
    x_autonomousai: Evidence
    usage: Annotated[UsageSchema | UnsetType, Meta(description="absent where the upstream counted nothing")] = UNSET
    finish_reason: Annotated[str | UnsetType | None, Meta(description="on the AutonomousAI API: here as well")] = UNSET


class FunctionPieceSchema(msgspec.Struct):
    """A piece of a call: the name comes with the first, the arguments are joined."""

    arguments: str
    name: str | UnsetType = UNSET


class ToolCallPiece(msgspec.Struct):
    """A piece of the tool call of that index."""

    index: Count
    function: FunctionPieceSchema
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class DeltaSchema(msgspec.Struct):
    """What is new. Empty at the end."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallPiece] | UnsetType = UNSET
    function_call: FunctionPieceSchema | UnsetType = UNSET


class ChunkChoice(msgspec.Struct):
    """The one choice of a chunk."""

    index: Literal[0]
    delta: DeltaSchema
    finish_reason: FinishReason


class ChunkSchema(msgspec.Struct):
    """One event of a streamed answer. The last before `[DONE]` carries `x_autonomousai`; with `include_usage`, its `choices`
    are empty and it has the `usage`, which is null in all others. While an answer that broke is being brought on, and there is
    nothing new to say, an event with an empty delta may carry `{"progress": N}` there, with a higher number each time."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: Annotated[list[ChunkChoice], Meta(max_length=1)]
    usage: UsageSchema | UnsetType | None = UNSET
    finish_reason: str | UnsetType | None = UNSET
    x_autonomousai: Evidence | UnsetType = UNSET


class ErrorObject(msgspec.Struct):
    """What went wrong, and what to do. `param`: the field that it is about. `code`: for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(msgspec.Struct):
    """Every error has this shape. Inside a stream it is an event, and then neither a finish reason nor `[DONE]` follows."""

    error: ErrorObject


class ModelCapabilities(msgspec.Struct):
    """What a model can do; what is not known is left out. `schema`: answer by a JSON schema; `prefill`: continue
    the words of an assistant that the messages end with; `completions`: continue a raw prompt."""

    vision: bool
    completions: bool
    tools: bool | UnsetType = UNSET
    schema: bool | UnsetType = UNSET
    reasoning: bool | UnsetType = UNSET
    prefill: bool | UnsetType = UNSET
    embeddings: bool | UnsetType = UNSET


class Model(msgspec.Struct):
    """A model that can be asked, with its other names, and what it can do. `context_length` and `max_model_len`: tokens of
    prompt and answer together, where that is known. `answered_by`: the weights that answer, where these are others than the
    name says; `description` says it to people. `meta`: what the file of an installed model says of it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aliases: list[str]
    vision: bool
    capabilities: ModelCapabilities
    context_length: Count | UnsetType = UNSET
    max_model_len: Count | UnsetType = UNSET
    answered_by: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    meta: dict[str, int | str] | UnsetType = UNSET


class ModelList(msgspec.Struct):
    """All models."""

    object: Literal["list"]
    data: list[Model]


class Health(msgspec.Struct):
    """Alive."""

    status: Literal["ok"]


class Readiness(msgspec.Struct):
    """Whether requests are taken; if not, why, or which upstreams have given up."""

    status: Literal["ready", "draining", "failed"]
    reason: str | UnsetType = UNSET
    upstreams: list[str] | UnsetType = UNSET


class UsageDocument(msgspec.Struct):
    """What answers used and cost, grouped, and all together."""

    object: Literal["usage"]
    by: Group
    since: str | None
    until: str | None
    timezone: str
    currency: Literal["USD"]
    data: list[UsageRow]
    total: UsageRow


class KeyUse(msgspec.Struct):
    """What a key has used in its budget's `period`, which ends at `until`; what is left of its budgets, and how many of its
    answers are under way. What is counted nowhere is left out. Money is in US dollars."""

    period: str
    until: str
    tokens: Count | UnsetType = UNSET
    cost: float | UnsetType = UNSET
    tokens_left: Count | UnsetType = UNSET
    budget_left: float | UnsetType = UNSET
    under_way: Count | UnsetType = UNSET


class Key(msgspec.Struct):
    """A key with a name, and what its holder may do. `source`: whether the config has it, or it was made; `hint`: the last
    characters of its secret. `created`, `old_key_until`: seconds since 1970; until then the secret before opens too."""

    object: Literal["key"]
    id: str
    name: str
    source: Literal["config", "made"]
    budget_period: Literal["day", "month"]
    disabled: bool
    hint: str | UnsetType = UNSET
    created: int | UnsetType = UNSET
    old_key_until: int | UnsetType = UNSET
    models: list[str] | UnsetType = UNSET
    wires: list[str] | UnsetType = UNSET
    expires: str | UnsetType = UNSET
    requests_per_minute: int | UnsetType = UNSET
    tokens_per_minute: int | UnsetType = UNSET
    max_concurrency: int | UnsetType = UNSET
    budget: float | UnsetType = UNSET
    token_budget: int | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class KeyWithUsage(Key, kw_only=True):
    """A key, and what it has used."""

    usage: KeyUse


class NewSecret(Key, kw_only=True):
    """A key with its secret, `key`, which is shown this once."""

    key: str


class KeyList(msgspec.Struct):
    """All keys with names."""

    object: Literal["list"]
    data: list[Key]


class DeletedKey(msgspec.Struct):
    """The key that was deleted."""

    id: str
    object: Literal["key"]
    name: str
    deleted: Literal[True]


DOCUMENTS: tuple[type[msgspec.Struct], ...] = (
    ChatCompletion,
    ChunkSchema,
    Error,
    Model,
    ModelList,
    Health,
    Readiness,
    UsageDocument,
    KeyWithUsage,
    NewSecret,
    KeyList,
    DeletedKey,
    Reloaded,
)


#: The classes bear a suffix that tells them from the package's own; their published names do not.
_SUFFIX = re.compile(rb'("(?:#/components/schemas/)?\w+)Schema(?=")')


def answer_schemas() -> dict[str, Any]:
    """The JSON schema of each, and of what they are made of, by name."""
    _, schemas = msgspec.json.schema_components(DOCUMENTS, ref_template="#/components/schemas/{name}")
    schemas = msgspec.json.decode(_SUFFIX.sub(rb"\1", msgspec.json.encode(schemas)))
    return {name: {key: value for key, value in schema.items() if key != "title"} for name, schema in schemas.items()}
