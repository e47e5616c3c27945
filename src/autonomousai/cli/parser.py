"""The words of the command line: commands, options, and their help. What the words do is in `commands`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .. import __version__
from ..clients.vendors import VENDORS, refuse_vendor_name
from ..errors import ConfigError
from .agents import PROGRAMS
from .completion import SHELLS
from .defaults import KEYS
from .help_parser import HelpParser, cut
from .help_texts import (
    CHAT,
    CHAT_COMMON,
    CHAT_DETAILS,
    CHAT_MORE,
    COMPLETION,
    COMPLETION_MORE,
    CONFIG,
    DOCTOR,
    ENVIRONMENT,
    EXAMPLES,
    EXIT_CODES,
    FURTHER_EXAMPLES,
    HISTORY,
    HISTORY_MORE,
    HUB_ENVIRONMENT,
    LAUNCH,
    LAUNCH_COMMON,
    LAUNCH_EXAMPLES,
    LAUNCH_MORE,
    MODELS,
    MODELS_COMMON,
    MODELS_EXAMPLES,
    MODELS_MORE,
    PULL,
    PULL_MORE,
    SERVE,
    TEMPLATES,
    TEMPLATES_MORE,
    VENDOR_KEYS,
)
from .key_options import add_keys
from .usage_options import add_usage


def make_parser(command: str = "") -> HelpParser:
    """Return the parser of the command line. ``args.command`` is the command's name. *command*: the one that is called; to read
    its arguments, the parsers of the others are not needed."""
    parser = HelpParser(
        prog="autonomousai",
        description="Answers from language models. `autonomousai COMMAND --help` explains a command.",
        epilog=EXAMPLES,
        more=(FURTHER_EXAMPLES, EXIT_CODES, ENVIRONMENT),
        otherwise='; to ask a model, write: autonomousai chat "PROMPT"',
    )
    parser.set_defaults(parser=parser, root=parser)
    parser.add_argument("--version", action="version", version=f"autonomousai {__version__}", help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    called = _COMMANDS.get(command)
    for add in _COMMANDS.values() if called in (None, _add_completion) else (called,):  # a shell completes all of them
        add(commands)
    return parser


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser(
        "chat",
        help="ask a model: one answer, or a conversation",
        description=CHAT,
        details=CHAT_DETAILS,
        common=CHAT_COMMON,
        more=(CHAT_MORE, EXIT_CODES, ENVIRONMENT, VENDOR_KEYS),
    )
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to ask")
    chat.add_argument(
        "-m",
        "--model",
        default="",
        metavar="NAME",
        help="a name or alias of `autonomousai models`; default: llama, and on OpenAI's API the first chat model that the "
        "server lists; at a vendor with many it has to be named",
    )
    chat.add_argument("-s", "--system", metavar="TEXT", help="the system message; default: the model's own")
    chat.add_argument("--temperature", type=_temperature, metavar="T", help="0 (always the likeliest word) to 2")
    chat.add_argument("--max-tokens", type=_max_tokens, metavar="N", help="the most tokens that the answer may have")
    chat.add_argument("--seed", type=_integer, metavar="N", help="the same seed, the same answer, where the server can")
    chat.add_argument(
        "-f", "--file", action="append", metavar="FILE", help="a text or PDF file to ask about, or -; may be repeated"
    )
    chat.add_argument(
        "--image", action="append", metavar="FILE", help="an image to ask about: a file, - or a URL; may be repeated"
    )
    chat.add_argument("--schema", metavar="SCHEMA", help="answer in JSON by this JSON schema: a file, -, or the schema itself")
    chat.add_argument("-t", "--template", metavar="NAME", help="ask as this template says; see `autonomousai templates`")
    _add_history_options(chat)
    chat.add_argument("--no-stream", dest="stream", action="store_false", help="show the answer when it is complete")
    chat.add_argument("--plain", action="store_true", help="on a terminal: the text as it is, with no Markdown drawn")
    chat.add_argument("--json", action="store_true", help="write events, one JSON object a line (below)")
    chat.add_argument("-q", "--quiet", action="store_true", help="on standard error nothing but errors")
    _add_server_options(chat)
    _add_find(chat, "call a server that runs on this machine")
    _add_upstream_options(chat)


def _add_upstream_options(chat: argparse.ArgumentParser) -> None:
    """Which server answers, how it is reached, and what the embedded engine runs."""
    chat.add_argument(
        "--vendor",
        choices=("anthropic", *VENDORS),
        metavar="NAME",
        help=f"a server by its vendor, whose address and whose key's variable are known: {', '.join(('anthropic', *VENDORS))}",
    )
    chat.add_argument(
        "--wire",
        choices=("openai", "anthropic", "autonomousai"),
        help="what the server speaks; default: by its URL, Anthropic's own server its API, a bare root the AutonomousAI API "
        "and any path OpenAI's",
    )
    chat.add_argument(
        "--proxy", metavar="URL", help="http://[user:password@]host:port, or socks5://host:port, on the way to the server"
    )
    chat.add_argument(
        "--weights", metavar="NAME", help="for the embedded engine: a model of `models list`, or the path of a GGUF file"
    )
    chat.add_argument(
        "--context", type=_max_tokens, metavar="N", help="for the embedded engine: tokens of all that is said; default: 8192"
    )


def _add_find(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--find", action="store_true", help=f"{what}: Ollama, llama-server, LM Studio or vLLM")


def _add_history_options(chat: argparse.ArgumentParser) -> None:
    going_on = chat.add_mutually_exclusive_group()
    going_on.add_argument("-c", "--continue", dest="go_on", action="store_true", help="continue the last conversation")
    going_on.add_argument("--conversation", metavar="ID", help="continue this one, of `autonomousai history`")
    chat.add_argument("--no-history", dest="history", action="store_false", help="do not keep this conversation")


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        type=_server_url,
        metavar="URL",
        help="a server to call: its root, such as http://127.0.0.1:8000, where it speaks the AutonomousAI API; for any "
        "OpenAI-compatible one its base URL, with its path, such as http://127.0.0.1:8000/v1",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key for it; other users of the machine can see arguments, so prefer AUTONOMOUSAI_API_KEY",
    )


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="serve the models over the APIs of OpenAI and Anthropic", description=SERVE, more=(EXIT_CODES,)
    )
    serve.add_argument("--config", type=Path, metavar="FILE", help="a TOML file")
    _add_find(serve, "serve the models of servers that run on this machine too")
    serve.add_argument("--host", metavar="HOST", help="the address to listen on; default: the config's, else 127.0.0.1")
    serve.add_argument("--port", type=_port, metavar="PORT", help="the port; 0 for any; default: the config's, else 8000")
    serve.add_argument(
        "--log", choices=("text", "json", "off"), help="a line a request, on stderr; default: the config's, else text"
    )
    serve.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        default=1,
        help="processes that serve; default: 1; more need a server.state other than memory:",
    )


def _add_launch(commands: Any) -> None:
    launch = commands.add_parser(
        "launch",
        help="start Codex, Claude Code or another coding agent against it",
        description=LAUNCH,
        epilog=LAUNCH_EXAMPLES,
        common=LAUNCH_COMMON,
        more=(LAUNCH_MORE, EXIT_CODES),
        usage="%(prog)s [OPTION ...] PROGRAM [-- ARGUMENT ...]",
    )
    launch.add_argument("program", choices=tuple(PROGRAMS), metavar="PROGRAM", help=f"one of {', '.join(PROGRAMS)}")
    launch.add_argument("--model", default="", metavar="NAME", help="a model of the server; default: the first that it lists")
    _add_server_options(launch)
    launch.add_argument("--config", type=Path, metavar="FILE", help="start a server with this TOML file")
    launch.add_argument("--print", action="store_true", help="show the command and its variables, and start nothing")
    launch.add_argument("--show-key", action="store_true", help="with --print: show the key too")


def _add_models(commands: Any) -> None:
    models = commands.add_parser(
        "models",
        help="list, show and remove models",
        description=MODELS,
        epilog=MODELS_EXAMPLES,
        common=MODELS_COMMON,
        more=(MODELS_MORE, EXIT_CODES),
    )
    models.add_argument("--weights", action="store_true", help="list the weights: size, licence, whether they are here")
    models.add_argument("--json", action="store_true", help="write a JSON array")
    _add_server_options(models)
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    for name, words in (
        ("list", "list what is installed here, and what Ollama and LM Studio keep"),
        ("show", "show size, quantisation, context, licence, and what it can do"),
        ("remove", "remove one; a file that was only registered stays"),
    ):
        action = actions.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.", more=(EXIT_CODES,))
        if name != "list":
            action.add_argument("name", metavar="NAME", help="the model's name, of `autonomousai models list`")
        if name != "remove":
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="write JSON")
        action.add_argument(
            "--config", type=Path, metavar="FILE", help="a TOML file, whose folder of models is looked into too"
        )


def _add_pull(commands: Any) -> None:
    pull = commands.add_parser(
        "pull",
        help="fetch or register a model for the embedded engine",
        description=PULL,
        epilog=PULL_MORE,
        more=(EXIT_CODES, HUB_ENVIRONMENT),
    )
    pull.add_argument(
        "name",
        nargs="?",
        metavar="MODEL",
        help="weights, or a model whose best weights are meant (qwen_coder); the path of a GGUF file; hf:OWNER/REPO, "
        "hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE; default: smollm2-135m",
    )
    pull.add_argument("--name", dest="name_as", metavar="NAME", help="what to call it; default: the file's name")
    pull.add_argument("--copy", action="store_true", help="copy a file, instead of leaving it where it is")


def _add_history(commands: Any) -> None:
    history = commands.add_parser(
        "history",
        help="list, search, show and export conversations",
        description=HISTORY,
        epilog=HISTORY_MORE,
        more=(EXIT_CODES,),
    )
    actions = history.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list them: the default", description="List the conversations.")
    search = actions.add_parser("search", help="list those in which words occur", description="Search the conversations.")
    search.add_argument("words", nargs="+", metavar="WORD", help="words, or their beginnings, that stand in one message")
    for each, unless in ((history, None), (listing, argparse.SUPPRESS), (search, argparse.SUPPRESS)):
        each.add_argument("-n", "--limit", type=_max_tokens, metavar="N", default=unless, help="the N last ones; default: 20")
        each.add_argument("--json", action="store_true", default=unless or False, help="write a JSON array")
    show = actions.add_parser("show", help="show one", description="Show a conversation as Markdown.")
    show.add_argument("id", nargs="?", metavar="ID", help="default: the last one")
    show.add_argument("--plain", action="store_true", help="on a terminal: the text as it is, with no Markdown drawn")
    export = actions.add_parser("export", help="write some out", description="Write conversations to standard output.")
    export.add_argument("id", nargs="*", metavar="ID", help="default: the last one")
    export.add_argument("--all", action="store_true", help="all of them")
    export.add_argument("--format", choices=("markdown", "json"), default="markdown", help="default: markdown")
    delete = actions.add_parser("delete", help="delete some", description="Delete conversations for good.")
    delete.add_argument("id", nargs="*", metavar="ID", help="which")
    delete.add_argument("--all", action="store_true", help="all of them")
    actions.add_parser("path", help="print where they are kept", description="Print the path of the SQLite file.")


def _add_templates(commands: Any) -> None:
    templates = commands.add_parser(
        "templates",
        help="list, show and edit templates for `chat`",
        description=TEMPLATES,
        epilog=TEMPLATES_MORE,
        more=(EXIT_CODES,),
    )
    actions = templates.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="list them: the default", description="List the templates.")
    for name, words in (
        ("show", "show what is in one"),
        ("edit", "open one in $VISUAL or $EDITOR; it is made where it is not there yet"),
        ("path", "print the path of one"),
    ):
        action = actions.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        action.add_argument("name", metavar="NAME", help="the template")


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor", help="what is installed, and what a server can do", description=DOCTOR, more=(EXIT_CODES,)
    )
    doctor.add_argument(
        "--base-url", type=_server_url, metavar="URL", help="a server to look for; default: AUTONOMOUSAI_BASE_URL"
    )
    doctor.add_argument(
        "--upstream",
        type=_server_url,
        metavar="URL",
        help="the base URL of a server that speaks OpenAI's or Anthropic's API, such as http://127.0.0.1:8000/v1",
    )
    doctor.add_argument(
        "--api-key", metavar="KEY", help="the key for it; prefer AUTONOMOUSAI_API_KEY, which other users cannot see"
    )
    doctor.add_argument("--model", metavar="NAME", help="the model to call there; default: the first that it lists")
    doctor.add_argument("--hosted", action="store_true", help="call the hosted service too, which is on another machine")
    doctor.add_argument(
        "--config", type=Path, metavar="FILE", help="a TOML file: also say how the upstreams of its models are called"
    )
    doctor.add_argument("--json", action="store_true", help="write a JSON object")


def _add_config(commands: Any) -> None:
    config = commands.add_parser(
        "config", help="check a server's config; keep defaults for chat", description=CONFIG, more=(EXIT_CODES,)
    )
    actions = config.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check", help="say what a config would serve, or what is wrong in it", description="Check a config.", more=(EXIT_CODES,)
    )
    check.add_argument("file", type=Path, metavar="FILE", help="a TOML file")
    show = actions.add_parser(
        "show", help="print every key with its value", description="Print a config with every key; keys to servers are hidden."
    )
    show.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a TOML file; default: what a server without one does")
    keys = f"one of {', '.join(KEYS)}"
    keep = actions.add_parser(
        "set", help="keep a default for chat", description="Keep what `chat` does where the option KEY is left out."
    )
    keep.add_argument("key", metavar="KEY", help=keys)
    keep.add_argument("value", metavar="VALUE", help="its value; of api_key: env:NAME, its variable, or keyring:NAME")
    get = actions.add_parser("get", help="print the defaults for chat", description="Print what is kept for `chat`.")
    get.add_argument("key", nargs="?", metavar="KEY", help=f"{keys}; default: all")
    unset = actions.add_parser("unset", help="forget a default for chat", description="Forget what is kept for `chat`.")
    unset.add_argument("key", metavar="KEY", help=keys)


def _add_completion(commands: Any) -> None:
    completion = commands.add_parser(
        "completion", help="completion for a shell", description=COMPLETION, epilog=COMPLETION_MORE
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


#: By name, what adds the parser of a command.
_COMMANDS: Final[dict[str, Callable[[Any], None]]] = {
    "chat": _add_chat,
    "history": _add_history,
    "templates": _add_templates,
    "serve": _add_serve,
    "launch": _add_launch,
    "config": _add_config,
    "models": _add_models,
    "pull": _add_pull,
    "usage": add_usage,
    "keys": add_keys,
    "doctor": _add_doctor,
    "completion": _add_completion,
}


def _integer(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        if text.strip().removeprefix("-").isdecimal():  # of more digits than Python reads
            raise argparse.ArgumentTypeError(f"{cut(text)} is too large") from None
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not a whole number") from None
    if not -(2**63) <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{cut(text)} is too large")
    return number


def _max_tokens(text: str) -> int:
    if (number := _integer(text)) < 1:
        raise argparse.ArgumentTypeError(f"{cut(text)} is not 1 or more")
    return number


_workers = _max_tokens


def _port(text: str) -> int:
    if not 0 <= (number := _integer(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"{cut(text)} is not a port (0 to 65535)")
    return number


def _temperature(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 2:
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not a number from 0 to 2")
    return number


def _server_url(text: str) -> str:
    """Return what names a server. Whether it is a URL is said where it is asked; here, that it is a vendor's name."""
    try:
        refuse_vendor_name(text, "`autonomousai chat --vendor {}` knows it")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
