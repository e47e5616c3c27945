"""What the words of the command line do, and which exit code they end with. The composition root of the program."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..clients.vendors import ANTHROPIC_VENDOR, vendor_of
from ..config import Config, load_config
from ..errors import ConfigError, HTTPError, IncompleteStreamError, ProviderError, StatusError
from ..http.urls import authority, has_path, without_credentials
from ..kinds.openai import OpenAIConfig
from ..ledger.place import place_of
from ..suggestions import did_you_mean
from ..wires.raw_errors import names_unknown_model
from . import defaults, templates
from .chat.context import ChatContext, make_question
from .chat.files import STDIN, is_json, response_format, with_files
from .chat.images import image_part
from .chat.prompt import as_utf8, read_prompt
from .chat.repl import converse
from .chat.session import Keeper, SessionRunner, ask_once, keeps_history
from .chat.targets import KEY_ENV, ChatSettings, key_env_of, wire_of
from .columns import table
from .completion import completion
from .errors import tell
from .exit_codes import DONE, FAILED, INCOMPLETE, SETUP, USAGE, UsageError
from .fetching import fetch_missing
from .history import history
from .key_commands import keys
from .launch import launch
from .local_servers import find_one, find_servers, reach_directly, said_ports, with_servers
from .model_commands import models, pull
from .routes import describe_policy
from .templates import Template
from .terminal import OutputError, Terminal
from .toml import write_toml
from .usage import usage
from .views import JsonView


def run(args: argparse.Namespace) -> int:
    """Run one command, and translate whatever ends it into words on stderr and an exit code."""
    terminal = Terminal(sys.stdout, sys.stderr, os.environ)
    try:
        _read_arguments(args)
        with terminal.interrupts:
            return COMMANDS[args.command](args, terminal)
    except UsageError as error:
        terminal.error(str(error), command=" ".join(filter(None, (args.command, getattr(args, "action", None)))))
        return USAGE
    except ProviderError as error:
        if args.command == "chat" and args.json:
            with suppress(OutputError):
                JsonView(terminal).error(error)
        base_url = getattr(args, "base_url", None) or os.environ.get("AUTONOMOUSAI_BASE_URL")
        asks_server = bool(base_url) and hasattr(args, "wire")
        tell(terminal, error, asks_server=asks_server, key_env=getattr(args, "key_env", KEY_ENV))
        return exit_code(error)
    except OutputError as error:
        terminal.error(str(error))
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        received = terminal.end_interrupted()
        if args.command == "chat" and args.json and not terminal.stuck:
            with suppress(OutputError):
                JsonView(terminal).stopped()
        return 128 + received


#: Arguments that may be the path of a file, which has whatever bytes it has.
_PATHS = frozenset({"name", "weights", "schema", "file", "image"})


def _read_arguments(args: argparse.Namespace) -> None:
    """Read the texts of the command line as UTF-8, whatever the locale. Raises `UsageError` for one that is not."""
    for key, value in vars(args).items():
        what = "PROMPT" if key == "prompt" else f"the argument {key}"
        if key in _PATHS:
            continue
        if isinstance(value, str):
            setattr(args, key, as_utf8(value, what))
        elif isinstance(value, list):
            setattr(args, key, [as_utf8(each, what) if isinstance(each, str) else each for each in value])


def exit_code(error: ProviderError) -> int:
    """Whose turn it is: the caller's, the operator's, or a failed request's, with or without a beginning of an answer."""
    if isinstance(error, ConfigError):
        return SETUP
    if not isinstance(error, HTTPError):
        return USAGE
    if isinstance(error, StatusError) and error.status == 404 and names_unknown_model(error):
        return USAGE  # as for a model that is known here not to be there
    return INCOMPLETE if error.partial or isinstance(error, IncompleteStreamError) else FAILED


def chat(args: argparse.Namespace, terminal: Terminal) -> int:
    """One answer, or a conversation."""
    terminal.quiet = args.quiet
    if args.find:
        _find_server(args, terminal)
    usual_model = defaults.apply(args, os.environ)
    base_url = _server_of(args)
    if base_url:
        args.key_env = key_env_of(base_url, wire_of(base_url, args.wire), args.vendor)
    _check_company(args, base_url)
    template = templates.load(args.template, os.environ) if args.template else Template()
    keeper = Keeper(terminal, os.environ, writes=args.history and keeps_history(os.environ))
    earlier = keeper.go_on(args.conversation) if args.go_on or args.conversation is not None else None
    stdin = None if _reads_stdin(args) else sys.stdin
    given = read_prompt(args.prompt, stdin, terminal, needed=template.needs_input and not args.file)
    if args.file:
        given = with_files(args.file, given or "")
    systems = (args.system, template.system, earlier.system if earlier else None)
    settings = ChatSettings(
        model=args.model or template.model or (earlier.model if earlier else _seeing(args, base_url) or usual_model),
        system=next((each for each in systems if each is not None), None),
        fields=template.fields | _fields_of(args),
        template=template,
        images=[image_part(name) for name in args.image or ()],
        stream=args.stream,
        json=args.json,
        plain=args.plain or bool(args.schema),
        base_url=base_url,
        wire=args.wire,
        vendor=args.vendor,
        key_env=getattr(args, "key_env", KEY_ENV),
        api_key=args.api_key,
        proxy=args.proxy,
        weights=args.weights,
        context=args.context,
    )
    context = ChatContext(settings, terminal)
    if settings.images:
        context.upstream.check_sight()
    context.prepare()
    session = SessionRunner(context, keeper)
    if earlier is not None:
        session.go_on(earlier)
        terminal.remark(f"continuing {earlier.title!r} ({len(earlier.messages)} messages)")
    if given is None and template.needs_input:
        asyncio.run(converse(session))
    else:
        asyncio.run(ask_once(session, make_question(template.fill(given or ""), settings.images)))
        if args.schema is not None and not is_json(context.answered):
            terminal.note("the answer is not JSON, as --schema asked for: it was cut, or the server does not mind schemas")
            return INCOMPLETE
    return DONE


