"""What of a request and its answer may stand in a file that is committed: no key, no cookie, no account. Does no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from ...wires.redaction import redact, secrets_of
from ..texts import EVENT_END

HIDDEN: Final = "***"

#: The headers that are written down, of requests and of answers; of no other header is more kept than its name.
_REQUEST_HEADERS: Final = re.compile(r"accept|content-type|anthropic-(?:version|beta)|openai-beta|idempotency-key")
_ANSWER_HEADERS: Final = re.compile(
    r"content-(?:type|language)|location|retry-after(?:-ms)?|x-should-retry|(?:x-)?request-id|openai-(?:version|model)|.*ratelimit.*"
)
#: Headers whose being there is worth knowing, though not their values.
_SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)

#: Members of JSON bodies, at any depth, and fields of queries, whose values are secrets. ``token`` alone is a word of answers.
_SECRET_FIELD: Final = re.compile(
    r"(?:.*[-_])?(?:api[-_]?key|apikey|access[-_]?key(?:[-_]?id)?|secret|password|passwd|authorization|credentials?|cookie)"
    r"|client_secret|(?:access|refresh|id|session|security|auth|authorization|bearer|aws_session|x-amz-security)[-_]?token"
    r"|x-amz-(?:credential|signature)|sig|signature_key|private_key",
    re.IGNORECASE,
)
#: A member of a JSON document that has a text: in the document, and in one that is a text of another.
_MEMBER: Final = re.compile(r'("([\w.-]+)"\s*:\s*")(?:[^"\\]|\\.)+(")')
_NESTED: Final = re.compile(r'((?:\\+)"([\w.-]+)\\+"\s*:\s*\\+")[^"\\]+(\\+")')
#: A form as it is encoded for the web, and one of its fields.
_FORM: Final = re.compile(r"[\w.%+-]+=[^&=\s]*(?:&[\w.%+-]+=[^&=\s]*)*")
_FORM_FIELD: Final = re.compile(r"((?:^|&)([\w.%+-]+)=)[^&]+()")
#: What is a credential by its looks, whichever member holds it: tokens of GitHub, AWS, Google, and JSON Web Tokens (RFC 7519).
_SHAPES: Final = re.compile(
    r"\b(?:gh[pousr]_\w{30,}|AKIA[0-9A-Z]{16}\b|ya29\.[\w-]{20,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+|sk_(?:live|test)_\w{16,})"
)
_SECRET_QUERY: Final = re.compile(r"key|token|code|signature", re.IGNORECASE)


def names_of(names: str | Iterable[str]) -> tuple[str, ...]:
    """Names of members, where a text is one name."""
    return (names,) if isinstance(names, str) else tuple(names)


class Scrubber:
    """Removes secrets. ``fields``: names of further members and query fields whose values are secrets; a text is one."""

    def __init__(self, fields: str | Iterable[str] = ()) -> None:
        self._fields = frozenset(field.lower() for field in names_of(fields))

    def request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those that say something of the request; secret ones without their values."""
        kept = {name: value for name, value in headers.items() if _REQUEST_HEADERS.fullmatch(name)}
        return kept | {name: HIDDEN for name in headers if _SECRET_HEADER.search(name) and name not in kept}

    def answer_headers(self, headers: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
        """Those that a client may act on."""
        named = {name.lower(): value for name, value in headers.items()}
        return {name: redact(value, secrets) for name, value in named.items() if _ANSWER_HEADERS.fullmatch(name)}

    def path(self, target: str) -> str:
        """A request's target with ``***`` for the secrets of its query, whose fields are sorted."""
        path, mark, query = redact(target, ()).partition("?")
        if not mark:
            return path
        pairs = parse_qsl(query, keep_blank_values=True)
        kept = [(name, HIDDEN if self._is_secret(name) or _SECRET_QUERY.fullmatch(name) else value) for name, value in pairs]
        return f"{path}?{urlencode(sorted(kept), safe='*:/')}"

    def secrets(self, target: str, headers: Mapping[str, str]) -> list[str]:
        """The secrets that a request itself bears: they are removed from all bodies, wherever they stand."""
        pairs = parse_qsl(target.partition("?")[2])
        query = [value for name, value in pairs if self._is_secret(name) or _SECRET_QUERY.fullmatch(name)]
        return [*secrets_of(headers), *query]

    def json(self, value: Any) -> Any:
        """A JSON value with ``***`` in the place of secret members."""
        if isinstance(value, dict):
            return {
                name: HIDDEN if isinstance(held, str) and held and self._is_secret(name) else self.json(held)
                for name, held in value.items()
            }
        return [self.json(each) for each in value] if isinstance(value, list) else value

    def body(self, data: bytes, secrets: Iterable[str]) -> bytes:
        """A body without *secrets*, secret members, and what looks like a credential; one that is no text is as it is."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        text = _NESTED.sub(self._member, _MEMBER.sub(self._member, text))
        if _FORM.fullmatch(text):
            text = _FORM_FIELD.sub(self._member, text)
        return redact(_SHAPES.sub(HIDDEN, text), secrets).encode()

    def pieces(self, pieces: Sequence[tuple[int, bytes]], secrets: Iterable[str]) -> list[tuple[int, bytes]]:
        """The pieces of a body, each with the milliseconds before it; where something was removed, an event is a piece, so that
        no secret is missed because it came in two, and a document is one."""
        whole = b"".join(data for _, data in pieces)
        secrets = list(secrets)
        ends = [match.end() for match in EVENT_END.finditer(whole)]
        if ends and self.body(whole, secrets) == whole:
            return list(pieces)
        found: list[tuple[int, bytes]] = []
        start = passed = told = 0
        arrived = 0
        waiting = iter(pieces)
        for end in [*ends, len(whole)]:
            while arrived < end:
                milliseconds, data = next(waiting)
                passed += milliseconds
                arrived += len(data)
            if end > start:
                found.append((passed - told, self.body(whole[start:end], secrets)))
                start, told = end, passed
        return found

    def _member(self, match: re.Match[str]) -> str:
        return f"{match[1]}{HIDDEN}{match[3]}" if self._is_secret(match[2]) else match[0]

    def _is_secret(self, name: str) -> bool:
        return name.lower() in self._fields or _SECRET_FIELD.fullmatch(name) is not None
