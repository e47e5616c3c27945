"""Keys that a file names and does not hold: ``env:NAME``, a variable of the environment, and ``keyring:NAME``, an entry of the
system's keyring (macOS Keychain, Windows Credential Locker, Secret Service, KWallet), read by the library keyring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .errors import ConfigError

#: The service under which entries of the keyring stand, unless a reference names another: ``keyring:SERVICE/NAME``.
SERVICE: Final = "autonomousai"

_FORMS: Final = ("env:", "keyring:")


def is_reference(value: str) -> bool:
    """Return whether *value* names a key that is kept elsewhere."""
    return value.startswith(_FORMS)


def resolve(value: str, env: Mapping[str, str]) -> tuple[str, str]:
    """Return the key that *value* names, or is, and in words where it was found. Raises `ConfigError` where it is not there."""
    form, _, name = value.partition(":")
    if not is_reference(value):
        return value, "the key"
    if form == "keyring":
        return _from_keyring(name), f"the key {name} of the keyring"
    source = f"the environment variable {name}"
    if not (found := env.get(name)):
        raise ConfigError(f"{source} is not set", advice="set it, or change this entry")
    return found, source


def _from_keyring(reference: str) -> str:
    service, slash, name = reference.rpartition("/")
    service = service if slash else SERVICE
    if not service or not name:
        raise ConfigError("keyring: names no key", advice="write keyring:NAME, or keyring:SERVICE/NAME")
    try:
        import keyring.errors  # noqa: PLC0415  an optional extra, which looks for the system's services
    except ImportError:
        raise ConfigError("keyring: needs an extra", advice="run: pip install 'autonomousai[keyring]'") from None
    try:
        found = keyring.get_password(service, name)
    except keyring.errors.NoKeyringError:
        advice = "write env:NAME for a variable of the environment, or install a backend of the library keyring"
        raise ConfigError("this system has no keyring that can be read", advice=advice) from None
    except keyring.errors.KeyringError as error:
        raise ConfigError(
            f"the keyring cannot be read ({type(error).__name__})", advice="unlock it, or write env:NAME"
        ) from None
    if not found:
        advice = f"store it with: keyring set {service} {name}"
        raise ConfigError(f"the keyring has no key {name!r} of the service {service!r}", advice=advice)
    return found
