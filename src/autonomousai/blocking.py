"""An event loop in a thread of its own, for callers who block. Knows asyncio and threads, nothing of providers.

It lives until it is closed, or forgotten, or the interpreter ends: then what runs in it is cancelled, and what is open in it is
closed. No caller waits for it for ever.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Seconds that the interpreter's end may wait: an engine that does not listen is killed before that.
_FAREWELL: Final = 5.0

#: Seconds that a loop which was forgotten still runs, for what was forgotten with it and is still to be closed in it: the
#: collector has an order of its own.
_LINGER: Final = 0.5

#: The threads that run, and what ends each of them.
_running: dict[threading.Thread, Callable[[], None]] = {}


class ClosedError(RuntimeError):
    """There is no background any more."""

    def __init__(self) -> None:
        super().__init__("the background loop was closed")


class EndedError(RuntimeError):
    """The interpreter ends, and runs no further thread."""

    def __init__(self) -> None:
        super().__init__("the interpreter is ending, and starts no thread any more: make blocking calls before that")


class BackgroundLoop:
    """One event loop in a thread of its own."""

    def __init__(self) -> None:
        if sys.is_finalizing():  # Python 3.11 would wait for the thread for ever, and later ones start none
            raise EndedError
        # The thread knows nothing of us: so we can be forgotten while it runs, which ends it.
        self._over = over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._end = partial(_end, self._loop, over)
        self._guard = threading.RLock()  # the collector may leave an iterator in the midst of it
        self._closed = False
        self._thread = threading.Thread(target=_live, args=(self._loop, over), name="autonomousai-background", daemon=True)
        atexit.unregister(_end_all)
        atexit.register(_end_all)
        _running[self._thread] = self._end
        try:
            self._thread.start()
        except RuntimeError:  # "can't create new thread at interpreter shutdown", which begins before exit handlers in 3.12.0
            del _running[self._thread]
            self._loop.close()
            raise EndedError from None

    @property
    def is_here(self) -> bool:
        """Whether it can be asked for anything. After a fork, the other process has no thread of this one."""
        return not self._closed and self._thread.is_alive()

    @property
    def is_asking(self) -> bool:
        """Whether it is its own thread that asks this, where nothing of it can be waited for."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* in the loop, whose end cancels it. Raises `ClosedError` after that end."""
        with self._guard:
            try:
                if self.is_here:
                    return asyncio.run_coroutine_threadsafe(work, self._loop)
            except RuntimeError:  # the loop has just been closed, by the interpreter's end
                pass
            work.close()
            raise ClosedError

    def call(self, function: Callable[[], object]) -> None:
        """Call *function* in the loop, soon. Raises `ClosedError` after its end."""
        with self._guard:
            try:
                if self.is_here:
                    self._loop.call_soon_threadsafe(function)
                    return
            except RuntimeError:  # as in `submit`
                pass
            raise ClosedError

    def close(self) -> None:
        """End it, and wait until it is gone."""
        with self._guard:
            self._closed = True
        self._end()
        if not self.is_asking:
            self._thread.join()

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._loop.call_later, _LINGER, self._over.set)


def _live(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """The life of the thread. The runner cancels what still runs at the end, and closes what is open."""
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(over.wait())
    except RuntimeError as error:
        # At its end Python 3.12 starts no thread any more, and the runner wants one to wait for those of the executor. It
        # does that last: what ran is cancelled by then, and the loop is closed all the same.
        if "interpreter shutdown" not in str(error):
            raise
    finally:
        del _running[threading.current_thread()]


def _end(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed already
        loop.call_soon_threadsafe(over.set)


def _end_all() -> None:
    """At the end of the interpreter."""
    running = dict(_running)
    until = time.monotonic() + _FAREWELL
    for end in running.values():
        end()
    for thread in running:
        thread.join(max(0.0, until - time.monotonic()))
