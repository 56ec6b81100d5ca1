"""The line that a clock shows: where time goes, and the correction still missing on the way.

Pure. A correction is slewed: a small one over four seconds, a large one at 8 %, so that what is
shown never goes back. Only a clock over a second behind is stepped, forward.
"""

from dataclasses import dataclass, replace
from math import ceil, copysign

SLEW_NS = 4_000_000_000  # a small correction is spread over this long
MAX_SLEW = 80_000e-6  # about what chrony allows itself
STEP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """Unix time as a function of the base, both in nanoseconds.

    `slew_rate` is added to the frequency while there is a correction to make.
    """

    at_ns: int
    offset_ns: int
    freq: float
    slew_from_ns: int = 0
    slew_ns: int = 0
    slew_rate: float = 0.0
    slew_until_ns: int = 0

    def read_ns(self, at_ns: int) -> int:
        """What is shown at `at_ns` of the base."""
        target_ns = self.target_ns(at_ns)
        if at_ns >= self.slew_until_ns:  # mostly; this is where records wait
            return target_ns
        return target_ns - self.slew_left_ns(at_ns)

    def target_ns(self, at_ns: int) -> int:
        """What is held to be the time."""
        return at_ns + self.offset_ns + round(self.freq * (at_ns - self.at_ns))

    def slew_left_ns(self, at_ns: int) -> int:
        """The part of the correction that is still to come; positive when behind."""
        if at_ns >= self.slew_until_ns:
            return 0
        left_ns = self.slew_ns - int(self.slew_rate * (at_ns - self.slew_from_ns))
        return max(0, left_ns) if self.slew_ns > 0 else min(0, left_ns)

    def steered(self, shown_ns: int, at_ns: int) -> tuple["Line", int]:
        """This line, joined from a clock that shows `shown_ns` at `at_ns`; and the step made."""
        behind_ns = self.target_ns(at_ns) - shown_ns
        if behind_ns > STEP_NS:
            return self, behind_ns
        if not behind_ns:
            return self, 0
        rate = copysign(min(abs(behind_ns) / SLEW_NS, MAX_SLEW), behind_ns)
        joined = replace(
            self,
            slew_from_ns=at_ns,
            slew_ns=behind_ns,
            slew_rate=rate,
            slew_until_ns=at_ns + ceil(behind_ns / rate),
        )
        return joined, 0
