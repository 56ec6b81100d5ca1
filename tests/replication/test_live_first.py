"""Live first: what is born now does not wait for the end of a backlog, and nothing comes twice.

The stores are the real ones on real files; only HTTP is left out, but for the last story, in
which central is a process that is killed.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central import replication as module
from central.link import Arrived
from central.replication import Replication
from central.standing import Standing
from central.tally import Tally
from cluster.peer import PeerFailed
from cluster.protocol import central as protocol
from cluster.protocol.views import Run
from node.store import Draft, open_node_store
from tests.program import until
from tests.sides import CLOCK, PAGE, NearLink, Sides, SmallPages
from tests.world import World, lines, world

HEAD = 20
BACKLOG = 60
OLD = 1_000  # a backlog of 25 pages


class WatchedLink(NearLink):
    """Notes what is asked for; `at_page` is told before each page is given."""

    def __init__(
        self, sides: Sides, at_page: Callable[[int], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(sides.node, None)
        self.asked: list[tuple[int, int]] = []  # (after, next) of each page
        self.fetched = 0
        self._at_page = at_page

    async def page(self, epoch: str, after: int, limit: int, upto: int) -> Arrived:
        if self._at_page is not None:
            await self._at_page(len(self.asked))
        arrived = await super().page(epoch, after, limit, upto)
        self.asked.append((after, arrived.next))
        return arrived

    async def fetch(self, *args: Any) -> Arrived:
        self.fetched += 1
        return await super().fetch(*args)

    def positions(self) -> list[int]:
        """Every position that was given, as often as it was."""
        return [one for after, end in self.asked for one in range(after + 1, end + 1)]


@asynccontextmanager
async def backlog(folder: Path, records: int = OLD) -> AsyncIterator[Sides]:
    """A node with many records, of which central has none. A head is taken after every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HEAD_RECORDS", HEAD)
        patch.setattr(module, "HEAD_EVERY_S", 0.0)
        sides = Sides(folder)
        await sides.open()
        try:
            await sides.ingest(records)
            yield sides
        finally:
            await sides.close()


async def bear(sides: Sides, count: int = 1) -> None:
    """Records that are born now."""
    await sides.node.store([Draft("live", "{}")] * count)


async def live_at_central(sides: Sides) -> int:
    query = "SELECT count(*) FROM records WHERE stream = 'live'"
    return int(await sides.central.database.read(lambda sql: sql.execute(query).fetchone()[0]))


