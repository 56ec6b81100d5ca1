"""What a clock keeps over a restart: its line and its frequency, in DIR/clock.json.

In the same boot of the same machine the base goes on, and so does the line, as if nothing had
been: a restarted program is as good as one without a server for that long. After a reboot only
the frequency and a floor are left: no stamp shall be below what was stamped before.
"""

import logging
from pathlib import Path
from typing import Annotated

import msgspec

from cluster.clock.filter import Estimate
from cluster.clock.interval import Interval
from cluster.clock.line import Line

MEMORY_FILE = "clock.json"
SAVED_EVERY_S = 10.0
FLOOR_NS = 10_000_000_000  # what may have been stamped since it was last saved
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Frequency = Annotated[float, msgspec.Meta(ge=-1e-3, le=1e-3)]


def boot_id() -> str:
    """Which boot of the machine this is; "" where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clock at one moment: at `at_ns` of the base it showed `shown_ns`, give or take.

    `slew_left_ns`: the part of a correction that was still to come.
    """

    base: str
    at_ns: Nanoseconds
    shown_ns: Nanoseconds
    bound_ns: Nanoseconds
    slew_left_ns: int
    freq: Frequency
    freq_sigma: Annotated[float, msgspec.Meta(gt=0, le=1e-3)]
    boot: str = msgspec.field(default_factory=boot_id)

    def continues(self, base: str, at_ns: int) -> bool:
        """Whether a base of that name, now at `at_ns`, is the one that this was read from."""
        same = bool(self.boot) and (self.boot, self.base) == (boot_id(), base)
        return same and at_ns >= self.at_ns

    @property
    def floor_ns(self) -> int:
        """What no later stamp may be below."""
        return self.shown_ns + FLOOR_NS

    @property
    def estimate(self) -> Estimate:
        """What is gone on with in the same boot."""
        off_ns = self.shown_ns + self.slew_left_ns - self.at_ns
        return Estimate(self.at_ns, off_ns, self.bound_ns / 3, self.freq, self.freq_sigma)

    @property
    def line(self) -> Line:
        """The same as a line, its correction under way."""
        estimate = self.estimate
        line, _ = Line(self.at_ns, estimate.offset_ns, self.freq).steered(self.shown_ns, self.at_ns)
        return line

    def interval_at(self, at_ns: int) -> Interval:
        """Where the offset is at `at_ns`, for certain."""
        shown_ns = self.shown_ns - self.at_ns
        return self.estimate.carried(Interval(shown_ns, shown_ns).widened(self.bound_ns), at_ns)


def recall(path: Path) -> Memory | None:
    """What was saved; None when there is nothing, or nothing that can be used: then said so."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.warning(
            "the clock's memory cannot be used; it starts anew",
            extra={"event": "clock-forgot", "path": str(path), "why": str(error)},
        )
        return None


def save(path: Path, memory: Memory) -> None:
    """Put it there in one piece. OSError when it cannot be written."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(memory) + b"\n")
    new.replace(path)
