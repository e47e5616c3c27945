"""The child process: llama.cpp serving the OpenAI wire on a Unix socket. Run as ``python -m`` by the supervisor alone.

It gets everything in one line of JSON on stdin (nothing secret in its arguments or environment), and says one line of JSON
on stdout: `EngineReady`, or why not. What else it or llama.cpp has to say goes to stderr. It ends when its stdin ends, and so
with its owner, however that ends; on Linux it hears of it even while it loads.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from .chat_template import thought_style, tool_style
from .gguf import read_head, read_tokenizer
from .ipc import EngineReady, EngineSettings
from .parent_death import die_with_parent

#: Tokens that are worked on at once. More, and a long prompt stalls every other stream for seconds, and cannot be cancelled.
_BATCH = 64

#: The same for weights that see: some read an image at once, whose tokens must all fit.
_SEEING_BATCH = 512

#: Looks at whether the weights are loaded: how many at the most, seconds each may take, and seconds between two.
_LOOKS = 6000
_LOOK = 10.0
_LOOK_PAUSE = 0.01

#: llama.cpp's log: errors alone.
_VERBOSITY = 1


def main() -> NoReturn:
    """Serve until stdin ends or SIGTERM comes."""
    die_with_parent(signal.SIGTERM)  # even while the weights load
    say = os.dup(1)  # our end closes it, and nothing before
    os.dup2(2, 1)  # whatever prints must not be taken for our word
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineSettings)
    try:
        tokenizer = read_tokenizer(Path(settings.weights))
        Path(settings.socket).unlink(missing_ok=True)  # one that died left it behind, and we could not listen there
        server = _serve(settings)
        _wait_until_loaded(settings.socket)
        properties = _properties(settings)
    except Exception as error:
        os.write(say, msgspec.json.encode(EngineReady(error=_reason(error))) + b"\n")
        sys.exit(1)  # not at once: a thread of llama.cpp has still to write down its log, which says why
    stop = _stop_signal()
    tools = tool_style(properties.chat_template, properties.chat_template_caps)
    thoughts = thought_style(properties.chat_template)
    ready = EngineReady(tokenizer.control, tokenizer.longest, "", tools, thoughts)
    os.write(say, msgspec.json.encode(ready) + b"\n")
    select.select([sys.stdin.fileno(), stop], [], [])  # nothing more is ever written to stdin: readable means its end
    _leave(Path(settings.socket), server)


def _serve(settings: EngineSettings) -> Any:
    """llama.cpp's server, listening. It holds the interpreter's lock while it loads: nothing else runs here until then."""
    import xllamacpp  # noqa: PLC0415  an optional extra: only here, in the child, which can say plainly that it is missing

    params = xllamacpp.CommonParams()
    params.model.path = settings.weights
    params.model_alias = {settings.name}
    params.n_parallel = settings.slots
    params.n_ctx = settings.context * settings.slots
    params.kv_unified = False  # overcommitted, every running answer would fail together
    params.n_batch = params.n_ubatch = _BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads or _threads()
    params.fit_params = False  # what does not fit is an error, not another context
    params.cache_prompt = False  # unless a request asks for it: with it, a seed does not repeat an answer
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.verbosity = _VERBOSITY
    params.ui = False
    if settings.task != "chat":
        _encode(params, settings)
    if settings.task == "rerank":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    elif settings.task == "embeddings" and not _pools(settings):
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if settings.projector:
        params.mmproj.path = settings.projector
        params.n_batch = params.n_ubatch = _SEEING_BATCH
    params.endpoint_slots = False  # it would show prompts
    params.endpoint_metrics = True
    params.cors_origins = ""
    params.api_keys = [settings.api_key]
    params.hostnames = [settings.socket]
    params.n_threads_http = settings.slots + 4
    return xllamacpp.Server(params)


def _encode(params: Any, settings: EngineSettings) -> None:
    """For weights that make embeddings, in the way that their file names, or rank documents. They read a text at once: beyond
    what they were made for, they would read past the end of their own tables."""
    fields = read_head(Path(settings.weights)).fields
    longest = fields.get(f"{fields.get('general.architecture')}.context_length", settings.context)
    params.embedding = True
    params.n_batch = params.n_ubatch = min(settings.context, longest)
    params.n_ctx = params.n_batch * settings.slots


def _pools(settings: EngineSettings) -> bool:
    """Return whether the file of the weights names a way of making one vector of those of all tokens: one for chats has none,
    and llama.cpp refuses each text then."""
    fields = read_head(Path(settings.weights)).fields
    return bool(fields.get(f"{fields.get('general.architecture')}.pooling_type"))


def _wait_until_loaded(path: str) -> None:
    """It listens a moment before the weights are loaded, and answers 503 until then."""
    for _ in range(_LOOKS):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_LOOK)
            connection.connect(path)
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            if b" 200 " in connection.recv(32):
                return
        time.sleep(_LOOK_PAUSE)
    raise TimeoutError("llama.cpp listens, but its weights do not get loaded")


class _Properties(msgspec.Struct):
    """What is read of llama.cpp's properties."""

    chat_template: str = ""
    chat_template_caps: dict[str, Any] = {}


def _properties(settings: EngineSettings) -> _Properties:
    """What llama.cpp says of the weights, once they are loaded; nothing where it does not say it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_LOOK)
        connection.connect(settings.socket)
        connection.sendall(f"GET /props HTTP/1.0\r\nAuthorization: Bearer {settings.api_key}\r\n\r\n".encode())
        answer = b"".join(iter(partial(connection.recv, 1 << 16), b""))
    try:
        return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=_Properties)
    except msgspec.DecodeError:
        return _Properties()


def _threads() -> int:
    """One less than this process may use: with all of them a busy server and its engine starve each other."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, available - 1)


def _reason(error: Exception) -> str:
    if isinstance(error, ImportError):
        if ".so" in str(error):  # it is installed, and a library of the system is not
            return f"llama.cpp cannot be loaded here ({error}); on Debian, for libgomp run: apt-get install libgomp1"
        return f"llama.cpp is not installed here ({error}); run: pip install 'autonomousai[local]'"
    return f"{type(error).__name__}: {error}"


def _stop_signal() -> int:
    """A descriptor that becomes readable at SIGTERM, whichever thread gets it. Until now SIGTERM just ended the process."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return reader


def _leave(path: Path, server: Any) -> NoReturn:
    """Go at once, whatever llama.cpp is doing, and take the socket and its directory along where no other process will."""
    with contextlib.suppress(OSError):
        path.unlink()
        path.parent.rmdir()
    os._exit(0)


if __name__ == "__main__":
    main()
