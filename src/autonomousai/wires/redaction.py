"""What a stranger says, made safe to show: one line, bounded, without keys and without markup. Knows no shape of errors."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What looks like a credential, and what is left of it. Words that follow "bearer" in plain sentences are not keys.
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"\b(bearer)\s+(?!(?:auth\w*|tokens?|schemes?|keys?|or|and|is|in|of|not|was|header)\b)[^\s\"',;)]+", re.IGNORECASE
        ),
        r"\1 ***",
    ),
    (re.compile(r"\b(basic)\s+(?!auth)[A-Za-z0-9+/]{8,}={0,2}(?![A-Za-z0-9])", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\bsk-[\w*.-]{4,}|\b(?:gsk_|hf_|xai-)[\w*-]{16,}|\bAIza[\w-]{20,}"), "***"),
    (re.compile(r"([?&](?:api[-_]?key|key|token)=)[^&\s\"']+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://)[^/@\s\"']+@"), r"\1***@"),
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_CODE_OPENS = re.compile(r"<(?:script|style)\b", re.IGNORECASE)
_CODE_CLOSES = re.compile(r"</(?:script|style)\s*>", re.IGNORECASE)
_HTML = re.compile(r"\s*<(?:!doctype\s|html|head|body|title|h1|p\b|center)", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* with ``***`` in the place of each of the *secrets* (of eight characters or more: shorter ones are words of
    the text), and of all that looks like a credential."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    for pattern, rest in _CREDENTIALS:
        text = pattern.sub(rest, text)
    return text


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
