"""What is particular to memory: it is bounded."""

from __future__ import annotations

import pytest

from autonomousai.streams.stores import GoneError, Page
from autonomousai.streams.stores.memory import MemoryStore

KILO = b"x" * 1000


@pytest.fixture
def store() -> MemoryStore:
    """Return a store with room for some 20 records of a kilobyte."""
    return MemoryStore(keep_s=300, max_bytes=25_000)


async def write(store: MemoryStore, id: str, count: int, *, end: bool = False, keep_s: float | None = None) -> None:
    """Write a stream of that many records."""
    lease = await store.create(id, b"", b"", keep_s)
    for number in range(1, count + 1):
        await store.append(id, lease, number, KILO, end=end and number == count)


async def states(store: MemoryStore, *ids: str) -> list[str | None]:
    return [found and found.state for found in [await store.find(each) for each in ids]]


async def test_the_streams_that_ended_first_go_first(store: MemoryStore) -> None:
    """In the order of their ends; one that is running is not touched as long as any of them is left."""
    await write(store, "running", 2)
    for name in ("first", "second", "third"):
        await write(store, name, 5, end=True)
    await write(store, "new", 12)

    assert ["gone", "gone", "ended", "running", "running"] == await states(store, "first", "second", "third", "running", "new")
    assert 12 == (await store.read("new", 0)).last


async def test_the_stream_whose_time_is_over_first_goes_first(store: MemoryStore) -> None:
    """What is kept for longer outlives what ended after it, until that is gone."""
    await write(store, "long", 5, end=True, keep_s=86_400)
    await write(store, "short", 5, end=True)
    await write(store, "longer", 5, end=True, keep_s=90_000)
    await write(store, "new", 8)
    first = await states(store, "long", "short", "longer", "new")
    await write(store, "newer", 5)

    assert ["ended", "gone", "ended", "running"] == first
    assert ["gone", "gone", "ended", "running"] == await states(store, "long", "short", "longer", "newer")


async def test_one_that_is_too_large_loses_its_beginning(store: MemoryStore) -> None:
    """It goes on, and who is not far behind misses nothing; who wants the beginning is told that it was let go."""
    await write(store, "small", 3)
    await write(store, "large", 40)
    found = await store.find("large")
    assert found is not None

    assert (40, True) == (found.last, 0 < found.start < 40)
    assert Page([KILO] * (40 - found.start), 40, False) == await store.read("large", found.start)
    with pytest.raises(GoneError):
        await store.read("large", found.start - 1)
    assert 3 == (await store.read("small", 0)).last


async def test_one_event_may_be_larger_than_all_the_room(store: MemoryStore) -> None:
    """The last record is kept in any case: a reader waits for it."""
    lease = await store.create("s", b"", b"")
    await store.append("s", lease, 1, KILO)
    await store.append("s", lease, 2, KILO * 100)

    assert Page([KILO * 100], 2, False) == await store.read("s", 1)


async def test_what_was_let_go_is_not_remembered_for_ever(store: MemoryStore) -> None:
    """Names take room as well."""
    for number in range(12_000):
        await write(store, str(number), 1)
        await store.drop(str(number))

    assert [None, "gone"] == await states(store, "0", "11999")
    assert len(store._gone) <= 10_000
    assert 0 == store._bytes


async def test_closing_forgets_everything(store: MemoryStore) -> None:
    """There is nothing to outlive it."""
    await write(store, "s", 1)
    await store.aclose()

    assert [None] == await states(store, "s")
