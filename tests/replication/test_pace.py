"""Pace over a line: a limit is kept both ways, polls go past it, progress is told truly.

A real node and a real central over HTTP, in one process.
"""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central import page_size
from central.link import Arrived
from central.replication import Replication
from cluster.peer import PeerFailed
from tests.program import until
from tests.replication.test_live_first import WatchedLink
from tests.replication.test_schedule import Both, both  # noqa: F401  # a fixture
from tests.sides import CLOCK, NearLink, Sides

RATE = 50_000
ROWS = 1_500


def body(count: int) -> bytes:
    """Rows that compress badly, about 100 bytes each."""
    texts = (hashlib.blake2b(bytes([n % 256, n // 256])).hexdigest()[:90] for n in range(count))
    return b"".join(b'{"stream":"t","payload":{"x":"%s"}}\n' % text.encode() for text in texts)


async def ask(both: Both, kind: str, mode: str) -> str:  # noqa: F811
    answer = await both.central.ask("POST", f"/v1/nodes/n1/{kind}", {"mode": mode})
    assert answer.status == 202, answer.body
    return f"/v1/runs/{answer.json['id']}"


async def story(both: Both, where: str) -> list[dict[str, Any]]:  # noqa: F811
    """All states of a run that were seen, the last one its end."""
    seen: list[dict[str, Any]] = []

    async def ended() -> bool:
        seen.append((await both.central.ask("GET", where)).json)
        return seen[-1]["ended"] is not None

    await until(ended, f"{where} ends")
    return seen


@pytest.mark.e2e  # it takes its seconds, as that is the point
async def test_a_limit_is_kept_both_ways_and_polls_are_not_slowed(both: Both) -> None:  # noqa: F811
    """Bytes by seconds; meanwhile a poll takes a moment."""
    (await both.node.post_rows(body(ROWS // 2))).receipt()
    async with both.central_up(max_rate=RATE):
        for kind in ("pull", "push"):
            begun_s = time.monotonic()
            where = await ask(both, kind, "full")
            polls = [(await both.polled())["rtt_ms"] for _ in range(3)]
            run = (await story(both, where))[-1]
            took_s = time.monotonic() - begun_s

            assert (run["state"], run["received"]) == ("succeeded", ROWS // 2)
            assert run["bytes"] > RATE
            assert 0.4 * RATE < run["bytes"] / (took_s + 0.5) < 1.05 * RATE
            assert max(polls) < 500


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are many of them in a second."""
    monkeypatch.setattr(page_size, "FIRST", 60)
    monkeypatch.setattr(page_size, "MOST", 60)


@pytest.mark.usefixtures("small_pages")
async def test_a_run_tells_how_far_it_is_and_how_long_it_takes(both: Both) -> None:  # noqa: F811
    """Received of expected, bytes, rate and the time left; at its end no time is left."""
    (await both.node.post_rows(body(ROWS))).receipt()
    async with both.central_up(max_rate=4 * RATE):
        seen = await story(both, await ask(both, "pull", "incremental"))

        told = [run for run in seen if run["left_s"] is not None]
        assert len(told) > 2
        for run in told:
            assert run["expected"] == ROWS
            assert run["rate"] > 0
            assert run["left_s"] == pytest.approx((ROWS - run["received"]) / run["rate"], abs=0.1)
        for key in ("received", "bytes"):
            values = [run[key] for run in seen]
            assert values == sorted(values)
            assert len(set(values)) > 3
        assert (seen[-1]["received"], seen[-1]["left_s"]) == (ROWS, None)


@pytest.mark.usefixtures("small_pages")
async def test_a_cancel_keeps_what_was_moved_and_the_next_run_moves_the_rest(
    both: Both,  # noqa: F811
) -> None:
    """No record crosses the line twice."""
    (await both.node.post_rows(body(ROWS))).receipt()
    async with both.central_up(max_rate=2 * RATE):
        where = await ask(both, "pull", "incremental")

        async def some() -> bool:
            return bool((await both.central.ask("GET", where)).json["received"] >= 300)

        await until(some, "300 were received")
        cancelled = (await both.central.ask("DELETE", where)).json
        kept = (await both.polled())["records"]["central"]
        rest = (await story(both, await ask(both, "pull", "incremental")))[-1]

        assert cancelled["state"] == "cancelled"
        assert 300 <= kept < ROWS
        assert cancelled["received"] <= kept <= cancelled["received"] + 60  # one in its commit
        assert (rest["state"], rest["received"], rest["duplicate"]) == ("succeeded", ROWS - kept, 0)
        assert (await both.polled())["data"] == "in_sync"


@pytest.mark.usefixtures("small_pages")
async def test_reconcile_moves_exactly_what_is_missing(both: Both) -> None:  # noqa: F811
    """Holes and the tail alike, in pages as small as the line needs, and nothing twice."""
    (await both.node.post_rows(body(ROWS))).receipt()
    async with both.central_up():
        await story(both, await ask(both, "pull", "incremental"))
        file = both.folder / "central" / "central.db"
        with closing(sqlite3.connect(file, timeout=10)) as sql, sql:
            lost = sql.execute("DELETE FROM records WHERE position % 7 = 0").rowcount
        await both.bear(200, start=ROWS)

        run = (await story(both, await ask(both, "pull", "reconcile")))[-1]

        assert run["state"] == "succeeded"
        assert (run["received"], run["inserted"]) == (lost + 200, lost + 200)
        assert (await both.polled())["data"] == "in_sync"


class NarrowLink(NearLink):
    """Carries no page of more than 500 records in time."""

    async def fetch(
        self, epoch: str, windows: Sequence[str], first: bytes, limit: int, upto: int
    ) -> Arrived:
        if limit > 500:
            raise PeerFailed("timeout", "no answer in time")
        return await super().fetch(epoch, windows, first, limit, upto)


async def test_what_a_slow_line_cannot_carry_at_once_is_fetched_in_smaller_pages(
    tmp_path: Path,
) -> None:
    """A page that is too late is asked for again, at a quarter of its size; then all comes."""
    sides, size, failed = Sides(tmp_path), page_size.PageSize(), 0
    await sides.open()
    try:
        await sides.ingest(3_000)
        near = NarrowLink(sides.node, None)
        for _ in range(5):
            try:
                await Replication(
                    near,
                    sides.central,
                    CLOCK.now_us,
                    size=size,
                ).pull("reconcile")
                break
            except PeerFailed:
                failed += 1

        assert failed == 1
        assert sides.verdict().equal
    finally:
        await sides.close()


async def test_reconcile_asks_for_no_page_after_the_tidemark(tmp_path: Path) -> None:
    """Only for what is inside of windows that differ, though the tail alone would be pages."""
    sides = Sides(tmp_path)
    await sides.open()
    try:
        await sides.ingest(300)
        await sides.replicate("pull", "incremental", None)
        await sides.ingest(100)
        link = WatchedLink(sides)

        await Replication(link, sides.central, CLOCK.now_us).pull("reconcile")

        assert link.asked == []
        assert link.fetched > 0
        assert sides.verdict().equal
    finally:
        await sides.close()
