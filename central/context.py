"""What every lane shares."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from central.board import Board
from central.isolation import Isolation
from central.journal import Journal
from central.poll_figures import PollFigures
from central.runs import Runs
from central.stalls import Stalls
from central.store import CentralStore
from cluster.background import Background
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.verdict import DEFAULT_LIMITS, Limits
from cluster.peer import Peer


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of central that lanes work with."""

    store: CentralStore
    board: Board
    journal: Journal
    runs: Runs
    clock: ClusterClock
    tasks: Background
    slots: asyncio.Semaphore  # how many nodes may replicate at the same time
    runs_at_once: int
    poll_interval_s: float
    peer: Callable[..., Peer]  # by base URL, a node's name, and a throttle
    max_rate: float | None = None  # bytes a second that runs of one node may move
    pull_every_s: float = 0.0  # how often a node is pulled without being asked; 0: never
    clock_limits: Limits = DEFAULT_LIMITS
    isolation: Isolation = field(default_factory=Isolation)
    stalls: Stalls = field(default_factory=Stalls)
    polls: PollFigures = field(default_factory=PollFigures)
    rng: Random = field(default_factory=Random)  # spreads what would come together
