"""Snapshots and deltas become what the screens read."""

import msgspec

from cluster.protocol.views import Delta, JournalLine, NodeView, Run
from console.changes import JOURNAL_LINES
from console.store import Store
from tests.console.fake_central import FakeCentral, view

SECOND = 1_000_000


class Ticks:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def filled(*nodes: NodeView, ticks: Ticks | None = None) -> Store:
    store = Store(ticks or Ticks())
    central = FakeCentral()
    central.nodes = {node.name: node for node in nodes}
    store.apply_snapshot(msgspec.structs.replace(central.snapshot(0), now=100 * SECOND))
    store.take_changes()
    return store


def delta(
    *nodes: NodeView,
    now_s: float = 101,
    runs: list[Run] | None = None,
    gone: list[str] | None = None,
    journal: list[JournalLine] | None = None,
) -> Delta:
    return Delta(
        now=int(now_s * SECOND),
        nodes=list(nodes),
        runs=runs or [],
        journal=journal or [],
        gone=gone or [],
    )


def pull(number: int, received: int = 0, **more: object) -> Run:
    run = Run(id=number, node="a", kind="pull", mode="full", state="running", asked=0)
    return msgspec.structs.replace(run, received=received, **more)


def line(seq: int) -> JournalLine:
    return JournalLine(seq=seq, ts=seq, level="info", kind="k", node=None, text=str(seq))


def test_a_delta_tells_which_nodes_and_runs_changed() -> None:
    store = filled(view("a"), view("b"), view("c"))

    store.apply_delta(delta(view("b", "down"), runs=[pull(5)], gone=["c"]))
    changes = store.take_changes()

    assert (changes.nodes, changes.runs, changes.everything) == ({"b", "c"}, {5}, False)
    assert sorted(store.nodes) == ["a", "b"]
    assert store.nodes["b"].live == "down"
    assert not store.take_changes()


def test_time_is_centrals_and_stands_still_while_it_is_away() -> None:
    ticks = Ticks()
    store = filled(ticks=ticks)

    ticks.now += 3
    assert store.now_us() == 103 * SECOND
    store.mark_stale(True)
    assert store.now_us() == 100 * SECOND
    assert store.silent_s() == 3
    assert store.take_changes().everything


def test_a_rate_comes_from_successive_deltas() -> None:
    store = filled(view("a"))

    for second in range(20):
        store.apply_delta(delta(now_s=100 + second, runs=[pull(5, received=second**2 * 10)]))

    run = store.runs[5]
    rate = store.rate_of(run)
    assert rate is not None
    assert 280 <= rate <= 310, "the last 8 seconds, not the whole run"
    assert store.last_rate("a", "pull") == rate
    store.apply_delta(delta(runs=[pull(5, 4_000, state="succeeded", started=0, ended=2 * SECOND)]))
    assert store.rate_of(store.runs[5]) is None
    assert store.last_rate("a", "pull") == 2_000
    assert store.last_rate("a", "push") is None, "the other way may be slower"


def test_the_journal_keeps_its_last_lines_and_no_line_twice() -> None:
    store = filled()

    store.apply_delta(delta(journal=[line(n) for n in range(1, 2_501)]))
    store.apply_delta(delta(journal=[line(2_500), line(2_501)]))

    assert len(store.journal) == JOURNAL_LINES
    assert [each.seq for each in store.journal][-2:] == [2_500, 2_501]
    assert store.last_seq == 2_501


def test_another_database_at_central_means_another_journal() -> None:
    store = filled()
    store.apply_delta(delta(journal=[line(900)], runs=[pull(5)]))
    other = FakeCentral()
    other.epoch = "e2"
    other.journal = [line(1)]

    assert store.apply_snapshot(other.snapshot(0)) is False
    assert store.last_seq is None
    assert store.apply_snapshot(other.snapshot(0)) is True
    assert store.last_seq == 1
    assert not store.runs


def test_ended_runs_do_not_pile_up() -> None:
    store = filled()

    for number in range(1, 2_001):
        store.apply_delta(delta(runs=[pull(number, state="succeeded", ended=number)]))
    store.apply_delta(delta(runs=[pull(1)]))

    assert len(store.ended_runs()) < 800
    assert store.ended_runs()[0].id == 2_000
    assert [run.id for run in store.open_runs()] == [1]


def test_runs_asked_for_later_do_not_undo_newer_news() -> None:
    store = filled()
    store.apply_delta(delta(runs=[pull(5, state="succeeded")]))

    store.add_runs([pull(5), pull(4)])

    assert store.runs[5].state == "succeeded"
    assert [run.id for run in store.runs_of("a")] == [5, 4]


def test_a_run_that_ended_while_nobody_listened_is_open_no_longer() -> None:
    """Every open run is in a snapshot."""
    fake, store = FakeCentral(), Store()
    fake.put(view("n1"))
    lost, kept = fake._run("pull", "n1"), fake._run("push", "n1")
    store.apply_snapshot(fake.snapshot(0))
    del fake.runs[lost.id]

    store.apply_snapshot(fake.snapshot(0))

    assert [run.id for run in store.open_runs()] == [kept.id]


def test_a_node_that_was_removed_and_added_in_a_pause_is_there() -> None:
    fake, store = FakeCentral(), Store()
    fake.put(view("n1"), view("n2"))
    store.apply_snapshot(fake.snapshot(0))

    store.pause()
    for nodes, gone in (([], ["n1", "n2"]), ([view("n1", at_node=7)], [])):
        store.apply_delta(Delta(now=1, nodes=nodes, runs=[], journal=[], gone=gone))
    assert set(store.nodes) == {"n1", "n2"}
    store.resume()

    assert set(store.nodes) == {"n1"}
    assert store.nodes["n1"].records.node == 7
    assert store.overview.lives["up"] == 1
