"""`autonomousai history`: what is done with kept conversations. Knows them and a terminal; no model."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConfigError
from .chat.context import with_system
from .chat.transcripts import transcript_json, transcript_markdown
from .columns import table
from .exit_codes import DONE, UsageError
from .terminal import Terminal, printable
from .views import text_view

if TYPE_CHECKING:
    from .chat.conversations import Conversation, Conversations, Summary

_LIMIT = 20


def history(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do what the action says."""
    from .chat.conversations import Conversations, KeepError, NotKeptError, database  # noqa: PLC0415  sqlite3 comes with it

    try:
        path = database(os.environ)
        if args.action == "path":
            terminal.write(f"{path}\n")
            return DONE
        with Conversations(path) as kept:
            _ACTIONS[args.action or "list"](args, kept, terminal)
    except NotKeptError as error:
        raise UsageError(str(error)) from None
    except KeepError as error:
        raise ConfigError(str(error)) from None
    return DONE


def _list(args: argparse.Namespace, kept: Conversations, terminal: Terminal) -> None:
    _write_list(kept.recent(args.limit or _LIMIT), args, terminal)


def _search(args: argparse.Namespace, kept: Conversations, terminal: Terminal) -> None:
    if not " ".join(args.words).split():
        raise UsageError("WORD is empty: name one that occurs in a conversation")
    _write_list(kept.search(" ".join(args.words), args.limit or _LIMIT), args, terminal)


def _write_list(found: list[Summary], args: argparse.Namespace, terminal: Terminal) -> None:
    if args.json:
        terminal.write(msgspec.json.encode(found).decode() + "\n")
        return
    if not found:
        terminal.note("there is no such conversation" if args.action == "search" else "there is no conversation yet")
        return
    rows = [
        {
            "id": each.id,
            "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(each.updated)),
            "model": each.model,
            "messages": each.messages,
            "title": printable(each.title),
            "found": printable(each.found),
        }
        for each in found
    ]
    width = terminal.columns() if terminal.out_is_terminal else None
    terminal.write(table(rows, without=() if args.action == "search" else ("found",), width=width))


def _show(args: argparse.Namespace, kept: Conversations, terminal: Terminal) -> None:
    view = text_view(terminal, plain=args.plain)
    view.chunk(_markdown(kept.load(kept.find(args.id))))
    view.close()


def _export(args: argparse.Namespace, kept: Conversations, terminal: Terminal) -> None:
    if args.all and args.id:
        raise UsageError("name conversations, or --all of them")
    ids = [each.id for each in kept.recent()] if args.all else [kept.find(each) for each in args.id or [None]]
    found = [kept.load(each) for each in ids]
    if args.format == "json":
        terminal.write(transcript_json([_document(each) for each in found]))
    else:
        terminal.write("\n".join(map(_markdown, found)))


def _delete(args: argparse.Namespace, kept: Conversations, terminal: Terminal) -> None:
    if args.all == bool(args.id):
        raise UsageError("name conversations, or --all of them")
    ids = [each.id for each in kept.recent()] if args.all else [kept.find(each) for each in args.id]
    if args.all and ids and sys.stdin.isatty() and not _agrees(f"delete all {len(ids)} conversations?", terminal):
        return
    kept.delete(ids)
    terminal.note(f"deleted: {', '.join(ids) if len(ids) <= _LIMIT else len(ids)}" if ids else "there was nothing to delete")


def _agrees(question: str, terminal: Terminal) -> bool:
    terminal.write_aside(f"{question} [y/N] ")
    with terminal.interrupts.reading():
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def _model_of(conversation: Conversation) -> str:
    """The model that was asked; where none was named, the last that answered, as far as it said who it is."""
    answered = (each.model for each in reversed(conversation.messages) if each.model)
    return conversation.model or next(answered, "")


def _markdown(conversation: Conversation) -> str:
    """A conversation to read: its title, when and with whom, and what was said."""
    model = _model_of(conversation)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(conversation.started))
    told: list[dict[str, Any]] = [
        {
            "role": each.role if each.model in (None, model) else f"{each.role} ({each.model})",
            "content": each.content,
            **({} if each.state == "whole" else {"incomplete": ": ".join(filter(None, (each.state, each.why)))}),
        }
        for each in conversation.messages
    ]
    head = f"# {conversation.title}\n\n{', '.join(filter(None, (conversation.id, began, model)))}\n\n"
    return head + transcript_markdown(with_system(conversation.system, told))


def _document(conversation: Conversation) -> dict[str, Any]:
    """A conversation as JSON. Its ``messages`` without their other keys can be sent again."""
    document = msgspec.to_builtins(conversation)
    document["model"] = _model_of(conversation)
    document["messages"] = [
        {key: value for key, value in message.items() if value not in (None, "") or key == "content"}
        for message in document["messages"]
    ]
    return {key: value for key, value in document.items() if value is not None}


_ACTIONS: dict[str, Callable[[argparse.Namespace, Conversations, Terminal], None]] = {
    "list": _list,
    "search": _search,
    "show": _show,
    "export": _export,
    "delete": _delete,
}
