"""The parser of `parser`: what ``--help`` shows on one screen, what ``--help-all`` adds, and errors of one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from copy import copy
from textwrap import fill
from typing import Any, NoReturn

from ..suggestions import did_you_mean
from .terminal import silence

_SHORT_HELP = "show this help and exit"
_ALL_HELP = "all options, examples, exit codes, environment"

#: Characters of an argument that an error repeats.
_LONGEST = 100


def cut(text: str) -> str:
    """Return an argument as an error repeats it: the beginning of a long one."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """The same help with every version of Python: a value's name stands once, behind the last of its option's names."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, **{"max_help_position": 27, **kwargs})
        self._action_max_length = 15  # commands are indented once more than it thinks

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"


class _Help(argparse.Action):
    """``--help``, and with ``const`` true ``--help-all``."""

    def __init__(self, option_strings: Any, dest: str = argparse.SUPPRESS, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, **{"nargs": 0, "default": argparse.SUPPRESS, **kwargs})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        assert isinstance(parser, HelpParser)
        parser._print_message(parser.format_help() if self.const else parser.format_short_help(), sys.stdout)
        parser.exit()


class HelpParser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to read on; a screenful of usage would hide it.

    ``common``: the options that ``--help`` shows, in this order, each by its destination and with words that fit one line; by
    default all, as they are. ``details``: what ``--help-all`` adds to the description; ``more``: what it adds at the end.
    ``otherwise``: what is said of a word that is no command, nor like one.
    """

    def __init__(
        self,
        *,
        common: Mapping[str, str] | None = None,
        details: str = "",
        more: Iterable[str] = (),
        otherwise: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"formatter_class": _Formatter, "allow_abbrev": False, "add_help": False, **kwargs})
        self._common = common
        self._details = details
        self.otherwise = otherwise
        self._more = tuple(more)
        self.has_more = bool(common or details or self._more)
        self.add_argument("-h", "--help", action=_Help, help=_SHORT_HELP)
        self.add_argument("--help-all", action=_Help, const=True, help=_ALL_HELP if self.has_more else argparse.SUPPRESS)

    def add_subparsers(self, **kwargs: Any) -> Any:
        return super().add_subparsers(**{"parser_class": _CommandParser, **kwargs})

    def format_help(self) -> str:
        """Return what ``--help-all`` shows."""
        if not self.has_more:
            return super().format_help()
        whole = copy(self)
        whole.has_more = False
        whole.description = "\n".join(filter(None, (self.description, self._details)))
        whole.epilog = "\n".join(filter(None, (self.epilog, *self._more)))
        return whole.format_help()

    def format_short_help(self) -> str:
        """Return what ``--help`` shows."""
        formatter = self._get_formatter()
        positional = [action for action in self._actions if not action.option_strings]
        options = [action for action in self._actions if action.option_strings and action.help != argparse.SUPPRESS]
        shown = [action for action in options if not isinstance(action, _Help)]
        if self._common is not None:
            named = {action.dest: action for action in shown}
            shown = [_with_help(named[dest], words) for dest, words in self._common.items()]
        shown += [action for action in options if isinstance(action, _Help)]
        formatter.add_usage(self._short_usage(positional), self._actions, [])
        formatter.add_text(self.description)
        formatter.start_section(None)
        for action in positional:
            formatter.add_arguments(list(action._get_subactions()) if hasattr(action, "_get_subactions") else [action])
        formatter.add_arguments(shown)
        formatter.end_section()
        left = [action.option_strings[-1] for action in options if action.dest not in {each.dest for each in shown}]
        return "\n".join(filter(None, (formatter.format_help() + _further(left), self.epilog)))

    def _short_usage(self, positional: list[argparse.Action]) -> str:
        if self.usage:
            return self.usage
        formatter = self._get_formatter()
        words = [formatter._format_args(action, action.metavar or action.dest) for action in positional]  # type: ignore[arg-type]
        return " ".join(("%(prog)s", "[OPTION ...]", *words))

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does, but what standard output does not take is an error, and exit code 1."""
        out = file or sys.stderr
        if not message or out is None:
            return
        try:
            out.write(message)
            out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            if out is not sys.stdout:
                return
            silence(out)
            self.exit(1, f"{self.prog}: error: standard output cannot be written: {error.strerror}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message = error.message.replace(repr(value), repr(cut(str(value))))
            is_prompt = action.dest == "command" and not str(value).islower()  # "What", of several words
            meant = "" if is_prompt else did_you_mean(str(value)[:_LONGEST], map(str, action.choices or ()))
            error.message += meant or (self.otherwise if action.dest == "command" else "")
            raise

    def unknown(self, arguments: list[str], hint: str) -> NoReturn:
        """End for *arguments* that no option and no place takes."""
        option = next((each.partition("=")[0] for each in arguments if each.startswith("-")), "")
        meant = did_you_mean(option[:_LONGEST], self._option_string_actions)
        self.error(f"unrecognized arguments: {cut(' '.join(arguments))}{hint}{meant}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help says more\n")


class _CommandParser(HelpParser):
    """A command's own: what is wrong with its options is said in its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.set_defaults(parser=self)


def _with_help(action: argparse.Action, words: str) -> argparse.Action:
    changed = copy(action)
    changed.help = words
    return changed


def _further(options: list[str]) -> str:
    """Return the names of *options*, which the short help does not explain, in lines."""
    if not options:
        return ""
    return (
        fill(f"further: {' '.join(options)}", 79, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False) + "\n"
    )
