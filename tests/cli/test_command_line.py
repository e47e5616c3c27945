"""Words, options, help and exit codes, of a program that was just installed."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import pytest

from autonomousai import __version__
from autonomousai.cli import EXIT_CODES, commands, exit_codes, make_parser
from autonomousai.cli.help_parser import HelpParser
from autonomousai.clients.vendors import ANTHROPIC_VENDOR, VENDORS
from autonomousai.errors import (
    ConfigError,
    ConnectError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.testing import ScriptedServer
from tests.support.program import finish, run, start, without

HEAVY = ("aiohttp", "rich", "pygments", "prompt_toolkit", "tomli_w", "xllamacpp", "starlette", "uvicorn", "sqlite3")


async def test_help_needs_no_manual(env: dict[str, str]) -> None:
    """`--help` shows the commands and examples, `--help-all` the exit codes and the environment variables too; both exit 0."""
    short = await run("--help", env=env)
    ended = await run("--help-all", env=env)

    assert [(0, ""), (0, "")] == [(each.code, each.err) for each in (short, ended)]
    assert all(word in short.out for word in ("chat", "serve", "models", "pull", "examples:", "--help-all"))
    for word in ("chat", "serve", "models", "pull", "examples:", "exit codes:", "130", *_VARIABLES):
        assert word in ended.out


_VARIABLES = ("AUTONOMOUSAI_BASE_URL", "AUTONOMOUSAI_API_KEY", "AUTONOMOUSAI_CACHE", "NO_COLOR")


def commands_of(parser: HelpParser) -> list[HelpParser]:
    """The parsers of all commands, and of theirs."""
    inside = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    children = [child for action in inside for child in action.choices.values()]
    return [*children, *(grandchild for child in children for grandchild in commands_of(child))]


@pytest.mark.parametrize("parser", commands_of(make_parser()), ids=lambda parser: parser.prog)
def test_every_command_has_help_that_fits_the_screen(parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command explains itself and every option, within 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = parser.format_help()

    assert [] == [line for line in shown.splitlines() if len(line) > 80]
    assert parser.description
    assert all(action.help for action in parser._actions if not isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("parser", [make_parser(), *commands_of(make_parser())], ids=lambda parser: parser.prog)
def test_help_is_one_screen(parser: HelpParser, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--help` takes 24 lines of 80 columns, and names each option; what it leaves out, `--help-all` has."""
    monkeypatch.setenv("COLUMNS", "80")
    shown, everything = parser.format_short_help(), parser.format_help()
    options = {
        action.option_strings[-1] for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS
    }

    assert len(shown.splitlines()) <= 24
    assert [] == [line for line in shown.splitlines() if len(line) > 80]
    assert set() == {option for option in options if option not in shown or option not in everything}
    assert ("--help-all" in shown) == parser.has_more == ("exit codes:\n" in everything)


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (["--nonsense"], "autonomousai"),
        (["chat", "--nonsense", "x"], "autonomousai chat"),
        (["chat", "--seed", "x"], "autonomousai chat"),
        (["history", "show", "--nonsense"], "autonomousai history show"),
        (["config"], "autonomousai config"),
        (["completion", "tcsh"], "autonomousai completion"),
    ],
)
async def test_wrong_usage_points_to_the_right_help(arguments: list[str], program: str, env: dict[str, str]) -> None:
    """The help that is named is that of the command whose options were wrong."""
    ended = await run(*arguments, env=env)

    assert (2, "") == (ended.code, ended.out)
    assert ended.err.startswith(f"{program}: error: ")
    assert ended.err.endswith(f"\n{program} --help says more\n")


async def test_help_warns_of_keys_in_arguments(env: dict[str, str]) -> None:
    """The help of --api-key says that arguments are visible to others, and names the variable that is not."""
    ended = await run("chat", "--help-all", env={**env, "COLUMNS": "200"})

    (line,) = [line for line in ended.out.splitlines() if "--api-key KEY" in line and "prefer" in line]
    assert "other users" in line
    assert "AUTONOMOUSAI_API_KEY" in line


