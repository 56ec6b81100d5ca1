"""The words of time-keeping: a server to ask, a sample that it gave, and why it gave none.

Pure. What asks (UDP, or the poll) makes samples; what estimates takes them and asks nobody.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from cluster.shape import END, shape

NTP_PORT = 123

_ADDRESS_PATTERN = r"^(?:\[(?P<v6>[^\]]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?" + END
_ADDRESS = re.compile(_ADDRESS_PATTERN)
ServerAddress = Annotated[str, shape(_ADDRESS_PATTERN, "HOST[:PORT] or [IPv6][:PORT]")]

Transport = Literal["ntp", "http"]

# Why a poll brought no sample. "rate" and "denied" are a server's own words (kiss-o'-death).
Reason = Literal[
    "unreachable",
    "timeout",
    "dns",
    "malformed",
    "unsynchronised",
    "rate",
    "denied",
    "implausible",
    "looped",
    "disturbed",
]


class NtpFailed(Exception):
    """A server gave no usable time. `reason` is for programs, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask for the time."""

    host: str
    port: int = NTP_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. ValueError says what is wrong."""
        match = _ADDRESS.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not HOST[:PORT] or [IPv6][:PORT]")
        if match["v6"] is not None:
            try:
                ipaddress.IPv6Address(match["v6"])
            except ValueError as error:
                raise ValueError(f"{text!r}: {match['v6']!r} is not an IPv6 address") from error
        port = NTP_PORT if match["port"] is None else int(match["port"])
        if not 1 <= port <= 65535:
            raise ValueError(f"{text!r}: port {port} is not within 1 to 65535")
        return cls(match["v6"] or match["name"], port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer says about a base clock. All times are integer nanoseconds.

    `at_ns`: the base's reading when the reply arrived. `offset_ns`: true Unix time minus the
    base's reading. `delay_ns`: the round trip without the server's own time; the truth lies within
    half of it, and `precision_ns`, of the offset. `root_*`, `stratum`, `leap` (0-2) and `refid`
    (4 bytes) are what the server says of itself; `addr` is where the answer came from.
    """

    source: str  # the server as the user named it, HOST:PORT
    at_ns: int
    offset_ns: int
    delay_ns: int
    precision_ns: int = 1_000
    root_delay_ns: int = 0
    root_dispersion_ns: int = 0
    stratum: int = 1
    leap: int = 0
    refid: bytes = bytes(4)
    addr: str = ""
