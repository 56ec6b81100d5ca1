"""What a member tells about its clock: a summary in each status, the whole at GET /v1/clock.

`null` means unknown, never zero.
"""

from typing import Annotated, Literal

import msgspec

from cluster.clock.sample import Transport

ShortText = Annotated[str, msgspec.Meta(max_length=300)]
ClockStatus = Literal["UNSYNC", "SYNC", "HOLDOVER", "SUSPECT"]
SourceState = Literal[
    "selected", "survivor", "spare", "falseticker", "suspect", "unreachable", "denied"
]


class ClockSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A cluster clock at one instant, in short.

    `status`: UNSYNC (never set), SYNC, HOLDOVER (no good sample for four polls), SUSPECT (a
    reading does not fit what was known; being looked into).
    `drift_ms`: the machine's system clock minus the cluster clock; positive: the system is fast.
    `bound_ms`: how far the cluster clock may be from the true time; what a record may claim.
    `freq_ppm`: positive when this machine's oscillator runs fast.
    `jitter_ms`: rms distance of the last 16 samples from the estimate; `delay_ms`: the last
    round trip.
    `stratum`: this clock's own, one more than its server's.
    `reference`: the server followed, "HOST:PORT", or "local".
    """

    status: ClockStatus
    drift_ms: float | None = None
    bound_ms: float | None = None
    freq_ppm: float | None = None
    jitter_ms: float | None = None
    delay_ms: float | None = None
    stratum: int | None = None
    reference: ShortText | None = None
    last_sync_age_s: float | None = None


class ClockSource(msgspec.Struct, frozen=True, kw_only=True):
    """One server that a clock follows or could follow.

    `state`: selected (followed), survivor (agrees, and is weighed in), spare (asked only when
    no other answers), falseticker (contradicts the majority), suspect, unreachable, denied.
    `offset_ms`: its time minus the cluster clock, at its last sample; `bound_ms`: how far its
    time may be off. `reach`: its last eight polls, octal, 377 when all were answered.
    `rejected`: how many polls brought nothing, by reason.
    """

    name: ShortText
    addr: ShortText | None = None
    transport: Transport = "ntp"
    state: SourceState = "unreachable"
    offset_ms: float | None = None
    delay_ms: float | None = None
    jitter_ms: float | None = None
    bound_ms: float | None = None
    stratum: int | None = None
    refid: ShortText | None = None
    reach: ShortText = "000"
    poll_s: float | None = None
    last_age_s: float | None = None
    rejected: dict[str, int] = {}


class ClockState(ClockSummary, frozen=True, kw_only=True):
    """The whole state of a cluster clock at one instant.

    `single`: only one server is believed, so a lie of its would go unseen.
    `leap`: 0 none, 1 a second is inserted, 2 deleted at the end of the month, 3 unknown.
    `drift_err_ms`: how far `drift_ms` may be off; the same as `bound_ms`.
    `est_error_ms`, `freq_err_ppm`: three standard deviations; what is likely, where the bound is
    what is certain.
    `slew_ppm`, `slew_left_ms`: the correction under way; positive when the clock is sped up.
    `steps`: forward steps since the first synchronisation, the last by `last_step_ms`.
    `suspends`: how often the machine slept; `system_steps`: how often its clock was stepped.
    `base`: the clock underneath.
    """

    single: bool = False
    leap: int = 3
    drift_err_ms: float | None = None
    est_error_ms: float | None = None
    freq_err_ppm: float | None = None
    delay_min_ms: float | None = None
    root_delay_ms: float | None = None
    root_dispersion_ms: float | None = None
    last_sync_at: int | None = None
    poll_s: float | None = None
    reach: ShortText | None = None
    slew_ppm: float = 0.0
    slew_left_ms: float = 0.0
    steps: int = 0
    last_step_ms: float | None = None
    suspends: int = 0
    system_steps: int = 0
    base: ShortText = ""
    sources: list[ClockSource] = []
