"""`Completion`: one answer as a blocking caller reads it, and `AnswerView`, what it and `AsyncResult` show of the answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from .errors import IncompleteStreamError
from .events import Chunk, FinishReason, ToolCall, Usage, as_readable, call_in_message
from .report import Report

if TYPE_CHECKING:
    from .answer import Answer

CLOSED = "the answer was closed before it was complete"
_READ_BY_ANOTHER = "another thread reads this answer; one thread iterates an answer, and each may call text()"
LEFT = "the answer was not read to its end; read on to its FinishReason before you take its text"


_BLOCKING: Final = (
    "this answer is read by blocking code: with for, with or text(); asyncio code calls chat() or create_async_generator()"
)


class AnswerView:
    """What has come of an answer: to be read at any time, and complete once `finish` is there.

    An answer that ended early has no `finish`, and what it raised tells why.
    """

    __slots__ = ("_answer",)

    _answer: Answer

    #: How an answer is read, for who looks at it before.
    _to_be_read = ""

    def __repr__(self) -> str:
        """Say how far the answer is, without its text: one that is printed unread was mostly to be read."""
        answer = self._answer
        name, length = type(self).__name__, len(answer.text)
        if answer.finish is not None:
            return f"<{name} complete, finish_reason {answer.finish.reason!r}, {length} characters>"
        return f"<{name} incomplete, {length} characters so far; {self._to_be_read}>"

    def __reduce__(self) -> NoReturn:
        kept = "keep its text(), as_message() or finish"
        raise TypeError(f"{type(self).__name__} reads from a connection and cannot be copied or pickled; {kept}")

    @property
    def answer(self) -> Answer:
        """Return the answer as far as it has come."""
        return self._answer

    @property
    def text_so_far(self) -> str:
        """Return the text that has come until now, without waiting for more."""
        return self._answer.text

    @property
    def reasoning(self) -> str:
        """Return the reasoning that has come until now; `""` where the model shows none."""
        return self._answer.reasoning

    @property
    def refusal(self) -> str:
        """Return the model's words of refusal that have come until now, which are no part of the text; `""` where it does not
        refuse."""
        return self._answer.refusal

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls that have come until now: complete, with all their arguments, once `finish` is there."""
        calls, finish = self._answer.tool_calls, self._answer.finish
        if calls is None:
            return ()
        return calls.calls if finish is None else as_readable(calls, finish.reason).calls

    @property
    def finish(self) -> FinishReason | None:
        """Return the `FinishReason`, once it has come."""
        return self._answer.finish

    @property
    def usage(self) -> Usage | None:
        """Return the tokens that the upstream counted; None before the end, and where it counted none."""
        return None if self._answer.finish is None else self._answer.finish.usage

    @property
    def report(self) -> Report | None:
        """Return how the answer came about, where a gateway made it: filled while it answers."""
        return self._answer.report

    @property
    def model(self) -> str | None:
        """Return the model that answers, as the upstream names it; None before the first event, or where it named none."""
        return self._answer.model

    @property
    def upstream(self) -> str | None:
        """Return which upstream of a gateway answers; None elsewhere."""
        return self._answer.upstream

    def as_message(self) -> dict[str, Any]:
        """Return the answer as a message of the assistant, with its tool calls, to be appended to the messages of the next
        request. Beside calls it has the model's reasoning, which models that think between their calls want back: its text, and
        what its vendor signed or encrypted. Raises `IncompleteStreamError` where the answer is not complete.

        Example::

            results = [{"role": "tool", "tool_call_id": call.id, "content": run(call)} for call in result.tool_calls]
            messages.extend([result.as_message(), *results])
        """
        if self._answer.finish is None:
            raise IncompleteStreamError(LEFT, partial=self._answer.text)
        message: dict[str, Any] = {"role": "assistant", "content": self._answer.text or None}
        if self._answer.refusal:
            message["refusal"] = self._answer.refusal
        calls = self.tool_calls
        if calls:
            message["tool_calls"] = [call_in_message(call) for call in calls]
            if self._answer.reasoning:
                message["reasoning_content"] = self._answer.reasoning
            if self._answer.others:
                from .reasoning_details import sealed_members  # noqa: PLC0415  few models sign what they think

                message |= sealed_members(self._answer.others)
        else:
            message["content"] = self._answer.text
        return message


class Completion(AnswerView):
    """One answer for a blocking caller: an iterator of the chunks of `AsyncResult`, a context manager, and something to close.

    Making it does no I/O. Iterating ends with one `FinishReason`, or raises. Closing it, leaving the ``with`` block and
    dropping it close the HTTP response at once.

    Example::

        with provider.create_completion("llama", messages, stream=True) as completion:
            for text in completion.texts():
                print(text, end="")
        print(completion.usage)
    """

    __slots__ = ("__weakref__", "_chunks", "_error", "_hang_up", "_is_begun", "_is_delivered", "_reading")

    _to_be_read = "iterate it, or call text()"

    def __init__(self, chunks: Generator[Chunk], answer: Answer, hang_up: Callable[[], None]) -> None:
        self._answer = answer
        self._chunks = chunks
        self._hang_up = hang_up
        self._error: Exception | None = None
        self._is_begun = False
        self._is_delivered = False
        self._reading = Lock()  # of the thread that reads all of it: the others that want the text wait

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        self._is_begun = True
        if self._error is not None:
            raise self._error
        try:
            chunk = next(self._chunks)
        except StopIteration:
            if self._is_delivered:
                raise
            raise IncompleteStreamError(CLOSED, partial=self._answer.text) from None
        except Exception as error:
            if getattr(self._chunks, "gi_running", False):  # the error is not the answer's: it goes to this thread alone
                raise RuntimeError(_READ_BY_ANOTHER) from None
            self._error = error
            raise
        self._is_delivered = type(chunk) is FinishReason
        return chunk

    if not TYPE_CHECKING:  # type checkers find it without these

        def __aiter__(self):
            raise TypeError(_BLOCKING)

        def __aenter__(self):
            raise TypeError(_BLOCKING)

        def __aexit__(self, *_):
            """Be there, so that Python calls `__aenter__`, which says what to write."""

    def texts(self) -> Iterator[str]:
        """Iterate the pieces of the text alone, so that they can be joined; what else comes is read later from `tool_calls`,
        `reasoning`, `finish`."""
        return (chunk for chunk in self if isinstance(chunk, str))

    def text(self) -> str:
        """Read to the end and return the text; after the end return it again. Several threads may call it at once. See
        `AsyncResult.text`."""
        with self._reading:
            if not self._is_begun:
                for _ in self:
                    pass
        if self._error is not None:
            raise self._error
        if not self._is_delivered:
            raise IncompleteStreamError(LEFT, partial=self._answer.text)
        return self._answer.text

    def close(self) -> None:
        """Close the response now. Safe to call again, and while another thread reads: that one gets an
        `IncompleteStreamError` at once."""
        self._is_begun = True
        try:
            self._chunks.close()
        except ValueError:  # another thread is in it
            self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
