"""Whatever is done to either side, in any order: what still is somewhere comes to both sides.

Hypothesis draws the steps, on the real stores and real files; only HTTP is left out. After each
story `pull, push, pull, push` has to make the sets equal, but for what is told: conflicts, and
records that the node has given up and central has lost.

`make check` tells a few stories, and as many as one likes:

    TIDEHOLD_EXAMPLES=2000 .venv/bin/pytest -n 0 tests/replication/test_state_machine.py
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar
from uuid import NAMESPACE_OID, uuid5

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cluster.digest import EMPTY, Digest
from cluster.record import Record, make
from node.retention import Limits
from tests.invariants import Verdict
from tests.sides import SHELL, Sides, small_sizes

T = TypeVar("T")
EXAMPLES = os.environ.get("TIDEHOLD_EXAMPLES")

#: Nobody pulls the plug here, so nothing needs to reach a disk.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SIDES = st.sampled_from(["node", "central"])
CALLS = st.one_of(st.none(), st.none(), st.integers(0, 12))
SHARED_MS = bytes.fromhex("018f0000000070008000")
#: Ids of clients: all over the place, all in one millisecond, and in descending order of time.
#: There are few, so that they meet.
IDS = st.one_of(
    st.integers(0, 99).map(lambda n: uuid5(NAMESPACE_OID, str(n)).bytes),
    st.integers(0, 199).map(lambda n: SHARED_MS + n.to_bytes(6, "big")),
    st.integers(0, 199).map(
        lambda n: (1_700_000_000_000 - n * 1_000).to_bytes(6, "big") + bytes(10)
    ),
)
CONTENTS = st.sampled_from(["{}", "{}", "{}", '{"other":1}'])
ROWS = st.builds(
    lambda ids, content: [(one, content) for one in sorted(ids, reverse=True)],
    st.one_of(st.sets(IDS, min_size=1, max_size=12), st.integers(1, 199).map(lambda n: old(n))),
    CONTENTS,
)
LIMITS = st.sampled_from([Limits(days=1e-9), Limits(bytes=1), Limits(days=1e-9, bytes=1)])
INSERT = "INSERT OR IGNORE INTO records (id, node, ts, stream, payload, hash) VALUES (?,?,?,?,?,?)"


def old(count: int) -> set[bytes]:
    """As many ids of the past, over some minutes and in one millisecond."""
    spread = ((1_700_000_000_000 - n * 1_000).to_bytes(6, "big") + bytes(10) for n in range(count))
    return {*spread, *(SHARED_MS + n.to_bytes(6, "big") for n in range(count // 2))}


class Stage:
    """A loop whose one task opens, uses and closes everything."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._asked: asyncio.Queue[tuple[Awaitable[object], asyncio.Future[object]]]
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        self._asked = asyncio.Queue()
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            work, done = await self._asked.get()
            try:
                done.set_result(await work)
            except Exception as error:
                done.set_exception(error)
            finally:
                if not done.done():  # the test's time is over: whoever waits must not wait on
                    done.cancel()

    def run(self, work: Awaitable[T]) -> T:
        return self._runner.run(self._ask(work))

    async def _ask(self, work: Awaitable[T]) -> T:
        assert not self._task.done(), "it was ended in the middle of something"
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        await self._asked.put((work, done))  # type: ignore[arg-type]
        return await done

    def close(self) -> None:
        self._runner.close()


