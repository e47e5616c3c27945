"""Asking from the command line: who answers, what is asked, one answer shown. Knows the providers; no argument parser."""

from __future__ import annotations

import importlib.util
import os
import select
import stat
import time
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO, TypeAlias

import msgspec

from ..clients.anthropic import ANTHROPIC, Anthropic
from ..clients.autonomousai import AutonomousAI
from ..clients.openai import OpenAICompatible
from ..clients.vendors import VendorName, vendor_of
from ..engine.provider import LlamaCpp
from ..engine.weights import present, pull, resolve, weights_path
from ..errors import ConfigError, HTTPError, ModelNotFoundError, StatusError
from ..events import FinishReason, Message, Messages
from ..http.urls import clean_base_url, has_path, without_credentials
from ..models import DEFAULT_MODEL, MODEL_ALIASES, MODELS, WEIGHTS
from ..provider import AsyncGeneratorProvider
from ..timeouts import Clocks
from .templates import Template
from .terminal import Terminal
from .views import JsonView, View, text_view

#: What a server may speak.
Wire: TypeAlias = Literal["openai", "anthropic", "autonomousai"]


class UsageError(Exception):
    """The command line asks for what makes no sense; the message says what would."""


class ChatSettings(msgspec.Struct):
    """What the options of ``chat`` say. ``fields``: request fields; ``images``: parts of a message, for the first question.
    ``base_url``: None for the embedded engine, which ``weights`` and ``context`` (tokens) are for. ``wire``: what the server
    speaks, None where its base URL says it. ``vendor``: whose server it is, where that was said."""

    model: str
    system: str | None = None
    fields: dict[str, Any] = {}
    template: Template = Template()
    images: list[dict[str, Any]] = []
    stream: bool = True
    json: bool = False
    plain: bool = False
    base_url: str | None = None
    wire: Wire | None = None
    vendor: VendorName | None = None
    api_key: str | None = None
    proxy: str | None = None
    weights: str | None = None
    context: int | None = None


class ChatTarget(Protocol):
    """A place that can answer, seen from the command line. ``has_ours``: it has the models of the table, and no others."""

    has_ours: bool

    def resolve(self, model: str) -> str:
        """The model that *model* names. Raises `ModelNotFoundError`."""

    def prepare(self, model: str) -> None:
        """Fetch what must be here before anyone can answer as *model*. Blocking; before the event loop runs."""

    def who(self, model: str) -> str:
        """Who will answer as *model*, and where: a line for people."""

    def check_sight(self) -> None:
        """Raises `UsageError` where nobody can see, as far as that is known before a server is asked."""

    async def choose(self) -> str:
        """The model to ask where none was named and there is no default; "" leaves it to who answers."""

    async def open(self, model: str) -> AsyncGeneratorProvider:
        """The provider that answers as *model*, ready."""

    async def aclose(self) -> None:
        """Close connections and children."""


def weights_for(model: str) -> str:
    """The weights that answer as *model* on this machine: the best that are here; where none is, the smallest there are."""
    row = MODELS[model]
    return next((name for name in row.weights if present(name)), row.weights[-1])


def find_model(model: str) -> str:
    """The model of the table that *model* names. Raises `ModelNotFoundError`."""
    name = MODEL_ALIASES.get(model, model) or DEFAULT_MODEL
    if name not in MODELS:
        raise ModelNotFoundError(model, MODELS)
    return name


