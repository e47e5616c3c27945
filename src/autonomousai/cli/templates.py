"""Templates: questions that are asked again and again, a TOML file each in the user's config directory. Knows files alone.

system = "You are a strict reviewer."
prompt = "Review this change:\\n\\n$input"
model = "qwen_coder"

[fields]
temperature = 0
"""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..config_reading import TableReader, as_table
from ..directories import user_directory
from ..errors import ConfigError
from ..request import CALL_OPTIONS
from ..suggestions import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: Not for a template to say: what happens beside the question, and what is said elsewhere.
_NO_FIELDS = CALL_OPTIONS | {"model", "messages", "stream"}

SKELETON = """\
# A template of `autonomousai chat --template {name}`. $input is what is asked: the
# PROMPT and standard input. What is left out is as without a template.

# system = "You are a strict reviewer."
prompt = "$input"
# model = "qwen_coder"

[fields]
# temperature = 0
# max_tokens = 500
"""


class Template(msgspec.Struct, frozen=True):
    """What a template says. ``prompt``: with ``$input`` where the question goes. ``fields``: request fields."""

    system: str | None = None
    prompt: str | None = None
    model: str = ""
    fields: dict[str, Any] = {}

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing to ask without an input."""
        return self.prompt is None or "$input" in self.prompt

    def fill(self, given: str) -> str:
        """The question: the prompt with *given* in its place, or behind it where it names no place."""
        if self.prompt is None:
            return given
        if "$input" in self.prompt:
            return self.prompt.replace("$input", given)
        return f"{self.prompt}\n\n{given}" if given else self.prompt


def directory(env: Mapping[str, str]) -> Path:
    """Where templates are."""
    try:
        return user_directory("config", env) / "templates"
    except RuntimeError:
        raise ConfigError("there is no home directory to look for templates in; set XDG_CONFIG_HOME") from None


def path_of(name: str, env: Mapping[str, str]) -> Path:
    """The file of the template *name*, whether it is there or not. Raises `ConfigError` for what cannot be a name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a template cannot be called {name[:100]!r}: use letters, digits, '-', '_' and '.'")
    return directory(env) / f"{name}.toml"


def names(env: Mapping[str, str]) -> list[str]:
    """The templates that there are."""
    try:
        return sorted(path.stem for path in directory(env).glob("*.toml") if _NAME.fullmatch(path.stem))
    except OSError:
        return []


def load(name: str, env: Mapping[str, str]) -> Template:
    """The template *name*. Raises `ConfigError` that names the file and the key."""
    path = path_of(name, env)
    try:
        document = tomllib.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode())
        template = TableReader({dict[str, Any]: as_table}).read("", document, Template)
        if wrong := sorted(_NO_FIELDS & template.fields.keys()):
            raise ConfigError("is no request field that a template can set", key=f"fields.{wrong[0]}")
    except FileNotFoundError:
        known = names(env)
        raise ConfigError(
            f"there is no template {name!r}; there are: {', '.join(known) or 'none yet'}. "
            f"`autonomousai templates edit {name}` makes it{did_you_mean(name, known)}"
        ) from None
    except OSError as error:
        mistake = ConfigError(f"cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        mistake = ConfigError("is not UTF-8", advice="save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistake = ConfigError(f"is not TOML: {error}")
    except ConfigError as error:
        mistake = error
    else:
        return template
    raise ConfigError(mistake.problem, key=mistake.key, advice=mistake.advice, file=str(path))


def make(name: str, env: Mapping[str, str]) -> Path:
    """The file of the template *name*, made with an explanation in it where it is not there yet."""
    path = path_of(name, env)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(SKELETON.format(name=name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def edit(path: Path, env: Mapping[str, str]) -> bool:
    """Open the user's editor with the file, and wait for its end. False where there is none, or where it failed."""
    editor = (env.get("VISUAL") or env.get("EDITOR") or "").split()
    return bool(editor) and os.spawnvp(os.P_WAIT, editor[0], [*editor, str(path)]) == 0  # noqa: S606  no shell is wanted
