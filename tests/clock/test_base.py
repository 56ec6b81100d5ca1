"""The counter underneath: what it counts, and how a wrong one is made on purpose."""

import time

import pytest

from cluster.clock.base import RealBase, SkewedBase, tight_pair
from tests.clock.hand import MS, SECOND, HandBase


class TestBases:
    def test_a_skewed_base_is_off_and_drifts_on_both_clocks(self) -> None:
        """+1200 ms and 100 ppm: after 1000 s the oscillator has gained 100 ms."""
        true = HandBase()
        base = SkewedBase(1200, 100, true)
        assert base.system_ns() - true.system == 1200 * MS

        true.advance(1000 * SECOND)

        gained_ns = base.monotonic_ns() - true.monotonic
        assert gained_ns == 100 * MS + 500_000  # and 5 s before the program
        assert base.system_ns() - true.system == 1300 * MS

    def test_the_tightest_of_several_pairs_is_taken(self) -> None:
        """A pair torn apart by something else running does not count."""
        monotonic = iter([0, 900, 1000, 1010, 2000, 2500])
        wall = iter([1, 2, 3])

        assert tight_pair(lambda: next(monotonic), lambda: next(wall), tries=3) == (1005, 2)

    def test_a_skewed_base_goes_on_where_it_was_after_a_restart(self) -> None:
        """Of one boot: what it gained is counted from the machine's start, not the program's."""
        true = HandBase(monotonic=10_000 * SECOND)

        before = SkewedBase(1200, 100, true).monotonic_ns()
        true.advance(SECOND)

        assert SkewedBase(1200, 100, true).monotonic_ns() - before == SECOND + 100_000

    def test_a_wrong_wall_clock_alone_is_no_other_base(self) -> None:
        """The oscillator is the same, so a clock's memory goes on; with a drift it cannot."""
        true = HandBase()

        assert SkewedBase(1200, 0, true).name == true.name != SkewedBase(0, 100, true).name

    def test_a_real_base_goes_with_the_raw_clock(self) -> None:
        """Nobody slews it, and reading it twice never goes back."""
        base = RealBase()

        first, second = base.monotonic_ns(), base.monotonic_ns()

        assert first <= second
        assert base.suspends == 0
        assert base.name == "monotonic-raw+suspended"

    def test_the_time_asleep_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An hour of suspend, which the raw clock leaves out, is an hour here, and is noticed."""
        asleep_ns = 0
        real = time.clock_gettime_ns

        def gettime_ns(clock: int) -> int:
            return real(clock) + (asleep_ns if clock == time.CLOCK_BOOTTIME else 0)

        monkeypatch.setattr(time, "clock_gettime_ns", gettime_ns)
        base = RealBase()
        before = base.monotonic_ns()
        asleep_ns = 3600 * SECOND

        after = base.monotonic_ns()

        assert after - before == pytest.approx(3600 * SECOND, abs=SECOND)
        assert base.suspends == 1
        assert base.monotonic_ns() >= after
        assert base.suspends == 1
