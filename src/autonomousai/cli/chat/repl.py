"""The conversation: lines from a person, slash commands, and what was said so far. Knows the desk where questions are put.

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
from typing import NamedTuple

from ...directories import user_directory
from ...errors import HTTPError, ProviderError
from ...models import MODELS
from ...suggestions import did_you_mean
from ..errors import in_words, tell
from ..exit_codes import UsageError
from .context import ChatContext, make_question, with_system
from .images import image_part
from .session import SessionRunner
from .transcripts import transcript_json, transcript_markdown


class LineReader(NamedTuple):
    """Reads a line from the person, behind a prompt. ``by_key``: it takes keys one by one, the terminal edits nothing."""

    read: Callable[[str], Awaitable[str]]
    by_key: bool


class Command(NamedTuple):
    """A slash command: what it takes, what it does, and the name of the method that does it."""

    usage: str
    help: str
    method: str


COMMANDS: dict[str, Command] = {
    "/model": Command("[NAME]", "show the models, or ask NAME from now on", "model"),
    "/system": Command("[TEXT]", 'show the system message, or set it ("": the model\'s own)', "system"),
    "/image": Command("FILE", "send an image along with the next question", "image"),
    "/clear": Command("", "forget what was said; model and system message stay", "clear"),
    "/save": Command("FILE", "write the conversation to FILE: Markdown, or .json", "save"),
    "/help": Command("", "show this", "help"),
    "/quit": Command("", "leave, as Ctrl-D does", "quit"),
}

HELP_TAIL = """\
Enter sends, Alt-Enter begins a new line, the arrow keys bring back what was
typed, Ctrl-C stops an answer. A line that begins with a space is sent as it is,
even if a slash follows.
"""


async def converse(talk: SessionRunner) -> None:
    """Talk until the person leaves."""
    desk = talk.desk
    with desk.terminal.interrupts.cancel_main():
        try:
            if desk.settings.base_url:
                desk.terminal.note(desk.upstream.who(desk.settings.model))
            reader = line_reader(desk)
            # A reader of keys draws them itself: without a gap between two prompts no key is lost, or seen twice.
            with keys_unseen(by_key=True) if reader.by_key else nullcontext():
                with keys_unseen(reader.by_key):
                    await desk.upstream.open(desk.settings.model)
                desk.terminal.note("/help shows the commands, Ctrl-D leaves")
                with desk.terminal.interrupts.conversing():
                    await ChatSession(talk, reader).run()
        finally:
            await desk.upstream.aclose()


class ChatSession:
    """What the person wants next: to ask, or one of the commands."""

    def __init__(self, talk: SessionRunner, reader: LineReader) -> None:
        self.talk = talk
        self.desk = talk.desk
        self.reader = reader
        self.terminal = talk.desk.terminal
        #: What goes with the next question.
        self.images = list(self.desk.settings.images)
        self._saved: Path | None = None
        self._leaving = False

    async def run(self) -> None:
        """Read lines and answer them until the person leaves."""
        while not self._leaving:
            try:
                line = await self.reader.read(f"{self.desk.settings.model}> ")
            except EOFError:
                return
            except KeyboardInterrupt:  # Ctrl-C at the prompt drops the line
                self._leave_if_told()
                continue
            except UnicodeDecodeError:
                self.terminal.error("that line is not UTF-8")
                continue
            if line.startswith("/"):
                self.command(line)
            elif line.strip():
                await self.answer(line[1:] if line.startswith(" /") else line)
            self._leave_if_told()

    def _leave_if_told(self) -> None:
        if self.terminal.interrupts.received is not None:
            raise asyncio.CancelledError

    async def answer(self, line: str) -> None:
        """Ask what the person typed, and show the answer, or why there is none."""
        question = make_question(self.desk.settings.template.fill(line), self.images)
        self.images = []
        asking = asyncio.create_task(self.talk.ask(question))
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
                self.terminal.note("the conversation is longer than the model can read; /clear begins anew")
        except ProviderError as error:
            self._failed(error)

    def _failed(self, error: ProviderError) -> None:
        self.desk.view.error(error)
        tell(self.terminal, error)

    def command(self, line: str) -> None:
        """Do what a line that begins with a slash says."""
        name, _, argument = line.partition(" ")
        name = {"/exit": "/quit", "/?": "/help"}.get(name.strip(), name.strip())
        if name not in COMMANDS:
            hint = "/help shows those there are (a space before it sends it as it is)"
            self.terminal.note(f"there is no command {name}; {hint}{did_you_mean(name, COMMANDS)}")
            return
        getattr(self, COMMANDS[name].method)(argument.strip())

    def help(self, _: str) -> None:
        width = max(len(f"{name} {command.usage}") for name, command in COMMANDS.items())
        for name, command in COMMANDS.items():
            self.terminal.write_aside(f"  {f'{name} {command.usage}'.ljust(width)}  {command.help}\n")
        self.terminal.write_aside(HELP_TAIL)

    def model(self, argument: str) -> None:
        settings, upstream = self.desk.settings, self.desk.upstream
        if not argument and not upstream.has_ours:
            self.terminal.note(f"{upstream.who(settings.model)}; `autonomousai models --base-url URL` lists what it has")
            return
        if not argument:
            for name, row in MODELS.items():
                mark = "*" if name == settings.model else " "
                self.terminal.write_aside(f"{mark} {name:10}  {self.terminal.style(row.alias, 'dim')}\n")
            return
        try:
            settings.model = upstream.resolve(argument)
        except ProviderError as error:
            self.terminal.error(in_words(error))
        else:
            self.terminal.note(upstream.who(settings.model))

    def system(self, argument: str) -> None:
        settings = self.desk.settings
        if argument:
            settings.system = None if argument in ('""', "''") else argument
        self.terminal.note("system message: " + (settings.system or "the model's own"))

    def clear(self, _: str) -> None:
        self.talk.begin_anew()
        self.terminal.note("forgotten")

    def image(self, argument: str) -> None:
        if not argument:
            self.terminal.error("/image needs the name of a file")
            return
        try:
            self.desk.upstream.check_sight()
            self.images.append(image_part(Path(argument)))
        except (ProviderError, UsageError) as error:
            self.terminal.error(str(error))
        else:
            self.terminal.note("it goes with the next question")

    def save(self, argument: str) -> None:
        if not argument:
            self.terminal.error("/save needs the name of a file")
            return
        path = Path(argument).expanduser()
        messages = with_system(self.desk.settings.system, self.talk.told())
        text = transcript_json(messages) if path.suffix == ".json" else transcript_markdown(messages)
        try:
            with path.open("w" if path == self._saved else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            self.terminal.error(f"{path} exists already; choose another name")
        except OSError as error:
            self.terminal.error(f"cannot write {path}: {error.strerror}")
        else:
            self._saved = path
            self.terminal.note(f"saved: {path}")

    def quit(self, _: str) -> None:
        self._leaving = True


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


def line_reader(desk: ChatContext) -> LineReader:
    """What reads a line from the person: prompt_toolkit, or where it is missing (or the terminal is dumb) plain input."""
    if not desk.terminal.draws:
        return _plain_reader(desk)
    try:
        return _editing_reader(desk)
    except ImportError:
        desk.terminal.note("for line editing and an input history: pip install 'autonomousai[cli]'")
        return _plain_reader(desk)


def _plain_reader(desk: ChatContext) -> LineReader:
    terminal = desk.terminal

    async def read_line(prompt: str) -> str:
        terminal.write_aside(prompt)
        try:
            with terminal.interrupts.reading():
                return input()  # noqa: ASYNC250  the loop has nothing else to do
        except (EOFError, KeyboardInterrupt):
            terminal.write_aside("\n")
            raise

    return LineReader(read_line, by_key=False)


def _editing_reader(desk: ChatContext) -> LineReader:
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
        desk.terminal.note("no input history is kept: its directory cannot be written")
    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory() if path is None else FileHistory(path),
        completer=WordCompleter([*COMMANDS, *(f"/model {name}" for name in MODELS)], sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        multiline=True,
        prompt_continuation=lambda width, _line, _wrapped: " " * width,
        output=create_output(stdout=desk.terminal.out if desk.terminal.out_is_terminal else desk.terminal.err),
    )
    bold = "bold" if desk.terminal.colours else ""

    async def read_line(prompt: str) -> str:
        return await session.prompt_async(FormattedText([(bold, prompt)]), handle_sigint=False)

    return LineReader(read_line, by_key=True)


def history_file(env: Mapping[str, str]) -> Path | None:
    """The file of the lines that were typed, for their owner's eyes alone; None where there can be none."""
    with suppress(OSError, RuntimeError):
        path = user_directory("state", env) / "history"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return path
    return None