class Story(RuleBasedStateMachine):
    """What may happen to a node and to central."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._stack.enter_context(small_sizes())
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.stage = Stage()
        self.sides = Sides(Path(folder))
        self.made: set[tuple[bytes, int]] = set()

    @initialize(count=st.integers(0, 150), pulled=st.booleans(), pruned=st.booleans())
    def open(self, count: int, pulled: bool, pruned: bool) -> None:
        """Some old records at the node, of which central may have got some, and which are due."""
        self.stage.run(self.sides.open())
        if count:
            self.ingest([(one, "{}") for one in sorted(old(count))])
        if pulled:
            self.pull("incremental", None if pruned else 3)
        if pulled and pruned:
            self.prune(Limits(days=1e-9), None, pulled=False)

    @rule(count=st.integers(1, 120))
    def generate(self, count: int) -> None:
        self.stage.run(self.sides.ingest(count))
        self.made |= self.verdict().node.rows.items()

    @rule(rows=ROWS)
    def ingest(self, rows: list[tuple[bytes, str]]) -> None:
        """What is acknowledged is there, and what is refused is not stored."""
        records, before = self.records(rows), self.verdict().node.rows

        stored = self.stage.run(self.sides.store(records))

        refused, after = {*stored.conflicts, *stored.dropped}, self.verdict().node.rows
        for place, record in enumerate(records):
            if place in refused:
                assert after.get(record.id) == before.get(record.id)
            else:
                assert after[record.id] == record.hash

    @rule(rows=ROWS, side=SIDES)
    def put_by_hand(self, rows: list[tuple[bytes, str]], side: str) -> None:
        """Also what makes a conflict, and what lies where the node has dropped."""
        with self.sides.shell(side) as sql:
            sql.executemany(INSERT, self.records(rows))
        self.stage.run(self.sides.notice(side))

    @rule(side=SIDES, nth=st.integers(2, 9), how=st.sampled_from(sorted(SHELL)))
    def change_by_hand(self, side: str, nth: int, how: str) -> None:
        self.stage.run(self.sides.lose_rows_to_a_shell(side, nth, how))

    @rule(mode=st.sampled_from(["incremental", "full", "reconcile"]), calls=CALLS)
    def pull(self, mode: str, calls: int | None) -> None:
        """Central loses nothing by it, and gets nothing but what the node has."""
        before = self.verdict()

        self.stage.run(self.sides.replicate("pull", mode, calls))

        after = self.verdict()
        assert after.node.rows == before.node.rows
        assert before.central.rows.items() <= after.central.rows.items()
        assert after.central.rows.items() <= union(before)

    @rule(mode=st.sampled_from(["missing", "full"]), calls=CALLS)
    def push(self, mode: str, calls: int | None) -> None:
        """The node loses nothing by it, gets nothing but what central has, and nothing it gave up.

        With a `calls` that ends at an exchange, its reply is lost after the node's commit.
        """
        before = self.verdict()

        self.stage.run(self.sides.replicate("push", mode, calls))

        after = self.verdict()
        assert after.central.rows == before.central.rows
        assert before.node.rows.items() <= after.node.rows.items()
        assert after.node.rows.items() <= union(before)
        assert not any(map(before.node.has_dropped, after.node.rows.keys() - before.node.rows))

    @rule(limits=LIMITS, calls=CALLS, pulled=st.booleans())
    def prune(self, limits: Limits, calls: int | None, pulled: bool) -> None:
        """Only what central holds is given up."""
        if pulled:
            self.pull("reconcile", None)
        before = self.verdict()

        self.stage.run(self.sides.prune(limits, calls))

        after = self.verdict()
        assert after.central.rows == before.central.rows
        given_up = before.node.rows.items() - after.node.rows.items()
        assert given_up <= before.central.rows.items()
        assert after.node.digest == before.node.digest

    @rule(side=SIDES)
    def kill(self, side: str) -> None:
        """What was committed is there again."""
        before = self.verdict()

        self.stage.run(self.sides.kill(side))

        after = self.verdict()
        assert (after.node.rows, after.central.rows) == (before.node.rows, before.central.rows)

    @rule(side=SIDES)
    def wipe(self, side: str) -> None:
        self.stage.run(self.sides.lose_disk(side))

    @rule()
    def back_up(self) -> None:
        self.stage.run(self.sides.back_up())

    @rule()
    def restore(self) -> None:
        self.stage.run(self.sides.restore())

    @rule()
    def swap_with_the_copy(self) -> None:
        self.stage.run(self.sides.swap())

    @rule()
    def poll(self) -> None:
        self.stage.run(self.sides.poll())

    @rule()
    def heal(self) -> None:
        """What still was anywhere is on both sides, and what cannot be is told."""
        before = self.verdict()

        for kind, mode in [("pull", "incremental"), ("push", "missing")] * 2:
            self.stage.run(self.sides.replicate(kind, mode, None))

        after, told = self.verdict(), self.stage.run(self.sides.poll())
        node, central = after.node, after.central
        assert after.broken == []
        for side, was in ((node, before.node), (central, before.central)):
            assert was.rows.items() <= side.rows.items() <= union(before) <= self.made
        assert central.rows.keys() >= node.rows.keys()
        assert all(map(node.has_dropped, central.rows.keys() - node.rows.keys()))
        conflicts = [
            one
            for one, value in node.rows.items()
            if central.rows[one] != value and not node.has_dropped(one)
        ]
        gone = any(kept != central_digest(after, window) for window, kept in node.dropped.items())
        assert after.equal == (not conflicts and not gone)
        assert told.explained
        assert told.data == ("in_sync" if after.equal else "diverged")
        if not after.equal:
            assert told.conflicts == len(conflicts)
        assert told.records.missing_at_central == 0
        assert told.records.missing_at_node == 0

    @invariant()
    def nothing_is_broken(self) -> None:
        """I5 may be for a while: files change behind central's back."""
        if hasattr(self.sides, "node"):
            assert [text for text in self.verdict().broken if text[:2] != "I5"] == []
            told = self.stage.run(self.sides.judgement())
            assert (told.data == "in_sync") == self.verdict().same

    def teardown(self) -> None:
        try:
            if hasattr(self.sides, "node"):
                self.heal()
        finally:
            self.stage.run(self.sides.close())
            self.stage.close()
            self._stack.close()

    def verdict(self) -> Verdict:
        return self.sides.verdict()

    def records(self, rows: list[tuple[bytes, str]]) -> list[Record]:
        records = [make(record_id, "n1", 0, "t", content) for record_id, content in rows]
        self.made |= {(record.id, record.hash) for record in records}
        return records


def union(verdict: Verdict) -> set[tuple[bytes, int]]:
    """All that is on one of the sides."""
    return set(verdict.node.rows.items()) | set(verdict.central.rows.items())


def central_digest(verdict: Verdict, window: str) -> Digest:
    """Central's digest of a window, from its rows."""
    rows = verdict.central.rows.items()
    return sum((Digest(1, value) for one, value in rows if one.hex().startswith(window)), EMPTY)


TestStory = pytest.mark.fault(39)(
    pytest.mark.long(pytest.mark.timeout(0 if EXAMPLES else 180)(Story.TestCase))
)
TestStory.settings = settings(
    max_examples=int(EXAMPLES or 15),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
