"""The table that `make bench` prints: what we measured, beside a limit."""

import statistics
from collections.abc import Sequence


class Table:
    """Prints a line for each job as soon as it is known."""

    def __init__(self) -> None:
        print(f"{'job':42} {'measured':>34}   {'wanted'}")

    def rate(
        self, job: str, rate: float, ratio: float, wanted: str = "", unit: str = "x floor"
    ) -> None:
        self._line(job, f"{rate:>12,.0f} records/s {ratio:5.2f} {unit}", wanted)

    def cost(
        self, job: str, seconds: Sequence[float], size: int, wanted: str, records: int | None = None
    ) -> None:
        """Median time, and bytes with all headers; `records`: bytes that carried records."""
        text = f"{statistics.median(seconds) * 1000:9.1f} ms {size / 1024:8.1f} KiB"
        if records is not None:
            text += f" and {records / 1024:.0f} KiB of records"
        self._line(job, text, wanted)

    def memory(self, node_mib: float, central_mib: float) -> None:
        text = f"node {node_mib:.0f} MiB, central {central_mib:.0f} MiB"
        self._line("  peak memory of these", text, "150 MB each")

    def _line(self, job: str, measured: str, wanted: str) -> None:
        print(f"{job:42} {measured:>34}   {wanted and f'wanted: {wanted}'}", flush=True)
