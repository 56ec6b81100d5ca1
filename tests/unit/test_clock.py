"""The cluster clock without a network: time is driven by hand, samples are made up.

What is promised here is what records rest on: stamps only grow, and the bound is the truth.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clock.base import Base, RealBase, SkewedBase, tight_pair
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.discipline import MAX_FREQ, Discipline
from cluster.clock.follower import Follower, intervals
from cluster.clock.ntp import NtpFailed, Reason, Sample, Server

MS = 1_000_000
SECOND = 1_000_000_000
TRUE_START = 1_800_000_000 * SECOND
SERVER = Server("192.0.2.1")


@dataclass
class HandBase:
    """A base whose time passes only when a test says so."""

    monotonic: int = 5 * SECOND
    system: int = TRUE_START

    def monotonic_ns(self) -> int:
        return self.monotonic

    def system_ns(self) -> int:
        return self.system

    def advance(self, ns: int) -> None:
        self.monotonic += ns
        self.system += ns


def sample_of(
    base: Base,
    true_ns: int,
    *,
    error_ns: int = 0,
    delay_ns: int = 2 * MS,
    server: Server = SERVER,
) -> Sample:
    """What a server knowing `true_ns` would say to `base` now, wrong by `error_ns`."""
    at_ns = base.monotonic_ns()
    return Sample(at_ns, true_ns - at_ns + error_ns, delay_ns, 0, 0, 1, server)


def synced(base: HandBase, true_ns: int) -> ClusterClock:
    """A clock that has just been set to `true_ns`."""
    clock = ClusterClock(base)
    clock.adopt(sample_of(base, true_ns))
    return clock


class TestStamps:
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ns", "us", "sample"]),
                st.integers(0, 100 * SECOND),
                st.integers(-3 * SECOND, 3 * SECOND),
                st.integers(0, SECOND),
            ),
            min_size=2,
            max_size=60,
        )
    )
    @settings(deadline=None)
    def test_they_grow_under_any_order_of_samples(
        self, events: list[tuple[str, int, int, int]]
    ) -> None:
        """Whatever servers say, early or late, each stamp is later than the one before."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        stamps = [clock.now_ns()]

        for kind, passed_ns, error_ns, delay_ns in events:
            if kind == "sample":
                late = HandBase(base.monotonic - passed_ns // 2, base.system)
                clock.adopt(sample_of(late, base.system, error_ns=error_ns, delay_ns=delay_ns))
            else:
                base.advance(passed_ns)
            stamps.append(clock.now_us() * 1000 if kind == "us" else clock.now_ns())

        assert all(before < after for before, after in pairwise(stamps))

    def test_they_grow_while_the_base_stands_still(self) -> None:
        """A base too coarse to show a difference still gives different stamps."""
        clock = synced(HandBase(), TRUE_START)

        stamps = [clock.now_us() for _ in range(100)]

        assert stamps == list(range(stamps[0], stamps[0] + 100))

    def test_no_two_threads_ever_get_the_same_one(self) -> None:
        """Each thread's stamps grow, and all threads' stamps differ, while samples come in."""
        base = RealBase()
        clock = ClusterClock(base)
        clock.adopt(sample_of(base, base.system_ns()))
        stamps: list[list[int]] = [[] for _ in range(4)]

        def draw(mine: list[int]) -> None:
            for turn in range(2000):
                mine.append(clock.now_ns())
                if turn % 100 == 0:
                    error_ns = (-1) ** (turn // 100) * 20 * MS
                    clock.adopt(sample_of(base, base.system_ns(), error_ns=error_ns))

        threads = [threading.Thread(target=draw, args=(mine,)) for mine in stamps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert all(before < after for mine in stamps for before, after in pairwise(mine))
        assert len({stamp for mine in stamps for stamp in mine}) == 8000


class TestSteering:
    @pytest.mark.parametrize("wrong_by_s", [-3600, 3600])
    def test_the_first_sync_sets_the_clock_either_way(self, wrong_by_s: int) -> None:
        """A machine an hour late or early is right at the first sample, with no step counted."""
        base = HandBase(system=TRUE_START + wrong_by_s * SECOND)
        clock = ClusterClock(base)
        assert clock.now_ns() == base.system
        assert clock.state().status == "UNSYNC"

        clock.adopt(sample_of(base, TRUE_START))

        assert abs(clock.now_ns() - TRUE_START) <= 1
        state = clock.state()
        assert (state.status, state.steps) == ("SYNC", 0)
        assert state.drift_ms == pytest.approx(wrong_by_s * 1000)

    def test_a_clock_that_is_ahead_is_slowed_and_never_goes_back(self) -> None:
        """0.8 s ahead is slewed away at 80,000 ppm, in ten seconds."""
        base = HandBase()
        clock = synced(base, TRUE_START + 800 * MS)
        first = clock.now_ns()

        clock.adopt(sample_of(base, TRUE_START))
        readings = [first]
        for _ in range(100):
            base.advance(SECOND // 10)
            readings.append(clock.now_ns())

        rates = [(after - before) / (SECOND / 10) for before, after in pairwise(readings)]
        assert all(rate == pytest.approx(0.92, abs=1e-4) for rate in rates)
        assert readings[-1] == pytest.approx(base.system, abs=10)
        assert clock.state().slew_left_ms == pytest.approx(0, abs=1e-4)

    def test_a_small_correction_takes_four_seconds(self) -> None:
        """4 ms behind is caught up at 1,000 ppm."""
        base = HandBase()
        clock = synced(base, TRUE_START - 4 * MS)
        clock.adopt(sample_of(base, TRUE_START))
        half_way = clock.state().slew_left_ms
        assert half_way is not None

        base.advance(2 * SECOND)
        assert clock.state().slew_left_ms == pytest.approx(half_way / 2, abs=1e-3)
        base.advance(2 * SECOND)
        assert clock.state().slew_left_ms == 0

    def test_over_a_second_behind_is_one_counted_step_forward(self) -> None:
        """A clock that slept for a minute is right at the next sample."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        base.system += 60 * SECOND

        clock.adopt(sample_of(base, base.system))

        assert clock.now_ns() == pytest.approx(base.system, abs=10)
        assert clock.state().steps == 1

    def test_a_step_of_the_system_clock_is_shown_and_ignored(self) -> None:
        """Someone sets the machine back an hour: the cluster clock goes on, drift says it."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        base.advance(SECOND)
        base.system -= 3600 * SECOND

        assert clock.now_ns() == pytest.approx(TRUE_START + SECOND, abs=10)
        assert clock.state().drift_ms == pytest.approx(-3_600_000)


class TestStatus:
    def test_nothing_is_claimed_before_the_first_sync(self) -> None:
        """An unsynchronised clock has counts, and null for all it does not know."""
        clock = ClusterClock(HandBase())
        clock.discard("timeout")

        state = clock.state()

        assert (state.status, state.failures, state.last_failure) == ("UNSYNC", 1, "timeout")
        assert (state.drift_ms, state.bound_ms, state.stratum, state.reference) == (None,) * 4

    def test_four_polls_without_a_sample_are_a_holdover(self) -> None:
        """Status falls to HOLDOVER after four intervals and returns with the next sample."""
        base = HandBase()
        clock = synced(base, TRUE_START)
        clock.expect(16.0)

        base.advance(64 * SECOND)
        assert clock.state().status == "SYNC"
        base.advance(1)
        assert clock.state().status == "HOLDOVER"
        clock.adopt(sample_of(base, base.system))
        assert clock.state().status == "SYNC"

    def test_a_follower_is_one_stratum_below_its_server(self) -> None:
        """State names the server and counts one more than its stratum."""
        state = synced(HandBase(), TRUE_START).state()

        assert (state.stratum, state.reference) == (2, "192.0.2.1:123")

    def test_a_reference_is_right_by_definition(self) -> None:
        """The reference is synchronised from the start, at stratum 10, and follows itself."""
        base = HandBase()
        clock = ClusterClock.reference(base)

        state = clock.state()

        assert clock.now_ns() == TRUE_START
        assert (state.status, state.stratum, state.reference) == ("SYNC", 10, "local")
        assert (state.drift_ms, state.bound_ms) == (0, 0)

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


class TestDiscipline:
    @pytest.mark.parametrize("ppm", [-80, 80])
    def test_it_finds_the_frequency_of_the_oscillator(self, ppm: int) -> None:
        """80 ppm fast or slow are found within 1 ppm in eight quiet samples."""
        true = HandBase()
        base = SkewedBase(1200, ppm, true)
        clock = ClusterClock(base)

        for _ in range(8):
            true.advance(16 * SECOND)
            clock.adopt(sample_of(base, true.system))

        assert clock.state().freq_ppm == pytest.approx(ppm, abs=1)
        true.advance(64 * SECOND)
        assert clock.now_ns() == pytest.approx(true.system, abs=MS)

    def test_one_sample_says_nothing_of_the_frequency(self) -> None:
        """After one sample the frequency is 0 and may be 100 ppm off."""
        estimate = Discipline().take(sample_of(HandBase(), TRUE_START))

        assert estimate.freq == 0
        assert estimate.freq_error == pytest.approx(100e-6)

    def test_a_sample_that_queued_counts_for_little(self) -> None:
        """One answer that took 100 ms instead of 2 moves the estimate by less than 0.1 ms."""
        base, discipline = HandBase(), Discipline()
        for _ in range(7):
            base.advance(16 * SECOND)
            discipline.take(sample_of(base, base.system))

        base.advance(16 * SECOND)
        queued = sample_of(base, base.system, error_ns=49 * MS, delay_ns=100 * MS)
        estimate = discipline.take(queued)

        assert abs(estimate.offset_ns - (base.system - base.monotonic)) < MS / 10

    def test_a_jump_begins_a_new_line_at_the_old_frequency(self) -> None:
        """A server set forward an hour is not a frequency of 500 ppm."""
        base, discipline = HandBase(), Discipline()
        for _ in range(8):
            base.advance(16 * SECOND)
            before = discipline.take(sample_of(base, base.system))

        jumped = base.system + 3600 * SECOND
        after = discipline.take(sample_of(base, jumped))

        assert after.freq == before.freq
        assert after.offset_ns == jumped - base.monotonic

    @given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(-(10**12), 10**12)), min_size=1))
    def test_the_frequency_stays_within_500_ppm(self, facts: list[tuple[int, int]]) -> None:
        """No trace of samples, however wild, makes a frequency no crystal has."""
        discipline = Discipline()

        for at_ns, error_ns in facts:
            base = HandBase(monotonic=at_ns)
            estimate = discipline.take(sample_of(base, TRUE_START + at_ns, error_ns=error_ns))
            assert abs(estimate.freq) <= MAX_FREQ

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("worst_queue_ms", [0.5, 40])
    def test_the_bound_covers_the_error(self, seed: int, worst_queue_ms: float) -> None:
        """On paths with random queues each way, the clock is never further off than it says."""
        random = Random(seed)
        true = HandBase()
        base = SkewedBase(700, random.uniform(-90, 90), true)
        clock = ClusterClock(base)

        for interval_s in islice(intervals(), 150):
            there, back = (round(random.expovariate(4 / worst_queue_ms) * MS) for _ in range(2))
            delay_ns = MS + there + back
            sample = sample_of(base, true.system, error_ns=(there - back) // 2, delay_ns=delay_ns)
            clock.adopt(sample)
            for _ in range(4):
                true.advance(round(interval_s * SECOND / 4))
                bound_ms = clock.state().bound_ms
                assert bound_ms is not None
                assert abs(clock.now_ns() - true.system) / MS <= bound_ms


class TestBases:
    def test_a_skewed_base_is_off_and_drifts_on_both_clocks(self) -> None:
        """+1200 ms and 100 ppm: after 1000 s the oscillator has gained 100 ms."""
        true = HandBase()
        base = SkewedBase(1200, 100, true)
        assert base.system_ns() - true.system == 1200 * MS

        true.advance(1000 * SECOND)

        assert base.monotonic_ns() - true.monotonic == 100 * MS
        assert base.system_ns() - true.system == 1300 * MS

    def test_the_tightest_of_several_pairs_is_taken(self) -> None:
        """A pair torn apart by something else running does not count."""
        monotonic = iter([0, 900, 1000, 1010, 2000, 2500])
        wall = iter([1, 2, 3])

        assert tight_pair(lambda: next(monotonic), lambda: next(wall), tries=3) == (1005, 2)


class TestServers:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("ntp.example", "ntp.example", 123),
            ("ntp.example:8123", "ntp.example", 8123),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("[2001:db8::1]", "2001:db8::1", 123),
            ("[2001:db8::1]:8123", "2001:db8::1", 8123),
        ],
    )
    def test_an_address_is_read_and_written(self, text: str, host: str, port: int) -> None:
        """HOST[:PORT] and [IPv6][:PORT] are understood, and written out with the port."""
        server = Server.parse(text)

        assert (server.host, server.port) == (host, port)
        assert Server.parse(str(server)) == server

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is not HOST"),
            ("a b", "is not HOST"),
            ("host:", "is not HOST"),
            ("host:ntp", "is not HOST"),
            ("2001:db8::1", "is not HOST"),
            ("http://host", "is not HOST"),
            ("[host]:1", "not an IPv6 address"),
            ("host:0", "not within 1 to 65535"),
            ("host:65536", "not within 1 to 65535"),
        ],
    )
    def test_a_wrong_address_is_refused_with_the_reason(self, text: str, reason: str) -> None:
        """Nothing is guessed: the text is repeated and what is wrong with it is said."""
        with pytest.raises(ValueError, match=reason):
            Server.parse(text)


