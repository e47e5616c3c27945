"""What every place for streams promises, whichever it is."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from autonomousai.outage import Outage
from autonomousai.streams.log import StreamLog
from autonomousai.streams.records import Record
from autonomousai.streams.stores import Claim, GoneError, LeaseLostError, Page, StreamInfo
from autonomousai.streams.stores.store import LEASE_S, PAGE, REMEMBERED_S

from .conftest import KEEP_S, Place, soon

OWNER = bytes(range(32))
REQUEST = b'{"messages": "\xc3\xa9"}'
BINARY = bytes(range(256))


async def begun(place: Place, *numbers: int, id: str = "s", keep_s: float | None = None) -> int:
    """Create a stream with records of these numbers. Returns its lease."""
    lease = await place.store.create(id, OWNER, REQUEST, keep_s)
    for number in numbers:
        await place.store.append(id, lease, number, b"record %d" % number)
    return lease


async def test_an_unknown_stream(place: Place) -> None:
    """It is not found, cannot be taken over and has no records; dropping it does no harm."""
    await place.store.drop("s")

    assert (None, None) == (await place.store.find("s"), await place.store.claim("s"))
    with pytest.raises(GoneError):
        await place.store.read("s", 0)
    with pytest.raises(LeaseLostError):
        await place.store.append("s", 1, 1, b"a")


async def test_a_page_with_a_gap_before_it() -> None:
    """A store that lost records must not have those behind them taken for the next."""
    page = Page([b"a", b"b"], 7, False)

    assert page == page.check(5)
    with pytest.raises(GoneError):
        page.check(4)


async def test_a_new_stream(place: Place) -> None:
    """It is running and has no records yet."""
    await begun(place)

    assert StreamInfo(OWNER, "running", 0) == await place.other.find("s")
    assert Page([], 0, False) == await place.other.read("s", 0)


async def test_records_come_as_they_went(place: Place) -> None:
    """Bytes of any kind, in order, and the number of the last one with them."""
    lease = await begun(place)
    await place.store.append("s", lease, 1, BINARY)
    await place.store.append("s", lease, 12, b"x" * 100_000)

    assert Page([BINARY, b"x" * 100_000], 12, False) == await place.other.read("s", 0)
    assert StreamInfo(OWNER, "running", 12) == await place.other.find("s")


@pytest.mark.parametrize(
    ("after", "records"), [(0, [2, 5, 6]), (1, [2, 5, 6]), (2, [5, 6]), (3, [5, 6]), (4, [5, 6]), (5, [6]), (6, [])]
)
async def test_reading_after_a_record(place: Place, after: int, records: list[int]) -> None:
    """Every later one comes."""
    await begun(place, 2, 5, 6)

    assert Page([b"record %d" % number for number in records], 6, False) == await place.other.read("s", after)


async def test_the_end(place: Place) -> None:
    """It is stored with the last record; nothing can be written after it, and nobody takes the stream over."""
    lease = await begun(place, 1)
    await place.store.append("s", lease, 3, b"end", end=True)
    await place.pass_time(2 * LEASE_S)

    assert Page([b"record 1", b"end"], 3, True) == await place.other.read("s", 0)
    assert Page([], 3, True) == await place.other.read("s", 3)
    assert (StreamInfo(OWNER, "ended", 3), None) == (await place.other.find("s"), await place.other.claim("s"))
    with pytest.raises(LeaseLostError):
        await place.store.append("s", lease, 4, b"more")


async def test_a_long_stream_is_read_in_pages(place: Place) -> None:
    """One after the other they bring every record once, and only the last of them is the end."""
    lease = await begun(place)
    count = 2 * PAGE + 5
    for number in range(1, count + 1):
        await place.store.append("s", lease, number, b"%d" % number, end=number == count)

    pages = [await place.other.read("s", 0)]
    while not pages[-1].ended:
        pages.append(await place.other.read("s", pages[-1].last))

    assert [b"%d" % number for number in range(1, count + 1)] == [record for page in pages for record in page.records]
    assert [PAGE, 2 * PAGE, count] == [page.last for page in pages]


async def test_streams_are_apart(place: Place) -> None:
    """What happens to one does not happen to another."""
    await begun(place, 1, 2, id="one")
    lease = await begun(place, 7, id="two")
    await place.store.drop("one")
    await place.store.append("two", lease, 8, b"end", end=True)

    assert Page([b"record 7", b"end"], 8, True) == await place.other.read("two", 0)


async def test_many_at_once(place: Place) -> None:
    """However many streams are written at the same moment, none is refused."""
    names = [str(number) for number in range(300)]
    leases = await asyncio.gather(*(place.store.create(name, OWNER, REQUEST) for name in names))
    for number in range(1, 4):
        await asyncio.gather(
            *(place.store.append(name, lease, number, b"x") for name, lease in zip(names, leases, strict=True))
        )
    pages = await asyncio.gather(*(place.other.read(name, 0) for name in names))

    assert [Page([b"x"] * 3, 3, False)] * 300 == pages


# ---- leases


async def test_a_living_writer_is_not_replaced(place: Place) -> None:
    """While its lease has not lapsed, nobody gets it."""
    await begun(place, 1)
    await place.pass_time(LEASE_S * 0.9)

    assert None is await place.other.claim("s")


async def test_a_dead_writer_is_replaced(place: Place) -> None:
    """The process that takes over gets the request, and the number of the last record."""
    lease = await place.store.create("s", OWNER, REQUEST)
    await place.store.append("s", lease, 1, b"a")
    await place.store.append("s", lease, 2, b"b")
    await place.store.append("s", lease, 3, b"c")
    await place.pass_time(LEASE_S * 1.1)

    assert Claim(lease + 1, 3, REQUEST) == await place.other.claim("s")
    assert None is await place.other.claim("s")


async def test_a_writer_that_is_not_dead_after_all_is_refused(place: Place) -> None:
    """Once taken over, the stream takes nothing from the writer before, whatever the number: there is one writer at a time."""
    lease = await begun(place, 1)
    await place.pass_time(LEASE_S * 1.1)
    claim = await place.other.claim("s")
    assert claim is not None
    await place.other.append("s", claim.lease, 2, b"new")

    for number in (2, 3):
        with pytest.raises(LeaseLostError):
            await place.store.append("s", lease, number, b"old")
    assert Page([b"record 1", b"new"], 2, False) == await place.store.read("s", 0)
    assert {"s"} == (await place.store.heartbeat({"s": lease}, ())).lost


async def test_a_late_writer_that_nobody_replaced_goes_on(place: Place) -> None:
    """A lapsed lease alone costs nothing: the next sign of life renews it."""
    lease = await begun(place, 1)
    await place.pass_time(LEASE_S * 1.1)
    await place.store.append("s", lease, 2, b"b")
    beat = await place.store.heartbeat({"s": lease}, ())

    assert (set(), None) == (beat.lost, await place.other.claim("s"))


async def test_one_alone_takes_over(place: Place) -> None:
    """Of many who try at once, one succeeds."""
    await begun(place, 1)
    await place.pass_time(LEASE_S * 1.1)
    claims = await asyncio.gather(*(store.claim("s") for store in (place.store, place.other) for _ in range(10)))

    assert [2] == [claim.lease for claim in claims if claim]


async def test_signs_of_life(place: Place) -> None:
    """They keep a lease for as long as they come."""
    lease = await begun(place, 1)
    for _ in range(5):
        await place.pass_time(LEASE_S * 0.9)
        beat = await place.store.heartbeat({"s": lease}, ())
        assert (set(), set(), set()) == (beat.lost, beat.watched, set(beat.vanished))

    assert None is await place.other.claim("s")


async def test_a_stream_that_has_ended_is_not_lost(place: Place) -> None:
    """A sign of life that crosses the end does no harm, and the time that it is kept for runs from the end on."""
    lease = await begun(place, 1)
    await place.store.append("s", lease, 2, b"end", end=True)
    await place.pass_time(KEEP_S * 0.6)
    beat = await place.store.heartbeat({"s": lease}, ())
    await place.pass_time(KEEP_S * 0.6)
    await place.store.heartbeat({}, ())
    found = await place.store.find("s")

    assert (set(), set(), set()) == (beat.lost, beat.watched, set(beat.vanished))
    assert found is not None
    assert "gone" == found.state


async def test_a_lease_that_is_given_back(place: Place) -> None:
    """The stream can be taken over at once; who lost it before cannot give back another's."""
    lease = await begun(place, 1)
    await place.store.release("s", lease)
    claim = await place.other.claim("s")
    assert claim is not None
    await place.store.release("s", lease)

    assert None is await place.store.claim("s")


