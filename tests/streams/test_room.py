"""What servers that share a store count together: bytes, for as long as they are kept."""

from __future__ import annotations

from collections import Counter

import pytest

from autonomousai.streams.stores.room import SharedRoom, StoreFullError

SHORT, LONG = 300_000, 86_400_000


class Servers:
    """Two rooms, and the numbers that they share. Time is in milliseconds."""

    def __init__(self, max_bytes: int = 100_000) -> None:
        self.rooms = [SharedRoom(max_bytes, SHORT, LONG) for _ in range(2)]
        self.numbers: Counter[tuple[int, int]] = Counter()
        self.now = 1_700_000_000_000

    def beat(self, which: int) -> list[str]:
        """Do what one server does in a heartbeat. Returns what it drops."""
        room = self.rooms[which]
        self.numbers.update(room.tell(self.now, ()))
        return room.learn(sum(self.numbers[part] for part in room.parts()))

    def has_room(self, which: int, size: int) -> bool:
        try:
            self.rooms[which].check(size)
        except StoreFullError:
            return False
        return True


@pytest.mark.parametrize("keep", [SHORT, LONG])
def test_bytes_count_for_as_long_as_they_are_kept(keep: int) -> None:
    """Until their time is over, and for an eighth of that longer at most: at both servers."""
    servers = Servers()
    servers.rooms[0].add("s", 90_000, keep, ended=True)
    servers.beat(0)
    taken = []
    for passed in (0.0, 0.99, 1.126):
        servers.now = 1_700_000_000_000 + round(keep * passed)
        servers.beat(0), servers.beat(1)
        taken.append([servers.has_room(which, 20_000) for which in range(2)])

    assert [[False, False], [False, False], [True, True]] == taken


def test_what_is_dropped_for_want_of_room_is_not_missed_twice() -> None:
    """Once its time would have been over, the numbers still tell what is there: however long the store is full."""
    servers = Servers()
    kept: dict[str, int] = {}
    for turn in range(60):  # each of which is a fourth of the time
        servers.rooms[0].add(str(turn), 30_000, SHORT, ended=True)
        kept = {each: until for each, until in kept.items() if until > servers.now}
        kept[str(turn)] = servers.now + SHORT
        for dropped in servers.beat(0):
            kept.pop(dropped, None)
        servers.now += SHORT // 4
        servers.beat(0)
        assert len(kept) * 30_000 <= 100_000


def test_the_stream_whose_time_is_over_first_goes_first() -> None:
    """What is kept for longer outlives what ended after it."""
    servers = Servers()
    servers.rooms[0].add("long", 60_000, LONG, ended=True)
    servers.beat(0)
    servers.now += 1000
    servers.rooms[0].add("short", 30_000, SHORT, ended=True)
    quiet = servers.beat(0)
    servers.rooms[0].add("more", 30_000, LONG)

    assert ([], ["short"]) == (quiet, servers.beat(0))


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_what_is_dropped_makes_room(ended: bool, told: bool) -> None:
    """At once here, and elsewhere with the next heartbeat, whether or not it had been counted there."""
    servers = Servers()
    servers.rooms[0].add("s", 90_000, LONG, ended=ended)
    if told:
        servers.numbers.update(servers.rooms[0].tell(servers.now, {"s"}))
        servers.rooms[0].learn(sum(servers.numbers.values()))
    servers.rooms[0].drop("s")
    servers.rooms[0].drop("of another server")
    here = servers.has_room(0, 90_000)
    servers.beat(0), servers.beat(1)

    assert (True, True, 0) == (here, servers.has_room(1, 90_000), sum(servers.numbers.values()))


def test_a_time_that_only_another_config_has() -> None:
    """Its bytes count as well, where they are written."""
    servers = Servers()
    servers.rooms[0].add("s", 90_000, 10_000)
    servers.beat(0)

    assert not servers.has_room(0, 20_000)