class Enough(Exception):
    """A test has seen all the polls that it wanted."""


@dataclass
class Site:
    """A follower whose servers and sleep are scripted: None answers, a reason fails."""

    script: Sequence[Reason | None]
    base: HandBase = field(default_factory=HandBase)
    asked: list[Server] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def ask(self, server: Server, base: Base, timeout_s: float) -> Sample:
        reason = self.script[len(self.asked)]
        self.asked.append(server)
        if reason is not None:
            raise NtpFailed(reason, "as the test says")
        return sample_of(base, self.base.system, server=server)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.base.advance(round(seconds * SECOND))
        if len(self.asked) == len(self.script):
            raise Enough

    def follower(self, *servers: Server) -> Follower:
        return Follower(
            ClusterClock(self.base),
            servers or (SERVER,),
            random=Random(1),
            ask=self.ask,
            sleep=self.sleep,
        )


class TestFollower:
    def test_polls_grow_rarer(self) -> None:
        """Four at 2 s, then 16 s to ten minutes, 32 s to an hour, 64 s from then on."""
        schedule = list(islice(intervals(), 200))

        assert schedule[:5] == [2, 2, 2, 2, 16]
        assert sum(pause for pause in schedule if pause <= 16) == 600
        assert 3500 <= sum(pause for pause in schedule if pause <= 32) <= 3600
        assert schedule[-1] == 64

    async def test_each_pause_is_off_by_up_to_a_tenth(self) -> None:
        """Sites that start together do not ask together for ever."""
        site = Site([None] * 40)

        with pytest.raises(Enough):
            await site.follower().run()

        ratios = [slept / pause for slept, pause in zip(site.slept, intervals(), strict=False)]
        assert all(0.9 <= ratio <= 1.1 for ratio in ratios)
        assert len(set(ratios)) > 30

    async def test_the_first_server_that_answers_is_followed(self) -> None:
        """Servers are tried in order; each that fails is counted."""
        second = Server("192.0.2.2")
        site = Site(["timeout", None])
        follower = site.follower(SERVER, second)

        state = await follower.sync_now()

        assert site.asked == [SERVER, second]
        assert (state.reference, state.failures, state.last_failure) == (str(second), 1, "timeout")
        assert follower.synced.is_set()

    async def test_no_answer_at_all_is_raised(self) -> None:
        """Who asks for a measurement now hears why there is none."""
        follower = Site(["kiss", "dns"]).follower(SERVER, SERVER)

        with pytest.raises(NtpFailed) as failed:
            await follower.sync_now()

        assert failed.value.reason == "dns"
        assert not follower.synced.is_set()

    async def test_a_change_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Set, lost and regained are one line each, however many polls failed between."""
        caplog.set_level(logging.INFO, logger="cluster.clock.follower")
        silence: list[Reason | None] = ["timeout"] * 12
        site = Site([None] * 6 + silence + [None] * 3)

        with pytest.raises(Enough):
            await site.follower().run()

        events = [record.__dict__["event"] for record in caplog.records]
        assert events == ["clock-synced", "clock-lost", "clock-regained"]

    async def test_a_step_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """A machine that slept an hour says that its clock was stepped."""
        caplog.set_level(logging.INFO, logger="cluster.clock.follower")
        site = Site([None, None])
        follower = site.follower()
        await follower.sync_now()
        site.base.system += 3600 * SECOND

        await follower.sync_now()

        assert caplog.records[-1].__dict__["event"] == "clock-stepped"
