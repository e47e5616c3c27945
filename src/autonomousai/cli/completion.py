"""Scripts that make a shell complete this program, made from its argument parser. Knows the parser's shape, and no option.

What a shell can only ask the program for at that moment (templates, kept conversations) it asks.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..models import MODEL_ALIASES, MODELS, WEIGHTS
from .exit_codes import DONE
from .terminal import Terminal

SHELLS: Final = ("bash", "zsh", "fish")

_PROGRAM: Final = "autonomousai"
_CONVERSATIONS: Final = f"{_PROGRAM} history list -n 50 2>/dev/null | cut -d ' ' -f 1 | tail -n +2"
_INSTALLED: Final = f"{_PROGRAM} models list 2>/dev/null | cut -d ' ' -f 1 | tail -n +2"
_TEMPLATES: Final = f"{_PROGRAM} templates 2>/dev/null"
_MODELS: Final = " ".join((*MODELS, *MODEL_ALIASES))

#: What an argument may be, by command and name: words, or "$" and what prints them. Of the others shells complete files.
_VALUES: Final = {
    ("chat", "model"): _MODELS,
    ("chat", "weights"): " ".join(WEIGHTS),
    ("chat", "template"): f"${_TEMPLATES}",
    ("chat", "conversation"): f"${_CONVERSATIONS}",
    ("launch", "model"): _MODELS,
    ("pull", "name"): " ".join((*WEIGHTS, *MODELS)),
    ("models show", "name"): f"${_INSTALLED}",
    ("models remove", "name"): f"${_INSTALLED}",
    ("history show", "id"): f"${_CONVERSATIONS}",
    ("history export", "id"): f"${_CONVERSATIONS}",
    ("history delete", "id"): f"${_CONVERSATIONS}",
    ("templates show", "name"): f"${_TEMPLATES}",
    ("templates edit", "name"): f"${_TEMPLATES}",
    ("templates path", "name"): f"${_TEMPLATES}",
}


class _Command(NamedTuple):
    """A command as its parser describes it. ``path``: its words; ``commands``: those that follow it, with what they do."""

    path: str
    options: list[argparse.Action]
    arguments: list[argparse.Action]
    commands: dict[str, str]


def completion(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the script for a shell."""
    terminal.write(completion_script(args.shell, args.root))
    return DONE


def completion_script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script of *shell* for the program of *parser*."""
    commands = list(_walk(parser, ""))
    return _fish(commands) if shell == "fish" else _bash(commands, zsh=shell == "zsh")


def _walk(parser: argparse.ArgumentParser, path: str) -> Iterator[_Command]:
    actions = parser._actions  # the only way to read a parser; it has been so since there is argparse
    inside = next((action for action in actions if isinstance(action, argparse._SubParsersAction)), None)
    helps = {choice.dest: choice.help or "" for choice in inside._choices_actions} if inside else {}
    yield _Command(
        path,
        [action for action in actions if action.option_strings],
        [action for action in actions if not action.option_strings and action is not inside],
        helps,
    )
    for name, child in (inside.choices if inside else {}).items():
        yield from _walk(child, f"{path} {name}".strip())


def _values(command: _Command, action: argparse.Action) -> str:
    """Words, or "$" and a shell command; "" for a file or free text."""
    return " ".join(map(str, action.choices)) if action.choices else _VALUES.get((command.path, action.dest), "")


# ---- bash, and zsh that plays it

_BASH = """\
# Completion of {program} for {shell}.
{prelude}_{program}() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" at="" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at ${{COMP_WORDS[i]}}" in
      {paths}) at="$at ${{COMP_WORDS[i]}}" ;;
    esac
  done
  COMPREPLY=()
  case "$at $previous" in
{values}
  esac
  case "$at" in
{words}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o bashdefault -o default -F _{program} {program}
"""


def _bash(commands: list[_Command], *, zsh: bool) -> str:
    values, words = [], []
    for command in commands:
        at = f" {command.path}" if command.path else ""
        for action in command.options:
            if action.nargs == 0:
                continue
            places = "|".join(f'"{at} {option}"' for option in action.option_strings)
            given = _values(command, action)
            reply = f'COMPREPLY=($(compgen -W "{_asked(given)}" -- "$current")); ' if given else ""
            values.append(f"    {places}) {reply}return ;;")
        own = " ".join((*command.commands, *(option for action in command.options for option in action.option_strings)))
        more = " ".join(_asked(given) for action in command.arguments if (given := _values(command, action)))
        free = any(not _values(command, action) for action in command.arguments)
        # Where a file may stand, options are offered to who begins one alone: else the shell would never offer files.
        only = f'[[ $current == -* ]] || return; words="{own}"' if free else f'words="{own}{" " + more if more else ""}"'
        words.append(f'    "{at}") {only} ;;')
    return _BASH.format(
        program=_PROGRAM,
        shell="zsh" if zsh else "bash",
        prelude="autoload -U +X bashcompinit && bashcompinit\n" if zsh else "",
        paths="|".join(f'" {command.path}"' for command in commands if command.path),
        values="\n".join(values),
        words="\n".join(words),
    )


def _asked(given: str) -> str:
    return f"$({given[1:]})" if given.startswith("$") else given


# ---- fish


def _fish(commands: list[_Command]) -> str:
    lines = [f"# Completion of {_PROGRAM} for fish."]
    for command in commands:
        names = command.path.split()
        seen = [f"__fish_seen_subcommand_from {name}" for name in names]
        not_yet = [f"not __fish_seen_subcommand_from {' '.join(command.commands)}"] if command.commands else []
        here = f"complete -c {_PROGRAM} -n {shlex.quote('; and '.join([*seen, *not_yet]) or 'true')}"
        for name, words in command.commands.items():
            lines.append(f"{here} -f -a {name} -d {shlex.quote(words)}")
        for action in command.options:
            flags = " ".join(
                f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}" for option in action.option_strings
            )
            takes = "" if action.nargs == 0 else f" -r{_fish_words(command, action)}"
            lines.append(f"{here} {flags}{takes} -d {shlex.quote((action.help or '').split('; ')[0])}")
        lines += [f"{here}{words}" for action in command.arguments if (words := _fish_words(command, action))]
    return "\n".join(lines) + "\n"


def _fish_words(command: _Command, action: argparse.Action) -> str:
    given = _values(command, action)
    if not given:
        return ""
    return f" -f -a {shlex.quote(f'({given[1:]})' if given.startswith('$') else given)}"
