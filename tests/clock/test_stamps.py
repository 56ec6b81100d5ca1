"""What records rest on: stamps only grow, whatever servers, threads and restarts do."""

import threading
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.memory import Memory
from tests.clock.hand import MS, SECOND, TRUE_START, HandBase, sample_of, synced

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ns", "us", "sample", "other", "restart", "reboot", "sleep"]),
        st.integers(0, 100 * SECOND),
        st.integers(-3 * SECOND, 3 * SECOND),
        st.integers(1, SECOND),
    ),
    min_size=2,
    max_size=60,
)


@given(EVENTS)
@settings(deadline=None)
def test_they_grow_under_any_order_of_samples_and_restarts(
    events: list[tuple[str, int, int, int]],
) -> None:
    """Servers lie and answer late, the machine sleeps, the program is killed and the machine
    rebooted: each stamp is later than the one before."""
    base = HandBase()
    clock = synced(base, TRUE_START)
    stamps = [clock.now_ns()]

    for kind, passed_ns, error_ns, delay_ns in events:
        if kind in ("sample", "other"):
            late = HandBase(base.monotonic - passed_ns // 2, base.system)
            heard = sample_of(
                late, base.system, error_ns=error_ns, delay_ns=delay_ns, source=f"{kind}:123"
            )
            clock.adopt(heard)
        elif kind in ("restart", "reboot"):
            remembered = clock.memory()
            assert remembered is not None
            if kind == "reboot":
                remembered = _of_another_boot(remembered)
                base.advance(passed_ns)
            clock = ClusterClock(base, remembered)
            if kind == "reboot":
                clock.adopt(sample_of(base, base.system, error_ns=error_ns, delay_ns=delay_ns))
        else:
            base.suspends += kind == "sleep"
            base.advance(passed_ns)
            clock.look()
        stamps.append(clock.now_us() * 1000 if kind == "us" else clock.now_ns())

    assert all(before < after for before, after in pairwise(stamps))


def _of_another_boot(memory: Memory) -> Memory:
    return msgspec.structs.replace(memory, boot="another")


def test_they_grow_while_the_base_stands_still() -> None:
    """A base too coarse to show a difference still gives different stamps."""
    clock = synced(HandBase(), TRUE_START)

    stamps = [clock.now_us() for _ in range(100)]

    assert stamps == list(range(stamps[0], stamps[0] + 100))


def test_no_two_threads_ever_get_the_same_one() -> None:
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
                clock.adopt(sample_of(base, base.system_ns(), error_ns=error_ns, delay_ns=99 * MS))

    threads = [threading.Thread(target=draw, args=(mine,)) for mine in stamps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(before < after for mine in stamps for before, after in pairwise(mine))
    assert len({stamp for mine in stamps for stamp in mine}) == 8000


def test_a_reboot_does_not_reuse_what_was_stamped_since_the_last_save() -> None:
    """Saved up to ten seconds before the machine went down: no stamp is below that much more."""
    base = HandBase()
    remembered = synced(base, TRUE_START).memory()
    assert remembered is not None
    rebooted = HandBase(monotonic=SECOND, system=TRUE_START - 3600 * SECOND)

    clock = ClusterClock(rebooted, _of_another_boot(remembered))

    assert not clock.synced
    assert clock.now_ns() >= TRUE_START + 10 * SECOND
    clock.adopt(sample_of(rebooted, TRUE_START + 4 * SECOND))
    assert clock.now_ns() >= TRUE_START + 10 * SECOND  # six seconds ahead, and slowed down
