"""What a stranger says, made safe to show: one line, bounded, without keys and without markup. Knows no shape of errors."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote
from weakref import WeakSet

from ..late import late_pattern

#: What looks like a credential, and what is left of it. Words that follow "bearer" in plain sentences are not keys.
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        late_pattern(
            r"\b(bearer)\s+(?!(?:auth\w*|tokens?|schemes?|keys?|or|and|is|in|of|not|was|header)\b)[^\s\"',;)]+", re.IGNORECASE
        ),
        r"\1 ***",
    ),
    (late_pattern(r"\b(basic)\s+(?!auth)[A-Za-z0-9+/]{8,}={0,2}(?![A-Za-z0-9])", re.IGNORECASE), r"\1 ***"),
    (late_pattern(r"\bsk-[\w*.-]{4,}|\b(?:gsk_|hf_|xai-)[\w*-]{16,}|\bAIza[\w-]{20,}"), "***"),
    (late_pattern(r"([?&](?:api[-_]?key|key|token)=)[^&\s\"']+", re.IGNORECASE), r"\1***"),
    (late_pattern(r"(://)[^/@\s\"']+@"), r"\1***@"),
)

_CONTROL = late_pattern(r"[\x00-\x1f\x7f-\x9f\s]+")
_TAG = late_pattern(r"<[^<>]*>")
_TITLE = late_pattern(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_CODE_OPENS = late_pattern(r"<(?:script|style)\b", re.IGNORECASE)
_CODE_CLOSES = late_pattern(r"</(?:script|style)\s*>", re.IGNORECASE)
_HTML = late_pattern(r"\s*<(?:!doctype\s|html|head|body|title|h1|p\b|center)", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* with ``***`` in the place of each of the *secrets* (of eight characters or more: shorter ones are words of
    the text), and of all that looks like a credential.

    A secret is found in any case, encoded (base64, alone or behind a user's name; percent signs; hex), and cut, down to a part
    of `_PART` characters. So are those that are kept as `HiddenSecrets`, down to a part of sixteen.

    Example::

        assert redact("Incorrect key: c2VjcmV0LWtleS0x", ["secret-key-1"]) == "Incorrect key: ***"
    """
    for secret in secrets:
        if len(secret) >= _LEAST:
            text = _without(text, _parts(secret))
    for hidden in tuple(_HIDDEN):
        for size, parts in hidden.parts.items():
            text = _without(text, (parts, size))
    for pattern, rest in _CREDENTIALS:
        text = pattern.sub(rest, text)
    return text


class HiddenSecrets:
    """Secrets that `redact` hides from every text, whatever the text is about, as long as this object is kept.

    Errors are read and told in many places, each of which knows the secrets of its own request alone; a server has others, and
    an upstream may repeat one of them. A process-wide set is the one place that no error can pass by.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        grouped: dict[int, set[str]] = {}
        for secret in secrets:
            if len(secret) >= _LEAST:
                parts, size = _parts(secret, _WHOLE)
                grouped.setdefault(size, set()).update(parts)
        #: By their length.
        self.parts = {size: frozenset(parts) for size, parts in grouped.items()}
        _HIDDEN.add(self)


#: Those that are kept.
_HIDDEN: Final[WeakSet[HiddenSecrets]] = WeakSet()


#: Names of headers whose values are secrets.
_SECRET_HEADER: Final = late_pattern(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)


def secrets_of(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets that a request's *headers* hold: their values, without the scheme where there is one."""
    for name, value in headers.items():
        if _SECRET_HEADER.search(name):
            yield value.partition(" ")[2].strip() or value


#: Characters of the shortest secret that is looked for, and of a part of one: half of it, within these bounds.
_LEAST: Final = 8
_PART: Final = (8, 16)

#: The same of a secret that is none of the request's: the whole of a short one, as its half may be a word of the text.
_WHOLE: Final = (16, 16)


@lru_cache(maxsize=256)
def _parts(secret: str, bounds: tuple[int, int] = _PART) -> tuple[frozenset[str], int]:
    """Return all parts of the forms in which a secret may be repeated, in lower case, and their length: half of the secret's,
    within *bounds*, and never more than all of it."""
    size = min(max(len(secret) // 2, bounds[0]), bounds[1], len(secret))
    data = secret.encode()
    forms = {secret, quote(secret, safe=""), data.hex()}
    for behind in range(3):  # in base64 it looks otherwise behind other bytes: what is common to all of them
        for encode in (b64encode, urlsafe_b64encode):
            first = -(-behind * 4 // 3)
            encoded = encode(b"\0" * behind + data).decode().rstrip("=")
            forms.add(encoded[first : len(encoded) - ((behind + len(data)) % 3 > 0)])
    folded = {form.lower() for form in forms}
    return frozenset(form[at : at + size] for form in folded for at in range(len(form) - size + 1)), size


def _without(text: str, parts: tuple[frozenset[str], int]) -> str:
    """Return *text* with ``***`` in the place of each run of characters that *parts* cover."""
    wanted, size = parts
    folded = text.lower()
    if len(folded) != len(text):
        folded = text
    if wanted.isdisjoint(folded[at : at + size] for at in range(len(folded) - size + 1)):
        return text
    kept: list[str] = []
    covered = end = 0  # up to where a part covers, and up to where the text is kept or replaced
    for at in range(len(folded) - size + 1):
        if folded[at : at + size] not in wanted:
            continue
        if at > covered or not covered:
            kept.append(text[end:at])
            kept.append("***")
        covered = end = at + size
    return "".join([*kept, text[end:]])


def one_line(text: str, limit: int) -> str:
    """One printable line of at most *limit* characters, without the half characters that header values may hold."""
    line = _CONTROL.sub(" ", text).strip().encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def without_markup(text: str) -> str:
    """The words of an HTML page, its title or else its text without tags, scripts and styles; any other text as it is."""
    if not _HTML.match(text):
        return text
    import html  # noqa: PLC0415  hardly any server answers so, and it is slow to come

    title = _TITLE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1])
    first, *scripts = _CODE_OPENS.split(text)
    visible = [first, *(_CODE_CLOSES.split(script, maxsplit=1)[1] for script in scripts if _CODE_CLOSES.search(script))]
    return html.unescape(_TAG.sub(" ", " ".join(visible)))
