"""The documentation keeps its promises: examples run, commands exist, links and named tests are there, decisions are short."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai import AsyncOpenAI

from autonomousai import IncompleteStreamError, OpenAICompatible, key_references
from autonomousai.clients.vendors import ANTHROPIC_VENDOR, VENDORS
from autonomousai.config import check_exposure, load_config
from autonomousai.testing import Script, ScriptedServer

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
#: The address that the documents write for a running server.
ADDRESS = "http://127.0.0.1:8000"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[tuple[Path, int, str]]:
    """Every fenced block of a language: document, line, text."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}(?: title=\"[^\"]+\")?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found.append((path, text.count("\n", 0, match.start()) + 1, match[1]))
    return found


#: Pages whose files and commands are followed step by step, in a copy of the package: `tests/test_extending.py`. The tutorial's
#: are too, see `tests/test_tutorial.py`, but may be run by themselves.
EXTENDING = ("add-a-wire.md", "add-an-upstream-kind.md")
#: Its files are tests: `tests/testing/test_guide.py`.
TESTS = "pytest.md"
FOLLOWED = ("tutorial.md", TESTS, *EXTENDING)

PYTHON = {f"{name_of(path)}:{line}": text for path, line, text in blocks("python") if path.name not in (TESTS, *EXTENDING)}
#: Examples that call a vendor's own address, or Ollama's.
HOSTED = {where: text for where, text in PYTHON.items() if re.search(r'\(vendor="\w+"\)|OpenAI\(\)', text)}
EXAMPLES = {where: text for where, text in PYTHON.items() if where not in HOSTED}
COMMANDS = [
    (f"{name_of(path)}:{line}", command)
    for path, line, text in blocks("sh")
    for command in text.splitlines()
    if command.strip() and not command.startswith("#")
    if path.name not in FOLLOWED or command.startswith(("make ", "pip "))  # their others are run
]
CONFIGS = {f"{name_of(path)}:{line}": text for path, line, text in blocks("toml") if path.name not in EXTENDING}


def run_python(path: Path, *, server: str = "http://127.0.0.1:9", more: Mapping[str, str] | None = None) -> str:
    """Run a script as a newcomer would; its output, or what went wrong. Warnings are errors."""
    env = {**os.environ, "AUTONOMOUSAI_BASE_URL": server, **(more or {})}
    done = subprocess.run([sys.executable, "-W", "error", path], env=env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr
    return done.stdout


@pytest.mark.parametrize("where", HOSTED)
async def test_every_example_of_a_hosted_api_runs(where: str, tmp_path: Path) -> None:
    """As it stands, with a key, but for the address: a scripted server answers in place of the vendor's."""
    script = tmp_path / "example.py"
    async with ScriptedServer() as server:
        text = re.sub(r'vendor="(\w+)"', rf'"{server.url}/v1", vendor="\1"', HOSTED[where])
        script.write_text(text, encoding="utf-8")
        more = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{server.url}/v1"}

        printed = await asyncio.to_thread(run_python, script, more=more)

    assert "Hello world" in printed
    assert 1 == len(server.requests)


@pytest.mark.parametrize("where", EXAMPLES)
def test_every_python_example_runs(where: str, real_server: str, tmp_path: Path) -> None:
    """As it stands, but for the address of the server."""
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[where].replace(ADDRESS, real_server), encoding="utf-8")

    run_python(script)


def test_the_documents_example_runs_word_for_word(real_server: str, tmp_path: Path) -> None:
    """The mission document's example, after the two imports that it leaves out, prints an answer and the end."""
    example = (ROOT / "docs/examples/mission.py").read_text(encoding="utf-8")
    script = tmp_path / "mission.py"
    script.write_text(f"import asyncio\nfrom autonomousai import AutonomousAI\n{example}", encoding="utf-8")

    printed = run_python(script, server=real_server)

    assert printed.strip()
    assert printed.endswith("\n\n"), "the finish reason prints as nothing"


def test_what_may_be_missing_is_looked_at_before_it_is_used() -> None:
    """`finish` and `usage` may be None, so that a type checker refuses an example that does not ask."""
    used = re.compile(r"\b(\w+\.finish)\.|\b(finish\.usage)\.")
    careless = [
        (where, name)
        for where, text in PYTHON.items()
        for name in {one or other for one, other in used.findall(text)}
        if not re.search(rf"assert {re.escape(name)}\b|\b{re.escape(name)} and\b|if {re.escape(name)}\b", text)
    ]

    assert [] == careless


def test_the_documents_example_is_the_documents() -> None:
    """Nobody has improved it."""
    example = (ROOT / "docs/examples/mission.py").read_text(encoding="utf-8")

    assert 'async with AutonomousAI.create_async_generator(model="llama", messages=messages) as result:' in example
    assert {"messages", "main"} == {
        node.name if isinstance(node, ast.AsyncFunctionDef) else ast.unparse(node.targets[0])
        for node in ast.parse(example).body
        if isinstance(node, ast.AsyncFunctionDef | ast.Assign)
    }
    assert "import" not in example