def _fields_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the request fields that were given."""
    fields = {
        "temperature": args.temperature,
        "max_tokens": args.max_tokens,
        "seed": args.seed,
        "response_format": response_format(args.schema) if args.schema is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _reads_stdin(args: argparse.Namespace) -> bool:
    """Return whether an option takes standard input, so that the prompt does not. Raises `UsageError` where several do."""
    given = {"--file": args.file or (), "--image": args.image or (), "--schema": (args.schema,), "PROMPT": (args.prompt,)}
    taking = [option for option, names in given.items() for name in names if name == STDIN]
    if len(taking) > 1:
        raise UsageError(f"standard input can be read once; - stands for it in {' and '.join(taking)}")
    return bool(taking) and args.prompt != STDIN


def _find_server(args: argparse.Namespace, terminal: Terminal) -> None:
    """Take the first server on this machine that has a model as the one that was named, and say so."""
    for option in ("base_url", "vendor", "weights"):
        if getattr(args, option):
            raise UsageError(f"--find looks for a server; it does not go with --{option.replace('_', '-')}")
    first, *others = asyncio.run(find_one())
    terminal.note(f"asking {first.said('which runs')}")
    for other in others:
        terminal.note(f"{other.said('runs')}; ask it with --base-url {other.base_url}")
    reach_directly(os.environ)
    args.base_url = first.base_url
    args.wire = args.wire or "openai"
    args.api_key = args.api_key or ""  # the environment's is not for a server that was found


def _server_of(args: argparse.Namespace) -> str | None:
    """The base URL of the server that is to be asked: as it was said, the vendor's, or the environment's."""
    if not args.vendor:
        return args.base_url or os.environ.get("AUTONOMOUSAI_BASE_URL") or None
    wire = "anthropic" if args.vendor == "anthropic" else "openai"
    if args.wire not in (None, wire):
        raise UsageError(f"--vendor {args.vendor} is a server of the API {wire!r}: leave out --wire {args.wire}")
    args.wire = wire
    if wire == "anthropic":
        args.vendor = None  # a provider of its own, and no row of the table
        return args.base_url or ANTHROPIC_VENDOR.address()
    vendor = vendor_of(args.vendor)
    if url := args.base_url or vendor.address():
        return str(url)
    raise UsageError(f"{vendor.title} has no common address: name yours with --base-url")


def _seeing(args: argparse.Namespace, base_url: str | None) -> str:
    """The model that is asked where none was named: with an image, on the AutonomousAI wire, the one that sees."""
    return "vision" if args.image and base_url and wire_of(base_url, args.wire) == "autonomousai" else ""


def _check_company(args: argparse.Namespace, base_url: str | None) -> None:
    """Some options are for a server, and some for the engine."""
    for option, value in (("--api-key", args.api_key), ("--proxy", args.proxy), ("--wire", args.wire)):
        if value and not base_url:
            raise UsageError(f"{option} is for a server: name it with --base-url")
    for option, value in (("--weights", args.weights), ("--context", args.context)):
        if value and base_url:
            raise UsageError(f"{option} is for the engine on this machine; a server chooses its own")


def serve(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the server until it is stopped, and return its exit code."""
    if args.config is not None:  # it means to read the file again, which is read in a moment anyway
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        from ..workers.main import run as run_server  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__ or "?"):
            raise
        raise ConfigError("the server is not installed; run: pip install 'autonomousai[server]'") from None
    found = asyncio.run(find_servers()) if args.find else []
    if args.find:
        reach_directly(os.environ)
        if not found:
            terminal.note(f"no other server was found on this machine ({said_ports()})")
    for server in found:
        terminal.note(f"{server.said('runs')}; its models are served by their names")

    def load() -> Config:
        return with_servers(load_config(args.config, os.environ), found)

    def prepare(config: Config) -> None:
        fetch_missing(config, terminal)
        terminal.interrupts.restore()  # from here on the server minds the signals

    given = {"host": args.host, "port": args.port, "log": args.log}
    again = None if args.config is None else load
    return run_server(load(), workers=args.workers, load=again, prepare=prepare, **given)


