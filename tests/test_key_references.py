"""Keys that files name by ``env:`` and ``keyring:``: where they are found, and what is said where they are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from autonomousai.errors import ConfigError
from autonomousai.key_references import is_reference, resolve


class Entries(KeyringBackend):
    """A keyring in memory."""

    def __init__(self, entries: dict[tuple[str, str], str] | None) -> None:
        super().__init__()
        self._entries = entries

    def get_password(self, service: str, username: str) -> str | None:
        if self._entries is None:
            raise KeyringLocked("secret words of the backend")
        return self._entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def before() -> Iterator[None]:
    """The keyring of the tests' process, which they leave as it was."""
    kept = keyring.get_keyring()
    yield
    keyring.set_keyring(kept)


@pytest.mark.parametrize(
    ("reference", "key", "source"),
    [
        ("sk-1", "sk-1", "the key"),
        ("env:NAME", "sk-env", "the environment variable NAME"),
        ("keyring:work", "sk-work", "the key work of the keyring"),
        ("keyring:other/team/work", "sk-other", "the key other/team/work of the keyring"),
    ],
)
@pytest.mark.usefixtures("before")
def test_a_key_is_found_where_it_is_named(reference: str, key: str, source: str) -> None:
    """As it is, in a variable, in the keyring under this program's name, or under another's."""
    keyring.set_keyring(Entries({("autonomousai", "work"): "sk-work", ("other/team", "work"): "sk-other"}))

    assert (key, source) == resolve(reference, {"NAME": "sk-env"})
    assert (reference != "sk-1") == is_reference(reference)


@pytest.mark.parametrize(
    ("reference", "backend", "words"),
    [
        ("env:NAME", Entries({}), "the environment variable NAME is not set; set it, or change this entry"),
        ("keyring:work", Entries({}), "store it with: keyring set autonomousai work"),
        ("keyring:", Entries({}), "names no key; write keyring:NAME"),
        ("keyring:/work", Entries({}), "names no key; write keyring:NAME"),
        ("keyring:work", NoKeyring(), "this system has no keyring that can be read; write env:NAME"),
        ("keyring:work", Entries(None), "the keyring cannot be read (KeyringLocked); unlock it"),
    ],
)
@pytest.mark.usefixtures("before")
def test_what_is_missing_is_named(reference: str, backend: KeyringBackend, words: str) -> None:
    """The variable, the entry, the keyring itself; nothing of what a backend says is repeated."""
    keyring.set_keyring(backend)
    with pytest.raises(ConfigError) as caught:
        resolve(reference, {})

    assert words in str(caught.value)
    assert "secret words" not in str(caught.value)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library nothing else is asked of it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"needs an extra; run: pip install 'autonomousai\[keyring\]'"):
        resolve("keyring:work", {})
