"""The commands of a conversation: lines that begin with a slash."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...errors import ProviderError
from ...events import Message
from ...models import MODELS
from ...suggestions import did_you_mean
from ..errors import in_words
from ..exit_codes import UsageError
from .context import make_question, with_system
from .files import STDIN, dropped_name, file_text, with_files
from .images import image_part
from .session import SessionRunner, words_of
from .transcripts import transcript_json, transcript_markdown


class Command(NamedTuple):
    """A slash command: what it takes, what it does, and the name of the method that does it."""

    usage: str
    help: str
    method: str


COMMANDS: dict[str, Command] = {
    "/model": Command("[NAME]", "show the models, or ask NAME from now on", "model"),
    "/system": Command("[TEXT]", 'show the system message, or set it ("": the model\'s own)', "system"),
    "/models": Command("", "list the models that can be called", "models"),
    "/file": Command("FILE", "send a text or PDF file along with the next question", "file"),
    "/image": Command("FILE", "send an image along with the next question", "image"),
    "/retry": Command("", "ask the last question again, in place of its answer", "retry"),
    "/edit": Command("[TEXT]", "change the last question, and ask it in place of the old one", "edit"),
    "/undo": Command("", "forget the last question and its answer", "undo"),
    "/copy": Command("", "copy the last answer to the clipboard", "copy"),
    "/clear": Command("", "forget what was said; model and system message stay", "clear"),
    "/save": Command("FILE", "write the conversation to FILE: Markdown, or .json", "save"),
    "/help": Command("", "show this", "help"),
    "/quit": Command("", "leave, as Ctrl-D, exit and quit do", "quit"),
}

HELP_TAIL = """\
Enter sends, Alt-Enter begins a new line, the arrow keys bring back what was
typed, Ctrl-C stops an answer. A line that begins with a space is sent as it is,
even if a slash follows.
"""


class SlashCommands:
    """Does what they say. ``leaving``: the person wants to go; ``draft``: what the next line begins with, to be edited in place
    of the last question. ``can_edit``: whether a line can begin with a draft."""

    def __init__(self, session: SessionRunner, *, can_edit: bool) -> None:
        self.session = session
        self.context = session.context
        self.terminal = session.context.terminal
        self.leaving = False
        self.draft = ""
        self._can_edit = can_edit
        #: What goes with the next question.
        self._images = list(self.context.settings.images)
        self._files: list[str] = []
        self._saved: Path | None = None

    def question(self, line: str) -> Message:
        """Return the question that the person typed, with what goes with it."""
        text = self.context.settings.template.fill(line)
        question = make_question(with_files(self._files, text), self._images)
        self._images, self._files = [], []
        return question

    async def do(self, line: str) -> Message | None:
        """Do what a line that begins with a slash says. Returns the question that is to be asked for it, where there is one."""
        name, _, argument = line.partition(" ")
        name = {"/exit": "/quit", "/?": "/help"}.get(name.strip(), name.strip())
        if name not in COMMANDS:
            hint = "/help shows those there are (a space before it sends it as it is)"
            self.terminal.note(f"there is no command {name}; {hint}{did_you_mean(name, COMMANDS)}")
            return None
        done = getattr(self, COMMANDS[name].method)(argument.strip())
        question: Message | None = await done if isinstance(done, Awaitable) else done
        return question

    def help(self, _: str) -> None:
        width = max(len(f"{name} {command.usage}") for name, command in COMMANDS.items())
        for name, command in COMMANDS.items():
            self.terminal.write_aside(f"  {f'{name} {command.usage}'.ljust(width)}  {command.help}\n")
        self.terminal.write_aside(HELP_TAIL)

    def model(self, argument: str) -> None:
        settings, upstream = self.context.settings, self.context.upstream
        if not argument and not upstream.has_ours:
            self.terminal.note(f"{upstream.who(settings.model)}; /models lists what it has")
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
        settings = self.context.settings
        if argument:
            settings.system = None if argument in ('""', "''") else argument
        self.terminal.note("system message: " + (settings.system or "the model's own"))

    def clear(self, _: str) -> None:
        self.session.begin_anew()
        self.terminal.note("forgotten")

    def image(self, argument: str) -> None:
        if argument in ("", STDIN):
            self.terminal.error("/image needs the name of a file")
            return
        try:
            self.context.upstream.check_sight()
            self._images.append(image_part(dropped_name(argument)))
        except (ProviderError, UsageError) as error:
            self.terminal.error(str(error).replace("--image", "/image"))
        else:
            self.terminal.note("it goes with the next question")

    def file(self, argument: str) -> None:
        if argument in ("", STDIN):
            self.terminal.error("/file needs the name of a file")
            return
        argument = dropped_name(argument)
        try:
            file_text(argument)
        except (ProviderError, UsageError) as error:
            self.terminal.error(str(error).replace("--file", "/file"))
        else:
            self._files.append(argument)
            self.terminal.note("it goes with the next question")

    async def models(self, _: str) -> None:
        try:
            names = await self.context.upstream.names()
        except ProviderError as error:
            self.terminal.error(in_words(error))
            return
        for name in names:
            self.terminal.write_aside(f"{'*' if name == self.context.settings.model else ' '} {name}\n")
        if not names:
            self.terminal.note("the server lists no models")

    def retry(self, _: str) -> Message | None:
        question = self.session.withdraw()
        if question is None:
            self.terminal.note("nothing was asked yet")
        return question

    def edit(self, argument: str) -> Message | None:
        before = self.session.last_question
        if before is None:
            self.terminal.note("nothing was asked yet")
        elif argument:
            return self.session.edited(argument)
        elif self._can_edit:
            self.draft = words_of(before)
        else:
            self.terminal.error("/edit needs the new question here")
        return None

    def undo(self, _: str) -> None:
        withdrawn = self.session.withdraw()
        self.terminal.note("nothing was asked yet" if withdrawn is None else "the last question and its answer are forgotten")

    def copy(self, _: str) -> None:
        answer = self.session.last_answer
        if answer is None:
            self.terminal.note("there is no answer yet")
            return
        self.terminal.copy(answer)
        self.terminal.note("copied, where the terminal allows it")

    def save(self, argument: str) -> None:
        if not argument:
            self.terminal.error("/save needs the name of a file")
            return
        path = Path(dropped_name(argument))
        with suppress(RuntimeError):  # a home that is not known is a name like any other
            path = path.expanduser()
        messages = with_system(self.context.settings.system, self.session.told())
        text = transcript_json(messages) if path.suffix == ".json" else transcript_markdown(messages)
        try:
            with path.open("w" if path == self._saved else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            self.terminal.error(f"{path} exists already; choose another name")
        except (OSError, ValueError) as error:
            self.terminal.error(f"cannot write {path}: {getattr(error, 'strerror', error)}")
        else:
            self._saved = path
            self.terminal.note(f"saved: {path}")

    def quit(self, _: str) -> None:
        self.leaving = True
