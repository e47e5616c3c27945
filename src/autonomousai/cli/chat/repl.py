"""The conversation: lines from a person, slash commands, and what was said so far. Knows where questions are put.

prompt_toolkit edits the lines and keeps their history; where it is not installed, plain input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ...directories import user_directory
from ...errors import HTTPError, ProviderError
from ...events import Message
from ...models import MODELS
from ..arguments import as_utf8
from ..errors import tell
from ..exit_codes import UsageError
from .context import ChatContext
from .session import SessionRunner
from .slash_commands import COMMANDS, SlashCommands

#: Words by which other programs are left. Behind a space they are said to the model.
_FAREWELLS: Final = frozenset({"exit", "quit"})


class LineReader(NamedTuple):
    """Reads a line from the person, behind a prompt, and begins with a draft that can be edited. ``by_key``: it takes keys one
    by one, the terminal edits nothing; otherwise it can show no draft."""

    read: Callable[[str, str], Awaitable[str]]
    by_key: bool


async def converse(session: SessionRunner) -> None:
    """Talk until the person leaves."""
    context = session.context
    with context.terminal.interrupts.cancel_main():
        try:
            if context.settings.base_url:
                context.terminal.note(context.upstream.who(context.settings.model))
            reader = line_reader(context)
            # A reader of keys draws them itself: without a gap between two prompts no key is lost, or seen twice.
            with keys_unseen(by_key=True) if reader.by_key else nullcontext():
                with keys_unseen(reader.by_key):
                    await context.upstream.open(context.settings.model)
                context.terminal.note("/help shows the commands, Ctrl-D leaves")
                with context.terminal.interrupts.conversing():
                    await ChatSession(session, reader).run()
        finally:
            await context.upstream.aclose()


class ChatSession:
    """What the person wants next: to ask, or one of the commands."""

    def __init__(self, session: SessionRunner, reader: LineReader) -> None:
        self.session = session
        self.context = session.context
        self.reader = reader
        self.terminal = session.context.terminal
        self.commands = SlashCommands(session, can_edit=reader.by_key)

    async def run(self) -> None:
        """Read lines and answer them until the person leaves."""
        commands = self.commands
        while not commands.leaving:
            draft, commands.draft = commands.draft, ""
            try:
                line = as_utf8(await self.reader.read(f"{self.context.settings.model}> ", draft), "that line")
            except EOFError:
                return
            except KeyboardInterrupt:  # Ctrl-C at the prompt drops the line
                self._leave_if_told()
                continue
            except UnicodeDecodeError:
                self.terminal.error("that line is not valid UTF-8")
                continue
            except UsageError as error:
                self.terminal.error(str(error))
                continue
            if not draft and line.rstrip().lower() in _FAREWELLS:
                return
            if line.startswith("/"):
                question = await commands.do(line)
            elif not line.strip():
                question = None
            elif draft:
                question = self.session.edited(line)
            else:
                question = commands.question(line[1:] if line.startswith(" /") else line)
            if question is not None:
                await self.answer(question)
            self._leave_if_told()

    def _leave_if_told(self) -> None:
        if self.terminal.interrupts.received is not None:
            raise asyncio.CancelledError

    async def answer(self, question: Message) -> None:
        """Ask, and show the answer, or why there is none."""
        asking = asyncio.create_task(self.session.ask(question))
        try:
            with self.terminal.interrupts.cancel_answer(asking), keys_unseen(self.reader.by_key):
                await asking
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # not the answer alone: we are to end
                raise
            self.terminal.note("stopped")
        except HTTPError as error:
            self._failed(error)
            if "context" in (error.code or ""):
                self.terminal.note("the conversation is longer than the model can read; /clear starts again")
        except ProviderError as error:
            self._failed(error)

    def _failed(self, error: ProviderError) -> None:
        self.context.view.error(error)
        tell(self.terminal, error, key_env=self.context.settings.key_env)


@contextmanager
def keys_unseen(by_key: bool) -> Iterator[None]:
    """What is typed meanwhile waits for the prompt, and is not echoed into the answer. Ctrl-C works. *by_key*: as keys, so that
    Ctrl-D means what it means at the prompt; otherwise as lines."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, ValueError):
        yield
        return
    local = before[3] & ~(termios.ECHO | termios.ICANON if by_key else termios.ECHO)
    termios.tcsetattr(sys.stdin, termios.TCSANOW, [*before[:3], local, *before[4:]])
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def line_reader(context: ChatContext) -> LineReader:
    """What reads a line from the person: prompt_toolkit, or where it is missing (or the terminal is dumb) plain input."""
    if not context.terminal.draws:
        return _plain_reader(context)
    try:
        return _editing_reader(context)
    except ImportError:
        context.terminal.note("for line editing and an input history: pip install 'autonomousai[cli]'")
        return _plain_reader(context)


def _plain_reader(context: ChatContext) -> LineReader:
    terminal = context.terminal

    async def read_line(prompt: str, _draft: str) -> str:
        terminal.write_aside(prompt)
        try:
            with terminal.interrupts.reading():
                return input()  # noqa: ASYNC250  the loop has nothing else to do
        except (EOFError, KeyboardInterrupt):
            terminal.write_aside("\n")
            raise

    return LineReader(read_line, by_key=False)


def _editing_reader(context: ChatContext) -> LineReader:
    # An optional extra, and a quarter of a second that only a conversation should cost.
    from prompt_toolkit import PromptSession  # noqa: PLC0415
    from prompt_toolkit.completion import WordCompleter  # noqa: PLC0415
    from prompt_toolkit.filters import is_searching  # noqa: PLC0415
    from prompt_toolkit.formatted_text import FormattedText  # noqa: PLC0415
    from prompt_toolkit.history import FileHistory, InMemoryHistory  # noqa: PLC0415
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415
    from prompt_toolkit.output import create_output  # noqa: PLC0415

    keys = KeyBindings()

    @keys.add("enter", filter=~is_searching)
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    path = history_file(os.environ)
    if path is None:
        context.terminal.note("no input history is kept: its directory cannot be written")
    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory() if path is None else FileHistory(path),
        completer=WordCompleter([*COMMANDS, *(f"/model {name}" for name in MODELS)], sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        multiline=True,
        enable_suspend=True,
        prompt_continuation=lambda width, _line, _wrapped: " " * width,
        output=create_output(stdout=context.terminal.out if context.terminal.out_is_terminal else context.terminal.err),
    )
    bold = "bold" if context.terminal.colours else ""

    async def read_line(prompt: str, draft: str) -> str:
        return await session.prompt_async(FormattedText([(bold, prompt)]), default=draft, handle_sigint=False)

    return LineReader(read_line, by_key=True)


def history_file(env: Mapping[str, str]) -> Path | None:
    """The file of the lines that were typed, for their owner's eyes alone; None where there can be none."""
    with suppress(OSError, RuntimeError):
        path = user_directory("state", env) / "history"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return path
    return None
