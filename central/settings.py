"""What can be set at central."""

from typing import Annotated

import msgspec

from cluster.clock.sample import ServerAddress
from cluster.protocol.central import PullEvery
from cluster.settings import Host, LogLevel, Port, Text
from cluster.trust.settings import MemberSettings


class CentralSettings(MemberSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Central: polls the nodes, keeps their clocks true, and replicates both ways."""

    data: Annotated[Text, msgspec.Meta(description="folder of central.db and the logs")]
    host: Host = "127.0.0.1"
    port: Port = 8100
    ntp_port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="UDP port of the time server; 0: a free one")
    ] = 8123
    poll_interval: Annotated[
        float, msgspec.Meta(ge=0.1, le=3600, description="seconds between two polls of a node")
    ] = 1.0
    runs_at_once: Annotated[
        int, msgspec.Meta(ge=1, le=1000, description="nodes that replicate at the same time")
    ] = 4
    pull_every: Annotated[
        PullEvery,
        msgspec.Meta(description="seconds between two pulls of a node by itself; 0: never"),
    ] = 0.0
    max_rate: Annotated[
        Annotated[float, msgspec.Meta(ge=10_000, le=1e12)] | None,
        msgspec.Meta(description="bytes a second that pulls and pushes of one node may use"),
    ] = None
    ntp: Annotated[
        tuple[ServerAddress, ...],
        msgspec.Meta(
            description="NTP server HOST[:PORT] that central follows, several times; "
            "default: its own system clock"
        ),
    ] = ()
    clock_ok_ms: Annotated[
        float,
        msgspec.Meta(gt=0, le=86_400_000, description="a clock certainly within this is OK"),
    ] = 100.0
    clock_bad_ms: Annotated[
        float,
        msgspec.Meta(gt=0, le=86_400_000, description="a clock certainly over this is BAD"),
    ] = 500.0
    node_net: Annotated[
        tuple[Text, ...],
        msgspec.Meta(
            description="network such as 10.0.0.0/8 in which nodes are, several times; default: "
            "all, but this machine only where --host is"
        ),
    ] = ()
    log_level: LogLevel = "INFO"
