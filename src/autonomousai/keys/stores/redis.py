"""Counters in Redis or Valkey, which any number of servers share: the rules of `KeyCounters` as scripts, a round trip each.

The time is Redis's own, so that servers' clocks need not agree. All keys of one key lie in one slot of a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ...errors import ConfigError
from ...outage import said_by
from ..limits import SOON_S, WINDOW_S, Decision, Demand, Limits, Standing
from .store import LEASE_S, CounterStoreError, Holds

T = TypeVar("T")

#: The layout has a number: what servers of another layout left behind has other keys, and expires.
_KEY: Final = "autonomousai:key:1:{%s}"

#: Milliseconds that a key's counters are kept after its last request: longer than any period.
_KEEP: Final = 40 * 24 * 3600 * 1000

#: Seconds that a command may take: a request waits for it. Commands at once; more of them wait.
_TIMEOUT_S: Final = 5.0
_CONCURRENCY: Final = 16

#: Milliseconds that holds are known whose time has run out, and reports that were made.
_KNOWN: Final = 24 * 3600 * 1000

# KEYS in all scripts: the totals, a hash; the window, a hash of seconds; holds, sorted by the millisecond when they end; what
# is known, by that in which it was: holds whose time has run out, and reports that were made.
# Totals: p, the period; st, sn: tokens and nanodollars spent in it; ht, hn: held; h:NAME: tokens and nanodollars of a hold.
# Parked, by the length of the period's name, 7 of months and 10 of days: pLENGTH, stLENGTH and snLENGTH. Of the period before,
# where it was as long: q, tq, nq.

_COMMON: Final = (
    """
local time = redis.call('TIME')
local now = tonumber(time[1])
local ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)
local function int(number) return string.format('%.0f', number) end
local function add(field, number) if number ~= 0 then redis.call('HINCRBY', KEYS[1], field, int(number)) end end
local function total(field) return tonumber(redis.call('HGET', KEYS[1], field) or '0') end
local function held(hold)
    local known = redis.call('HGET', KEYS[1], 'h:' .. hold)
    if not known then return nil end
    local tokens, nano = string.match(known, '(%d+):(%d+)')
    return {tonumber(tokens), tonumber(nano)}
end
local function keep(hold, tokens, nano, lease)
    if not held(hold) then
        redis.call('HSET', KEYS[1], 'h:' .. hold, int(tokens) .. ':' .. int(nano))
        add('ht', tokens)
        add('hn', nano)
    end
    redis.call('ZADD', KEYS[3], int(ms + lease), hold)
end
local function drop(hold)
    local known = held(hold)
    redis.call('ZREM', KEYS[3], hold)
    if known then
        redis.call('HDEL', KEYS[1], 'h:' .. hold)
        add('ht', -known[1])
        add('hn', -known[2])
    end
    return known
end
local function enter(period)
    local before = redis.call('HGET', KEYS[1], 'p') or ''
    if before == period then return false end
    local kind, tokens, nano, known = #period, 0, 0, true
    if redis.call('HGET', KEYS[1], 'p' .. kind) == period then
        tokens, nano = total('st' .. kind), total('sn' .. kind)
    elseif redis.call('HGET', KEYS[1], 'q') == period then
        tokens, nano = total('tq'), total('nq')
    else
        known = false
    end
    redis.call('HDEL', KEYS[1], 'p' .. kind, 'st' .. kind, 'sn' .. kind, 'q', 'tq', 'nq')
    local left = #before
    if left == kind then
        redis.call('HSET', KEYS[1], 'q', before, 'tq', int(total('st')), 'nq', int(total('sn')))
    elseif left > 0 then
        redis.call('HSET', KEYS[1], 'p' .. left, before, 'st' .. left, int(total('st')), 'sn' .. left, int(total('sn')))
    end
    redis.call('HSET', KEYS[1], 'p', period, 'st', int(tokens), 'sn', int(nano))
    return not known or before == ''
end
local function spend(tokens, nano)
    for _, kind in ipairs({'', '7', '10'}) do
        if kind == '' or redis.call('HEXISTS', KEYS[1], 'p' .. kind) == 1 then
            local t, n = 'st' .. kind, 'sn' .. kind
            redis.call('HSET', KEYS[1], t, int(math.max(0, total(t) + tokens)), n, int(math.max(0, total(n) + nano)))
        end
    end
end
local function know(name)
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', int(ms - KNOWN))
    redis.call('PEXPIRE', KEYS[4], KNOWN)
    return redis.call('ZADD', KEYS[4], 'NX', int(ms), name) == 1
end
local function advance(period)
    enter(period)
    for _, hold in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', int(ms))) do
        local lost = drop(hold)
        if lost then
            spend(lost[1], lost[2])
            know(hold)
        end
    end
