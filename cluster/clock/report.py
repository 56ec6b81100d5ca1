"""What a clock tells of itself, now: in short for every status, and whole for GET /v1/clock."""

import msgspec

from cluster.clock.base import tight_pair
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Sample
from cluster.clock.source import Source
from cluster.clock.state import ClockSource, ClockState, ClockStatus, ClockSummary, SourceState
from cluster.text import visible

REFERENCE_STRATUM = 10
REFERENCE_NAME = "local"
LEAP_UNKNOWN = 3
HOLDOVER_POLLS = 4
SUMMARY_TRIES = 2  # it is told again at the next poll


def summary_of(clock: ClusterClock) -> ClockSummary:
    """The clock in short."""
    with clock.lock:
        pair = tight_pair(clock.base.monotonic_ns, clock.base.system_ns, SUMMARY_TRIES)
        return _summary(clock, *pair)


def stratum_of(clock: ClusterClock) -> int | None:
    """How far the clock is from a true one; None while it follows none."""
    if clock.is_reference:
        return REFERENCE_STRATUM
    belief = clock.choice.selected.belief if clock.choice is not None else None
    return None if belief is None else belief.sample.stratum + 1


def state_of(clock: ClusterClock) -> ClockState:
    """All there is to know of the clock."""
    with clock.lock:
        at_ns, system_ns = tight_pair(clock.base.monotonic_ns, clock.base.system_ns)
        short = _summary(clock, at_ns, system_ns)
        told = ClockState(
            **msgspec.structs.asdict(short),
            drift_err_ms=short.bound_ms,
            steps=clock.steps,
            last_step_ms=_ms(clock.last_step_ns),
            suspends=clock.base.suspends,
            system_steps=clock.system_steps,
            base=clock.base.name,
            sources=[_source(clock, source, at_ns) for source in clock.sources.values()],
        )
        return _with_correction(clock, _with_choice(clock, told, at_ns), at_ns)


def status_of(clock: ClusterClock, at_ns: int) -> ClockStatus:
    """The clock's status at a moment of its base."""
    if clock.line is None:
        return "UNSYNC"
    if clock.is_reference:
        return "SYNC"
    if clock.doubted:
        return "SUSPECT"
    if clock.choice is None or clock.synced_ns is None:
        return "HOLDOVER"
    patience_ns = HOLDOVER_POLLS * clock.choice.selected.poll_s * 1e9
    return "HOLDOVER" if at_ns - clock.synced_ns > patience_ns else "SYNC"


def refid_text(sample: Sample) -> str:
    """What a server follows: a name such as GPS at stratum 1, else an IPv4 address or a hash."""
    if sample.stratum == 1:
        return visible(sample.refid.rstrip(b"\0").decode("ascii", "backslashreplace"))
    return ".".join(map(str, sample.refid))


def _summary(clock: ClusterClock, at_ns: int, system_ns: int) -> ClockSummary:
    status, line = status_of(clock, at_ns), clock.line
    if line is None:
        return ClockSummary(status=status)
    drift_ms, bound_ms = _ms(system_ns - line.read_ns(at_ns)), _ms(clock.bound_at(at_ns))
    if clock.is_reference:
        return ClockSummary(
            status=status,
            drift_ms=drift_ms,
            bound_ms=bound_ms,
            stratum=REFERENCE_STRATUM,
            reference=REFERENCE_NAME,
        )
    freq_ppm = round(0.0 - 1e6 * line.freq, 6)
    if clock.choice is None or (belief := clock.choice.selected.belief) is None:
        return ClockSummary(status=status, drift_ms=drift_ms, bound_ms=bound_ms, freq_ppm=freq_ppm)
    return ClockSummary(
        status=status,
        drift_ms=drift_ms,
        bound_ms=bound_ms,
        freq_ppm=freq_ppm,
        jitter_ms=_ms(clock.choice.selected.jitter_ns),
        delay_ms=_ms(belief.sample.delay_ns),
        stratum=belief.sample.stratum + 1,
        reference=clock.choice.selected.name,
        last_sync_age_s=_age_s(clock.synced_ns, at_ns),
    )


def _with_choice(clock: ClusterClock, told: ClockState, at_ns: int) -> ClockState:
    """What the servers add: how sure they are, and how far the root is."""
    if told.bound_ms is None:
        return told
    change = msgspec.structs.replace
    if clock.choice is None or (belief := clock.choice.selected.belief) is None:
        leap = 0 if clock.is_reference else LEAP_UNKNOWN
        return change(told, leap=leap, root_delay_ms=0.0, root_dispersion_ms=told.bound_ms)
    selected, estimate = clock.choice.selected, clock.choice.estimate
    # Served on, half of the one and the whole of the other are together the bound.
    way_ms = (belief.sample.delay_ns + belief.sample.root_delay_ns) / 1e6
    root_delay_ms = min(way_ms, 2 * told.bound_ms)
    return change(
        told,
        single=len(clock.choice.survivors) == 1,
        leap=belief.sample.leap,
        est_error_ms=_ms(3 * estimate.sigma_at(at_ns)),
        freq_err_ppm=round(3e6 * estimate.freq_sigma, 6),
        delay_min_ms=_ms(selected.lowest_ns),
        root_delay_ms=root_delay_ms,
        root_dispersion_ms=round(told.bound_ms - root_delay_ms / 2, 6),
        poll_s=selected.poll_s,
        reach=f"{selected.reach:03o}",
    )


def _with_correction(clock: ClusterClock, told: ClockState, at_ns: int) -> ClockState:
    """What is being corrected, and since when nothing was heard."""
    if (line := clock.line) is None:
        return told
    change = msgspec.structs.replace
    if clock.synced_ns is not None:
        told = change(told, last_sync_at=line.read_ns(clock.synced_ns) // 1000)
    if left_ns := line.slew_left_ns(at_ns):
        told = change(told, slew_ppm=round(1e6 * line.slew_rate, 6), slew_left_ms=left_ns / 1e6)
    return told


def _source(clock: ClusterClock, source: Source, at_ns: int) -> ClockSource:
    told = ClockSource(
        name=source.name,
        transport=source.transport,
        state=_source_state(clock, source),
        reach=f"{source.reach:03o}",
        poll_s=source.poll_s,
        rejected={str(reason): count for reason, count in sorted(source.rejected.items())},
    )
    if (belief := source.belief) is None:
        return told
    sample = belief.sample
    offset_ns = None
    if clock.line is not None:
        offset_ns = sample.at_ns + sample.offset_ns - clock.line.read_ns(sample.at_ns)
    return msgspec.structs.replace(
        told,
        addr=sample.addr or None,
        offset_ms=_ms(offset_ns),
        delay_ms=_ms(sample.delay_ns),
        jitter_ms=_ms(source.jitter_ns),
        bound_ms=_ms(belief.claim_at(at_ns).width / 2),
        stratum=sample.stratum,
        refid=refid_text(sample) if source.transport == "ntp" else None,
        last_age_s=_age_s(sample.at_ns, at_ns),
    )


def _source_state(clock: ClusterClock, source: Source) -> SourceState:
    if source.schedule.denied:
        return "denied"
    if source.belief is None or (source.transport == "ntp" and not source.reach):
        return "unreachable"
    if source.suspect:
        return "suspect"
    if clock.choice is not None and source in clock.choice.survivors:
        return "selected" if source is clock.choice.selected else "survivor"
    return "spare" if source.transport == "http" else "falseticker"


def _age_s(then_ns: int | None, at_ns: int) -> float | None:
    return None if then_ns is None else round(max(0, at_ns - then_ns) / 1e9, 6)


def _ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 6)
