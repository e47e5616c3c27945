"""One conversation: what was said so far, and keeping it. Knows where questions are put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...errors import ConfigError, ProviderError
from ...events import Message, Messages
from ..errors import in_words
from ..exit_codes import UsageError
from ..terminal import Terminal
from .context import ChatContext

if TYPE_CHECKING:
    from .conversations import Conversation, Kept

#: Values of AUTONOMOUSAI_HISTORY that switch it off.
_OFF = frozenset({"0", "off", "no", "false"})


def keeps_history(env: Mapping[str, str]) -> bool:
    """Whether conversations are kept, as far as the environment says."""
    return env.get("AUTONOMOUSAI_HISTORY", "").strip().lower() not in _OFF


class Keeper:
    """Keeps one conversation as it grows. Where it cannot, it says so once: an answer matters more."""

    def __init__(self, terminal: Terminal, env: Mapping[str, str], *, writes: bool) -> None:
        self.conversation: str | None = None
        self._terminal = terminal
        self._env = env
        self.writes = writes

    def go_on(self, conversation: str | None) -> Conversation:
        """The kept conversation that this id, or its beginning, names; None names the last one. What follows is added to it."""
        from .conversations import Conversations, KeepError, NotKeptError, database  # noqa: PLC0415  sqlite3 comes with it

        try:
            with Conversations(database(self._env)) as kept:
                self.conversation = kept.find(conversation)
                return kept.load(self.conversation)
        except NotKeptError as error:
            raise UsageError(str(error)) from None
        except KeepError as error:
            raise ConfigError(str(error)) from None

    def keep(self, context: ChatContext, messages: list[Kept]) -> None:
        """Add these."""
        from .conversations import Conversations, KeepError, database  # noqa: PLC0415  sqlite3 comes with it

        settings = context.settings
        try:
            with Conversations(database(self._env)) as kept:
                self.conversation = kept.keep(
                    self.conversation,
                    model=settings.model,
                    system=settings.system,
                    messages=messages,
                    server=settings.server,
                )
        except KeepError as error:
            self.writes = False
            self._terminal.note(f"this conversation is not kept: {error}")

    def withdraw(self, count: int) -> None:
        """Delete the last *count* messages of the conversation."""
        from .conversations import Conversations, KeepError, database  # noqa: PLC0415  sqlite3 comes with it

        if self.conversation is None or not self.writes:
            return
        try:
            with Conversations(database(self._env)) as kept:
                kept.withdraw(self.conversation, count)
        except KeepError as error:
            self._terminal.note(f"what was withdrawn is still kept: {error}")


def words_of(question: Message) -> str:
    """Return the words of a question, without its images."""
    content = question["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part.get("type") == "text")


class SessionRunner:
    """What was said, and asking the next question upon it."""

    def __init__(self, context: ChatContext, keeper: Keeper) -> None:
        self.context = context
        self.messages: Messages = []
        #: Answers that are not whole, by their place, and why; what is saved says so.
        self._incomplete: dict[int, str] = {}
        #: The last question, where nothing was answered to it: it is none of the messages.
        self._unanswered: Message | None = None
        self._keeper = keeper

    @property
    def last_question(self) -> Message | None:
        """Return the question that was asked last, whether it was answered or not."""
        if self._unanswered is not None:
            return self._unanswered
        return self.messages[-2] if len(self.messages) > 1 else None

    @property
    def last_answer(self) -> str | None:
        """Return the text of the last answer, as far as it came."""
        return str(self.messages[-1]["content"]) if self.messages else None

    def withdraw(self) -> Message | None:
        """Forget the last question and its answer, also where they are kept. Returns the question; None where there is none."""
        question = self.last_question
        if question is None:
            return None
        if self._unanswered is None:
            self._incomplete.pop(len(self.messages) - 1, None)
            del self.messages[-2:]
        self._keeper.withdraw(1 if self._unanswered is not None else 2)
        self._unanswered = None
        return question

    def edited(self, text: str) -> Message | None:
        """Forget the last question and its answer, and return the same question with *text* in place of its words."""
        before = self.withdraw()
        if before is None or isinstance(before["content"], str):
            return before and {**before, "content": text}
        rest = [part for part in before["content"] if part.get("type") != "text"]
        return {**before, "content": [{"type": "text", "text": text}, *rest]}

    def go_on(self, conversation: Conversation) -> None:
        """Begin where a kept conversation ended."""
        self.messages = conversation.to_send()

    def begin_anew(self) -> None:
        """Forget what was said; what was kept stays, and what follows is another conversation."""
        self.messages.clear()
        self._incomplete.clear()
        self._unanswered = None
        self._keeper.conversation = None

    def told(self) -> Messages:
        """What was said, with a word at answers that are not whole."""
        return [
            {**message, "incomplete": self._incomplete[place]} if place in self._incomplete else message
            for place, message in enumerate(self.messages)
        ]

    async def ask(self, question: Message) -> None:
        """Ask, show, and remember both. What was stopped or broke half-way is remembered as far as it came; where nothing came,
        the question is withdrawn, so that the next one does not follow upon silence."""
        self.messages.append(question)
        self.context.answered, self.context.finish = "", None
        state, why = "stopped", ""
        try:
            await self.context.ask(self.messages)
            state = "whole"
        except ProviderError as error:
            state, why = "broke off", in_words(error)
            raise
        except BrokenPipeError:
            why = "the reader of the output left"
            raise
        finally:
            self._remember(question, state, why)

    def _remember(self, question: Message, state: str, why: str) -> None:
        answer, finish = self.context.answered, self.context.finish
        self._unanswered = None if answer else question
        if answer:
            self.messages.append({"role": "assistant", "content": answer})
            if state != "whole":
                self._incomplete[len(self.messages) - 1] = state
        else:
            self.messages.pop()
        if not self._keeper.writes:
            return
        from .conversations import FAILED, WHOLE, Kept  # noqa: PLC0415  sqlite3 comes with it

        asked = Kept(
            "user", question["content"], at=self.context.asked_at, state=WHOLE if answer else FAILED, why="" if answer else why
        )
        reply = Kept("assistant", answer, state=state, why=why)
        if finish is not None:
            reply.model, reply.reason = finish.model, finish.reason
            if finish.usage is not None:
                reply.prompt_tokens, reply.completion_tokens = finish.usage.prompt_tokens, finish.usage.completion_tokens
        self._keeper.keep(self.context, [asked, reply] if answer else [asked])


async def ask_once(session: SessionRunner, question: Message) -> None:
    """One question, one answer."""
    with session.context.terminal.interrupts.cancel_main():
        try:
            await session.ask(question)
        finally:
            await session.context.upstream.aclose()
