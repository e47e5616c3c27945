"""Where a user's files are: the environment says, by the XDG specification; else the home directory."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from autonomousai.cli.chat.conversations import KeepError, database
from autonomousai.cli.chat.repl import history_file
from autonomousai.cli.templates import directory
from autonomousai.directories import user_directory
from autonomousai.engine.weights import weights_path
from autonomousai.errors import ConfigError

DEFAULTS = {"cache": ".cache", "config": ".config", "data": ".local/share", "state": ".local/state"}


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory, as in some containers."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    for variable in ("AUTONOMOUSAI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize(("given", "expected"), [("/x", "/x"), ("relative", None), ("", None), (None, None)])
def test_the_environment_says_where_files_are(
    kind: str, given: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The XDG variable where it is an absolute path, else the specification's default under the home directory."""
    monkeypatch.setenv("HOME", "/h")
    env = {} if given is None else {f"XDG_{kind.upper()}_HOME": given}

    assert Path(expected or f"/h/{DEFAULTS[kind]}") / "autonomousai" == user_directory(kind, env)


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_no_path_counts_as_not_set(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty HOME would be the root of the disk, a relative one wherever the program was started."""
    monkeypatch.setenv("HOME", home)

    assert Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache/autonomousai" == user_directory("cache", {})


@pytest.mark.usefixtures("homeless")
def test_without_a_home_directory_the_message_says_what_to_set() -> None:
    """Each says it in its own words; the lines that were typed are then not kept."""
    with pytest.raises(ConfigError, match="set AUTONOMOUSAI_CACHE"):
        weights_path("smollm2-135m")
    with pytest.raises(ConfigError, match="set XDG_CONFIG_HOME"):
        directory({})
    with pytest.raises(KeepError, match="set XDG_DATA_HOME"):
        database({})

    assert history_file({}) is None
    assert Path("/d/autonomousai/conversations.db") == database({"XDG_DATA_HOME": "/d"})
