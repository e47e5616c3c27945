"""How a request is refused that its key's limits do not admit, and the headers that say what is left of them.

Statuses and codes are those of OpenAI's API, which each API's errors are written from.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final

from ..errors import StatusError
from .limits import NANO, Decision, Demand, Limits, bounds_of
from .records import KeyRecord

#: The code of a budget that is spent.
SPENT: Final = "insufficient_quota"


#: The names of the headers for Anthropic's clients or OpenAI's, of requests and of tokens: the limit, what is left, and when
#: all of it is there again.
_HEADERS: Final = {
    (anthropic, kind): tuple(
        (f"anthropic-ratelimit-{kind}-{what}" if anthropic else f"x-ratelimit-{what}-{kind}").encode()
        for what in ("limit", "remaining", "reset")
    )
    for anthropic in (False, True)
    for kind in ("requests", "tokens")
}


class KeyLimitError(StatusError):
    """A limit of the caller's key refuses a request. ``limits`` and ``decision``: which, and what is left."""

    limits: Limits = Limits()
    decision: Decision = Decision()

    @property
    def helps(self) -> bool:
        """Return whether asking again soon can help."""
        return self.decision.wait > 0


def refused(record: KeyRecord, limits: Limits, decision: Decision, demand: Demand, now: float) -> KeyLimitError:
    """Return the error for a request of *record* that *decision* refuses."""
    error = _worded(record, limits, decision, demand, now)
    error.limits, error.decision = limits, decision
    return error


def _worded(record: KeyRecord, limits: Limits, decision: Decision, demand: Demand, now: float) -> KeyLimitError:
    name, wait = record.name, decision.wait
    again = f"; try again in {wait} s" if wait > 0 else ""
    match decision.refused:
        case "requests":
            return _too_many("requests", f"the key {name!r} may make {limits.requests} requests a minute{again}", wait)
        case "concurrency":
            return _too_many("requests", f"the key {name!r} may have {limits.concurrency} answers at once{again}", wait)
        case "tokens":
            most = f"the key {name!r} may use {limits.tokens} tokens a minute"
            if wait < 0:
                most += f", and this request may need {demand.least_tokens} alone; send less, or ask for a shorter answer"
            return _too_many("tokens", f"{most}{again}", wait)
    period = record.policy.budget_period
    said = (
        f"{limits.token_budget} tokens" if decision.refused == "token_budget" else f"{limits.nano_budget / NANO:g} US dollars"
    )
    problem = f"the key {name!r} may use {said} a {period}"
    if wait > 0:
        return _too_many("tokens", f"{problem}, and answers under way may take what is left{again}", wait)
    end = bounds_of(record.policy, now)[1]
    return KeyLimitError(
        f"{problem}, and what is left is not enough for this request; the next {period} begins at "
        f"{dt.datetime.fromtimestamp(end, dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        status=429,
        type=SPENT,
        code=SPENT,
        retry_after=end - now,
    )


def _too_many(kind: str, problem: str, wait: int) -> KeyLimitError:
    return KeyLimitError(
        problem, status=429, type=kind, code="rate_limit_exceeded", retry_after=float(wait) if wait > 0 else None
    )


def not_priced(model: str) -> StatusError:
    """Return the error for a model whose answers cannot be counted in money."""
    return StatusError(
        f"no price is known for the model {model!r}, so that this key's budget cannot be kept; "
        "this server's operator can write one under [prices]",
        status=403,
        type="permission_error",
        param="model",
        code="model_not_priced",
    )


def limit_headers(limits: Limits, decision: Decision, now: float, *, anthropic: bool) -> list[tuple[bytes, bytes]]:
    """Return what says how much is left of the limits a minute, as the clients of OpenAI's API read it, or Anthropic's."""
    headers: list[tuple[bytes, bytes]] = []
    if limits.requests:
        limit, left, when = _HEADERS[anthropic, "requests"]
        reset = decision.requests_reset
        headers = [
            (limit, b"%d" % limits.requests),
            (left, b"%d" % decision.requests_left),
            (when, _moment(now + reset) if anthropic else b"%ds" % reset),
        ]
    if limits.tokens:
        limit, left, when = _HEADERS[anthropic, "tokens"]
        reset = decision.tokens_reset
        headers += (
            (limit, b"%d" % limits.tokens),
            (left, b"%d" % decision.tokens_left),
            (when, _moment(now + reset) if anthropic else b"%ds" % reset),
        )
    return headers


#: What `limit_lines` are for OpenAI's clients, of a key with both limits; what is left is written in later.
_LINES: Final = b"".join(b"%b: %%d\r\n%b: %%%%d\r\n%b: %%ds\r\n" % _HEADERS[False, kind] for kind in ("requests", "tokens"))

#: The same for some limits and times, which most responses share with others.
_lines: Final[dict[tuple[int, int, int, int], bytes]] = {}
_MOST_LINES: Final = 1_000


def limit_lines(limits: Limits, decision: Decision, now: float, *, anthropic: bool) -> bytes:
    """Return the same headers as lines of a response's head."""
    if limits.requests and limits.tokens and not anthropic:  # as usual: in one piece
        same = (limits.requests, decision.requests_reset, limits.tokens, decision.tokens_reset)
        lines = _lines.get(same)
        if lines is None:
            if len(_lines) >= _MOST_LINES:
                _lines.clear()
            lines = _lines[same] = _LINES % same
        return lines % (decision.requests_left, decision.tokens_left)
    headers = limit_headers(limits, decision, now, anthropic=anthropic)
    return b"".join([b"%b: %b\r\n" % each for each in headers])


@lru_cache(64)
def _moment_of(second: int) -> bytes:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}".encode()


def _moment(time: float) -> bytes:
    return _moment_of(int(time))