@pytest.mark.parametrize("command", ["serve", "chat", "keys"])
def test_the_parser_of_one_command_has_no_other(command: str) -> None:
    """A start waits for no other command's options; what completes all commands, and what names none, has all of them."""
    everything = [parser.prog for parser in commands_of(make_parser())]
    of_one = [parser.prog for parser in commands_of(make_parser(command))]

    assert [prog for prog in everything if f"{prog} ".startswith(f"autonomousai {command} ")] == of_one
    assert everything == [parser.prog for parser in commands_of(make_parser("completion"))]
    assert everything == [parser.prog for parser in commands_of(make_parser("nonsense"))]


async def test_help_imports_no_heavy_library(env: dict[str, str]) -> None:
    """`--help` is quick: neither aiohttp nor an optional library is imported for it."""
    code = f"import sys; from autonomousai.cli import main; main(['--help']); print([m for m in {HEAVY!r} if m in sys.modules])"
    ended = await run(env=env, program=(sys.executable, "-c", code))

    assert "[]" == ended.out.splitlines()[-1]


async def test_the_chat_command_imports_nothing_that_it_does_not_need(env: dict[str, str]) -> None:
    """What a chat imports before it asks is free of every heavy library as well."""
    code = f"import sys, autonomousai.cli.chat.command; print([m for m in {HEAVY!r} if m in sys.modules])"
    ended = await run(env=env, program=(sys.executable, "-c", code))

    assert "[]\n" == ended.out


async def test_version(env: dict[str, str]) -> None:
    """`--version` prints the name and the version."""
    ended = await run("--version", env=env)

    assert (0, f"autonomousai {__version__}\n", "") == ended


async def test_no_command_shows_the_help_and_is_an_error(env: dict[str, str]) -> None:
    """Without a command the help comes on stderr, with the exit code of wrong usage."""
    ended = await run(env=env)

    assert (2, "") == (ended.code, ended.out)
    assert "examples:" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "hello", "there"], "put a prompt of several words in quotes"),
        (["chat", "--nonsense", "x"], "unrecognized arguments: --nonsense"),
        (["chat", "--temperature", "hot", "x"], "'hot' is not a number from 0 to 2"),
        (["chat", "--temperature", "nan", "x"], "'nan' is not a number from 0 to 2"),
        (["chat", "--temperature", "2.5", "x"], "'2.5' is not a number from 0 to 2"),
        (["chat", "--max-tokens", "0", "x"], "0 is not 1 or more"),
        (["chat", "--seed", "1.5", "x"], "'1.5' is not a whole number"),
        (["chat", "--seed", "9" * 30, "x"], "too large"),
        (["chat", "--model", "gpt-9", "x"], "model 'gpt-9' is not supported; the models are: llama, qwen_coder"),
        (
            ["chat", "--base-url", "http://127.0.0.1:9", "--wire", "autonomousai", "--model", "gpt-9", "x"],
            "name its base URL that ends in /v1",
        ),
        (["chat", "--api-key", "secret", "x"], "--api-key is for a server: name it with --base-url"),
        (["chat", "--proxy", "http://127.0.0.1:9", "x"], "--proxy is for a server: name it with --base-url"),
        (["chat", ""], "there is nothing to ask"),
        (["chat"], "there is nothing to ask"),
        (["serve", "--port", "70000"], "70000 is not a port"),
        (["serve", "--workers", "0"], "0 is not 1 or more"),
        (["pull", "gpt-9"], "there is no model and there are no weights called 'gpt-9'"),
        (["models", "--weights", "--base-url", "http://127.0.0.1:9"], "--weights lists what this machine has"),
        (["doctor-no"], "invalid choice"),
        (["What is love?"], 'to ask a model, write: autonomousai chat "PROMPT"'),
        (["What", "is", "love?"], 'to ask a model, write: autonomousai chat "PROMPT"'),
        (["chat", "--seed", "9" * 5000, "x"], "is too large"),
    ],
)
async def test_wrong_usage_is_said_and_exits_2(arguments: list[str], words: str, env: dict[str, str]) -> None:
    """A command line that makes no sense gets a clear word on stderr, nothing on stdout, and exit code 2."""
    ended = await run(*arguments, env=env)

    assert (2, "") == (ended.code, ended.out)
    assert words in ended.err
    assert "Traceback" not in ended.err