end
local function bucket(second)
    local known = redis.call('HGET', KEYS[2], int(second))
    if not known then return nil end
    local requests, tokens = string.match(known, '(%d+):(%d+)')
    return {tonumber(requests), tonumber(tokens)}
end
local function fill(second, requests, tokens)
    redis.call('HSET', KEYS[2], int(second), int(requests) .. ':' .. int(tokens))
    redis.call('EXPIRE', KEYS[2], WINDOW + 2)
end
local function last()
    redis.call('PEXPIRE', KEYS[1], KEEP)
    redis.call('PEXPIRE', KEYS[3], KEEP)
end
""".replace("WINDOW", str(WINDOW_S))
    .replace("KEEP", str(_KEEP))
    .replace("KNOWN", str(_KNOWN))
)

_RESERVE: Final = (
    _COMMON
    + """
local hold, lease, period = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local limit = {requests = tonumber(ARGV[4]), tokens = tonumber(ARGV[5]), concurrency = tonumber(ARGV[6])}
local least, most = {tonumber(ARGV[9]), tonumber(ARGV[11])}, {tonumber(ARGV[10]), tonumber(ARGV[12])}
advance(period)
local sums, buckets, late = {0, 0}, {}, {now, 0, 0}
local raw = redis.call('HGETALL', KEYS[2])
for i = 1, #raw, 2 do
    local second = tonumber(raw[i])
    if second < now - WINDOW then
        redis.call('HDEL', KEYS[2], raw[i])
    else
        local requests, tokens = string.match(raw[i + 1], '(%d+):(%d+)')
        local each = {second, tonumber(requests), tonumber(tokens)}
        sums[1], sums[2] = sums[1] + each[2], sums[2] + each[3]
        if second > now then  -- the clock was set back: it would stay as long as that takes
            redis.call('HDEL', KEYS[2], raw[i])
            late = {now, late[2] + each[2], late[3] + each[3]}
        else
            buckets[#buckets + 1] = each
        end
    end
end
if late[2] + late[3] > 0 then
    local known = bucket(now) or {0, 0}
    fill(now, known[1] + late[2], known[2] + late[3])
    buckets[#buckets + 1] = late
end
table.sort(buckets, function(a, b) return a[1] < b[1] end)
local function wait(which, needed)
    for _, each in ipairs(buckets) do
        needed = needed - each[which]
        if each[which] > 0 and needed <= 0 then return math.max(1, each[1] + WINDOW + 1 - now) end
    end
    return -1
end
local function reset(which)
    for i = #buckets, 1, -1 do
        if buckets[i][which] > 0 then return buckets[i][1] + WINDOW + 1 - now end
    end
    return 0
end
local spent = {total('st'), total('sn')}
local refused, waits = '', 0
local granted = {most[1], most[2]}
if limit.concurrency > 0 and redis.call('ZCARD', KEYS[3]) >= limit.concurrency then
    refused, waits = 'concurrency', SOON
elseif limit.requests > 0 and sums[1] >= limit.requests then
    refused, waits = 'requests', wait(2, sums[1] + 1 - limit.requests)
elseif limit.tokens > 0 and least[1] > limit.tokens - sums[2] then
    refused, waits = 'tokens', wait(3, least[1] - limit.tokens + sums[2])
else
    if limit.tokens > 0 then granted[1] = math.min(granted[1], limit.tokens - sums[2]) end
    local holding = {total('ht'), total('hn')}
    for i, name in ipairs({'token_budget', 'budget'}) do
        local budget = tonumber(ARGV[6 + i])
        if budget > 0 and refused == '' then
            local room = budget - spent[i] - holding[i]
            if least[i] > room or room <= 0 then
                refused = name
                if holding[i] > 0 and least[i] <= budget - spent[i] and budget > spent[i] then waits = SOON end
            else
                granted[i] = math.min(granted[i], room)
            end
        end
    end
end
if refused == '' then
    keep(hold, granted[1], granted[2], lease)
    local requests, tokens = 0, 0
    if limit.requests > 0 then requests = 1 end
    if limit.tokens > 0 then tokens = granted[1] end
    if requests + tokens > 0 then
        local known = bucket(now) or {0, 0}
        fill(now, known[1] + requests, known[2] + tokens)
        sums[1], sums[2] = sums[1] + requests, sums[2] + tokens
        buckets[#buckets + 1] = {now, known[1] + requests, known[2] + tokens}
    end
    last()
else
    granted = {0, 0}
end
return {refused, waits, math.max(0, limit.requests - sums[1]), reset(2), math.max(0, limit.tokens - sums[2]), reset(3),
    int(granted[1]), int(granted[2]), now, int(spent[1]), int(spent[2])}
""".replace("WINDOW", str(WINDOW_S)).replace("SOON", str(SOON_S))
)

_SETTLE: Final = (
    _COMMON
    + """
local hold, period, tokens, nano = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local reserved, reserved_nano, moment, is_report = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local known = redis.call('HGET', KEYS[1], 'p') or ''
if known ~= '' and (#period ~= #known or period < known) then period = known end
advance(period)
if is_report then
    if know(hold) then spend(tokens, nano) end  -- else made again, because the reply was lost
    return last()
elseif drop(hold) then
    spend(tokens, nano)
elseif redis.call('ZREM', KEYS[4], hold) == 1 then  -- all of it was spent when its time had run out
    spend(tokens - reserved, nano - reserved_nano)
else  -- settled again, because the reply was lost; or Redis has lost it
    return
end
local change = tokens - reserved
local counted = bucket(moment)
if (not counted or moment < now - WINDOW) and change > 0 and redis.call('EXISTS', KEYS[2]) == 1 then
    moment = now
    counted = bucket(now) or {0, 0}
end
if counted and change ~= 0 then fill(moment, counted[1], math.max(0, counted[2] + change)) end
last()
""".replace("WINDOW", str(WINDOW_S))
)

_RENEW: Final = (
    _COMMON
    + """
if held(ARGV[1]) then
    redis.call('ZADD', KEYS[3], int(ms + tonumber(ARGV[2])), ARGV[1])
    last()
end
"""
)

_LOOK: Final = (
    _COMMON
    + """
local known = redis.call('HGET', KEYS[1], 'p') or ''
advance(known)
local kind = ''
if known ~= ARGV[1] then kind = #ARGV[1] end
local spent = {0, 0}
if redis.call('HGET', KEYS[1], 'q') == ARGV[1] then spent = {total('tq'), total('nq')} end
if redis.call('HGET', KEYS[1], 'p' .. kind) == ARGV[1] then spent = {total('st' .. kind), total('sn' .. kind)} end
return {int(spent[1]), int(spent[2]), int(total('ht')), int(total('hn')), redis.call('ZCARD', KEYS[3])}
"""
)

_SEED: Final = (
    _COMMON
    + """
if enter(ARGV[1]) then
    local tokens, nano = math.max(total('st'), tonumber(ARGV[2])), math.max(total('sn'), tonumber(ARGV[3]))
    redis.call('HSET', KEYS[1], 'st', int(tokens), 'sn', int(nano))
    last()
end
"""
)


class RedisCounters:
    """*url*: as that of `streams.stores.redis.RedisStore`."""

    shared = True

    def __init__(self, url: str, *, lease_s: float = LEASE_S, timeout_s: float = _TIMEOUT_S) -> None:
        self._lease = round(lease_s * 1000)
        self._timeout_s = timeout_s
        try:
            self._where = urlsplit(url).hostname or "the socket"
            self._redis: Redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        except (ValueError, TypeError):
            raise ConfigError("server.state: is not a URL of Redis; write redis://host[:port]") from None
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        scripts = (_RESERVE, _SETTLE, _RENEW, _LOOK, _SEED)
        self._scripts = {script: self._redis.register_script(script) for script in scripts}

    async def open(self) -> None:
        """Do nothing: the store of streams has reached the same server, and without it each server counts by itself."""

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def reserve(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        refused, *numbers = await self._call(
            _RESERVE,
            key,
            *(hold, self._lease, period),
            *(limits.requests, limits.tokens, limits.concurrency, limits.token_budget, limits.nano_budget),
            *(demand.least_tokens, demand.most_tokens, demand.least_nano, demand.most_nano),
        )
        return Decision(refused.decode(), *map(int, numbers))  # type: ignore[arg-type]  # all but the last

    async def settle(self, key: str, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None:
        await self._call(_SETTLE, key, hold, period, tokens, nano, decision.tokens, decision.nano, decision.moment, 0)

    async def report(self, key: str, period: str, tokens: int, nano: int, name: str) -> None:
        await self._call(_SETTLE, key, name, period, tokens, nano, 0, 0, 0, 1)

    async def renew(self, holds: Holds) -> None:
        batch = self._redis.pipeline(transaction=False)
        for hold, (key, _) in holds.items():
            await self._scripts[_RENEW](_keys(key), [hold, self._lease], client=batch)
        await self._do(batch.execute)

    async def look(self, key: str, period: str) -> Standing:
        return Standing(*map(int, await self._call(_LOOK, key, period)))

    async def seed(self, key: str, period: str, tokens: int, nano: int) -> None:
        await self._call(_SEED, key, period, tokens, nano)

    async def _call(self, script: str, key: str, *arguments: Any) -> Any:
        return await self._do(lambda: self._scripts[script](_keys(key), arguments))

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                return await work()
        except (RedisError, OSError) as error:
            raise CounterStoreError(f"Redis at {self._where}: {said_by(error)}") from None


def _keys(key: str) -> list[str]:
    totals = _KEY % key
    return [totals, f"{totals}:window", f"{totals}:holds", f"{totals}:known"]