async def pull(sides: Sides, link: NearLink, tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    near = Replication(
        link,
        sides.central,
        CLOCK.now_us,
        tally,
        SmallPages(),
        BACKLOG,
    )
    await near.pull("incremental")
    return tally


async def cut_pull(sides: Sides, at: int) -> WatchedLink:
    """A pull whose line breaks at the page number `at`."""

    async def break_off(page: int) -> None:
        if page == at:
            raise PeerFailed("reset", "cut")

    link = WatchedLink(sides, break_off)
    with pytest.raises(PeerFailed):
        await pull(sides, link)
    return link


async def standing(sides: Sides) -> Standing:
    return (await sides.central.standing("n1"))[1]


async def has_ended_well(sides: Sides) -> bool:
    """Equal, nothing doubled, the tidemark at the end, and no head beyond it."""
    status = (await NearLink(sides.node, None).status(1.0)).status
    now = await standing(sides)
    assert now.tidemark is not None
    return (
        sides.verdict().equal
        and now.tidemark.position == status.records.last_position
        and now.head is None
    )


async def test_what_is_born_in_a_backlog_is_at_central_long_before_its_end(
    tmp_path: Path,
) -> None:
    """Each newborn is there two pages later, in the order newest first, then the old."""
    async with backlog(tmp_path) as sides:
        born, late = 0, list[int]()

        async def bear_some(page: int) -> None:
            nonlocal born
            late.append(born - await live_at_central(sides))
            if 2 <= page < 20:
                await bear(sides)
                born += 1

        link = WatchedLink(sides, bear_some)
        tally = await pull(sides, link)

        assert born == 18
        assert max(late) <= 4  # of the last two or three pages; without a head it would be 18
        assert link.asked[0][0] == OLD - HEAD
        assert (tally.received, tally.duplicate) == (OLD + born, 0)
        assert len(set(link.positions())) == len(link.positions()) == OLD + born
        assert link.fetched == 0
        assert await has_ended_well(sides)


async def test_a_short_backlog_has_no_head(tmp_path: Path) -> None:
    """Page after page, in order: there is not much to wait for."""
    async with backlog(tmp_path, BACKLOG) as sides:
        link = WatchedLink(sides)

        await pull(sides, link)

        assert [after for after, _ in link.asked] == [0, PAGE]
        assert await has_ended_well(sides)


async def test_after_a_cut_no_page_is_taken_again(tmp_path: Path) -> None:
    """Head and tidemark are kept: every position is given once, in two pulls together."""
    async with backlog(tmp_path) as sides:
        first = await cut_pull(sides, 16)
        kept = await standing(sides)
        await bear(sides, 5)

        second = WatchedLink(sides)
        tally = await pull(sides, second)

        assert kept.tidemark is not None
        assert kept.head is not None
        assert kept.head.first == OLD - HEAD
        assert tally.duplicate == 0
        # What was asked for ahead when the line broke was never taken; nothing else comes twice.
        again = set(first.positions()) & set(second.positions())
        assert min(again, default=OLD) > kept.tidemark.position
        assert len(again) <= PAGE
        assert max(second.positions()) == OLD + 5
        assert await has_ended_well(sides)


async def test_a_cut_near_the_end_keeps_the_head_as_well(tmp_path: Path) -> None:
    """Also where what is left is no backlog any more."""
    async with backlog(tmp_path, 160) as sides:

        async def bear_or_break(page: int) -> None:
            if page >= 6:
                raise PeerFailed("reset", "cut")
            await bear(sides)

        link = WatchedLink(sides, bear_or_break)
        with pytest.raises(PeerFailed):
            await pull(sides, link)
        kept = await standing(sides)

        tally = await pull(sides, WatchedLink(sides))

        assert kept.head is not None
        assert kept.tidemark is not None
        assert kept.head.last - kept.head.first > HEAD
        last = (await sides.node.counts()).last_position
        assert PAGE < last - kept.tidemark.position <= BACKLOG
        assert tally.duplicate == 0
        assert tally.received == last - kept.tidemark.position - (kept.head.last - kept.head.first)
        assert await has_ended_well(sides)


async def test_after_a_long_outage_a_new_head_is_opened(tmp_path: Path) -> None:
    """What is born now does not wait for all that was born during the outage."""
    async with backlog(tmp_path) as sides:
        await cut_pull(sides, 8)
        before = await standing(sides)
        await sides.ingest(10 * BACKLOG)
        await bear(sides)

        seen = list[int]()

        async def look(page: int) -> None:
            seen.append(await live_at_central(sides))

        link = WatchedLink(sides, look)
        await pull(sides, link)

        assert before.head is not None
        last = OLD + 10 * BACKLOG + 1
        assert link.asked[0] == (last - HEAD, last)
        assert seen[2] == 1
        assert await has_ended_well(sides)


async def test_what_is_expected_is_what_comes(tmp_path: Path) -> None:
    """So the time that is left can be believed, also after a cut: the head is not counted twice."""
    async with backlog(tmp_path) as sides:
        await cut_pull(sides, 12)
        told = list[int | None]()
        tally = Tally()
        tally.changed = lambda: told.append(tally.expected)

        await pull(sides, WatchedLink(sides), tally)

        assert set(told) - {None} == {tally.received}


@pytest.mark.fault(15)
@pytest.mark.e2e
async def test_central_killed_in_a_backlog_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9: the run goes on by itself, with its head and its tidemark; then both are equal."""
    records = 60_000
    async with open_node_store(tmp_path / "n1", "n1", CLOCK) as store:
        await store.store([Draft("t", f'{{"n":{number}}}') for number in range(records)])
    async with world(tmp_path) as w:
        w.central._argv += ["--max-rate", "1500000"]
        w.central.kill()
        await w.central.start()
        await w.node("n1")
        run = await w.central.call(protocol.PULL, protocol.PullAsk("n1"))
        await _received(w, run, records // 6)
        w.central.kill()
        mark, head = _marks(w)
        await w.post("n1", lines(3, start=records))
        await w.central.start()
        taken = await _received(w, run, 1)
        ended = await w.ended(run)

        assert taken.attempts == 2
        assert records // 8 < mark < records - 10_000
        assert head["last"] - head["first"] >= 1_000
        assert (ended.state, ended.duplicate, ended.conflict) == ("succeeded", 0, 0)
        # Counts of the first attempt died with central; the second took the rest and no more.
        assert ended.received == records + 3 - mark - (head["last"] - head["first"])
        assert w.verdict("n1").equal
        assert _marks(w)[0] == records + 3


def _marks(w: World) -> tuple[int, dict[str, int]]:
    """The tidemark and the head in central's file."""
    with closing(sqlite3.connect(w.central.folder / "central.db")) as sql:
        mark, head = sql.execute("SELECT tidemark_position, head FROM nodes").fetchone()
    return mark, msgspec.json.decode(head) if head else {}


async def _received(w: World, run: Run, least: int) -> Run:
    """The run once it has received so many."""
    latest = run

    async def enough() -> bool:
        nonlocal latest
        latest = await w.central.call(protocol.RUN, protocol.RunId(run.id))
        return latest.received >= least

    await until(enough, f"{least} received")
    return latest
