"""Figures of all polls: how late each one began beside its slot, and what missed ones came to."""

from bisect import bisect_left
from collections import Counter

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from cluster.peer import Reason

LATE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # upper bounds


class PollFigures:
    """Counted since the start."""

    def __init__(self) -> None:
        self._began = [0] * (len(LATE_S) + 1)  # by lateness; the last: later still
        self._late_sum_s = 0.0
        self._missed: Counter[Reason] = Counter()

    def began(self, late_s: float) -> None:
        """A poll whose time had come has begun."""
        self._began[bisect_left(LATE_S, late_s)] += 1
        self._late_sum_s += late_s

    def missed(self, reason: Reason) -> None:
        self._missed[reason] += 1

    def share_within(self, late_s: float) -> float:
        """Which share of the polls began at most so late; `late_s` is one of LATE_S."""
        return sum(self._began[: LATE_S.index(late_s) + 1]) / max(1, sum(self._began))

    def metrics(self) -> list[Metric]:
        buckets, total = [], 0
        for bound, count in zip((*map(str, LATE_S), "+Inf"), self._began, strict=True):
            total += count
            buckets.append((bound, total))
        missed = CounterMetricFamily(
            "tidehold_polls_missed", "Polls that failed", labels=["reason"]
        )
        for reason, count in self._missed.items():
            missed.add_metric([reason], count)
        return [
            HistogramMetricFamily(
                "tidehold_poll_lateness_seconds",
                "How late polls began beside their slots",
                buckets=buckets,
                sum_value=self._late_sum_s,
            ),
            missed,
        ]
