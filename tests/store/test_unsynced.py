"""Records from before the clock was set: they say so, by how much, and their order holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.clock.cluster_clock import ClusterClock
from cluster.problem import Refusal
from cluster.protocol.shared import Span
from cluster.records import Filter
from node.retention import Limits, Retention
from node.store import Draft, NodeStore, open_node_store
from tests.clock.hand import SECOND, TRUE_START, HandBase, sample_of

HOUR = 3600 * SECOND
WRONG = TRUE_START + 5 * HOUR  # what the machine's clock says
#: The last thing that a batch of these does: by then everything of it was noted.
FAILS = (
    "CREATE TEMP TRIGGER fails AFTER INSERT ON main.unsynced BEGIN SELECT RAISE(ABORT, 'no'); END"
)


@asynccontextmanager
async def node(folder: Path, clock: ClusterClock) -> AsyncIterator[NodeStore]:
    async with open_node_store(folder, "n1", clock) as store:
        yield store


async def born(store: NodeStore, count: int = 1, ts: int | None = None) -> None:
    await store.store([Draft("t", "{}", ts)] * count)


async def set_right(store: NodeStore, clock: ClusterClock, true_ns: int) -> None:
    """The first synchronisation, and what the node then does."""
    clock.adopt(sample_of(clock.base, true_ns))
    assert clock.first_step_us is not None
    await store.correct_unsynced(clock.first_step_us)


async def test_they_are_told_with_the_correction(tmp_path: Path) -> None:
    """`ts` + `correction_us` is the right time, to the microsecond."""
    base = HandBase(system=WRONG)
    clock = ClusterClock(base)
    async with node(tmp_path, clock) as store:
        await born(store, 3)
        await born(store, 2)
        assert await store.unsynced(1, 99) == [Span(1, 5, None)]

        await set_right(store, clock, TRUE_START)
        await born(store)

        assert await store.unsynced(1, 99) == [Span(1, 5, -5 * 3600 * 1_000_000)]
        assert (await store.counts()).unsynced == 5
        page = await store.records.page(0, 10, Filter())
        corrected = page.rows[0][0].ts - 5 * 3600 * 1_000_000
        assert corrected == pytest.approx(TRUE_START // 1000, abs=10)


async def test_a_clients_own_time_is_not_the_clocks_fault(tmp_path: Path) -> None:
    """What brings its `ts` is not marked, also in between."""
    async with node(tmp_path, ClusterClock(HandBase(system=WRONG))) as store:
        await store.store([Draft("t", "{}"), Draft("t", "{}", ts=1), Draft("t", "{}")])

        assert await store.unsynced(1, 99) == [Span(1, 1, None), Span(3, 3, None)]


async def test_a_later_first_sync_does_not_touch_what_an_earlier_run_left(tmp_path: Path) -> None:
    """That run ended before its clock was set: nobody knows by how much it was wrong."""
    async with node(tmp_path, ClusterClock(HandBase(system=WRONG))) as store:
        await born(store, 2)
    clock = ClusterClock(HandBase(system=WRONG - HOUR))
    async with node(tmp_path, clock) as store:
        await born(store, 2)
        await set_right(store, clock, TRUE_START)

        assert await store.unsynced(1, 99) == [
            Span(1, 2, None),
            Span(3, 4, -4 * 3600 * 1_000_000),
        ]


async def test_what_was_rolled_back_takes_no_correction_from_others(tmp_path: Path) -> None:
    """Positions are given anew after a commit that failed; their records are corrected all the
    same, as one span."""
    clock = ClusterClock(HandBase(system=WRONG))
    async with node(tmp_path, clock) as store:
        await store.database.write(lambda sql: sql.execute(FAILS))
        with pytest.raises(Refusal):
            await store.store([*([Draft("t", "{}", ts=1)] * 5), Draft("t", "{}")])
        await store.database.write(lambda sql: sql.execute("DROP TRIGGER fails"))

        await born(store, 2)
        await born(store, 2)
        await set_right(store, clock, TRUE_START)

        assert await store.unsynced(1, 99) == [Span(1, 4, -5 * 3600 * 1_000_000)]


async def test_spans_are_joined_within_a_run_only(tmp_path: Path) -> None:
    """What the node's clock stamped side by side is one span, however many batches it came in."""
    async with node(tmp_path, ClusterClock(HandBase(system=WRONG))) as store:
        await born(store, 2)
        await born(store, 1, ts=1)
        await born(store, 2)
        await born(store, 2)

        assert await store.unsynced(1, 99) == [Span(1, 2, None), Span(4, 7, None)]
        assert await store.unsynced(3, 3) == []
        assert await store.unsynced(5, 5) == [Span(4, 7, None)]


@pytest.mark.parametrize("wrong_by", [5 * HOUR, -5 * HOUR])
async def test_ids_keep_their_order_whichever_way_the_clock_is_set(
    wrong_by: int, tmp_path: Path
) -> None:
    """Five hours back or forward, and over a restart before it: each id is above the last."""
    async with node(tmp_path, ClusterClock(HandBase(system=TRUE_START + wrong_by))) as store:
        await born(store, 3)
    clock = ClusterClock(HandBase(system=TRUE_START + wrong_by // 2))
    async with node(tmp_path, clock) as store:
        await born(store, 3)
        await set_right(store, clock, TRUE_START)
        await born(store, 3)

        rows = (await store.records.page(0, 99, Filter())).rows

    ids = [record.id for record, _ in rows]
    assert len(ids) == 9
    assert all(before < after for before, after in pairwise(ids))
    assert [position for _, position in rows] == list(range(1, 10))


async def test_nothing_is_old_by_a_clock_that_was_never_set(tmp_path: Path) -> None:
    """A machine that wakes up in 2099 does not give up its records for their age."""
    base = HandBase()
    clock = ClusterClock(base)
    async with node(tmp_path, clock) as store:
        await born(store, 400)
        base.advance(90 * 24 * HOUR)
        await born(store, 400)
        retention = Retention(store, Limits(days=30))

        assert not await retention.look()
        await set_right(store, clock, base.system)
        assert await retention.look()


async def test_what_was_given_up_is_forgotten(tmp_path: Path) -> None:
    base = HandBase()
    clock = ClusterClock(base)
    async with node(tmp_path, clock) as store:
        await born(store, 400)
        await set_right(store, clock, base.system)
        base.advance(90 * 24 * HOUR)
        await born(store, 400)
        retention = Retention(store, Limits(days=30))

        assert await retention.drop(await retention.look()) == 400

        assert (await store.counts()).unsynced == 0
