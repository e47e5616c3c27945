"""`Double`: a `ScriptedServer` in a thread of its own, for tests of any kind: blocking, in any event loop, of any program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from ..chaos import Chaos, Fault
from ..recordings.forward import Forward, LiveUpstream
from ..recordings.tape import Tape
from ..scripts import Script
from ..server import Play, Request, ScriptedServer
from .assertions import Assertions, in_thread

T = TypeVar("T")

#: Seconds for what takes a moment: to start, to end.
_PATIENCE = 30.0
#: What to do with a fault that did not happen.
_CURE = "play another answer, name another place, see that the client asks this server, or take it out"


class Double(Assertions):
    """A server for one test, on loopback: ``with scripted(Script.cut("Hel")) as llm: client(base_url=llm.url + "/v1")``.

    Made by `scripted`, `record`, `replay` and `live`. ``url``: what a client's base URL is; ``requests``: what came, as of
    `ScriptedServer`. ``chaos``: the faults, and what became of them.
    """

    def __init__(
        self, *scripts: Play, tape: Tape | None = None, upstream: LiveUpstream | None = None, chaos: Chaos | None = None
    ) -> None:
        self.tape = tape
        self.chaos = chaos or Chaos("ok")
        self._upstream = tape.upstream if tape is not None else upstream
        self._server = ScriptedServer(self._answer)
        #: Plays the scripts under the faults: it is asked for them, and serves nothing.
        self._scripts = ScriptedServer(*scripts)
        self._thread = threading.Thread(target=self._run, name="autonomousai.testing", daemon=True)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._leave = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The base URL: with the path that the upstream's has, and without a slash at its end."""
        return self._server.url + (self._upstream.path if self._upstream is not None else "")

    @property
    def requests(self) -> list[Request]:
        """The requests that came so far, in order."""
        return self._server.requests

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._server.connections

    @property
    def server(self) -> ScriptedServer:
        """What serves; it lives in another thread: see `run`."""
        return self._server

    @property
    def unplayed(self) -> int:
        """How many scripts no request has come for."""
        return self._scripts.unplayed

    def play(self, *scripts: Play, path: str | None = None) -> None:
        """Queue scripts; see `ScriptedServer.play`."""
        self._scripts.play(*scripts, path=path)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float = _PATIENCE) -> T:
        """Run a coroutine in the server's thread and return its result: ``llm.run(pause.reached.wait)``."""
        loop = self._started.result(_PATIENCE)
        future = asyncio.run_coroutine_threadsafe(work(), loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def problems(self) -> list[str]:
        """What no test should pass over: requests without a recording, faults that never happened, an upstream that failed."""
        found = list(self.tape.unmatched) if self.tape is not None else []
        found += [f"chaos that never happened, {told}: {_CURE}" for told in self.chaos.never_happened()]
        return found + (self._upstream.failures if self._upstream is not None else [])

    def log(self) -> str:
        """What came and how it ended, a line for each request; and what chaos did."""
        lines = [f"the server at {self.url} had {len(self.requests)} requests:"]
        strikes = {strike.number: strike for strike in self.chaos.strikes}
        for number, request in enumerate(list(self.requests)):
            told = f"  {number}. {request.method} {request.shown_path} -> {request.status or 'no answer'}, "
            told += f"{request.sent} bytes, {request.end or 'still open'}"
            lines.append(told + (f"; chaos: {strikes[number]}" if number in strikes else ""))
        if self.chaos.seed is not None:
            lines.append(f"chaos was drawn by the seed {self.chaos.seed}: Chaos(seed={self.chaos.seed}) draws it again")
        return "\n".join(lines)

    def start(self) -> Self:
        """Serve, until `stop`; once."""
        if self._thread.ident is not None:
            raise RuntimeError("this server was entered before; make another one with scripted(), record(), replay() or live()")
        self._thread.start()
        self._started.result(_PATIENCE)
        if self.tape is not None:
            self.tape.serve_at(self._server.url)
        return self

    def stop(self) -> None:
        """Close all connections and end the thread. Raises what went wrong in a script."""
        if not self._thread.is_alive():
            return
        self._started.result(_PATIENCE).call_soon_threadsafe(self._leave.set)
        self._thread.join(_PATIENCE)
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish(exc)

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await in_thread(partial(self._finish, exc))

    def _finish(self, exc: BaseException | None) -> None:
        """Stop, and write what was recorded, unless the block failed."""
        try:
            self.stop()
        finally:
            problems = self.problems()
            if exc is None and not problems and self.tape is not None and self.tape.is_changed:
                self.tape.save()
        if exc is None and problems:
            raise AssertionError("\n".join(problems))

    def _answer(self, request: Request) -> Script:
        fault = self.chaos.next()
        if fault is not None and fault.script is not None:
            return self.chaos.strike(request, fault, fault.script)
        script = self._source(request, fault)
        return script if fault is None else self.chaos.strike(request, fault, script)

    def _source(self, request: Request, fault: Fault | None) -> Script:
        if self.tape is not None:
            return self.tape.answer(request, keep=fault is not None and not fault.whole)
        if self._upstream is not None:
            return Script(Forward(self._upstream, request, self._server.url))
        script = self._scripts.take(request)
        self._scripts.requests.clear()
        return script

    def _run(self) -> None:
        """Serve in this thread. What keeps even a loop from being made (a plugin that blocks sockets) is raised by `start`."""
        serving = self._serve()
        try:
            asyncio.run(serving)
        except BaseException as error:
            serving.close()
            if not self._started.done():
                self._started.set_exception(error)

    async def _serve(self) -> None:
        try:
            async with self._server:
                self._started.set_result(asyncio.get_running_loop())
                await self._leave.wait()
        except BaseException as error:
            self._failure = error
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            if self._upstream is not None:
                await self._upstream.aclose()