async def test_a_reader_elsewhere_is_noticed(place: Place) -> None:
    """A writer learns that its stream is read at another server, for as long as that one says so."""
    lease = await begun(place, 1)
    await place.other.heartbeat({}, ["s", "of somebody else"])
    noticed = await place.store.heartbeat({"s": lease}, ())
    await place.pass_time(LEASE_S * 1.1)
    later = await place.store.heartbeat({"s": lease}, ())

    assert ({"s"}, set()) == (noticed.watched, later.watched)


# ---- waiting


async def test_waiting_ends_when_something_comes(place: Place) -> None:
    """Whoever waits is told of a new record, from whichever server it comes; what is there already needs no waiting."""
    lease = await begun(place, 1)

    async def follow() -> list[int]:
        read = [0]
        while read[-1] < 6:
            await place.other.wait("s", read[-1], 60)
            read.append((await place.other.read("s", read[-1])).last)
        return read

    following = asyncio.create_task(follow())
    for number in range(2, 7):
        await asyncio.wait_for(place.store.append("s", lease, number, b"x"), 60)
    await soon(following)

    assert 6 == following.result()[-1]


async def test_waiting_ends_when_nothing_comes(place: Place) -> None:
    """After that many seconds."""
    await begun(place, 1)

    await soon(place.other.wait("s", 1, 0.001))

    assert Page([], 1, False) == await place.other.read("s", 1)