LONG = "4" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        [LONG],
        ["chat", LONG, LONG],
        ["chat", "--seed", LONG, "x"],
        ["chat", "--temperature", LONG, "x"],
        ["chat", f"--{LONG}", "x"],
        ["history", LONG],
        ["serve", "--port", LONG],
        ["keys", "create", "a", "--requests-per-minute", LONG],
        ["keys", "create", "a", "--label", LONG],
        ["completion", LONG],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
async def test_a_long_argument_is_repeated_as_far_as_its_beginning(arguments: list[str], env: dict[str, str]) -> None:
    """The error can be read, and a log holds no complete prompt."""
    ended = await run(*arguments, env=env)

    assert (2, "") == (ended.code, ended.out)
    assert "4" * 90 in ended.err
    assert len(ended.err) < 1000


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["caht", "hi"], "chat"),
        (["--verison"], "--version"),
        (["chat", "--modle", "llama", "hi"], "--model"),
        (["chat", "--modle=llama", "hi"], "--model"),
        (["history", "shwo"], "show"),
        (["history", "export", "--formt", "json"], "--format"),
        (["history", "export", "--format", "jsn"], "json"),
        (["completion", "bsah"], "bash"),
        (["chat", "--model", "lama", "hi"], "llama"),
        (["chat", "--model", "Hermes3", "hi"], "hermes-3"),
        (["chat", "--base-url", "http://127.0.0.1:9", "--wire", "autonomousai", "--model", "visoin", "hi"], "vision"),
        (["pull", "smolm2-135m"], "smollm2-135m"),
        (["pull", "qwen_codr"], "qwen_coder"),
    ],
)
async def test_what_was_mistyped_is_guessed(arguments: list[str], meant: str, env: dict[str, str]) -> None:
    """An option, a command, a value or a model that is near to one there is: the message asks for that one."""
    ended = await run(*arguments, env=env)

    assert (2, "") == (ended.code, ended.out)
    assert f"; did you mean {meant}?\n" in ended.err


@pytest.mark.parametrize(
    "arguments", [["xyzzy"], ["chat", "--zzz", "hi"], ["chat", "--model", "gpt-9", "hi"], ["pull", "gpt-9"]]
)
async def test_what_is_near_to_nothing_is_not_guessed(arguments: list[str], env: dict[str, str]) -> None:
    """A guess that nobody would make is none."""
    ended = await run(*arguments, env=env)

    assert 2 == ended.code
    assert "did you mean" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat"], "PROMPT is not valid UTF-8 (character 3)"),
        (["chat", "hi", "--system"], "the argument system is not valid UTF-8"),
        (["chat", "hi", "--conversation"], "the argument conversation is not valid UTF-8"),
        (["config", "set", "system"], "the argument value is not valid UTF-8"),
        (["history", "search"], "the argument words is not valid UTF-8"),
        (["history", "show"], "the argument id is not valid UTF-8"),
        (["history", "delete"], "the argument id is not valid UTF-8"),
    ],
)
async def test_an_argument_that_is_no_text_is_wrong_usage(arguments: list[str], words: str, env: dict[str, str]) -> None:
    """One that is not UTF-8 is refused in words."""
    ended = await run(*arguments, b"caf\xe9", env=env)

    assert 2 == ended.code
    assert words in ended.err
    assert "Traceback" not in ended.err