def require_engine() -> None:
    """Raises `ConfigError` where the embedded engine is not installed: better before a hundred megabytes than after."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(
            "the embedded engine is not installed; run: pip install 'autonomousai[local]', or name a server with --base-url"
        )


def fetch(weights: str, terminal: Terminal) -> str:
    """Fetch *weights* with a sign of progress, where they are missing. Returns the path of the file."""
    if present(weights):
        return str(weights_path(weights))
    row = WEIGHTS[weights]
    terminal.note(f"{row.name}: {row.description} (licence: {row.licence})")
    if row.notice:
        terminal.note(row.notice)
    with terminal.progress(f"fetching {row.name}", row.size) as progress:
        path = pull(weights, progress=progress)
    terminal.note(f"fetched {row.name}")
    return str(path)


#: Tokens. One caller alone can have more room than the slots of a server: a `git diff` is long.
_CONTEXT = 8192

#: A person watches, and has Ctrl-C: a slow machine may take its time with a long prompt.
_CLOCKS = Clocks(first_token=1800, idle=120, total=3600)


class Embedded:
    """The engine on this machine: one child process, with the weights of the model that was asked last."""

    has_ours = True

    def __init__(self, terminal: Terminal, weights: str | None, context: int | None) -> None:
        self._terminal = terminal
        self._engine: LlamaCpp | None = None
        self._loaded = ""
        self._given = weights
        self._context = context or _CONTEXT
        self._chosen: dict[str, str] = {}

    def _weights(self, model: str) -> str:
        """The weights for *model*: once it was said who answers, others that come meanwhile change nothing."""
        if self._given is not None:
            return self._given
        if model not in self._chosen:
            self._chosen[model] = weights_for(model)
        return self._chosen[model]

    def resolve(self, model: str) -> str:
        return find_model(model)

    def prepare(self, model: str) -> None:
        require_engine()
        weights = self._weights(model)
        if weights in WEIGHTS:
            fetch(weights, self._terminal)
        else:
            resolve(weights)

    def check_sight(self) -> None:
        raise UsageError("no model on this machine can see images; name a server that has one with --base-url")

    def who(self, model: str) -> str:
        weights = self._weights(model)
        return (
            f"{weights if weights in WEIGHTS else Path(weights).stem} answers as {model}, on this machine "
            "(the hosted service is not operational; --base-url asks a server)"
        )

    async def choose(self) -> str:
        return self.resolve("")

    async def open(self, model: str) -> AsyncGeneratorProvider:
        weights = self._weights(model)
        if self._engine is not None and weights == self._loaded and self._engine.state != "failed":
            return self._engine
        await self.aclose()
        engine = self._engine = LlamaCpp(weights, slots=1, context=self._context, clocks=_CLOCKS)
        self._loaded = weights
        spinner = self._terminal.spinner(f"loading {weights}")
        try:
            await engine.start()
        except BaseException:
            await self.aclose()
            raise
        finally:
            spinner.stop()
        return engine

    async def aclose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()


def is_anthropics(base_url: str) -> bool:
    """Return whether *base_url* is Anthropic's own server."""
    return clean_base_url(base_url).removesuffix("/v1") == ANTHROPIC


def wire_of(base_url: str, wire: Wire | None) -> Wire:
    """What the server at *base_url* speaks: *wire* where it was said; else Anthropic's at Anthropic's, the AutonomousAI wire at
    a bare root, and OpenAI's at any path, which is what base URLs of its servers have."""
    if wire is None and is_anthropics(base_url):
        return "anthropic"
    return wire or ("openai" if has_path(base_url) else "autonomousai")


class Served:
    """A server, on the AutonomousAI wire, OpenAI's or Anthropic's."""

    def __init__(self, settings: ChatSettings) -> None:
        self._provider: AutonomousAI | OpenAICompatible | Anthropic
        assert settings.base_url is not None
        wire = wire_of(settings.base_url, settings.wire)
        key = settings.api_key
        # The key of a vendor, or of Anthropic's own server, has a variable of its own.
        has_own = is_anthropics(settings.base_url) if wire == "anthropic" else bool(vendor_of(settings.vendor).key_env)
        if key is None and not has_own:
            key = os.environ.get("AUTONOMOUSAI_API_KEY", "")
        if wire == "openai":
            self._provider = OpenAICompatible(settings.base_url, vendor=settings.vendor, api_key=key, proxy=settings.proxy)
        elif wire == "anthropic":
            self._provider = Anthropic(settings.base_url, api_key=key, proxy=settings.proxy)
        else:
            self._provider = AutonomousAI(settings.base_url, api_key=settings.api_key, proxy=settings.proxy)
        self.has_ours = isinstance(self._provider, AutonomousAI)

    def resolve(self, model: str) -> str:
        return self._provider.get_model(model)

    def prepare(self, model: str) -> None:
        """The server has what it needs."""

    def check_sight(self) -> None:
        """The server will say."""

    def who(self, model: str) -> str:
        return f"{without_credentials(self._provider.base_url)} answers as {model or 'the first model that it lists'}"

    async def choose(self) -> str:
        """The first that the server lists, which is the only one at most servers. One that lists none, or only to others, may
        know without being told."""
        if isinstance(self._provider, AutonomousAI):
            return ""
        try:
            names = await self._provider.fetch_models()
        except HTTPError:
            return ""
        return names[0] if names else ""

    async def open(self, model: str) -> AsyncGeneratorProvider:
        return self._provider

    async def aclose(self) -> None:
        await self._provider.aclose()


