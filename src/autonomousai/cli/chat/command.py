"""``autonomousai chat``: what its options say, and then one answer, or a conversation."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from ...clients.vendors import ANTHROPIC_VENDOR, vendor_of
from ...http.urls import clean_base_url, split_url
from .. import defaults, templates
from ..arguments import KEY_ENV
from ..exit_codes import DONE, INCOMPLETE, UsageError
from ..templates import Template
from ..terminal import Terminal
from .context import ChatContext, make_question
from .files import STDIN, is_json, response_format, with_files
from .images import image_part
from .kept_server import is_named, take_up, to_keep
from .prompt import read_prompt
from .session import Keeper, SessionRunner, ask_once, keeps_history
from .targets import ChatSettings, key_env_of, wire_of


def chat(args: argparse.Namespace, terminal: Terminal) -> int:
    """One answer, or a conversation."""
    terminal.quiet = args.quiet
    if args.find:
        _find_server(args, terminal)
    keeper = Keeper(terminal, os.environ, writes=args.history and keeps_history(os.environ))
    earlier = keeper.go_on(args.conversation) if args.go_on or args.conversation is not None else None
    if earlier is not None:
        take_up(args, earlier.server)
    named = is_named(args)
    usual_model = defaults.apply(args, os.environ)
    base_url = _server_of(args)
    if base_url:
        split_url(clean_base_url(base_url), "base_url")
        args.key_env = key_env_of(base_url, wire_of(base_url, args.wire), args.vendor)
    _check_company(args, base_url)
    template = templates.load(args.template, os.environ) if args.template else Template()
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
        server=to_keep(base_url, args.wire, args.vendor, args.api_key) if named and base_url else None,
    )
    context = ChatContext(settings, terminal)
    if settings.images:
        context.upstream.check_sight()
    context.prepare()
    session = SessionRunner(context, keeper)
    if earlier is not None:
        session.go_on(earlier)
        at = f" at {settings.server.base_url}" if settings.server is not None else ""
        terminal.remark(f"continuing {earlier.title!r} ({len(earlier.messages)} messages){at}")
    if given is None and template.needs_input:
        from .repl import converse  # noqa: PLC0415  what a person types is for a conversation alone

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
    from ..local_servers import find_one, reach_directly  # noqa: PLC0415  of one option, and a client comes with it

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