def show_templates(args: argparse.Namespace, terminal: Terminal) -> int:
    """List the templates, or show, edit or locate one."""
    if args.action in (None, "list"):
        found = templates.names(os.environ)
        if not found:
            terminal.note("there is no template yet; `autonomousai templates edit NAME` makes one")
        for name in found:
            terminal.write(f"{name}\n")
        for name in found:
            try:
                templates.load(name, os.environ)
            except ConfigError as error:
                terminal.note(f"{name} cannot be used: {error}")
        return DONE
    if args.action == "edit":
        path = templates.make(args.name, os.environ)
        if templates.edit(path, os.environ):
            templates.load(args.name, os.environ)
        else:
            terminal.note("no editor was opened: set VISUAL or EDITOR, or open the file yourself")
            terminal.write(f"{path}\n")
        return DONE
    path = templates.path_of(args.name, os.environ)
    if args.action == "path":
        terminal.write(f"{path}\n")
    else:
        templates.load(args.name, os.environ)
        terminal.write(path.read_text(encoding="utf-8"))
    return DONE


def look_around(args: argparse.Namespace, terminal: Terminal) -> int:
    """Look at what is there, or at what a server can do."""
    from .doctor import doctor  # noqa: PLC0415  packages' metadata and more, which no chat should wait for

    return doctor(args, terminal)


def show_config(args: argparse.Namespace, terminal: Terminal) -> int:
    """Say what a config would serve, print it with every key, or show and change the defaults of ``chat``."""
    if args.action in ("set", "unset"):
        path = defaults.change(args.key, args.value if args.action == "set" else None, os.environ)
        terminal.remark(f"kept in {path}")
        return DONE
    if args.action == "get":
        return _show_defaults(args.key, terminal)
    config = load_config(args.file, os.environ)
    if args.action == "show":
        terminal.write(write_toml(_shown(msgspec.to_builtins(config, enc_hook=str))))
        return DONE
    served = config.served()
    if not served:
        first = next(iter(config.upstreams))
        write = f'write [models.llama] and route = ["{first}"]'
        raise ConfigError(f"{args.file}: models: none has a route, so that nothing would be served; {write}")
    if config.ledger is not None:
        place_of(config.ledger.url)  # as the start would refuse it
    rows = [
        {
            "model": name,
            "aliases": list(model.aliases),
            "upstreams": [f"{upstream} ({config.upstreams[upstream].place})" for upstream in model.route or ()],
            "policy": describe_policy(model, config),
        }
        for name, model in served.items()
    ]
    terminal.write(f"{args.file}: ok; it would listen on http://{authority(config.server.host, config.server.port)}\n")
    terminal.write(table(rows))
    for name, upstream in config.upstreams.items():
        if isinstance(upstream, OpenAIConfig) and upstream.base_url and not has_path(upstream.base_url):
            url = without_credentials(upstream.base_url).rstrip("/")
            terminal.note(f"upstreams.{name}.base_url: {url} has no path; most servers of OpenAI's API answer at {url}/v1")
    return DONE


def _show_defaults(key: str | None, terminal: Terminal) -> int:
    """Print one default, or all of them as TOML. Exit code 1 where the one is not kept."""
    if key is not None and key not in defaults.KEYS:
        raise UsageError(f"unknown key {key!r}; keys: {', '.join(defaults.KEYS)}{did_you_mean(key, defaults.KEYS)}")
    kept = {name: value for name, value in msgspec.to_builtins(defaults.load(os.environ)).items() if value is not None}
    if key is None:
        terminal.write(write_toml(kept))
        return DONE
    if key not in kept:
        return FAILED
    value = kept[key]
    terminal.write(f"{str(value).lower() if isinstance(value, bool) else value}\n")
    return DONE


#: Keys of a config that are secrets, or may hold one.
_SECRETS = frozenset({"api_key", "api_keys", "admin_keys", "key"})


def _shown(value: Any, key: str = "") -> Any:
    """A config as it may be shown: without its keys, and without what has no value."""
    if key in _SECRETS and value:
        return ["***"] * len(value) if isinstance(value, list | tuple) else "***"
    if key in ("state", "url"):  # a query may hold a password, too
        return re.sub(r"(\bpassword=)[^&]*", r"\1***", re.sub(r"(://)[^/@]*@", r"\1***@", value))
    if isinstance(value, dict):
        return {name: _shown(each, name) for name, each in value.items() if each is not None}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "chat": chat,
    "history": history,
    "templates": show_templates,
    "serve": serve,
    "launch": launch,
    "config": show_config,
    "models": models,
    "keys": keys,
    "pull": pull,
    "usage": usage,
    "doctor": look_around,
    "completion": completion,
}
