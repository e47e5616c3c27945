"""``autonomousai templates``: they are listed, shown and edited. What is in one is in `templates`."""

from __future__ import annotations

import argparse
import os

from ..errors import ConfigError
from . import templates
from .exit_codes import DONE
from .terminal import Terminal


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
