"""What can be set at a cluster on one machine."""

from random import Random
from typing import Annotated, Literal

import msgspec

from cluster.protocol.node import Rate
from cluster.settings import Text

PULL_EVERY_S = 2.0
SKEWS = ((1200.0, 80.0), (-700.0, -120.0), (90.0, 30.0))  # ms, ppm of the first nodes


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole cluster on this machine: central, nodes, and the console."""

    nodes: Annotated[int, msgspec.Meta(ge=1, le=50, description="how many nodes")] = 3
    data: Annotated[Text, msgspec.Meta(description="folder in which everything is kept")] = "data"
    port: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=65_000,
            description="TCP port of central, node N has the Nth after it; where one is taken, "
            "another is used",
        ),
    ] = 8100
    rate: Annotated[Rate, msgspec.Meta(description="records per second of each node")] = 5.0
    source: Annotated[
        Literal["synthetic", "host"], msgspec.Meta(description="where the nodes' records come from")
    ] = "synthetic"
    auto: Annotated[
        bool, msgspec.Meta(description="central pulls every node by itself, every 2 seconds")
    ] = False
    skew: Annotated[bool, msgspec.Meta(description="give each node another wrong clock")] = False
    tls: Annotated[
        bool, msgspec.Meta(description="all members over mutual TLS, with certificates made here")
    ] = False
    headless: Annotated[bool, msgspec.Meta(description="print lines, open no console")] = False
    web: Annotated[
        bool, msgspec.Meta(description="open the console to a browser on this machine instead")
    ] = False
    seconds: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None,
        msgspec.Meta(description="stop after this many seconds"),
    ] = None
    verify: Annotated[bool, msgspec.Meta(description="compare all sets at the end")] = False


def central_flags(settings: ClusterSettings) -> list[str]:
    """What is set at central."""
    return [f"--pull-every={PULL_EVERY_S}"] if settings.auto else []


def node_flags(settings: ClusterSettings, number: int) -> list[str]:
    """What is set at node NUMBER."""
    flags = [f"--source={settings.source}", f"--rate={settings.rate}"]
    if settings.skew:
        drawn = Random(number)  # the same at each start
        skew = drawn.uniform(-2_000, 2_000), drawn.uniform(-150, 150)
        ms, ppm = SKEWS[number - 1] if number <= len(SKEWS) else skew
        flags += [f"--skew-ms={ms:.0f}", f"--skew-ppm={ppm:.0f}"]
    return flags
