"""Completion, as real shells do it with the scripts that the program prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autonomousai.cli import make_parser
from autonomousai.cli.completion import completion_script

#: Complete the words after "--", as bash does when Tab is pressed behind them.
PRESS_TAB = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p autonomousai | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "autonomousai.bash"
    path.write_text(completion_script("bash", make_parser()))
    return path


def completed(script: Path, line: str, **env: str) -> list[str]:
    """What bash offers for the last word of *line*."""
    command = ["bash", "--norc", "-c", PRESS_TAB, "bash", str(script), *line.split(" ")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", **env})
    assert "" == done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (
            "autonomousai ",
            ["chat", "serve", "history", "config", "pull", "doctor", "--version"],
        ),
        ("autonomousai ch", ["chat"]),
        ("autonomousai chat --te", ["--temperature", "--template"]),
        ("autonomousai chat --model qw", ["qwen_coder", "qwen-2.5-coder-32b"]),
        ("autonomousai chat --model llama -", ["--seed", "--image", "-t", "-c"]),
        ("autonomousai chat --image ", []),
        ("autonomousai chat ", []),
        ("autonomousai history ", ["list", "search", "show", "export", "delete", "path", "--json", "--limit"]),
        ("autonomousai history export --format ", ["markdown", "json"]),
        ("autonomousai config ", ["check", "show"]),
        ("autonomousai config check ", []),
        ("autonomousai pull ", ["smollm2-135m", "qwen_coder"]),
        ("autonomousai serve --port ", []),
        ("autonomousai launch ", ["codex", "claude", "opencode", "aider", "qwen"]),
        ("autonomousai launch --pr", ["--print"]),
        ("autonomousai completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_bash_offers_what_fits(line: str, offered: list[str], script: Path) -> None:
    """Commands, options and values of their place; nothing of our own where the shell shall offer files."""
    found = completed(script, line)

    assert set(offered) <= set(found)
    assert bool(offered) == bool(found)


def test_bash_asks_for_templates(script: Path, tmp_path: Path) -> None:
    """What is there at that moment is offered."""
    program = tmp_path / "autonomousai"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m autonomousai "$@"\n')
    program.chmod(0o755)
    templates = tmp_path / "autonomousai-config" / "autonomousai" / "templates"
    templates.mkdir(parents=True)
    (templates / "review.toml").write_text('prompt = "$input"')
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(templates.parents[1]), "PYTHONPATH": ":".join(sys.path)}

    assert ["review"] == completed(script, "autonomousai chat --template r", **env)


def test_every_option_is_offered_by_every_shell() -> None:
    """No option of any command is missing from a script."""
    scripts = {shell: completion_script(shell, make_parser()) for shell in ("bash", "zsh", "fish")}

    for option in ("--temperature", "--weights", "--workers", "--upstream", "--limit"):
        assert option in scripts["bash"]
        assert option in scripts["zsh"]
        assert f"-l {option[2:]} " in scripts["fish"]
