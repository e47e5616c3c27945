"""`autonomousai launch`, with programs on the PATH that only say how they were started."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from autonomousai.cli.agents import PROGRAMS
from autonomousai.testing import Script, ScriptedServer
from tests.support.program import Ended, finish, run, start

#: An agent: it prints its arguments and variables, asks the server for its models, and ends as DO says.
AGENT = f"""#!{sys.executable}
import json, os, signal, sys, time, urllib.request
told = {{"argv": sys.argv[1:], "env": dict(os.environ)}}
if url := os.environ.get("OPENAI_BASE_URL"):
    told["models"] = json.load(urllib.request.urlopen(url + "/models"))
print(json.dumps(told), flush=True)
do = os.environ.get("DO", "exit 0").split()
if do[0] == "exit":
    sys.exit(int(do[1]))
if do[0] == "die":
    os.kill(os.getpid(), int(do[1]))
if do[0] == "wait":
    got = []
    signal.signal(int(do[1]), lambda number, frame: got.append(number))
    print("ready", flush=True)
    while not got:
        time.sleep(0.01)
    sys.exit(40 + got[0])
"""
KEY = "sk-of-mine"
MODELS = {
    "data": [
        {"id": "big", "aliases": ["b"], "context_length": 200_000},
        {"id": "small", "aliases": [], "context_length": 4096},
        {"id": "unknown"},
    ]
}


@pytest.fixture
def agents(env: dict[str, str], tmp_path: Path) -> Path:
    """The directory on the PATH in which all agents are."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).write_text(AGENT)
        (directory / name).chmod(0o755)
    env["PATH"] = f"{directory}:{env['PATH']}"
    return directory


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server that lists three models."""
    async with ScriptedServer(Script.body(json.dumps(MODELS).encode())) as running:
        yield running


def looking_at(url: str) -> tuple[str, ...]:
    """The program, which looks for a running server at *url* in place of port 8000."""
    code = f"import sys; from autonomousai.cli import launch, main; launch.DEFAULT_SERVER = {url!r}; sys.exit(main())"
    return sys.executable, "-c", code


async def launched(*arguments: str, env: dict[str, str], code: int = 0, **options: Any) -> tuple[dict[str, Any], Ended]:
    """What the agent said of its start, and how all ended."""
    ended = await run("launch", *arguments, env=env, **options)
    assert code == ended.code, ended.err
    return json.loads(ended.out), ended


def config_of(env: dict[str, str]) -> Any:
    """The configuration that opencode is given."""
    return json.loads(env["OPENCODE_CONFIG_CONTENT"])


@pytest.mark.parametrize(
    ("program", "suffix"), [("codex", ""), ("claude", "/v1/"), ("opencode", "/"), ("aider", "/v1"), ("qwen", "")]
)
async def test_each_agent_is_pointed_at_the_server(
    program: str, suffix: str, agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """Each by its own variables and flags, and its own arguments come last and unchanged."""
    told, ended = await launched(
        "--base-url", server.url + suffix, "--api-key", KEY, program, "--model", "b", "--", "do", "--it", "--", "-c", env=env
    )

    root, base_url, got = server.url, f"{server.url}/v1", told["env"]
    given = {
        "codex": lambda: [
            *("-c", 'model_provider="autonomousai"', "-c", 'model="b"'),
            *("-c", 'model_providers.autonomousai.name="AutonomousAI"'),
            *("-c", f'model_providers.autonomousai.base_url="{base_url}"'),
            *("-c", 'model_providers.autonomousai.wire_api="responses"'),
            *("-c", 'model_providers.autonomousai.env_key="AUTONOMOUSAI_API_KEY"'),
            *("-c", "model_context_window=200000"),
        ],
        "claude": list,
        "opencode": list,
        "aider": lambda: ["--model", "openai/b", "--no-show-model-warnings"],
        "qwen": lambda: ["--auth-type", "openai"],
    }
    variables = {
        "codex": lambda: {"AUTONOMOUSAI_API_KEY": KEY},
        "claude": lambda: {
            "ANTHROPIC_BASE_URL": root,
            "ANTHROPIC_AUTH_TOKEN": KEY,
            "ANTHROPIC_API_KEY": "",
            "ANTHROPIC_MODEL": "b",
            "ANTHROPIC_SMALL_FAST_MODEL": "b",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": "b",
            "CLAUDE_CODE_SUBAGENT_MODEL": "b",
        },
        "opencode": lambda: {"AUTONOMOUSAI_API_KEY": KEY},
        "aider": lambda: {"OPENAI_API_BASE": base_url, "OPENAI_API_KEY": KEY},
        "qwen": lambda: {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "b"},
    }
    assert [*given[program](), "do", "--it", "--", "-c"] == told["argv"]
    assert variables[program]() == {name: got[name] for name in variables[program]()}
    assert f"Bearer {KEY}" == server.requests[0].headers["authorization"]
    assert "" == ended.err
    if program == "opencode":
        provider = config_of(got)["provider"]["autonomousai"]
        assert "autonomousai/b" == config_of(got)["model"]
        assert {"baseURL": base_url, "apiKey": "{env:AUTONOMOUSAI_API_KEY}"} == provider["options"]
        assert {"b": {"name": "b", "limit": {"context": 200_000, "output": 32_000}}} == provider["models"]


@pytest.mark.parametrize("command", ["exec", "resume", "review"])
async def test_codex_reads_our_flags_behind_its_command(
    command: str, agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """Where a command has flags `-c` of its own, Codex forgets those that stand before it."""
    told, _ = await launched("codex", "--base-url", server.url, "--", command, "-c", "x=1", env=env)

    assert [command, "-c", 'model_provider="autonomousai"'] == told["argv"][:3]
    assert ["-c", "x=1"] == told["argv"][-2:]


async def test_the_first_model_is_taken_where_none_is_named(agents: Path, server: ScriptedServer, env: dict[str, str]) -> None:
    """And an agent gets some key, without which it would not start; the server is not sent it."""
    told, _ = await launched("qwen", "--base-url", server.url, env=env)

    assert ("big", "none") == (told["env"]["OPENAI_MODEL"], told["env"]["OPENAI_API_KEY"])
    assert "authorization" not in server.requests[0].headers


async def test_the_first_model_that_will_do_is_taken(agents: Path, env: dict[str, str]) -> None:
    """None that makes embeddings, and none whose context is too small for the agent, as long as there is another."""
    entries = [{"id": "nomic-embed-text"}, {"id": "demo", "context_length": 4096}, {"id": "large"}]
    first, second = ({"data": entries[:count]} for count in (3, 2))
    async with ScriptedServer(*(Script.body(json.dumps(each).encode()) for each in (first, second))) as server:
        roomy, _ = await launched("qwen", "--base-url", server.url, env=env)
        small, _ = await launched("qwen", "--base-url", server.url, env=env)

    assert ("large", "demo") == (roomy["env"]["OPENAI_MODEL"], small["env"]["OPENAI_MODEL"])


async def test_the_server_and_its_key_come_from_the_environment(
    agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """AUTONOMOUSAI_BASE_URL and AUTONOMOUSAI_API_KEY, as for all other commands."""
    told, _ = await launched("qwen", env={**env, "AUTONOMOUSAI_BASE_URL": server.url, "AUTONOMOUSAI_API_KEY": KEY})

    assert (f"{server.url}/v1", KEY) == (told["env"]["OPENAI_BASE_URL"], told["env"]["OPENAI_API_KEY"])


async def test_a_server_that_runs_is_found(agents: Path, server: ScriptedServer, env: dict[str, str]) -> None:
    """Where no server is named, the usual address is looked at, and nothing is started."""
    told, ended = await launched("qwen", env=env, program=looking_at(server.url))

    assert f"{server.url}/v1" == told["env"]["OPENAI_BASE_URL"]
    assert "" == ended.err


async def test_a_server_of_ones_own_lives_as_long_as_the_agent(
    agents: Path, server: ScriptedServer, env: dict[str, str], tmp_path: Path
) -> None:
    """It serves what the config says, takes the key of the config, says nothing on the agent's terminal, and ends with it."""
    config = tmp_path / "own.toml"
    config.write_text(
        f"""
        [server]
        api_keys = ["{KEY}"]
        [upstreams.far]
        kind = "openai"
        base_url = "{server.url}/v1"
        [models.mine]
        route = ["far"]
        """
    )

    told, ended = await launched("aider", "--config", str(config), env={**env, "DO": "exit 7"}, code=7)

    url = told["env"]["OPENAI_API_BASE"]
    assert ["--model", "openai/mine"] == told["argv"][:2]
    assert KEY == told["env"]["OPENAI_API_KEY"]
    assert f"autonomousai: started a server on {url.removesuffix('/v1')}, until Aider ends\n" == ended.err
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.removesuffix("/v1").rpartition(":")[2]))


