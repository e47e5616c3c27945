"""`ScriptedProvider`: a provider without a network, whose answers are written down beforehand. Knows no wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from ..batches import BatchStream, GeneratedBatches
from ..errors import ProviderError
from ..events import Batch, Event, Extra, FinishReason, Messages, Started, ToolCalls, Usage, split_tool_calls
from ..models import DEFAULT_MODEL, MODEL_ALIASES, MODELS
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest, OriginalRequest
from ..wires.prompts import count_of
from ..wires.raw import COMPLETIONS_WIRE, EMBEDDINGS_WIRE, OPERATIONS
from .steps import Pause

Left = Literal["finished", "closed", "cancelled", "failed"]
Step: TypeAlias = Event | ToolCalls | Batch | BaseException | type[Exception] | Pause


def answer(
    *texts: Event, finish: str | None = "stop", usage: Usage | None = None, model: str | None = "scripted"
) -> list[Step]:
    """A whole answer as a script: a batch for each text, and the finish reason."""
    end = FinishReason(finish, "finish_reason" if finish else "done", usage, model)
    return [*texts, end]


def embeddings(*vectors: Sequence[float], usage: Usage | None = None, model: str | None = "scripted") -> list[Step]:
    """Embeddings as a script: what a provider answers that is asked for them."""
    data = [{"embedding": list(vector)} for vector in vectors]
    return [[Extra({"data": data}, 0, EMBEDDINGS_WIRE), FinishReason(None, "body", usage, model)]]


def _usual(request: ChatRequest) -> list[Step]:
    """What is answered without a script."""
    origin = request.origin
    if origin is None or not request.is_raw or origin.wire == COMPLETIONS_WIRE:
        return answer("Hello", " world")
    if origin.wire == EMBEDDINGS_WIRE:
        return embeddings(*[[0.25, -0.5, 1.0]] * count_of(origin.document["input"]))
    results = [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(len(origin.document["documents"]))]
    top = origin.document.get("top_n")
    return [[Extra({"results": results[:top]}, 0, origin.wire), FinishReason(None, "body", None, "scripted")]]


@dataclass
class Call:
    """One call, and how its answer was left.

    ``model`` is the name that was asked for. ``origin``: see `ChatRequest`. ``left``: None while it is open or was never read,
    ``"finished"`` (read to its end), ``"closed"``, ``"cancelled"`` (its reader was), ``"failed"`` (the script raised, or just
    stopped).
    """

    model: str
    messages: Messages
    stream: bool
    proxy: str | None
    kwargs: dict[str, Any]
    options: CallOptions = DEFAULT_OPTIONS
    origin: OriginalRequest | None = None
    read: bool = False
    left: Left | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    async def over(self) -> Left | None:
        """Wait until the answer was left, and return how."""
        await self._over.wait()
        return self.left

    def settle(self, left: Left) -> None:
        if self.left is None:
            self.left = left
            self._over.set()


class ScriptedProvider(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers as scripted: a script for each call, the last one repeated; with none, "Hello world", or
    vectors and rankings where those are asked for.

    A script is a list of events or batches, of exceptions to raise, and of `Pause` steps that the test releases. A script
    that ends without a `FinishReason` is a stream that just stops. ``calls`` is the log. ``tokens``: what each prompt counts,
    or the error that counting raises; None where it cannot count. Without ``stream`` the whole answer
    comes as one batch, as the contract says. The models are the five by default.
    ``wires``: see `Capabilities`; what is no conversation is answered as scripted, too.
    """

    def __init__(
        self,
        *scripts: Iterable[Step],
        models: Iterable[str] = tuple(MODELS),
        aliases: Mapping[str, str] | None = None,
        default_model: str | None = None,
        vision: bool = False,
        wires: Iterable[str] = tuple(OPERATIONS),
        tokens: int | ProviderError | None = None,
        name: str = "scripted",
    ) -> None:
        self.models = list(models)
        self.model_aliases = dict(MODEL_ALIASES if aliases is None else aliases)
        self.model_aliases = {alias: model for alias, model in self.model_aliases.items() if model in self.models}
        fallback = DEFAULT_MODEL if DEFAULT_MODEL in self.models else (self.models or [""])[0]
        self.default_model = fallback if default_model is None else default_model
        self.capabilities = msgspec.structs.replace(type(self).capabilities, vision=vision, wires=tuple(wires))
        self.name = name
        self.tokens = tokens
        self.calls: list[Call] = []
        self.closed = False
        self._scripts = [_steps(script) for script in scripts]
        self._taken = 0

    def play(self, *scripts: Iterable[Step]) -> None:
        """Forget what was scripted; the next calls get these."""
        self._scripts = [_steps(script) for script in scripts]
        self._taken = 0

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`."""
        self.get_model(request.model)
        script = self._scripts[min(self._taken, len(self._scripts) - 1)] if self._scripts else _steps(_usual(request))
        self._taken += 1
        call = Call(
            request.model, request.messages, request.stream, options.proxy, dict(request.fields), options, request.origin
        )
        self.calls.append(call)
        return GeneratedBatches(lambda: self._play(call, script))

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """See `AsyncGeneratorProvider.count_tokens`."""
        self.get_model(request.model)
        if isinstance(self.tokens, ProviderError):
            raise self.tokens
        return await super().count_tokens(request, options) if self.tokens is None else self.tokens

    async def aclose(self) -> None:
        self.closed = True

    async def _play(self, call: Call, script: list[_Played]) -> AsyncGenerator[Batch]:
        call.read = True
        steps = _batches(script, Started(model=self.name))
        if not call.stream:
            steps = _joined(steps)
        finished = False
        try:
            async for batch in steps:
                # Noted before it is handed out: no reader asks again after the last event.
                finished = type(batch[-1]) is FinishReason
                if finished:
                    call.settle("finished")
                yield batch
            call.settle("failed")
        except GeneratorExit:
            call.settle("closed")
            raise
        except asyncio.CancelledError:
            call.settle("cancelled")
            raise
        except BaseException:
            call.settle("failed")
            raise
        finally:
            await steps.aclose()


_Played: TypeAlias = Batch | BaseException | Pause
_EVENTS: Final[tuple[type, ...]] = get_args(Event)


def _steps(script: Iterable[Step]) -> list[_Played]:
    """Return the steps of *script*. Raises `TypeError` for what is none, and would be no part of an answer."""
    if isinstance(script, str | bytes | Mapping) or not isinstance(script, Iterable):
        raise TypeError(f"a script is a list of steps, such as answer('Hello'), not {type(script).__name__}")
    return [_step(number, step) for number, step in enumerate(script)]


def _step(number: int, step: Any) -> _Played:
    if isinstance(step, type) and issubclass(step, Exception):
        return step()
    if isinstance(step, BaseException | Pause):
        return step
    return [event for each in (step if isinstance(step, list) else [step]) for event in _events(number, each)]


def _events(number: int, event: Any) -> Sequence[Any]:
    """Return *event*, tool calls as they stream."""
    if isinstance(event, ToolCalls):
        return split_tool_calls(event)
    if isinstance(event, _EVENTS):
        return [event]
    raise TypeError(f"step {number} of the script is no event, batch, exception or Pause, but {type(event).__name__}")


async def _batches(script: list[_Played], started: Started) -> AsyncGenerator[Batch]:
    """The script's batches, `Started` first; waits and raises where the script says so."""
    first = True
    for step in script:
        if isinstance(step, Pause):
            await step.wait()
            continue
        if isinstance(step, BaseException):
            raise step
        batch: Batch = list(step)
        if first and type(batch[0]) is not Started:
            batch.insert(0, started)
        first = False
        yield batch


async def _joined(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """The whole answer as one batch, its text in one piece."""
    try:
        events = [event async for batch in batches for event in batch]
    finally:
        await batches.aclose()
    text = "".join(event for event in events if isinstance(event, str))
    others = [event for event in events if not isinstance(event, str)]
    first = [event for event in others if type(event) is Started]
    rest = [event for event in others if type(event) is not Started]
    whole: Batch = [*first, *([text] if text else []), *rest]
    if whole:
        yield whole
