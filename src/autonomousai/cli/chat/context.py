"""One question put, and its answer shown as it comes. Knows no argument parser."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from ...answer import Answer
from ...errors import StatusError
from ...events import REPETITION, FinishReason, Message, Messages
from ...result import AsyncResult
from ...wires.finish_reasons import meaning_of
from ..terminal import Terminal
from ..views import JsonView, View, text_view
from .targets import ChatSettings, ChatTarget

#: Reasons of an answer that ended as answers do, in the words of several servers; no reason is the first.
_USUAL_ENDS: Final = frozenset({"", "stop", "tool_calls", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "done"})


class ChatContext:
    """Where questions are put: the settings, who answers, and how it is shown."""

    def __init__(self, settings: ChatSettings, terminal: Terminal) -> None:
        self.settings = settings
        self.terminal = terminal
        self.upstream: ChatTarget = _make_target(settings, terminal)
        self.view: View = JsonView(terminal) if settings.json else text_view(terminal, plain=settings.plain)
        #: The answer's text, as far as it came, and its proven end; when it was asked for, in seconds since the epoch.
        self.answered = ""
        self.finish: FinishReason | None = None
        self.asked_at = 0.0
        self._answering: tuple[str, str] | None = None  # what was asked and who answered, as it was last said

    def prepare(self) -> None:
        """Make sure that there is such a model, and something that answers as it; note which, where it has another name."""
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
        if not settings.model and (chosen := await self.upstream.choose()):
            settings.model = chosen
            terminal.remark(f"asking {chosen}, the first model that the server lists; --model names another")
        asked = provider.create_async_generator(
            settings.model, with_system(settings.system, messages), stream=settings.stream, **settings.fields
        )
        spinner = terminal.spinner(lambda: waiting_for(asked.answer))
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
        self._tell(self.finish, result, time.monotonic() - (first if settings.stream else began))

    def _tell(self, finish: FinishReason, result: AsyncResult, seconds: float) -> None:
        """What a person wants to know about the end; a script reads it with ``--json``. That an answer was cut, refused or
        empty is said in a script's log too: its exit code is that of a whole one."""
        if self.settings.json:
            return
        if result.refusal:
            self.terminal.note("the model refused to answer")
        elif not (self.answered or result.tool_calls):
            self.terminal.note("the answer is complete, and holds no text")
        if finish.reason and meaning_of(finish.reason) == "length":
            self.terminal.note("the answer was cut at its length limit; --max-tokens raises it")
        elif finish.reason == REPETITION:
            self.terminal.note("the answer repeated itself, and was stopped; try again, or in other words")
        elif (finish.reason or "").lower() not in _USUAL_ENDS:
            self.terminal.note(f"the answer ended for the reason {finish.reason!r}")
        if not self.terminal.err_is_terminal:
            return
        told, asked = [], self.settings.model
        if self.settings.base_url and finish.model and not is_same_model(asked, finish.model):
            if self._answering != (asked, finish.model):
                told.append(f"{finish.model} answered as {asked}")
            self._answering = asked, finish.model
        if figures := _figures(finish, seconds, streamed=self.settings.stream):
            told.append(figures)
        if told:
            self.terminal.note("; ".join(told))


def _make_target(settings: ChatSettings, terminal: Terminal) -> ChatTarget:
    """Return the place that answers by *settings*. One brings the engine, the other a client; nothing else is imported."""
    if settings.base_url:
        from .served import Served  # noqa: PLC0415  the engine needs no client of a server

        return Served(settings)
    from .embedded import Embedded  # noqa: PLC0415  the engine comes with it

    return Embedded(terminal, settings.weights, settings.context)


#: What a server adds to the name of a model that was asked for without its version.
_VERSION: Final = re.compile(r"[-@:](?:latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})")


def is_same_model(asked: str, answered: str) -> bool:
    """Return whether a server calls itself what it was asked as, but for the date of the version.

    Example::

        assert is_same_model("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14")
        assert not is_same_model("gpt-4.1", "gpt-4.1-mini")
    """
    return answered.startswith(asked) and (answered == asked or bool(_VERSION.fullmatch(answered, len(asked))))


def waiting_for(answer: Answer) -> str:
    """Return what a person waits for before the first word."""
    if (reading := answer.reading) is None or reading[0] >= reading[1]:
        return "waiting for the first word"
    return f"reading the prompt: {reading[0]:,} of {reading[1]:,} tokens"


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
