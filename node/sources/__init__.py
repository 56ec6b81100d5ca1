"""Where records are born: a source gives one reading after another, the node gives them an id.

A source knows neither clock nor store: it is told the time and returns a payload. Two are built
in: a synthetic weather station and the machine itself. A third needs only `read`.
"""

from typing import Literal, NamedTuple, Protocol, assert_never


class Reading(NamedTuple):
    """What a source saw: `payload` is a compact UTF-8 JSON object."""

    stream: str
    payload: bytes


class Source(Protocol):
    """Anything that can be read; one thread at a time."""

    kind: str

    def read(self, ts_us: int) -> Reading:
        """Return the next reading, taken at `ts_us` (cluster clock, microseconds, Unix, UTC).

        Called from a worker thread: never waits, never raises, takes less than 0.2 ms as a rule.
        """
        ...


def open_source(kind: Literal["synthetic", "host", "none"], node: str) -> Source | None:
    """Return the source of that kind for the node of that name; None for "none"."""
    match kind:
        case "synthetic":
            from node.sources.synthetic import SyntheticSource

            return SyntheticSource(node)
        case "host":
            from node.sources.host import HostSource  # psutil is loaded only where it is read

            return HostSource()
        case "none":
            return None
        case _:
            assert_never(kind)