# ---- letting go


async def test_a_stream_that_was_let_go(place: Place) -> None:
    """Its records and its writer are gone; for a while it is remembered, with its owner."""
    lease = await begun(place, 1, 2)
    await place.other.drop("s")

    assert StreamInfo(OWNER, "gone", 0) == (await place.store.find("s"))._replace(last=0)  # type: ignore[union-attr]
    with pytest.raises(GoneError):
        await place.store.read("s", 0)
    with pytest.raises(LeaseLostError):
        await place.store.append("s", lease, 3, b"more")
    assert ({"s"}, None) == ((await place.store.heartbeat({"s": lease}, ())).lost, await place.store.claim("s"))

    await place.pass_time(REMEMBERED_S * 1.1)
    await place.store.heartbeat({}, ())

    assert None is await place.store.find("s")


async def test_an_ended_stream_is_kept_for_its_time(place: Place) -> None:
    """Until then it is whole; after that it is let go."""
    lease = await begun(place, 1)
    await place.store.append("s", lease, 2, b"end", end=True)
    await place.pass_time(KEEP_S * 0.9)
    page = await place.store.read("s", 0)
    await place.pass_time(KEEP_S * 0.2)
    await place.store.heartbeat({}, ())
    found = await place.store.find("s")

    assert (Page([b"record 1", b"end"], 2, True), "gone") == (page, found and found.state)
    with pytest.raises(GoneError):
        await place.store.read("s", 0)


