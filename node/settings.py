"""What can be set at a node."""

from typing import Annotated

import msgspec

from cluster.clock.sample import ServerAddress
from cluster.protocol.central import Url
from cluster.protocol.node import Rate, SourceKind
from cluster.record import NodeName
from cluster.settings import Host, LogLevel, Port, Text
from cluster.trust.settings import MemberSettings


class NodeSettings(MemberSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A local node: collects records, keeps them, and serves them to central."""

    name: Annotated[NodeName, msgspec.Meta(description="this node's name in the cluster")]
    data: Annotated[Text, msgspec.Meta(description="folder of node.db and the logs")]
    host: Host = "127.0.0.1"
    port: Port = 8101
    central: Annotated[
        Url | None, msgspec.Meta(description="central's address, to say hello to")
    ] = None
    advertise: Annotated[
        Url | None, msgspec.Meta(description="the address at which central reaches this node")
    ] = None
    source: Annotated[SourceKind, msgspec.Meta(description="where its own records come from")] = (
        "synthetic"
    )
    rate: Annotated[Rate, msgspec.Meta(description="records per second of the source")] = 1.0
    keep_days: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=36_500)] | None,
        msgspec.Meta(description="give up older records, once it is proven that central has them"),
    ] = None
    keep_bytes: Annotated[
        Annotated[int, msgspec.Meta(ge=1_000_000, le=2**62)] | None,
        msgspec.Meta(description="the same for the oldest records of a larger database"),
    ] = None
    ntp: Annotated[
        tuple[ServerAddress, ...],
        msgspec.Meta(description="NTP server HOST[:PORT], several times; default: central's 8123"),
    ] = ()
    log_level: LogLevel = "INFO"
    skew_ms: Annotated[
        float,
        msgspec.Meta(
            ge=-86_400_000, le=86_400_000, description="make the system clock wrong, to try it out"
        ),
    ] = 0.0
    skew_ppm: Annotated[
        float, msgspec.Meta(ge=-1000, le=1000, description="make the oscillator run fast by this")
    ] = 0.0
