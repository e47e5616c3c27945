"""How an answer is shown: as text, as Markdown drawn while it comes, or as JSON. Knows chunks, errors and a terminal."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from ..errors import HTTPError, ProviderError
from ..events import Chunk, FinishReason, Reasoning, Refusal, ToolCalls
from .errors import in_words
from .render.markdown import MarkdownStream
from .terminal import Spinner, Terminal, printable

_CONTROLS_IN_JSON: dict[int, str] = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


class View(Protocol):
    """What shows one answer after another."""

    def chunk(self, chunk: Chunk) -> None:
        """Show one chunk, now."""

    @property
    def text(self) -> str:
        """What the model has said so far: text, or a refusal."""

    def close(self) -> None:
        """The answer is over, whole or not: leave the cursor at the start of a line, and be ready for the next one."""

    def error(self, error: ProviderError) -> None:
        """Say, in the answer's own format, that it failed; where that has no words for it, nothing."""


class TextView:
    """The answer's text, or its refusal, on stdout, with a newline after it where it ends without one; reasoning, on a
    terminal, on stderr."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._parts: list[str] = []
        self._reasoning = ""

    def chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, str | Refusal):
            self._end_reasoning()
            text = chunk if isinstance(chunk, str) else chunk.text
            self._parts.append(text)
            self._show(text)
        elif isinstance(chunk, Reasoning):
            self._reason(chunk.text)
        elif isinstance(chunk, ToolCalls):
            self._end_reasoning()
            for call in chunk.calls:
                self._terminal.note(f"the model calls the tool {call.name} with {call.arguments}")

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def close(self) -> None:
        self._end_reasoning()
        text, self._parts = self.text, []
        if not self._terminal.stuck:
            self._end(text)

    def _show(self, text: str) -> None:
        self._terminal.write(text)

    def _end(self, text: str) -> None:
        if text and not text.endswith("\n"):
            self._terminal.write("\n")

    def error(self, error: ProviderError) -> None:
        """Text has no words for it: stderr alone tells."""

    def _reason(self, text: str) -> None:
        if text and self._terminal.err_is_terminal:
            self._reasoning = text
            self._terminal.write_aside(self._terminal.style(printable(text), "dim"))

    def _end_reasoning(self) -> None:
        if self._reasoning:
            self._terminal.write_aside("\n" if self._reasoning.endswith("\n") else "\n\n")
            self._reasoning = ""


class MarkdownView(TextView):
    """The same with Markdown drawn, for a terminal. While a table comes, of which nothing can be shown yet, something moves."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self._spinner: Spinner | None = None
        self._markdown = self._new_stream()

    def _new_stream(self) -> MarkdownStream:
        return MarkdownStream(self._write, width=self._terminal.columns, colours=self._terminal.coloured_out)

    def _show(self, text: str) -> None:
        self._markdown.feed(printable(text))
        if self._markdown.holds_table and self._spinner is None:
            self._spinner = self._terminal.spinner("a table is coming")

    def _end(self, text: str) -> None:
        self._markdown.close()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._stop_spinner()
            self._markdown = self._new_stream()

    def _write(self, text: str) -> None:
        self._stop_spinner()
        self._terminal.write(text, safe=True)

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def text_view(terminal: Terminal, *, plain: bool = False) -> View:
    """Markdown is for a terminal, and for who wants it; a pipe gets the text."""
    return TextView(terminal) if plain or not terminal.styled_out else MarkdownView(terminal)


class JsonView:
    """One JSON object a line on stdout for each chunk, and for an error."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._parts: list[str] = []

    def chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, str):
            self._parts.append(chunk)
            self._line({"type": "text", "text": chunk})
        elif isinstance(chunk, Refusal):
            self._parts.append(chunk.text)
            self._line({"type": "refusal", "text": chunk.text})
        elif isinstance(chunk, Reasoning):
            self._line({"type": "reasoning", "text": chunk.text})
        elif isinstance(chunk, ToolCalls):
            calls = [
                {name: value for name, value in msgspec.structs.asdict(call).items() if value is not None}
                for call in chunk.calls
            ]
            self._line({"type": "tool_calls", "tool_calls": calls})
        elif isinstance(chunk, FinishReason):
            self._line(finish_event(chunk))

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def close(self) -> None:
        self._parts = []

    def error(self, error: ProviderError) -> None:
        self._line(error_event(error))

    def stopped(self) -> None:
        """A signal has ended it."""
        self._line({"type": "error", "error": "Stopped", "message": "stopped before the answer was complete"})

    def _line(self, event: dict[str, Any]) -> None:
        self._terminal.write(msgspec.json.encode(event).decode().translate(_CONTROLS_IN_JSON) + "\n")


def finish_event(finish: FinishReason) -> dict[str, Any]:
    """The JSON event of an answer's proven end."""
    usage = None
    if finish.usage is not None:
        usage = {key: value for key, value in msgspec.structs.asdict(finish.usage).items() if value is not None}
    return {"type": "finish", "reason": finish.reason, "evidence": finish.evidence, "usage": usage, "model": finish.model}


def error_event(error: ProviderError) -> dict[str, Any]:
    """The JSON event of a failure: the error's class, the words of stderr, and what an HTTP error knows besides."""
    event: dict[str, Any] = {"type": "error", "error": type(error).__name__, "message": in_words(error)}
    if isinstance(error, HTTPError):
        event |= {"status": error.status, "code": error.code, "retryable": error.retryable, "retry_after": error.retry_after}
    return event