async def test_an_argument_is_utf8_whatever_the_locale(env: dict[str, str]) -> None:
    """Where the locale is ASCII, Python hands on the bytes of others as they are."""
    ascii_locale = {**env, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", f"{server.url}/v1", "-m", "m", "Grüße".encode(), env=ascii_locale)

    assert (0, "Hello world\n") == (ended.code, ended.out)
    assert "Grüße" == server.requests[0].json()["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "--base-url", "ftp://x", "hi"], "must begin with http:// or https://"),
        (["chat", "--base-url", "nonsense", "hi"], "is not a URL"),
        (["chat", "--base-url", "' http://127.0.0.1:9/v1/chat/completions '", "hi"], "leave out /chat/completions"),
        (["chat", "--base-url", "http://127.0.0.1:9/v1/chat/completions", "hi"], "leave out /chat/completions"),
        (
            ["chat", "--base-url", "http://127.0.0.1:9", "--proxy", "ftp://x:1", "hi"],
            "proxies are http://, https://, socks5://",
        ),
        (["serve", "--config", "/nonexistent.toml"], "/nonexistent.toml: cannot be read"),
    ],
)
async def test_what_must_be_set_up_first_exits_3(arguments: list[str], words: str, env: dict[str, str]) -> None:
    """A configuration that cannot work is exit code 3, and the message says what to do."""
    ended = await run(*arguments, env=env)

    assert (3, "") == (ended.code, ended.out)
    assert words in ended.err


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [("xllamacpp", ["chat", "hi"], "local"), ("starlette", ["serve"], "server"), ("xllamacpp", ["serve"], "local")],
)
async def test_a_missing_extra_is_named(missing: str, arguments: list[str], extra: str, env: dict[str, str]) -> None:
    """Where an optional library is not installed, the message names the extra that brings it; nothing is fetched before."""
    code = f"import sys; sys.modules[{missing!r}] = None; from autonomousai.cli import main; sys.exit(main({arguments!r}))"
    ended = await run(env=env, program=(sys.executable, "-c", code))

    assert (3, "") == (ended.code, ended.out)
    assert f"pip install 'autonomousai[{extra}]'" in ended.err
    assert "fetching" not in ended.err


EXTRAS = ("httptools", "prometheus_client", "prompt_toolkit", "pygments", "starlette", "tomli_w", "uvloop", "xllamacpp")


async def test_without_any_extra_a_server_is_asked_and_the_conversation_kept(env: dict[str, str]) -> None:
    """The client's own two dependencies are enough for the command line, but for the engine, a server and `config show`."""
    async with ScriptedServer() as server:
        asked = await run("chat", "--base-url", server.url, "Hi", env=env, program=without(*EXTRAS))
    rest = [
        await run(*arguments.split(), env=env, program=without(*EXTRAS))
        for arguments in ("history show", "templates", "models", "pull gpt-9", "completion bash")
    ]

    assert (0, "") == (asked.code, asked.err)
    assert [0, 0, 0, 2, 0] == [ended.code for ended in rest]
    assert "Hi" in rest[0].out


@pytest.mark.parametrize("option", ["--help", "--help-all", "--version"])
async def test_help_onto_a_full_disk_is_an_error(option: str, env: dict[str, str]) -> None:
    """What cannot be written was not shown."""
    with Path("/dev/full").open("wb") as full:
        process = await start(option, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=full)
        ended = await finish(process)

    assert (1, "autonomousai: error: standard output cannot be written: No space left on device\n") == (ended.code, ended.err)


async def test_help_into_a_closed_pipe_is_quiet(env: dict[str, str]) -> None:
    """`--help | head -0` complains of nothing, and exits as other tools do."""
    reading, writing = os.pipe()
    os.close(reading)
    process = await start("--help", env=env, stdout=writing)
    os.close(writing)
    ended = await finish(process)

    assert (141, "") == (ended.code, ended.err)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelNotFoundError("x", ["y"]), 2),
        (InvalidMessagesError("is wrong"), 2),
        (ConfigError("set it up"), 3),
        (ConnectError("nobody there"), 1),
        (StatusError("no", status=500), 1),
        (StreamError("broken"), 1),
        (StreamError("broken", partial="some"), 4),
        (TimeoutError("idle", 15, partial="some"), 4),
        (TimeoutError("first_token", 15), 1),
        (IncompleteStreamError(), 4),
    ],
)
def test_exit_codes_tell_whose_turn_it_is(error: ProviderError, code: int) -> None:
    """Each error has its exit code: usage 2, set-up 3, a failed request 1, a beginning of an answer 4."""
    assert code == commands.exit_code(error)


def test_the_exit_codes_are_the_documented_ones() -> None:
    """Every code that a command returns stands in the help."""
    documented = [int(code) for code in re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE)]

    assert [*range(exit_codes.INCOMPLETE + 1), 130, 141] == documented


async def test_help_names_the_variables_of_all_vendors(env: dict[str, str]) -> None:
    """Of each that `--vendor` takes."""
    ended = await run("chat", "--help-all", env=env)

    assert [] == [row.key_env for row in (ANTHROPIC_VENDOR, *VENDORS.values()) if row.key_env not in ended.out]
    assert "OPENAI_BASE_URL" in ended.out
