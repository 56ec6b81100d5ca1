"""Real readings of this machine, for a node without sensors: its processor, memory and links.

Counters become rates since the last reading of the same stream; the first reading of a rate is
null, since there is nothing to compare with. So is every field that this platform does not know:
containers hide disks, and not every system has a load average.
"""

from collections.abc import Callable
from itertools import cycle
from typing import TypeVar

import msgspec
import psutil

from node.sources import Reading

# Fields of psutil.cpu_times(); which of them exist depends on the platform. Guests are in `user`.
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
IDLE = ("idle", "iowait")

T = TypeVar("T")
Report = dict[str, float | str | None]


class Slope:
    """How much a counter rises for each unit of another one, since the last look."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def at(self, run: float | None, rise: float | None) -> float | None:
        """Return the slope, None at first or if either counter is unknown, idle or fell."""
        if run is None or rise is None:
            return None
        last, self._last = self._last, (run, rise)
        if last is None or run <= last[0] or rise < last[1]:
            return None
        return round((rise - last[1]) / (run - last[0]), 3)


class HostSource:
    """Five streams, read in turn; sizes in bytes, rates in bytes a second."""

    kind = "host"

    def __init__(self) -> None:
        self._streams = cycle(
            {
                "cpu": self._cpu,
                "memory": self._memory,
                "disk": self._disk,
                "network": self._network,
                "load": self._load,
            }.items()
        )
        self._busy, self._system = Slope(), Slope()
        self._disk_read, self._disk_written = Slope(), Slope()
        self._received, self._sent = Slope(), Slope()

    def read(self, ts_us: int) -> Reading:
        """Return the next stream's state; rates are over the time told by `ts_us`."""
        stream, look = next(self._streams)
        return Reading(stream, msgspec.json.encode(look(ts_us / 1e6)))

    def _cpu(self, _now_s: float) -> Report:
        """The share of all cores' time that was spent at work, and at work in the kernel."""
        times = _known(lambda: psutil.cpu_times())
        busy_s = sum(_field(times, name) or 0.0 for name in BUSY)
        total_s = busy_s + sum(_field(times, name) or 0.0 for name in IDLE)
        return {
            "value": _percent(self._busy.at(total_s, busy_s)),
            "unit": "%",
            "system": _percent(self._system.at(total_s, _field(times, "system"))),
            "cores": _known(lambda: psutil.cpu_count()),
        }

    def _memory(self, _now_s: float) -> Report:
        memory = _known(lambda: psutil.virtual_memory())
        return {
            "value": _field(memory, "percent"),
            "unit": "%",
            "available_bytes": _field(memory, "available"),
            "total_bytes": _field(memory, "total"),
        }

    def _disk(self, now_s: float) -> Report:
        usage = _known(lambda: psutil.disk_usage("/"))
        counters = _known(lambda: psutil.disk_io_counters())
        return {
            "value": _field(usage, "percent"),
            "unit": "%",
            "free_bytes": _field(usage, "free"),
            "read_bytes_s": self._disk_read.at(now_s, _field(counters, "read_bytes")),
            "write_bytes_s": self._disk_written.at(now_s, _field(counters, "write_bytes")),
        }

    def _network(self, now_s: float) -> Report:
        """What came in, first of all; errors and drops count since the machine started."""
        counters = _known(lambda: psutil.net_io_counters())
        return {
            "value": self._received.at(now_s, _field(counters, "bytes_recv")),
            "unit": "B/s",
            "sent_bytes_s": self._sent.at(now_s, _field(counters, "bytes_sent")),
            "errors_in": _field(counters, "errin"),
            "dropped_in": _field(counters, "dropin"),
        }

    def _load(self, _now_s: float) -> Report:
        """Runnable threads, averaged over 1, 5 and 15 minutes."""
        averages = _known(lambda: psutil.getloadavg()) or (None, None, None)
        one, five, fifteen = (None if each is None else round(each, 2) for each in averages)
        return {
            "value": one,
            "unit": "threads",
            "five_min": five,
            "fifteen_min": fifteen,
            "cores": _known(lambda: psutil.cpu_count()),
        }


def _known(look: Callable[[], T]) -> T | None:
    """Return what `look` sees, None where this platform cannot say."""
    try:
        return look()
    except Exception:  # each platform fails in its own way, even with AttributeError
        return None


def _field(sample: object, name: str) -> float | None:
    """Return one field of a psutil tuple, None if the tuple or the field is missing."""
    value: float | None = getattr(sample, name, None)
    return value


def _percent(share: float | None) -> float | None:
    """Return a share as 0 to 100; Linux's idle counters may step back and give more than 1."""
    return None if share is None else round(100.0 * min(1.0, share), 1)