@pytest.mark.parametrize("keep_s", [KEEP_S / 10, KEEP_S * 288])
async def test_a_stream_may_have_a_time_of_its_own(place: Place, keep_s: float) -> None:
    """From its end on, whatever signs of life its writer gave before, and whichever process ended it."""
    lease = await begun(place, 1, keep_s=keep_s)
    await place.store.heartbeat({"s": lease}, ())
    claim = await place.other.claim("s", force=True)
    assert claim is not None
    await place.other.heartbeat({"s": claim.lease}, ())
    await place.other.append("s", claim.lease, 2, b"end", end=True)
    await place.pass_time(keep_s * 0.9)
    await place.store.heartbeat({}, ())
    page, request = await place.store.read("s", 0), await place.store.request("s")
    await place.pass_time(keep_s * 0.1 + 1)
    found = await place.other.find("s")

    assert (Page([b"record 1", b"end"], 2, True), REQUEST, "gone") == (page, request, found and found.state)


@pytest.mark.parametrize("first", ["long", "short"])
async def test_streams_of_different_times_go_each_in_its_own(place: Place, first: str) -> None:
    """Whichever of them ended first."""
    for name in (first, {"long": "short", "short": "long"}[first]):
        lease = await begun(place, 1, id=name, keep_s=KEEP_S * 10 if name == "long" else None)
        await place.store.append(name, lease, 2, b"end", end=True)
    await place.pass_time(KEEP_S * 1.1)
    await place.store.heartbeat({}, ())
    found = [await place.store.find(name) for name in ("short", "long")]
    await place.pass_time(KEEP_S * 9)
    await place.store.heartbeat({}, ())
    late = await place.store.find("long")

    assert ["gone", "ended", "gone"] == [each and each.state for each in (*found, late)]


async def test_a_stream_whose_writer_died_can_be_continued_for_its_time(place: Place) -> None:
    """What was kept for long is not lost sooner because it did not end."""
    await begun(place, 1, keep_s=KEEP_S * 10)
    await place.pass_time(KEEP_S * 9)
    await place.store.heartbeat({}, ())
    found, claim = await place.store.find("s"), await place.other.claim("s")

    assert (StreamInfo(OWNER, "running", 1), Claim(2, 1, REQUEST)) == (found, claim)


async def test_a_running_stream_stays_while_its_writer_lives(place: Place) -> None:
    """However long it takes, and however long ago the last record was."""
    lease = await begun(place, 1)
    for _ in pairwise(range(4)):
        await place.pass_time(KEEP_S * 0.9)
        await place.store.heartbeat({"s": lease}, ())
    await place.store.append("s", lease, 2, b"b")

    assert Page([b"record 1", b"b"], 2, False) == await place.other.read("s", 0)


async def test_a_request_can_be_read_again(place: Place) -> None:
    """While the stream runs, and after its end; not when it was dropped."""
    lease = await begun(place)
    running = await place.other.request("s")
    await place.store.append("s", lease, 1, b"a", end=True)
    ended = await place.other.request("s")
    await place.store.drop("s")

    assert REQUEST == running == ended
    with pytest.raises(GoneError):
        await place.other.request("s")
    with pytest.raises(GoneError):
        await place.other.request("unknown")


async def test_a_stream_can_be_taken_from_its_writer(place: Place) -> None:
    """Who means to end it need not wait until the writer has died; that one is refused from then on."""
    lease = await begun(place, 1)

    claim = await place.other.claim("s", force=True)

    assert claim == Claim(lease + 1, 1, REQUEST)
    with pytest.raises(LeaseLostError):
        await place.store.append("s", lease, 2, b"b")
    await place.other.append("s", lease + 1, 2, b"b", end=True)
    assert await place.other.claim("s", force=True) is None


@pytest.mark.parametrize("times", [1, 3])
async def test_a_writer_that_is_stopped_while_it_stores_ends_its_stream_all_the_same(place: Place, times: int) -> None:
    """What was being stored may be there: the end comes behind it, and not in its place; however often it is stopped."""
    stream = StreamLog("s", place.store, 0, "req_1", Outage("away", "back"))
    stream.lease = await begun(place)
    storing = asyncio.create_task(stream.append(Record(["Hello"])))
    await asyncio.sleep(0)

    for _ in range(times):
        storing.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([storing])
    await stream.append(Record(end=True))

    page = await place.other.read("s", 0)
    assert (page.last, page.ended) == (stream.last, True)
    assert len(page.records) == stream.last
