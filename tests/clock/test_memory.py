"""What is kept over a restart: in one boot the line goes on, after a reboot the frequency."""

from pathlib import Path

import msgspec
import pytest

from cluster.clock.base import SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.memory import Memory, recall, save
from cluster.clock.report import state_of
from cluster.clock.watch import Watch
from tests.clock.hand import MS, SECOND, TRUE_START, HandBase, sample_of


def settled(true: HandBase, ppm: float) -> tuple[SkewedBase, ClusterClock]:
    """A clock that has followed a quiet server for some minutes on an oscillator `ppm` fast."""
    base = SkewedBase(1200, ppm, true)
    clock = ClusterClock(base)
    for _ in range(20):
        true.advance(16 * SECOND)
        clock.adopt(sample_of(base, true.system))
    return base, clock


def test_a_restarted_program_goes_on_along_its_line(tmp_path: Path) -> None:
    """Ten minutes after the kill, with no server: within a millisecond, synced, and it says so."""
    true = HandBase()
    base, clock = settled(true, 80)
    Watch(clock, tmp_path / "clock.json").save()
    true.advance(600 * SECOND)

    again = ClusterClock(base, recall(tmp_path / "clock.json"))

    assert again.synced
    assert again.now_ns() == pytest.approx(true.system, abs=MS)
    state = state_of(again)
    assert state.status == "HOLDOVER"
    assert state.bound_ms is not None
    assert 1 < state.bound_ms < 20
    again.adopt(sample_of(base, true.system))
    assert state_of(again).status == "SYNC"


def test_after_a_reboot_one_sample_is_enough() -> None:
    """The frequency is known: a minute after the first sample it is still within a millisecond."""
    true = HandBase()
    base, clock = settled(true, 80)
    memory = clock.memory()
    assert memory is not None
    true.advance(60 * SECOND)

    again = ClusterClock(base, msgspec.structs.replace(memory, boot="before"))

    assert not again.synced
    assert state_of(again).status == "UNSYNC"
    again.adopt(sample_of(base, true.system))
    true.advance(60 * SECOND)
    assert again.now_ns() == pytest.approx(true.system, abs=MS)


def test_another_oscillator_does_not_go_on_along_the_line() -> None:
    """The base is named: what was read from one says nothing of another."""
    true = HandBase()
    _, clock = settled(true, 80)

    again = ClusterClock(SkewedBase(1200, -80, true), clock.memory())

    assert not again.synced


def test_what_was_never_set_is_not_saved(tmp_path: Path) -> None:
    Watch(ClusterClock(HandBase()), tmp_path / "clock.json").save()

    assert recall(tmp_path / "clock.json") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff\x00", b'{"base": "x", "at_ns": -1}', b"[" * 1000],
)
def test_a_broken_file_is_told_and_left_aside(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that lied costs the memory, not the start."""
    path = tmp_path / "clock.json"
    path.write_bytes(content)

    assert recall(path) is None
    assert caplog.records[0].__dict__["event"] == "clock-forgot"


def test_it_is_saved_in_one_piece(tmp_path: Path) -> None:
    """What is read is what was written, and nothing else lies about."""
    _, clock = settled(HandBase(), 10)
    memory = clock.memory()
    assert isinstance(memory, Memory)

    save(tmp_path / "clock.json", memory)

    assert recall(tmp_path / "clock.json") == memory
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


def test_a_disk_that_cannot_take_it_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, clock = settled(HandBase(), 10)
    watch = Watch(clock, tmp_path / "gone" / "clock.json")

    watch.save()
    watch.save()

    assert [record.__dict__["event"] for record in caplog.records] == ["clock-not-saved"]


def test_the_line_goes_on_through_a_correction(tmp_path: Path) -> None:
    """Killed while it was being slowed down, it is still slowed down, and never goes back."""
    base = HandBase()
    clock = ClusterClock(base)
    clock.adopt(sample_of(base, TRUE_START + 800 * MS))
    for _ in range(3):
        clock.adopt(sample_of(base, TRUE_START))
    before = clock.now_ns()

    again = ClusterClock(base, clock.memory())

    assert 0 < again.now_ns() - before < 1000
    base.advance(20 * SECOND)
    assert again.now_ns() == pytest.approx(base.system, abs=MS)
