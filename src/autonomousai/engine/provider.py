"""`LlamaCpp`: the embedded engine, a provider like any other: a supervised child process that speaks the OpenAI wire on a Unix
socket, asked with the same client as any server. Knows the engine's weights, slots and loops; no process, and no HTTP itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ..answer import Answer
from ..batches import BatchStream, GeneratedBatches, JoinedBatches
from ..capabilities import Capabilities
from ..clients.openai import OpenAICompatible
from ..clients.options import clocks_of
from ..errors import ConfigError, HTTPError
from ..events import Batch, Messages
from ..http.pool import bring_transport
from ..models import DEFAULT_MODEL, DEFAULT_WEIGHTS, MODEL_ALIASES, MODELS
from ..provider import AsyncGeneratorProvider, ProviderModelMixin, class_or_instance
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from ..settings import EngineTask
from ..stop_texts import StopTexts, with_stops
from ..timeouts import ENGINE_FIRST_TOKEN, Clocks
from ..wires.messages import check_messages
from ..wires.raw import COMPLETIONS_WIRE, EMBEDDINGS_WIRE, RERANK_WIRE, UNSUPPORTED_ENDPOINT, unsupported
from ..wires.request_body import request_fields
from ..wires.shapes import refusal
from .alternatives import wants_no_alternatives, without_alternatives
from .answer_schema import guided_schemas
from .choices import one_answer, side_by_side
from .completion import RawPart, completion_parts, raw_question
from .control_tokens import Restorer
from .documents import Documents
from .generation import (
    EnginePrompt,
    EngineSlot,
    LoopEngine,
    LoopEngines,
    busy_slots,
    counters,
    engine_slot,
    further_slot,
    generate_answer,
    refuse_too_large,
    take_stops,
    wait_ready,
)
from .grammar_check import check_grammar
from .handle import EngineHandle, RemoteEngine, State
from .ipc import EngineSettings
from .library import find_projector, find_weights, name_of
from .loader import ModelPool, OnDemandEngine, context_for, details_for, memory_for
from .pipe import EngineBatches, EnginePipe
from .process import EngineLog
from .question import ChatTurn, chat_question, choices_of, refuse_begun, schemas_of, told_apart
from .request import check_sizes, engine_fields, engine_messages, is_exact, size_of
from .sampling import sampling_of, with_sampling
from .supervisor import Supervisor
from .thoughts import wants_thoughts
from .tools import take_tools
from .truncation import truncated
from .weights import check_weights

#: Where llama.cpp counts the tokens of a request; it has no such path without the ``/v1``.
_COUNT_PATH = "/v1/chat/completions/input_tokens"


class _EngineQuestion(NamedTuple):
    """A request that was checked as far as it can be without the engine."""

    messages: Messages
    system: str | None
    fields: dict[str, Any]
    clocks: Clocks
    deadline: float | None
    exact: bool
    answer: Answer | None
    pipe: EnginePipe


#: Over which wires weights are asked, by what they are for, beside conversations.
_WIRES: Final[dict[EngineTask, str]] = {"chat": COMPLETIONS_WIRE, "embeddings": EMBEDDINGS_WIRE, "rerank": RERANK_WIRE}


#: What weights for conversations can do.
_CHATS: Final = Capabilities(
    continues=True, prefill=True, deterministic=True, tools=True, schema=True, wires=(COMPLETIONS_WIRE,)
)


def _capabilities(task: EngineTask, context: int, weights: str, *, sees: bool) -> Capabilities:
    """Return what *weights* for that *task* can do."""
    if task == "chat":
        return msgspec.structs.replace(_CHATS, context=context, weights=weights, vision=sees)
    embeds = task == "embeddings"
    return Capabilities(
        continues=False, prefill=False, embeddings=embeds, context=context, wires=(_WIRES[task],), weights=weights
    )


class LlamaCpp(AsyncGeneratorProvider, ProviderModelMixin):
    """llama.cpp on this machine, in a child process that starts with the first request and ends with its owner.

    ``weights``: a name of `models.WEIGHTS` or of a registered model, or the path of a GGUF file. ``slots``: answers at once;
    who comes later waits in the order of coming. ``context``: tokens of prompt and answer together; with "auto" as many as the
    weights and the memory (``memory`` bytes, by default a share of what is free) allow. ``threads``: 0 for one less than there
    are. ``max_tokens``: where the caller names none. ``queue``: seconds that a request may wait for a slot; then, and where the
    queue is certainly longer than that, it is a `StatusError` 503 that says when to come back.

    Any model name is taken: one of the five (see `models.MODELS`) brings its default system message, which is used when the
    caller gives none. Who answers is named truthfully: the `model` of an answer is the name of the weights. Fields that are not
    given are those that suit the weights (`models.WEIGHTS`), or *sampling*; else llama.cpp's own defaults (``temperature`` 0.8,
    ``top_k`` 40, ``top_p`` 0.95, ``min_p`` 0.05).

    Each event loop has a child of its own, which the loop's end takes along; blocking callers share one, until `close`.
    ``task``: what the weights are for. Those that make embeddings or rank documents do nothing else.
    ``mmproj``: the file with which the weights see images; "auto" for what lies beside them, "none" for none.
    ``lazy``: `start` does not start it, the first request does. ``pool``: that also ends it when it is idle, or its memory is
    needed. ``deputy``: the engine is another process's, and this stands for it.
    """

    label = "llama.cpp"
    models = list(MODELS)
    default_model = DEFAULT_MODEL
    model_aliases = dict(MODEL_ALIASES)
    capabilities = _CHATS

    def __init__(
        self,
        weights: str | os.PathLike[str] = DEFAULT_WEIGHTS,
        *,
        slots: int = 4,
        context: int | Literal["auto"] = 4096,
        threads: int = 0,
        max_tokens: int = 1024,
        clocks: Clocks = Clocks(first_token=ENGINE_FIRST_TOKEN),  # noqa: B008  frozen
        queue: float = 600,
        task: EngineTask = "chat",
        mmproj: str = "auto",
        name: str = "embedded",
        lazy: bool = False,
        memory: int | None = None,
        pool: ModelPool | None = None,
        deputy: RemoteEngine | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> None:
        weights = os.fspath(weights)
        if deputy is not None:
            context, projector = deputy.settings.context, deputy.settings.projector
        else:
            check_sizes(slots=slots, context=context, threads=threads, max_tokens=max_tokens)
            if context == "auto":
                context = context_for(weights, slots=slots, memory=memory, pool=pool)
            projector = str(find_projector(weights, mmproj) or "") if task == "chat" else ""
        self.weights = weights
        self._sampling = sampling_of(weights) if sampling is None else sampling
        self.name = name
        shown = name_of(weights)
        self.capabilities = _capabilities(task, context, shown, sees=bool(projector))
        self._clocks = clocks
        self._context = context
        self._max_tokens = max_tokens
        self._queue = queue
        self._lazy = lazy or pool is not None
        self._pool = pool
        self._deputy = deputy
        self._details: Mapping[str, Any] | None = details_for(weights) if pool is not None else None
        self._settings = EngineSettings(
            weights="",
            name=shown,
            socket="",
            api_key="",
            slots=slots,
            context=context,
            threads=threads,
            task=task,
            projector=projector,
        )
        self._log = EngineLog()
        self._engines = LoopEngines(self._make)

    @property
    def state(self) -> State:
        """``starting`` after a crash too; ``failed`` where it cannot be started, or crashed too often: `last_log` says why."""
        engine = self._engines.current()
        return "stopped" if engine is None else engine.supervisor.state

    @property
    def pid(self) -> int | None:
        """The child's process, while there is one that answers."""
        engine = self._engines.current()
        return None if engine is None else engine.supervisor.pid

    @property
    def memory_needed(self) -> int:
        """About how many bytes its process takes; 0 where that is another's, or the weights are not there yet."""
        settings = self._settings
        return 0 if self._deputy else memory_for(find_weights(self.weights), slots=settings.slots, context=settings.context)

    def last_log(self) -> str:
        """The last lines that the child wrote, for a person who looks for the cause of a failure."""
        return self._log.text()

    @class_or_instance
    def get_model(self, model: str | None) -> str:
        """The model that *model* names; a name that is none of the five stays what it is."""
        return MODEL_ALIASES.get(model, model) if model else DEFAULT_MODEL

    def details_of(self, model: str) -> Mapping[str, Any]:
        """See `AsyncGeneratorProvider.details_of`: what the file says. Read once, and not before it is asked for."""
        if self._details is None:
            self._details = details_for(self.weights)
        return self._details

    # ---- asking

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`. Raises `ConfigError` where the engine cannot be started, while it is read.

        ``timeout`` and ``deadline`` are honoured; a proxy, a key and headers have no meaning here."""
        clocks = clocks_of(options, self._clocks)
        if request.is_raw:
            return self._raw(request, clocks, options.deadline)
        if self._settings.task != "chat":
            problem = f"{self._settings.name} does not chat: its weights are for {self._settings.task}"
            raise refusal("model", problem, UNSUPPORTED_ENDPOINT)
        row = MODELS.get(self.get_model(request.model))
        system = row.system if row else None
        messages = check_messages(request.messages)
        request_fields(request.fields)  # of Python's numbers, JSON lacks some
        exact = is_exact(messages, request.fields)
        pipe = EnginePipe()
        question = _EngineQuestion(messages, system, request.fields, clocks, options.deadline, exact, options.answer, pipe)
        stream = EngineBatches(partial(self._answer, question), pipe)
        return stream if request.stream else JoinedBatches(stream, Answer())

    def repeats(self, request: ChatRequest) -> bool:
        """See `AsyncGeneratorProvider.repeats`: with a seed of the caller's own, or where the messages are short. Others are
        answered with the prompt cache, by which a seed does not repeat an answer. Raises `InvalidMessagesError`."""
        return request.is_raw or is_exact(check_messages(request.messages), request.fields)

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream_continuation`: a last message of the assistant is the beginning of the answer."""
        return self.stream(request.continued(text), options)

    def _raw(self, request: ChatRequest, clocks: Clocks, deadline: float | None) -> BatchStream:
        """Return the answer to what is no conversation: a raw prompt. Raises `StatusError` for what the engine cannot do."""
        assert request.origin is not None
        if request.origin.wire not in self.capabilities.wires:
            raise unsupported(request.model or self.name, request.origin.wire)
        answer = self._complete if request.origin.wire == COMPLETIONS_WIRE else self._document
        stream = GeneratedBatches(partial(answer, request, clocks, deadline))
        return stream if request.stream else JoinedBatches(stream, Answer())

    async def _document(self, request: ChatRequest, clocks: Clocks, until: float | None) -> AsyncGenerator[Batch]:
        """Embeddings, or a ranking; see `documents`."""
        documents = Documents(request)
        deadline = asyncio.get_running_loop().time() + clocks.total if until is None else until
        engine = await self._engines.get()

        def prepare(supervisor: EngineHandle) -> tuple[ChatRequest, None]:
            refuse_too_large(supervisor, documents.longest, documents.param)
            return documents.question(), None

        async with engine_slot(engine, deadline, clocks, self._queue) as slot:
            if documents.truncates:
                await wait_ready(engine.supervisor, deadline, clocks)
                most = min(self._context, self.details_of("").get("n_ctx_train", self._context))
                longest = engine.supervisor.condition.longest
                cut = partial(truncated, engine.client, most=most, longest=longest, deadline=deadline)
                await documents.cut_texts(cut)
            prompt = EnginePrompt(documents.param, prepare)
            async with aclosing(generate_answer(engine, slot, prompt, clocks, deadline)) as batches:
                async for batch in batches:
                    yield documents.shortened(batch)

    async def _complete(self, request: ChatRequest, clocks: Clocks, until: float | None) -> AsyncGenerator[Batch]:
        """The text that follows a raw prompt; see `completion`."""
        parts = completion_parts(request, context=self._context)
        deadline = asyncio.get_running_loop().time() + clocks.total if until is None else until
        engine = await self._engines.get()

        def generate(part: RawPart, slot: EngineSlot) -> AsyncGenerator[Batch]:
            def prepare(supervisor: EngineHandle) -> tuple[ChatRequest, None]:
                refuse_too_large(supervisor, len(part.prompt.encode()) + len(part.suffix.encode()), "prompt")
                return raw_question(part, supervisor.condition.control), None

            schemas = guided_schemas(part.fields)
            check = partial(check_grammar, schemas=schemas) if schemas else None
            return generate_answer(engine, slot, EnginePrompt("prompt", prepare, check=check), clocks, deadline)

        further = partial(further_slot, engine, deadline, clocks)
        async with engine_slot(engine, deadline, clocks, self._queue) as slot:
            pieces = side_by_side(parts, generate, slot, further, most=self._settings.slots)
            async with aclosing(one_answer(pieces)) as batches:
                async for batch in batches:
                    yield batch

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """See `AsyncGeneratorProvider.count_tokens`: by the tokenizer and the template of the weights."""
        row = MODELS.get(self.get_model(request.model))
        clocks = clocks_of(options, self._clocks)
        messages = engine_messages(check_messages(request.messages), row.system if row else None, sees=self.capabilities.vision)
        fields = engine_fields(request.fields, max_tokens=self._max_tokens, context=self._context)
        turn = ChatTurn(messages, take_tools(fields), wants_thoughts(request.fields))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + clocks.total if options.deadline is None else options.deadline
        engine = await self._engines.get()
        async with contextlib.AsyncExitStack() as held:
            if self._lazy:  # a slot has the weights loaded, and keeps them
                await held.enter_async_context(engine_slot(engine, deadline, clocks, self._queue))
            await wait_ready(engine.supervisor, deadline, clocks)
            refuse_too_large(engine.supervisor, size_of(messages), "messages")
            counted, _ = chat_question(engine.supervisor.condition, turn, fields)
            return await engine.client.count_tokens(counted, CallOptions(timeout=clocks, deadline=deadline), path=_COUNT_PATH)

    async def _answer(self, question: _EngineQuestion) -> AsyncGenerator[Batch]:
        """The answer, streamed: upstream we always stream, as the engine's other answers repeat what was begun."""
        messages = engine_messages(question.messages, question.system, sees=self.capabilities.vision)
        fields = engine_fields(question.fields, max_tokens=self._max_tokens, context=self._context, exact=question.exact)
        fields = with_sampling(fields, self._sampling)
        plan = take_tools(fields)
        refuse_begun(messages, fields, plan)
        turn = ChatTurn(messages, plan, wants_thoughts(question.fields))
        texts, bare = take_stops(fields), wants_no_alternatives(question.fields)
        parts = choices_of(fields, self._settings.slots)

        def generate(part: RawPart, slot: EngineSlot) -> AsyncGenerator[Batch]:
            def prepare(supervisor: EngineHandle) -> tuple[ChatRequest, Restorer | None]:
                refuse_too_large(supervisor, size_of(messages), "messages")
                return chat_question(supervisor.condition, turn, part.fields)

            answer = None if part.number else question.answer
            schemas = schemas_of(turn, part.fields)
            check = partial(check_grammar, schemas=schemas) if schemas or turn.plan is not None else None
            is_plain = len(parts) == 1 and not texts and not bare and turn.is_plain(engine.supervisor.condition, part.fields)
            stops = StopTexts(texts) if texts else None
            prompt = EnginePrompt("messages", prepare, answer, check, question.pipe if is_plain else None, stops)
            batches = generate_answer(engine, slot, prompt, question.clocks, deadline)
            batches = told_apart(batches, engine.supervisor.condition, turn, part.fields)
            if bare:
                batches = without_alternatives(batches)
            return batches if stops is None else with_stops(batches, stops)

        loop = asyncio.get_running_loop()
        deadline = loop.time() + question.clocks.total if question.deadline is None else question.deadline
        engine = await self._engines.get()
        further = partial(further_slot, engine, deadline, question.clocks)
        async with engine_slot(engine, deadline, question.clocks, self._queue) as slot:
            if len(parts) == 1:
                batches = generate(parts[0], slot)
            else:
                batches = one_answer(side_by_side(parts, generate, slot, further, most=len(parts)))
            async with aclosing(batches):
                async for batch in batches:
                    yield batch

    # ---- the engine of this loop

    async def start(self) -> None:
        """Start the child, if it is not running, and wait until it answers. Raises `ConfigError` that says why it does not.

        What the first request needs is imported meanwhile, beside the child, which takes longer."""
        if self._lazy:
            if self._deputy is not None:
                await self._engines.get()  # what its owner counts is reported here too
            return
        engine = await self._engines.get()
        await asyncio.gather(engine.supervisor.ready(), asyncio.to_thread(bring_transport))

    async def supervise(self) -> Supervisor:
        """This event loop's engine, for a parent that shares it out to other processes; its child may still be starting."""
        supervisor = (await self._engines.get()).supervisor
        assert isinstance(supervisor, Supervisor)
        return supervisor

    async def aclose(self) -> None:
        """Stop this event loop's child, and wait until it is gone. The next request would start another."""
        await self._engines.aclose()

    async def metrics(self) -> dict[str, float]:
        """What is counted of the engine: crashes, restarts, slots, who waits for one; and, while it is up, llama.cpp's own
        counters, such as ``requests_processing`` and ``tokens_predicted_total``."""
        engine = self._engines.current()
        if engine is None:
            return {}
        supervisor = engine.supervisor
        ours: dict[str, float] = {
            "crashes_total": supervisor.condition.crashes,
            "restarts_total": supervisor.condition.restarts,
            "slots": supervisor.settings.slots,
            "queue_length": supervisor.slots.waiting,
            "loads_total": supervisor.condition.loads,
            "evictions_total": supervisor.condition.evictions,
        }
        with contextlib.suppress(HTTPError):  # it may be unloaded, or crash, just now
            ours |= await counters(supervisor, engine.client)
        return ours

    def _make(self) -> LoopEngine:
        supervisor = self._deputy or self._supervisor()
        client = OpenAICompatible(
            "http://engine",
            api_key=supervisor.settings.api_key,
            model=supervisor.settings.name,
            timeout=self._clocks,
            headers={"Connection": "close"},  # the engine closes some that it has announced to keep
            prefill="yes",
            retries=0,  # a child that is gone does not come back at once: the next one is waited for
            uds=supervisor.settings.socket,
        )
        if isinstance(supervisor, Supervisor):
            supervisor.busy = partial(busy_slots, supervisor, client)
            supervisor.alive = partial(client.fetch, "/health")
        return LoopEngine(supervisor, client, supervisor.lifetime())

    def _supervisor(self) -> Supervisor:
        path = find_weights(self.weights)
        if not path.is_file():
            raise ConfigError(f"the weights {self.weights} are not on this machine; run: autonomousai pull {self.weights}")
        settings = msgspec.structs.replace(self._settings, weights=str(path.absolute()), api_key=secrets.token_urlsafe(32))
        check = partial(check_weights, self.weights)
        if self._pool is None:
            return Supervisor(settings, self._log, lazy=self._lazy, check=check)
        needs = memory_for(path, slots=settings.slots, context=settings.context)
        return OnDemandEngine(settings, self._log, pool=self._pool, needs=needs, check=check)
