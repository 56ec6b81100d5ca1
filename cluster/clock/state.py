"""What a member tells about its clock: the `clock` part of a status, and GET /v1/clock.

`null` means unknown, never zero.
"""

from typing import Annotated, Literal

import msgspec

ShortText = Annotated[str, msgspec.Meta(max_length=300)]
ClockStatus = Literal["UNSYNC", "SYNC", "HOLDOVER"]


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster clock at one instant.

    `status`: UNSYNC (never set), SYNC, HOLDOVER (no good sample for four polls).
    `drift_ms`: the machine's system clock minus the cluster clock.
    `bound_ms`: how far the cluster clock may be from the root's; root_delay / 2 + root_dispersion.
    `freq_ppm`: positive when this machine's oscillator runs fast.
    `stratum`: this clock's own, one more than its server's.
    `reference`: the server last followed, "HOST:PORT", or "local".
    `slew_left_ms`: correction still to come; positive when the clock is being sped up.
    `steps`: forward steps since the first synchronisation.
    """

    status: ClockStatus
    drift_ms: float | None = None
    bound_ms: float | None = None
    freq_ppm: float | None = None
    jitter_ms: float | None = None
    delay_ms: float | None = None
    root_delay_ms: float | None = None
    root_dispersion_ms: float | None = None
    stratum: int | None = None
    reference: ShortText | None = None
    last_sync_age_s: float | None = None
    slew_left_ms: float | None = None
    poll_s: float | None = None
    samples: int = 0
    failures: int = 0
    last_failure: ShortText | None = None
    steps: int = 0
