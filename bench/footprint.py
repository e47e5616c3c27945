"""Count the files, functions and classes of the package that one streamed request enters.

    python bench/footprint.py [--source PATH/TO/src] [--json FILE] [--list]

Each subject runs in a process of its own and counts with `sys.setprofile`: a client that streams from a scripted server, and
`autonomousai serve` in front of a scripted OpenAI upstream. The counts are those of the steady state. The first requests, which
import modules and open connections, are not counted; of the later ones, what every single one of them entered is counted, from
before the request is sent until the server has put it away.

- A function is a code object of the package that was entered; comprehensions belong to the function around them.
- A class is one whose method was entered. Inherited methods count for the class that defines them.
- A file is a module with such a function.

Knows the package by its files alone, and starts it by its public names: a renamed module changes nothing here. ``--source``
counts another checkout, ``--list`` prints what was entered. Exits 1 when a count exceeds its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

SOURCE = Path(__file__).resolve().parents[1] / "src"

#: Requests before the first that is counted, and requests that are counted.
WARM_UPS, COUNTED = 2, 6

#: Events of an answer, and seconds between two of a paced one: longer in all than any period of a timer in the package.
EVENTS, INTERVAL_S = 20, 0.02

#: Seconds after an answer's last byte in which the server still works for it: it gathers log lines, and puts the stream away.
SETTLE_S = 0.35

#: Seconds until a subject that does not answer is a failure.
PATIENCE_S = 60

MESSAGES = [{"role": "user", "content": "Hello! Tell me of the fox, and of the lazy dog."}]

#: Functions that are entered once in each second: requests on a busy machine take that long, and each would enter them.
ONCE_A_SECOND = frozenset({"date_line"})

COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


class Footprint(NamedTuple):
    """How much of the package a request enters."""

    files: int
    functions: int
    classes: int


#: The most that a request of each subject enters. A change that enters less lowers it.
LIMITS: dict[str, Footprint] = {
    "client OpenAICompatible": Footprint(20, 93, 17),
    "client AutonomousAI": Footprint(20, 91, 22),
    "server burst": Footprint(32, 91, 27),
    "server paced": Footprint(42, 199, 42),
    "server paced, usage": Footprint(42, 200, 42),
    "server resumable": Footprint(48, 254, 51),
}


@dataclass(frozen=True, order=True)
class Function:
    """One function of the package: its file below the package, its qualified name, and its line."""

    file: str
    name: str
    line: int

    @property
    def owner(self) -> str | None:
        """The class that defines it, with its file; None for a function of a module."""
        for part in reversed(self.name.split(".<locals>.")):
            if "." in part:
                return f"{self.file}:{part.partition('.')[0]}"
        return None


def footprint(functions: Iterable[Function]) -> Footprint:
    """Return the counts of these functions."""
    entered = set(functions)
    owners = {function.owner for function in entered} - {None}
    return Footprint(len({function.file for function in entered}), len(entered), len(owners))


class Recorder:
    """Records which functions of the package in *folder* are entered while it is on: by its thread, and by later ones."""

    def __init__(self, folder: Path) -> None:
        self._root = f"{folder}{os.sep}"
        self._codes: set[CodeType] = set()
        self._is_on = False
        threading.setprofile(self._enter)

    def start(self) -> None:
        self._codes = set()
        self._is_on = True
        sys.setprofile(self._enter)

    def stop(self) -> list[Function]:
        """Return what was entered since `start`."""
        sys.setprofile(None)
        self._is_on = False
        return sorted(
            Function(code.co_filename.removeprefix(self._root), code.co_qualname, code.co_firstlineno)
            for code in self._codes
            if code.co_filename.startswith(self._root)
            and code.co_flags & inspect.CO_OPTIMIZED  # the bodies of modules and classes are not
            and code.co_name not in COMPREHENSIONS | ONCE_A_SECOND
        )

    def _enter(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and self._is_on:
            self._codes.add(frame.f_code)


def tell(functions: Sequence[Function]) -> None:
    """Write a line on stdout at once: a signal may come amid another write."""
    os.write(1, json.dumps([(entry.file, entry.name, entry.line) for entry in functions]).encode() + b"\n")


# ---- subjects: each in a process of its own


def read_environment_once() -> None:
    """Proxies of the environment are read once a second: on a busy machine that would be at each request."""
    from autonomousai.http import pool  # noqa: PLC0415  of the checkout that is counted

    if hasattr(pool, "_ENVIRONMENT_S"):
        pool._ENVIRONMENT_S = inf


def run_client(name: str, url: str) -> None:
    """Stream answers with a client, and write what each request entered."""
    import autonomousai  # noqa: PLC0415

    client = autonomousai.AutonomousAI(url) if name == "AutonomousAI" else autonomousai.OpenAICompatible(f"{url}/v1")
    model = "llama" if name == "AutonomousAI" else "scripted"
    recorder = Recorder(Path(autonomousai.__file__).parent)
    read_environment_once()

    async def ask() -> None:
        for _ in range(WARM_UPS + COUNTED):
            recorder.start()
            async with client.create_async_generator(model, MESSAGES, stream=True) as result:
                text = "".join([chunk async for chunk in result if type(chunk) is str])
            await asyncio.sleep(SETTLE_S)
            entered = recorder.stop()
            if text != TEXT:
                raise SystemExit(f"another answer: {text!r}")
            tell(entered)
        await client.aclose()

    asyncio.run(ask())


def run_server(arguments: Sequence[str]) -> None:
    """Run the command line, and start or stop the recorder at each SIGUSR1."""
    import autonomousai  # noqa: PLC0415
    from autonomousai.cli import main  # noqa: PLC0415

    recorder = Recorder(Path(autonomousai.__file__).parent)
    read_environment_once()
    is_on = False

    def toggle(number: int, frame: FrameType | None) -> None:
        nonlocal is_on
        is_on = not is_on
        if is_on:
            tell([])
            recorder.start()
        else:
            tell(recorder.stop())

    signal.signal(signal.SIGUSR1, toggle)
    sys.exit(main(list(arguments)))


# ---- the upstream and the caller: here


WORDS = [f" word{number}" for number in range(EVENTS)]
TEXT = "".join(WORDS)


def writes(*, paced: bool, usage: bool) -> list[bytes]:
    """Return an OpenAI stream as the writes that it is sent in: each event in one of its own, or all in one."""
    from autonomousai.testing import chunks  # noqa: PLC0415  not from the checkout that is counted

    tokens = {"prompt_tokens": 9, "completion_tokens": EVENTS, "total_tokens": 9 + EVENTS} if usage else None
    events = [part + b"\n\n" for part in chunks(*WORDS, usage=tokens).split(b"\n\n")[:-1]]
    framed = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [head + framed[0] + framed[1], *framed[2 : EVENTS + 1], b"".join(framed[EVENTS + 1 :]) + b"0\r\n\r\n"]
    return parts if paced else [b"".join(parts)]


class Writes:
    """A step of a script: these bytes, each in a write of its own."""

    def __init__(self, writes: Sequence[bytes]) -> None:
        self._writes = writes

    async def play(self, line: Any) -> None:
        line.framing = "length"  # the bytes bring their own framing
        for number, data in enumerate(self._writes):
            if number:
                await asyncio.sleep(INTERVAL_S)
            await line.write(data)


@asynccontextmanager
async def upstream(*, paced: bool = True, usage: bool = False) -> AsyncIterator[str]:
    """Serve that stream to every request; give the server's root."""
    from autonomousai.testing import Script, ScriptedServer  # noqa: PLC0415

    async with ScriptedServer(Script(Writes(writes(paced=paced, usage=usage)))) as server:
        yield server.url


