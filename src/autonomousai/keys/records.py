"""What is known of one key: its name, what its holder may do, and its secret's hash. The secret itself is shown once, and kept
nowhere.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

import msgspec

from ..settings import KeyConfig, KeyPolicy

#: What a secret that is made here begins with, and the random bytes in it.
PREFIX: Final = "sk-aai-"
_RANDOM: Final = 32

#: Last characters of a secret that people know it by.
HINT: Final = 4

#: How a hash is written in a config, and what of it is the digest in hexadecimal digits.
HASH: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")

#: What a key may be called: a label of metrics, a word in the log, and a part of a URL's path.
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One key. ``id``: what streams, counters and the ledger know it by, whatever becomes of its secret. ``digest``: the
    SHA-256 of the secret; ``hint``: its last characters, for people. ``created``: seconds since the epoch; 0 in the config.
    ``previous``: the digest before a rotation, which opens until ``previous_until``, seconds since the epoch."""

    id: str
    name: str
    digest: bytes
    policy: KeyPolicy
    hint: str = ""
    created: float = 0.0
    previous: bytes = b""
    previous_until: float = 0.0

    @property
    def is_configured(self) -> bool:
        """Return whether it stands in the config, which alone can change it."""
        return self.id.startswith(CONFIGURED)

    @property
    def owner(self) -> bytes:
        """Return what streams and responses are bound to."""
        return b"key:" + self.id.encode()


#: What the ids of keys begin with that stand in the config.
CONFIGURED: Final = "config/"


def configured_key(name: str, config: KeyConfig) -> KeyRecord:
    """Return the key that a config's table is; the table was checked."""
    values = {field: getattr(config, field) for field in KeyPolicy.__struct_fields__}
    if config.key is not None:
        digest = digest_of(config.key.encode())
    else:
        match = HASH.fullmatch(config.hash or "")
        assert match is not None
        digest = bytes.fromhex(match[1])
    return KeyRecord(id=CONFIGURED + name, name=name, digest=digest, policy=KeyPolicy(**values))


def new_secret() -> str:
    """Return a random secret: 256 bits, of which nothing can be guessed."""
    return PREFIX + secrets.token_urlsafe(_RANDOM)


def digest_of(secret: bytes) -> bytes:
    """Return what is kept of a secret. Its randomness needs no slow hash."""
    return hashlib.sha256(secret).digest()