#: An agent that is written with Anthropic's SDK, which reads the same variables as Claude Code does.
WITH_THE_SDK = f"""#!{sys.executable}
import anthropic, json, os
message = anthropic.Anthropic().messages.create(
    model=os.environ["ANTHROPIC_MODEL"], max_tokens=9, messages=[{{"role": "user", "content": "Hello"}}]
)
print(json.dumps({{"text": message.content[0].text}}))
"""


async def test_claude_gets_in_by_its_variables(agents: Path, env: dict[str, str], tmp_path: Path) -> None:
    """A client that reads them is let in with the server's key, and a key for the vendor is not sent along."""
    (agents / "claude").write_text(WITH_THE_SDK)
    config = tmp_path / "own.toml"
    async with ScriptedServer() as server:
        config.write_text(
            f"""
            [server]
            api_keys = ["{KEY}"]
            [upstreams.far]
            kind = "openai"
            base_url = "{server.url}/v1"
            [models.mine]
            route = ["far"]
            """
        )
        told, _ = await launched("claude", "--config", str(config), env={**env, "ANTHROPIC_API_KEY": "sk-ant-vendors"})

    assert {"text": "Hello world"} == told


async def test_what_listens_there_and_is_no_server_of_models_is_passed_by(
    agents: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Another program's page on the usual port is no reason to fail: a server is started, and told why it cannot be."""
    async with ScriptedServer(Script.html()) as page:
        ended = await run("launch", "qwen", env=env, program=without_engine(page.url))

    assert (3, "") == (ended.code, ended.out)
    assert "the embedded engine is not installed" in ended.err


def without_engine(url: str) -> tuple[str, ...]:
    """The program, which looks at *url*, where the engine is not installed."""
    python, option, code = looking_at(url)
    return python, option, f"import importlib.util as u; u.find_spec = lambda name: None; {code}"


async def test_a_server_that_cannot_start_says_why(agents: Path, env: dict[str, str], tmp_path: Path) -> None:
    """What it wrote is shown, and the exit code is that of something to set up."""
    config = tmp_path / "own.toml"
    config.write_text(
        """
        [server]
        state = "sqlite:/nowhere/at/all.db"
        [upstreams.far]
        kind = "openai"
        base_url = "http://127.0.0.1:1/v1"
        [models.mine]
        route = ["far"]
        """
    )

    ended = await run("launch", "qwen", "--config", str(config), env=env)

    assert (3, "") == (ended.code, ended.out)
    assert "/nowhere/at" in ended.err
    assert ended.err.endswith("autonomousai: error: the server could not be started\n")


@pytest.mark.parametrize(
    ("model", "program", "warns"),
    [
        ("small", "codex", True),
        ("small", "aider", True),
        ("big", "codex", False),
        ("unknown", "codex", False),
    ],
)
async def test_a_context_that_is_too_small_is_told(
    model: str, program: str, warns: bool, agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """On standard error, before the agent starts or is printed; it is started all the same."""
    arguments = ["--base-url", server.url, "--model", model]
    _, ended = await launched(program, *arguments, env=env)
    printed = await run("launch", program, "--print", *arguments, env=env)
    warning = "autonomousai: the context of small is too small: it has 4,096 tokens, and "

    assert [warns, warns] == [each.err.startswith(warning) for each in (ended, printed)]
    assert bool(ended.err) == warns


@pytest.mark.parametrize("program", ["codex", "aider"])
async def test_a_program_that_is_missing(program: str, env: dict[str, str], tmp_path: Path) -> None:
    """One line says how to install it, and nothing is asked or started."""
    ended = await run("launch", program, env={**env, "PATH": str(tmp_path)})

    assert (3, "") == (ended.code, ended.out)
    (line,) = ended.err.splitlines()
    assert line.startswith(f"autonomousai: error: {PROGRAMS[program].title} is not installed")
    assert line.endswith(f"run: {PROGRAMS[program].install}")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["qwen", "--model", "bigg"], 2, "did you mean big?"),
        (["qwen", "--yolo"], 2, "arguments of the program come after --"),
        (["qwen", "fix it"], 2, "arguments of the program come after --"),
        (["qwenn"], 2, "did you mean qwen?"),
        (["qwen", "--config", "x.toml"], 2, "--config is for a server that is started"),
        ([], 2, "required: PROGRAM"),
    ],
)
async def test_mistakes_on_the_command_line(
    arguments: list[str], code: int, told: str, agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """One line says what is wrong, and no agent is started."""
    ended = await run("launch", *arguments, env={**env, "AUTONOMOUSAI_BASE_URL": server.url})

    assert (code, "") == (ended.code, ended.out)
    assert told in ended.err
    assert "--wire" not in ended.err  # an option of `chat` alone


async def test_a_server_without_a_list_needs_a_model_named(agents: Path, env: dict[str, str]) -> None:
    """With a name it is used; without one, that is said."""
    async with ScriptedServer(Script.status(404)) as server:
        ended = await run("launch", "claude", "--base-url", server.url, env=env)
        told, _ = await launched("claude", "--base-url", server.url, "--model", "mine", env=env)

    assert (2, "") == (ended.code, ended.out)
    assert "name one with --model" in ended.err
    assert "mine" == told["env"]["ANTHROPIC_MODEL"]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_named_server_that_refuses(status: int, agents: Path, env: dict[str, str]) -> None:
    """No agent is started against it."""
    async with ScriptedServer(Script.status(status)) as server:
        ended = await run("launch", "qwen", "--base-url", server.url, env=env)

    assert (1, "") == (ended.code, ended.out)
    assert str(status) in ended.err


@pytest.mark.parametrize(("do", "code"), [("exit 0", 0), ("exit 3", 3), ("die 15", 143), ("die 9", 137)])
async def test_the_exit_code_is_the_agents(
    do: str, code: int, agents: Path, server: ScriptedServer, env: dict[str, str]
) -> None:
    """One that died by a signal counts as in a shell."""
    await launched("qwen", "--base-url", server.url, env={**env, "DO": do}, code=code)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_are_the_agents(number: int, agents: Path, server: ScriptedServer, env: dict[str, str]) -> None:
    """The agent gets them, and decides whether it ends."""
    env = {**env, "DO": f"wait {int(number)}"}
    process = await start("launch", "qwen", "--base-url", server.url, env=env, start_new_session=True)
    assert process.stdout is not None
    while await process.stdout.readline() != b"ready\n":
        pass

    process.send_signal(number)

    assert 40 + number == (await finish(process)).code


async def test_print_shows_what_a_shell_would_run(server: ScriptedServer, env: dict[str, str], tmp_path: Path) -> None:
    """The agent need not be installed; the key is hidden, unless it is asked for; nothing but the command is on stdout."""
    arguments = ["launch", "claude", "--base-url", server.url, "--api-key", KEY, "--print"]

    hidden = await run(*arguments, "--", "-p", "What is this?", env={**env, "PATH": str(tmp_path)})
    shown = await run(*arguments, "--show-key", env=env)

    lines = hidden.out.split(" \\\n")
    assert (0, "") == (hidden.code, hidden.err)
    assert f"ANTHROPIC_BASE_URL={server.url}" in lines
    assert "ANTHROPIC_AUTH_TOKEN='***'" in lines
    assert "claude -p 'What is this?'\n" == lines[-1]
    assert f"ANTHROPIC_AUTH_TOKEN={KEY}" in shown.out.split(" \\\n")
    assert KEY not in hidden.out


@pytest.mark.parametrize("program", ["codex", "claude", "opencode"])
async def test_what_is_printed_can_be_run(program: str, agents: Path, server: ScriptedServer, env: dict[str, str]) -> None:
    """A shell that is given it starts the agent as `launch` itself does."""
    arguments = ["--base-url", server.url, program, "--", "a b", "$c", "'"]
    told, _ = await launched(*arguments, env=env)
    printed = await run("launch", "--print", "--show-key", *arguments, env=env)

    by_hand = await finish(await start(printed.out, program=("sh", "-c"), env=env))

    again = json.loads(by_hand.out)
    assert told["argv"] == again["argv"]
    ours = {name for name in told["env"] if name not in env} - {"_", "PWD", "SHLVL", "OLDPWD"}
    assert {name: told["env"][name] for name in ours} == {name: again["env"][name] for name in ours}


async def test_print_needs_no_server(env: dict[str, str]) -> None:
    """What would be run is shown with the usual address and model, and that nobody answers there."""
    async with ScriptedServer() as gone:
        url = gone.url

    ended = await run("launch", "qwen", "--print", env=env, program=looking_at(url))

    assert 0 == ended.code
    assert f"OPENAI_BASE_URL={url}/v1 \\\n" in ended.out
    assert "OPENAI_MODEL=llama \\\n" in ended.out
    assert f"autonomousai: no server answers at {url}/v1; without --print, one is started\n" == ended.err