class ChatContext:
    """Where questions are put: the settings, who answers, and how it is shown."""

    def __init__(self, settings: ChatSettings, terminal: Terminal) -> None:
        self.settings = settings
        self.terminal = terminal
        self.upstream: ChatTarget = (
            Served(settings) if settings.base_url else Embedded(terminal, settings.weights, settings.context)
        )
        self.view: View = JsonView(terminal) if settings.json else text_view(terminal, plain=settings.plain)
        #: The answer's text, as far as it came, and its proven end; when it was asked for, in seconds since the epoch.
        self.answered = ""
        self.finish: FinishReason | None = None
        self.asked_at = 0.0

    def prepare(self) -> None:
        """Make sure that there is such a model, and somebody who can answer; say who, where it is not the one who was named."""
        self.settings.model = self.upstream.resolve(self.settings.model)
        self.upstream.prepare(self.settings.model)
        if not self.settings.base_url:
            self.terminal.note(self.upstream.who(self.settings.model))

    async def ask(self, messages: Messages) -> None:
        """Put the question and show the answer as it comes."""
        settings, terminal = self.settings, self.terminal
        self.answered, self.finish, self.asked_at = "", None, time.time()
        terminal.stuck = False
        provider = await self.upstream.open(settings.model)
        settings.model = settings.model or await self.upstream.choose()
        asked = provider.create_async_generator(
            settings.model, with_system(settings.system, messages), stream=settings.stream, **settings.fields
        )
        spinner = terminal.spinner("waiting for the first word")
        began = first = time.monotonic()
        try:
            async with asked as result:
                async for chunk in result:
                    if first == began:
                        first = time.monotonic()
                        spinner.stop()
                    self.view.chunk(chunk)
        except StatusError as error:
            if not settings.model and "model" in error.problem.casefold():
                error.advice = "no model was named: do so with --model; `autonomousai models --base-url URL` lists them"
            raise
        finally:
            spinner.stop()
            self.answered = self.view.text
            self.view.close()
        self.finish = result.finish
        assert self.finish is not None
        self._tell(self.finish, time.monotonic() - (first if settings.stream else began))

    def _tell(self, finish: FinishReason, seconds: float) -> None:
        """What a person wants to know about the end; a script reads it with ``--json``. That an answer was cut is said in a
        script's log too: its exit code is that of a whole one."""
        if self.settings.json:
            return
        if finish.reason == "length":
            self.terminal.note("the answer was cut at its length limit; --max-tokens raises it")
        elif finish.reason not in ("stop", "tool_calls", None):
            self.terminal.note(f"the answer ended for the reason {finish.reason!r}")
        if not self.terminal.err_is_terminal:
            return
        told = [f"{finish.model} answered as {self.settings.model}"] if self.settings.base_url and finish.model else []
        if figures := _figures(finish, seconds, streamed=self.settings.stream):
            told.append(figures)
        if told:
            self.terminal.note("; ".join(told))


def _figures(finish: FinishReason, seconds: float, *, streamed: bool) -> str:
    """How many tokens, and how many a second: of a stream, those after the first one, which took the prompt's time."""
    tokens = finish.usage.completion_tokens if finish.usage is not None else 0
    if not tokens:
        return ""
    timed = tokens - 1 if streamed else tokens
    counted = f"{tokens} token{'s' if tokens > 1 else ''}"
    return f"{counted}, {timed / seconds:.0f} a second" if timed > 0 and seconds > 0.001 else counted


def make_question(text: str, images: list[dict[str, Any]]) -> Message:
    """A question, with images if there are any."""
    return {"role": "user", "content": [{"type": "text", "text": text}, *images] if images else text}


def with_system(system: str | None, messages: Messages) -> Messages:
    """*messages* behind the system message, where there is one."""
    return [{"role": "system", "content": system}, *messages] if system else messages


def read_prompt(argument: str | None, stdin: TextIO | None, terminal: Terminal, *, needed: bool = True) -> str | None:
    """The question: the argument, a blank line, and what standard input holds; None where a person is to be asked.

    Raises `UsageError` where there is nothing and something is *needed*, or no text.
    """
    interactive = stdin is not None and stdin.isatty()
    piped = "" if stdin is None or interactive else _read_all(stdin, terminal)
    if argument is None and interactive:
        return None
    check_text(argument or "", "PROMPT")
    if argument and stdin is not None and not piped.strip() and stat.S_ISFIFO(os.fstat(stdin.fileno()).st_mode):
        terminal.note("standard input was empty; asking the prompt alone")
    parts = [part for part in (argument, piped) if part and part.strip()]
    if not parts and needed:
        raise UsageError("there is nothing to ask: give a PROMPT, or text on standard input")
    return "\n\n".join(parts)


def check_text(text: str, what: str) -> None:
    """Raises `UsageError` where an argument of the command line was not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} is not valid UTF-8 (character {error.start})") from None


#: Seconds after which a person is told what the program is waiting for.
_PATIENCE = 1.0


def _read_all(stdin: TextIO, terminal: Terminal) -> str:
    """All of standard input, without the newlines at its very end."""
    pieces: list[bytes] = []
    waiting_is_told = False
    try:
        while True:
            # Never a read that waits: a signal that comes just before it would be seen after it, and that may be never.
            if not select.select([stdin], [], [], _PATIENCE)[0]:
                if not (waiting_is_told or pieces):
                    terminal.note("reading standard input up to its end (where nothing comes from there, add </dev/null)")
                    waiting_is_told = True
                continue
            piece = os.read(stdin.fileno(), 1 << 16)
            if not piece:
                break
            pieces.append(piece)
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}") from None
    data = b"".join(pieces)
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text (byte {data[error.start]:#04x} at offset {error.start}); convert it first, "
            "for example with iconv"
        ) from None
