"""What a start imports: each module is read and run before anything happens, so a command brings what it needs alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autonomousai.testing import ScriptedServer
from tests.support.program import environment, finish, run, start

PACKAGE = "autonomousai"

#: Runs the program, and writes the names of all modules when a server listens, or at the end of another command.
TELLING = """
import atexit, builtins, json, sys
from autonomousai.__main__ import main
write = builtins.print
def tell():
    write(json.dumps(sorted(sys.modules)), flush=True, file=sys.stderr)
def print_after(*args, **options):
    if str(args[0]).startswith("listening on "):
        tell()
    write(*args, **options)
if sys.argv[1] == "serve":
    builtins.print = print_after
else:
    atexit.register(tell)
sys.exit(main())
"""
PROGRAM = (sys.executable, "-c", TELLING)

CONFIG = """
[upstreams.one]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
[models.some]
route = ["one"]
"""

#: What a server with one upstream over HTTP has no use for before it is asked for it.
NOT_SERVED = {
    "aiohttp",
    "alembic",
    "huggingface_hub",
    "importlib.metadata",
    "importlib.resources",
    "opentelemetry",
    "prometheus_client",
    "prompt_toolkit",
    "pydantic",
    "pygments",
    "redis",
    "sqlalchemy",
    "sqlite3",
    "xllamacpp",
    "zipfile",
    *(
        f"{PACKAGE}.{name}"
        for name in (
            "caching",
            "cli.chat",
            "cli.columns",
            "cli.config_commands",
            "cli.fetching",
            "cli.launch",
            "cli.local_servers",
            "cli.model_commands",
            "cli.render",
            "cli.views",
            "clients.anthropic",
            "clients.gemini",
            "clients.autonomousai",
            "engine.library",
            "engine.provider",
            "engine.weights",
            "keys.stores.redis",
            "keys.stores.sqlite",
            "server.engine_upstreams",
            "server.openapi.document",
            "streams.stores.redis",
            "streams.stores.sqlite",
            "telemetry.exposition",
            "workers.parent",
        )
    ),
}


def told(text: str) -> set[str]:
    """Return the modules that `TELLING` wrote among other lines."""
    (line,) = [line for line in text.splitlines() if line.startswith('["')]
    return set(json.loads(line))


def own(modules: set[str]) -> set[str]:
    """Return those of this package."""
    return {name for name in modules if name.partition(".")[0] == PACKAGE}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A newcomer's environment."""
    return environment(tmp_path)


async def serving(env: dict[str, str], tmp_path: Path) -> set[str]:
    """Return the modules of a server with one upstream at the moment when it listens."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    process = await start("serve", "--config", str(config), "--port", "0", env=env, program=PROGRAM)
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"listening on ")
    process.send_signal(signal.SIGTERM)
    return told((await finish(process)).err)


async def test_a_server_imports_what_its_config_needs(env: dict[str, str], tmp_path: Path) -> None:
    """No engine, no other command's modules, no store, client or library that is not configured, and nothing that a page of the
    server needs which was not asked for."""
    modules = await serving(env, tmp_path)

    assert set() == modules & NOT_SERVED
    assert len(own(modules)) <= 350
    assert len(modules) <= 650


async def test_a_chat_with_a_server_imports_one_client(env: dict[str, str]) -> None:
    """Neither the engine, nor the config of a server, nor the clients of other APIs."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", f"{server.url}/v1", "--model", "some", "Hi", env=env, program=PROGRAM)
    modules = told(ended.err)

    assert 0 == ended.code
    assert set() == modules & {f"{PACKAGE}.{name}" for name in ("config", "engine", "kinds", "server", "clients.anthropic")}
    assert len(own(modules)) <= 152


async def test_help_imports_no_command(env: dict[str, str]) -> None:
    """The words of the command line are enough for it."""
    ended = await run("--help", env=env, program=PROGRAM)

    assert 0 == ended.code
    assert len(own(told(ended.err))) <= 60


def test_the_process_of_the_engine_imports_no_client() -> None:
    """It reads weights and says two lines: no event loop and no HTTP is needed for that."""
    code = "import autonomousai.engine.child, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    modules = set(json.loads(done.stdout))

    assert set() == modules & {"asyncio", "ssl", f"{PACKAGE}.provider", f"{PACKAGE}.wires", f"{PACKAGE}.http"}
    assert len(own(modules)) <= 20