def program_of(command: str) -> list[str]:
    """The words of each of our programs in a pipeline."""
    return shlex.split(command.rpartition("|")[2], comments=True)


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[f"{where} {command[:40]}" for where, command in COMMANDS])
def test_every_shell_command_exists(where: str, command: str) -> None:
    """Ours are in --help with their options, make's in the Makefile, pip's extras in pyproject.toml, scripts in the tree."""
    program, *words = program_of(command)
    if program == "make":
        assert re.search(rf"^{re.escape(words[0])}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "autonomousai":
        shown = help_of(*words[: 2 if words[0] in ("history", "templates", "config", "keys") else 1])
        assert [] == [word for word in words if word.startswith("--") and word not in shown]
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[-1].removeprefix(".[").removesuffix("]") in extras or words == ["install", "openai"]
    elif program == "keyring":
        assert ["set", key_references.SERVICE] == words[:2]
    elif program == "python" and words[0] == "-c":
        assert subprocess.run([sys.executable, *words], capture_output=True, check=True).stdout
    elif program == "python" and words[0] == "-m":
        assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file()
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert "pytest" == program, f"{where}: nobody checks {program}"


def help_of(*command: str) -> list[str]:
    """The words of ``autonomousai COMMAND --help``."""
    done = subprocess.run(
        [sys.executable, "-m", "autonomousai", *command, "--help"], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return re.findall(r"--[a-z-]+", done.stdout)


def test_the_command_lines_reference_is_what_help_says() -> None:
    """docs/cli.md was made from this program; `python docs/make_cli.py` makes it again. Its line breaks do not matter."""
    made = subprocess.run(
        [sys.executable, "-c", "from make_cli import cli_document; print(cli_document())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "docs",
    )

    assert made.stdout.split() == (ROOT / "docs/cli.md").read_text(encoding="utf-8").split()


def test_the_generated_references_are_what_the_program_says() -> None:
    """docs/reference was made from this program; `python docs/make_reference.py` makes it again."""
    made = subprocess.run(
        [sys.executable, "-c", "import json, make_reference as m; print(json.dumps({n: f() for n, f in m.PAGES.items()}))"],
        capture_output=True, text=True, check=True, cwd=ROOT / "docs",
    )  # fmt: skip

    for name, text in json.loads(made.stdout).items():
        assert text == (ROOT / "docs" / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("where", CONFIGS)
def test_every_config_can_be_served(where: str, tmp_path: Path) -> None:
    """As it stands, with whatever variables it names: something is served, and to nobody who may not ask."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIGS[where], encoding="utf-8")

    rows = [*VENDORS.values(), ANTHROPIC_VENDOR]
    variables = [*re.findall(r"env:(\w+)", CONFIGS[where]), *(row.key_env for row in rows)]
    config = load_config(path, dict.fromkeys(variables, "key"))

    assert config.served()
    check_exposure(config.server)


def test_a_scrape_config_and_a_proxys_are_well_formed() -> None:
    """YAML is read; nginx's braces close, and it hands on the Host header and each event at once."""
    ((_, _, proxy),) = blocks("nginx")

    assert all(yaml.safe_load(text) for _, _, text in blocks("yaml"))
    assert proxy.count("{") == proxy.count("}")
    assert "proxy_buffering off;" in proxy
    assert "proxy_set_header Host $host;" in proxy


async def test_openai_takes_an_early_end_for_an_answer() -> None:
    """What README says of openai-python, and of us, in its table: a body that ends in good order without evidence."""
    messages: Any = [{"role": "user", "content": "Hello"}]
    async with ScriptedServer(Script.cut("Hel", terminator=True)) as server:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(model="llama", messages=messages, stream=True)
            theirs = [chunk.choices[0].delta.content async for chunk in stream]
        async with OpenAICompatible(f"{server.url}/v1") as provider:
            with pytest.raises(IncompleteStreamError) as ours:
                await provider.create_async_generator("llama", messages, stream=True).text()

    assert "Hel" == "".join(text or "" for text in theirs)
    assert "Hel" == ours.value.partial


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file or folder of the tree, and its anchor a heading there."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)

    broken = [link for link in links if not link.startswith("https://") and not leads_somewhere(path, link)]

    assert [] == broken


def leads_somewhere(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return not anchor or anchor in anchors


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_named_file_and_test_is_there(path: Path) -> None:
    """`tests/….py::test_name` names a test that exists, and `src/….py` a file that does."""
    text = path.read_text(encoding="utf-8")
    missing = []
    for file, _, test in re.findall(r"`((?:tests|src|docs)/[\w/]+\.py)(::(\w+))?`", text):
        source = ROOT / file
        if not source.is_file() or (test and f"def {test}(" not in source.read_text(encoding="utf-8")):
            missing.append(f"{file}::{test}")

    assert [] == missing


def test_every_address_is_served(real_server: str) -> None:
    """A path that a document writes after the server's address is one that the server knows."""
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    paths = set(re.findall(rf"{re.escape(ADDRESS)}(/[\w/-]+)", text))

    unknown = [path for path in paths - {"/v1"} if status_of(real_server + path) == 404]

    assert [] == unknown


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_is_short_and_names_what_was_rejected(path: Path) -> None:
    """At most 40 lines; a decision without its rejected alternative is not one."""
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 40
    assert "**Decision.**" in text
    assert "**Rejected:" in text
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", path.stem)


def test_there_are_examples_and_commands() -> None:
    """The checks above have something to check."""
    assert len(EXAMPLES) >= 5
    assert len(COMMANDS) >= 10


def test_the_two_commands_stand_first() -> None:
    """The one that shows an answer, and the one that runs the tests, which is what CI runs."""
    commands = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert commands is not None
    first, second = (line.partition("#")[0].strip() for line in commands[1].splitlines())

    assert ("make chat", "make test") == (first, second)
    assert second in (ROOT / ".ci/run").read_text(encoding="utf-8")
