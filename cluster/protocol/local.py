"""What the workbench of run_cluster.py answers: the members of one machine, broken on purpose.

Only run_cluster.py serves this, beside central and for its own children, so that a person or a
script can hurt a member and watch the cluster heal. Nothing of it is in a real fleet.
"""

from typing import Annotated, Literal

import msgspec

from cluster.exchange import Exchange, Nothing
from cluster.protocol.shared import Count
from cluster.record import NodeName

ProcessState = Literal["starting", "running", "restarting", "failed", "stopped"]
SKEW_MS_MAX = 3_600_000.0


class MemberAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the local cluster, by its name in the path: `central`, or a node's."""

    name: NodeName


class SkewAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how many milliseconds the node's system clock is to be wrong; 0: right again."""

    name: NodeName
    ms: Annotated[float, msgspec.Meta(ge=-SKEW_MS_MAX, le=SKEW_MS_MAX)]


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One member's process. `state`: what its supervisor makes of it; a `failed` one was given up.

    `pid` is null while no process lives; `frozen`: it was stopped by `freeze`. `restarts` counts
    new starts; `last_exit` is the latest exit code, negative for a signal. `skew_ms`: how wrong
    its system clock was made; `disk_bytes`: the files of its folder, null when there is none.
    """

    name: NodeName
    kind: Literal["central", "node"]
    state: ProcessState
    pid: int | None = None
    frozen: bool = False
    restarts: Count = 0
    last_exit: int | None = None
    skew_ms: float = 0.0
    disk_bytes: Count | None = None


class MemberList(msgspec.Struct, frozen=True):
    """Central first, then the nodes by their numbers."""

    members: list[MemberView]


MEMBERS = Exchange("All local members", "GET", "/v1/members", Nothing, MemberList)
KILL = Exchange(
    "Kill a member (SIGKILL); answers when it has been started again",
    "POST",
    "/v1/members/{name}/kill",
    MemberAsk,
    MemberView,
    refusals=("unknown_member", "not_running", "member_gone"),
)
FREEZE = Exchange(
    "Freeze a member (SIGSTOP): it is there, and does not answer",
    "POST",
    "/v1/members/{name}/freeze",
    MemberAsk,
    MemberView,
    refusals=("unknown_member", "not_running", "member_gone"),
)
THAW = Exchange(
    "Thaw a frozen member (SIGCONT)",
    "POST",
    "/v1/members/{name}/thaw",
    MemberAsk,
    MemberView,
    refusals=("unknown_member", "not_running", "member_gone"),
)
RESTART = Exchange(
    "Stop a member in order (SIGTERM) and start it again at once",
    "POST",
    "/v1/members/{name}/restart",
    MemberAsk,
    MemberView,
    refusals=("unknown_member", "member_gone"),
)
WIPE = Exchange(
    "A node's disk dies: kill -9, remove all its files, start it again",
    "POST",
    "/v1/members/{name}/wipe",
    MemberAsk,
    MemberView,
    refusals=("unknown_member", "nodes_only", "member_gone"),
)
SKEW = Exchange(
    "Make a node's system clock wrong; it is restarted in order for that",
    "POST",
    "/v1/members/{name}/skew",
    SkewAsk,
    MemberView,
    refusals=("unknown_member", "nodes_only", "member_gone"),
)


EXCHANGES = (MEMBERS, KILL, FREEZE, THAW, RESTART, WIPE, SKEW)