@asynccontextmanager
async def subject(source: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of this script that imports the package from *source*."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        yield process
    except Exception as error:
        if process.returncode is None:
            process.kill()
        raise RuntimeError(f"{' '.join(arguments)}: {error!r}\n{(await said).decode()}") from error
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await said


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        line = await process.stdout.readline()
    if not line:
        raise EOFError("it has ended")
    return line.decode()


def heard(line: str) -> set[Function]:
    return {Function(*fields) for fields in json.loads(line)}


async def count_client(source: Path, name: str) -> set[Function]:
    """Return what each request of a client enters."""
    async with upstream() as url, subject(source, "run-client", name, url) as process:
        rounds = [heard(await line_of(process)) for _ in range(WARM_UPS + COUNTED)]
    return set.intersection(*rounds[WARM_UPS:])


async def count_server(source: Path, *, headers: str = "", **answers: bool) -> set[Function]:
    """Return what each request to the server enters, sent over one connection that is kept alive."""
    body = json.dumps({"model": "bench", "messages": MESSAGES, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.toml"
        async with upstream(**answers) as url:
            upstreams = f'[upstreams.there]\nkind = "openai"\nbase_url = "{url}/v1"\n'
            config.write_text(upstreams + '[models.bench]\nroute = ["there"]\n', encoding="utf-8")
            async with subject(source, "run-server", "serve", "--config", str(config), "--port", "0") as process:
                port = int((await line_of(process)).rpartition(":")[2].strip().rstrip("/"))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for _ in range(WARM_UPS + COUNTED):
                    process.send_signal(signal.SIGUSR1)
                    await line_of(process)
                    writer.write(request)
                    async with asyncio.timeout(PATIENCE_S):
                        answer = await reader.readuntil(b"\r\n0\r\n\r\n")
                    if answer.count(b'"content":" word') != EVENTS or b"data: [DONE]" not in answer:
                        raise ValueError(f"another answer: {answer!r}")
                    await asyncio.sleep(SETTLE_S)
                    process.send_signal(signal.SIGUSR1)
                    rounds.append(heard(await line_of(process)))
                writer.close()
                await writer.wait_closed()
    return set.intersection(*rounds[WARM_UPS:])


async def count(source: Path = SOURCE) -> dict[str, set[Function]]:
    """Return what one request enters, by subject."""
    counts = {
        "client OpenAICompatible": count_client(source, "OpenAICompatible"),
        "client AutonomousAI": count_client(source, "AutonomousAI"),
        "server burst": count_server(source, paced=False),
        "server paced": count_server(source),
        "server paced, usage": count_server(source, usage=True),
        "server resumable": count_server(source, headers="X-Stream-Resumable: 1\r\n"),
    }
    return dict(zip(counts, await asyncio.gather(*counts.values()), strict=True))


# ---- the report


def exceeded(counts: dict[str, Footprint]) -> list[str]:
    """Return a sentence for each count that exceeds its limit."""
    return [
        f"{subject}: {getattr(found, unit)} {unit}, {getattr(LIMITS[subject], unit)} allowed"
        for subject, found in counts.items()
        for unit in Footprint._fields
        if getattr(found, unit) > getattr(LIMITS[subject], unit)
    ]


def show(counts: dict[str, Footprint]) -> str:
    """Return a table in Markdown."""
    lines = ["| one streamed request | files | functions | classes |", "|---|---:|---:|---:|"]
    lines += [f"| {subject} | {found.files} | {found.functions} | {found.classes} |" for subject, found in counts.items()]
    return "\n".join(lines)


def main() -> int:
    if sys.argv[1:2] == ["run-client"]:
        run_client(*sys.argv[2:])
        return 0
    if sys.argv[1:2] == ["run-server"]:
        run_server(sys.argv[2:])
    parser = argparse.ArgumentParser(description="Files, functions and classes that one streamed request enters.")
    parser.add_argument(
        "--source", type=Path, default=SOURCE, help="the src folder of the checkout to count; this one's by default"
    )
    parser.add_argument("--json", type=Path, help="write counts and functions there")
    parser.add_argument("--list", action="store_true", help="print the functions too")
    options = parser.parse_args()
    entered = asyncio.run(count(options.source.resolve()))
    counts = {name: footprint(functions) for name, functions in entered.items()}
    print(show(counts))
    if options.list:
        for name, functions in entered.items():
            print(f"\n{name}")
            print("\n".join(f"  {entry.file}:{entry.line} {entry.name}" for entry in sorted(functions)))
    if options.json is not None:
        document = {
            name: {**counts[name]._asdict(), "entered": [f"{entry.file}:{entry.name}" for entry in sorted(functions)]}
            for name, functions in entered.items()
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for sentence in (missed := exceeded(counts)):
        print(sentence, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
