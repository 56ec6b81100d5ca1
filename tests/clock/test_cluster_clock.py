"""How a clock is set, steered and doubted, and what it says of itself."""

from itertools import pairwise

import msgspec
import pytest

from cluster.clock.base import SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.report import state_of, summary_of
from tests.clock.hand import MS, SECOND, SERVER, TRUE_START, HandBase, sample_of, settle, synced


class TestSteering:
    @pytest.mark.parametrize("wrong_by_s", [-3600, 3600])
    def test_the_first_sync_sets_the_clock_either_way(self, wrong_by_s: int) -> None:
        """A machine an hour late or early is right at the first sample, with no step counted."""
        base = HandBase(system=TRUE_START + wrong_by_s * SECOND)
        clock = ClusterClock(base)
        assert clock.now_ns() == base.system
        assert not clock.synced

        clock.adopt(sample_of(base, TRUE_START))

        assert abs(clock.now_ns() - TRUE_START) <= 1
        assert clock.first_step_us == -wrong_by_s * 1_000_000
        state = state_of(clock)
        assert (state.status, state.steps) == ("SYNC", 0)
        assert state.drift_ms == pytest.approx(wrong_by_s * 1000)

    def test_a_clock_that_is_ahead_is_slowed_and_never_goes_back(self) -> None:
        """0.8 s ahead is slewed away at 80,000 ppm, in ten seconds."""
        base = HandBase()
        clock = synced(base, TRUE_START + 800 * MS)
        readings = [clock.now_ns()]

        for _ in range(3):  # three that agree: the server was set back
            clock.adopt(sample_of(base, TRUE_START))
        for _ in range(100):
            base.advance(SECOND // 10)
            readings.append(clock.now_ns())

        rates = [(after - before) / (SECOND / 10) for before, after in pairwise(readings)]
        assert all(rate == pytest.approx(0.92, abs=1e-4) for rate in rates)
        assert readings[-1] == pytest.approx(base.system, abs=10)
        assert state_of(clock).slew_left_ms == pytest.approx(0, abs=1e-4)

    def test_a_small_correction_takes_four_seconds(self) -> None:
        """0.4 ms behind is caught up at 100 ppm."""
        base = HandBase()
        clock = synced(base, TRUE_START - 400_000)
        for _ in range(50):
            clock.adopt(sample_of(base, TRUE_START))
        state = state_of(clock)
        assert 0.3 < state.slew_left_ms <= 0.4
        assert state.slew_ppm == pytest.approx(state.slew_left_ms * 250)

        base.advance(2 * SECOND)
        assert state_of(clock).slew_left_ms == pytest.approx(state.slew_left_ms / 2, abs=1e-3)
        base.advance(2 * SECOND)
        assert (state_of(clock).slew_left_ms, state_of(clock).slew_ppm) == (0, 0)

    def test_over_a_second_behind_is_one_counted_step_forward(self) -> None:
        """A machine that was paused unseen for a minute is right after three samples."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        base.system += 60 * SECOND

        for _ in range(3):
            clock.adopt(sample_of(base, base.system))

        assert clock.now_ns() == pytest.approx(base.system, abs=10)
        state = state_of(clock)
        assert state.steps == 1
        assert state.last_step_ms == pytest.approx(60_000)

    def test_a_step_of_the_system_clock_is_counted_shown_and_ignored(self) -> None:
        """Someone sets the machine back an hour: the cluster clock goes on, drift says it."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        clock.look()
        base.advance(SECOND)
        base.system -= 3600 * SECOND
        clock.look()

        assert clock.now_ns() == pytest.approx(TRUE_START + SECOND, abs=10)
        state = state_of(clock)
        assert state.drift_ms == pytest.approx(-3_600_000)
        assert state.system_steps == 1

    @pytest.mark.parametrize("ppm", [-80, 80, 400])
    def test_it_finds_the_frequency_of_the_oscillator(self, ppm: int) -> None:
        """80 ppm fast or slow, or 400, are found within half a ppm in twenty quiet samples."""
        true = HandBase()
        base = SkewedBase(1200, ppm, true)
        clock = ClusterClock(base)

        for _ in range(20):
            true.advance(16 * SECOND)
            clock.adopt(sample_of(base, true.system))

        assert summary_of(clock).freq_ppm == pytest.approx(ppm, abs=0.5)
        true.advance(64 * SECOND)
        assert clock.now_ns() == pytest.approx(true.system, abs=MS)


class TestDoubt:
    def test_one_stray_answer_is_held_back(self) -> None:
        """An answer a second off moves nothing, and is forgotten when the next one fits."""
        base = HandBase()
        clock = synced(base, TRUE_START)

        clock.adopt(sample_of(base, base.system, error_ns=SECOND))

        state = state_of(clock)
        assert (state.status, state.sources[0].state) == ("SUSPECT", "suspect")
        assert state.bound_ms is not None
        assert state.bound_ms > 990  # it may be right: the bound covers it
        assert abs(clock.now_ns() - base.system) <= 10
        clock.adopt(sample_of(base, base.system))
        state = state_of(clock)
        assert (state.status, state.sources[0].state) == ("SYNC", "selected")
        assert state.bound_ms is not None
        assert state.bound_ms < 2

    def test_a_jump_asks_for_more_answers_soon(self) -> None:
        """What does not fit makes the next polls come after two seconds."""
        base = HandBase()
        clock = ClusterClock(base)
        settle(clock, base, base)
        schedule = clock.source(SERVER).schedule
        for _ in range(20):
            schedule.next_s()
        assert schedule.next_s() == 16

        clock.adopt(sample_of(base, base.system, error_ns=SECOND))

        assert [schedule.next_s() for _ in range(4)] == [2, 2, 2, 16]

    def test_a_machine_that_slept_is_unsure_until_the_next_answer(self) -> None:
        """The time asleep is counted, give or take a second: said so, and asked again at once."""
        base = HandBase()
        clock = ClusterClock(base)
        settle(clock, base, base)
        base.advance(3600 * SECOND)
        base.suspends += 1

        assert clock.look()

        state = state_of(clock)
        assert (state.status, state.suspends) == ("SUSPECT", 1)
        assert state.bound_ms is not None
        assert state.bound_ms > 1000
        assert clock.source(SERVER).schedule.next_s() == 2
        base.system += 300 * MS  # it slept a little longer than it knew
        clock.adopt(sample_of(base, base.system))
        state = state_of(clock)
        assert (state.status, state.steps) == ("SYNC", 0)
        base.advance(5 * SECOND)
        assert clock.now_ns() == pytest.approx(base.system, abs=20 * MS)


class TestSelf:
    def test_nothing_is_claimed_before_the_first_sync(self) -> None:
        """An unsynchronised clock has counts, and null for all it does not know."""
        clock = ClusterClock(HandBase())
        clock.miss(SERVER, "timeout")

        state = state_of(clock)

        assert (state.status, state.leap) == ("UNSYNC", 3)
        assert (state.drift_ms, state.bound_ms, state.stratum, state.reference) == (None,) * 4
        [source] = state.sources
        assert (source.state, source.rejected) == ("unreachable", {"timeout": 1})

    def test_four_polls_without_a_sample_are_a_holdover(self) -> None:
        """Status falls to HOLDOVER after four intervals and returns with the next sample."""
        base = HandBase()
        clock = synced(base, TRUE_START)

        base.advance(8 * SECOND)
        assert summary_of(clock).status == "SYNC"
        base.advance(1)
        assert summary_of(clock).status == "HOLDOVER"
        clock.adopt(sample_of(base, base.system))
        assert summary_of(clock).status == "SYNC"

    def test_the_bound_grows_without_a_server(self) -> None:
        """Two ppm and what the frequency may be off: an hour alone costs some milliseconds."""
        base = HandBase()
        clock = ClusterClock(base)
        settle(clock, base, base)
        before = state_of(clock)

        base.advance(3600 * SECOND)

        after = state_of(clock)
        assert before.bound_ms is not None
        assert after.bound_ms is not None
        assert before.bound_ms + 7.2 < after.bound_ms < 100
        assert before.est_error_ms is not None
        assert after.est_error_ms is not None
        assert before.est_error_ms < after.est_error_ms < after.bound_ms

    def test_a_follower_is_one_stratum_below_its_server(self) -> None:
        """State names the server, counts one more than its stratum, and says that it is alone."""
        state = state_of(synced(HandBase(), TRUE_START))

        assert (state.stratum, state.reference, state.single) == (2, SERVER, True)
        assert (state.leap, state.reach, state.sources[0].addr) == (0, "001", "192.0.2.1")

    def test_what_it_serves_adds_up_to_its_bound(self) -> None:
        """Half of the root delay and the root dispersion are together the bound."""
        base = HandBase()
        clock = ClusterClock(base)
        settle(clock, base, base)

        state = state_of(clock)

        assert state.root_delay_ms is not None
        assert state.root_dispersion_ms is not None
        assert state.root_delay_ms == 2
        assert state.root_delay_ms / 2 + state.root_dispersion_ms == state.bound_ms

    def test_a_reference_is_right_by_definition(self) -> None:
        """The reference is synchronised from the start, at stratum 10, and follows itself."""
        base = HandBase()
        clock = ClusterClock.reference(base)

        state = state_of(clock)

        assert clock.now_ns() == TRUE_START
        assert (state.status, state.stratum, state.reference) == ("SYNC", 10, "local")
        assert (state.drift_ms, state.bound_ms, state.leap) == (0, 0, 0)

    def test_a_reference_keeps_to_the_system_time_without_going_back(self) -> None:
        """An oscillator 100 ppm off the system time does not lead the cluster away from it."""
        base = HandBase()
        clock = ClusterClock.reference(base)
        stamps = [clock.now_ns()]

        for _ in range(3600):
            base.monotonic += SECOND
            base.system += SECOND - 100_000
            stamps.append(clock.now_ns())

        assert all(before < after for before, after in pairwise(stamps))
        assert abs(stamps[-1] - base.system) < MS


class TestFirstStep:
    def test_it_is_what_the_stamps_before_it_were_off(self) -> None:
        """Rebooted without a battery, in 1970: stamps go on from before, and are corrected."""
        memory = synced(HandBase(), TRUE_START).memory()
        assert memory is not None
        base = HandBase(system=0)
        clock = ClusterClock(base, msgspec.structs.replace(memory, boot="before"))
        stamp_us = clock.now_us()
        base.advance(SECOND)
        assert clock.now_us() - stamp_us == pytest.approx(1_000_000, abs=10)

        clock.adopt(sample_of(base, TRUE_START + 3600 * SECOND))

        assert clock.first_step_us is not None
        corrected_us = stamp_us + clock.first_step_us
        assert corrected_us == pytest.approx((TRUE_START + 3599 * SECOND) // 1000, abs=10)

    def test_nobody_knows_it_when_the_machine_was_set_meanwhile(self) -> None:
        """Stamps before and after a step of the system clock were off by different amounts."""
        base = HandBase()
        clock = ClusterClock(base)
        clock.now_us()
        base.advance(SECOND)
        base.system += 3600 * SECOND

        clock.adopt(sample_of(base, TRUE_START))

        assert clock.synced
        assert clock.first_step_us is None
