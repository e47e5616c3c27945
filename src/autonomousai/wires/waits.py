"""How long a server asks its callers to wait: in which headers, members and words it says so. Knows no network, and no clock
but the one that it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..late import late_pattern

#: Numbers from here on are no seconds to wait, but a point in time, in seconds since the epoch, and from there on in
#: milliseconds: no server asks to be waited for for three years.
_EPOCH: Final = 1e8
_EPOCH_MS: Final = 1e11

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,12})?"
_UNIT = r"milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # by the first letter

_PLAIN: Final = late_pattern(_NUMBER, re.ASCII)
_STEP: Final = late_pattern(rf"({_NUMBER})\s*({_UNIT})\s*", re.ASCII | re.IGNORECASE)
_DURATION: Final = late_pattern(rf"(?:{_NUMBER}\s*(?:{_UNIT})\s*)+", re.ASCII | re.IGNORECASE)

#: In the words of OpenAI ("Please try again in 6m0s"), Gemini ("Please retry in 34.07s") and Azure ("retry after 86 seconds").
_WORDS: Final = late_pattern(
    rf"(?:try again|retry|wait)(?: again)? (?:in|after|for)(?: about)? ((?:{_NUMBER}\s*(?:{_UNIT})(?![a-z])\s*)+)",
    re.ASCII | re.IGNORECASE,
)

#: Members of an error's object that say it in seconds, or as a text with a unit; and those in milliseconds.
_MEMBERS: Final = ("retry_after", "retryAfter", "retry_after_seconds", "retryAfterSeconds", "retryDelay", "estimated_time")
_MEMBERS_MS: Final = ("retry_after_ms", "retryAfterMs")

#: What stands before and behind ``reset`` in the name of a header that says when a limit ends, and its counterpart that
#: says what is left of it.
_RESETS: Final = (
    *[
        (f"{x}ratelimit-reset{what}", f"{x}ratelimit-remaining{what}")
        for x in ("x-", "")
        for what in ("", "-requests", "-tokens", "-requests-day", "-tokens-minute")
    ],
    *[
        (f"anthropic-ratelimit-{what}-reset", f"anthropic-ratelimit-{what}-remaining")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ],
)

#: Milliseconds to wait: of OpenAI, and of Azure.
_IN_MS: Final = ("retry-after-ms", "x-ms-retry-after-ms")

#: What is left of a limit, and when it ends, in a header ``RateLimit``: of today's draft, and of those before it.
_LEFT: Final = late_pattern(r"(?:^|[;,\s])(?:r|remaining)\s*=\s*0(?![\d.])")
_ENDS: Final = late_pattern(r"(?:^|[;,\s])(?:t|reset)\s*=\s*(\d{1,9})(?!\d)")


def wait_in_headers(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Return the seconds to wait that *headers*, with names in lower case, ask for; None where they ask for none.

    ``retry-after-ms``; ``Retry-After`` in seconds, as a date (RFC 9110, section 10.2.3), or in one of the ways that the
    standard does not know; and when a limit ends of which nothing is left, also as ``RateLimit`` says it (IETF draft
    "RateLimit header fields for HTTP"), as at Hugging Face.

    Example::

        assert wait_in_headers({"retry-after": "1m30s"}, lambda: 0.0) == 90
    """
    for name in _IN_MS:
        if _PLAIN.fullmatch(said := headers.get(name, "").strip()):
            return float(said) / 1000
    if (wait := _wait(headers.get("retry-after", ""), now)) is not None:
        return wait
    waits = [_wait(headers.get(reset, ""), now) for reset, left in _RESETS if headers.get(left, "").strip() in ("0", "0.0")]
    waits += _limits_in(headers.get("ratelimit", ""))
    return max((wait for wait in waits if wait is not None), default=None)


def _limits_in(said: str) -> list[float | None]:
    """Return when the limits end of which nothing is left, by a header ``RateLimit``."""
    said = said[:1000]
    limits = said.split(",") if ";" in said else [said]  # before, it was one limit, with its members between commas
    return [float(ends[1]) for each in limits if _LEFT.search(each) and (ends := _ENDS.search(each))]


def wait_in_error(layers: Iterator[dict[str, Any]], message: str | None, now: Callable[[], float]) -> float | None:
    """Return the seconds to wait that an error's objects, from the outermost to the innermost, or else its *message*, ask for;
    None where they ask for none."""
    for layer in layers:
        details = layer.get("details")
        for place in (layer, *(details if isinstance(details, list) else ())):
            if isinstance(place, dict) and (wait := _wait_in_members(place)) is not None:
                return wait
        metadata = layer.get("metadata")
        headers = metadata.get("headers") if isinstance(metadata, dict) else None
        if isinstance(headers, dict):
            named = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
            if (wait := wait_in_headers(named, now)) is not None:
                return wait
    found = _WORDS.search((message or "")[:2000])
    return _duration(found[1]) if found else None


def _wait_in_members(said: dict[str, Any]) -> float | None:
    for name, unit in (*[(name, 1.0) for name in _MEMBERS], *[(name, 0.001) for name in _MEMBERS_MS]):
        value = said.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _EPOCH:
            return value * unit
        if isinstance(value, str):
            value = value.strip()
            wait = float(value) * unit if _PLAIN.fullmatch(value) else _duration(value)
            if wait is not None:
                return wait
    return None


def _wait(said: str, now: Callable[[], float]) -> float | None:
    """The seconds that the value of a header means."""
    said = said.strip()
    if not said:
        return None
    if _PLAIN.fullmatch(said):
        number = float(said)
        if number < _EPOCH:
            return number
        return max(0.0, (number / 1000 if number >= _EPOCH_MS else number) - now())
    if (wait := _duration(said)) is not None:
        return wait
    if "," in said and all(_PLAIN.fullmatch(each.strip()) for each in said.split(",")):  # the header came more than once
        return max(float(each) for each in said.split(","))
    return _until(said, now)


def _duration(said: str) -> float | None:
    """The seconds of ``30s``, ``1m30s``, ``500 ms``, ``2 minutes``."""
    said = said.strip()
    if not _DURATION.fullmatch(said):
        return None
    return sum(float(number) * _seconds(unit.lower()) for number, unit in _STEP.findall(said))


def _seconds(unit: str) -> float:
    return 0.001 if unit.startswith(("ms", "mil")) else _SECONDS[unit[0]]


def _until(said: str, now: Callable[[], float]) -> float | None:
    """The seconds until a date, as HTTP or as ISO 8601 writes it; 0 where it is past."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  few servers send a date, and it is slow to come

    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(said)
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
