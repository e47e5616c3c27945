"""The servers that can be measured, and how each is started before the upstream: ours, the pipes, and the peers.

Knows their command lines. Where a peer is not installed, or does not start, that is said, and the others go on.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from measure import BENCH, ROOT, SUBJECT_CORE, log_file, start, stop
from traffic import MESSAGES

ENVIRONMENTS = ROOT / ".venv-peers"

#: Seconds that a server may take to answer its first request.
PATIENCE = 90

OURS = "ours"
PIPE = "pipe"
BARE = "no upstream"


class Kind(NamedTuple):
    """``command``: from the upstream's URL, a free port and a folder of its own. ``slowness``: how many times fewer requests
    it is given, so that its rounds end. ``pause``: how many times longer the pauses of its paced streams are, so that it can
    follow. ``small_only``: it has no streams. ``authorization``: the header by which it knows its callers, if it asks.
    ``headers``: others that it wants, from the upstream's URL."""

    command: Callable[[str, int, Path], Sequence[str | Path]]
    slowness: int = 1
    pause: int = 1
    small_only: bool = False
    authorization: str = ""
    headers: Callable[[str], dict[str, str]] = lambda upstream: {}


def _ours(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
    config = folder / "config.toml"
    config.write_text(
        f"[server]\nmax_concurrency = 10000\n"
        f'[upstreams.there]\nkind = "openai"\nbase_url = "{upstream}/v1"\n'
        f'[models.bench]\nroute = ["there"]\n[models.llama]\nroute = ["there"]\n',
        encoding="utf-8",
    )
    return [sys.executable, "-m", "autonomousai", "serve", "--config", config, "--port", str(port)]


def _pipe(kind: str) -> Callable[[str, int, Path], Sequence[str | Path]]:
    return lambda upstream, port, folder: [sys.executable, BENCH / "pipe.py", kind, upstream, str(port)]


def _nginx(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
    config = folder / "nginx.conf"
    config.write_text(
        f"""
daemon off; worker_processes 1; user root; pid {folder}/nginx.pid; error_log stderr error; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 100000000;
  upstream there {{ server {upstream.removeprefix("http://")}; keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{ proxy_pass http://there; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
""",
        encoding="utf-8",
    )
    return ["nginx", "-c", config]


def litellm(upstream: str, port: int, folder: Path, *, provider: str = "openai", granian: bool = False) -> Sequence[str | Path]:
    """LiteLLM's proxy, on uvicorn or on *granian*. ``provider``: by its name for it; ``openai`` is asked over the Responses API
    where its caller speaks another wire than chat completions."""
    config = folder / "config.json"  # which is YAML too
    parameters = {"model": f"{provider}/bench", "api_base": f"{upstream}/v1", "api_key": "none"}
    models = [{"model_name": "bench", "litellm_params": parameters}]
    settings = {"dangerously_permit_weak_or_unset_master_key": True}
    config.write_text(json.dumps({"model_list": models, "general_settings": settings}), encoding="utf-8")
    program = ENVIRONMENTS / "litellm/bin/litellm"
    return [
        program,
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
        "--telemetry",
        "False",
        *(["--run_granian"] if granian else []),
    ]


def _portkey(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
    return [
        "node",
        ENVIRONMENTS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js",
        f"--port={port}",
        "--headless",
    ]


def _to_portkey(upstream: str) -> dict[str, str]:
    """Portkey is told by each request what to ask."""
    return {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{upstream}/v1",
        "Authorization": "Bearer none",
    }


def _router(name: str, *module: str) -> Callable[[str, int, Path], Sequence[str | Path]]:
    def command(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
        words = [ENVIRONMENTS / name / "bin/python", "-m", *module, "--host", "127.0.0.1", "--port", str(port)]
        words += ["--prometheus-port", str(free_port())]
        return [*words, "--worker-urls", upstream, "--policy", "round_robin", "--log-level", "error"]

    return command


SERVERS: dict[str, Kind] = {
    OURS: Kind(_ours),
    PIPE: Kind(_pipe("forward")),
    BARE: Kind(_pipe("answer"), small_only=True),
}

PEERS: dict[str, Kind] = {
    "nginx": Kind(_nginx),
    "vllm-router": Kind(_router("vllm-router", "vllm_router.launch_router")),
    "sglang-router": Kind(_router("sglang-router", "sglang_router.launch_router")),
    "litellm": Kind(litellm, slowness=40, pause=16),
    "litellm, granian": Kind(partial(litellm, granian=True), slowness=40, pause=16),
    "portkey": Kind(_portkey, slowness=8, pause=4, headers=_to_portkey),
}


class Server:
    """One of them, running on the subject's core. Raises `RuntimeError` where it does not come to answer."""

    def __init__(self, name: str, kind: Kind, upstream: str, *extra: str, cores: Sequence[int] = SUBJECT_CORE) -> None:
        self.name = name
        self.kind = kind
        self.port = free_port()
        self._headers = kind.headers(upstream) | ({"Authorization": kind.authorization} if kind.authorization else {})
        self._folder = tempfile.TemporaryDirectory(prefix=f"bench-{name.replace(' ', '-')}-")
        command = [*kind.command(upstream, self.port, Path(self._folder.name)), *extra]
        if not Path(command[0]).exists() and shutil.which(str(command[0])) is None:
            raise RuntimeError(f"{command[0]} is not installed")
        with log_file(name) as log:
            environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it looks for it on the web
            self.process = start(command, cores, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            self._await_answer()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def headers(self) -> list[str]:
        """The header lines without which it answers no request."""
        return [f"{name}: {value}" for name, value in self._headers.items()]

    def close(self) -> None:
        stop(self.process)
        self._folder.cleanup()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        said = ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with status {self.process.returncode}; see .bench/{self.name}.log")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                body = json.dumps({"model": "bench", "messages": MESSAGES})
                headers = {"Content-Type": "application/json", **self._headers}
                connection.request("POST", "/v1/chat/completions", body, headers)
                response = connection.getresponse()
                said = f"{response.status} {response.read(200)!r}"
                connection.close()
                if response.status == 200:
                    return
            except (OSError, http.client.HTTPException) as error:
                said = str(error)
            time.sleep(0.05)
        raise RuntimeError(f"it did not answer within {PATIENCE} s; last: {said}; see .bench/{self.name}.log")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
