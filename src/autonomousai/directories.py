"""Where a user's files are, by the XDG Base Directory Specification, version 0.8. Reads no file of its own."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: What is kept there -> the variable that names the base directory, and where that is under the home directory by default.
_BASES: Final = {
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "config": ("XDG_CONFIG_HOME", ".config"),
    "data": ("XDG_DATA_HOME", ".local/share"),
    "state": ("XDG_STATE_HOME", ".local/state"),
}


def user_directory(kind: str, env: Mapping[str, str]) -> Path:
    """Return the program's directory for files of *kind*: "cache", "config", "data" or "state".

    Raises `RuntimeError`, as `Path.home` does, where there is no home directory and *env* names none.
    """
    variable, under_home = _BASES[kind]
    base = Path(env.get(variable) or "")
    if not base.is_absolute():  # the specification: a relative path is to be ignored
        base = _home() / under_home
    return base / "autonomousai"


def _home() -> Path:
    """Return the home directory. HOME that is no absolute path, such as the empty one of a service, counts as not set."""
    if Path(os.environ.get("HOME", "/")).is_absolute():
        return Path.home()
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise RuntimeError("Could not determine home directory.") from None
