"""`python -m node clock HOST[:PORT] ...`: what time servers say, for people who debug a site.

Asks each a few times, chooses among them as a node would, and prints a line for each.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from cluster.clock.base import RealBase
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.report import state_of
from cluster.clock.sample import NtpFailed, Server
from cluster.clock.state import ClockSource, ClockState
from cluster.settings import SettingsWrong, parse_servers

MARKS = {"selected": "*", "survivor": "+", "falseticker": "x", "suspect": "~", "denied": "!"}
HEAD = f"  {'SERVER':28} {'ST':>2} {'REFID':15} {'SYSTEM-SERVER':>14} {'DELAY':>10} {'BOUND':>10}"
KEY = """\
* followed  + agrees  x contradicts the majority  ~ contradicts itself  ? no answer  ! refuses
SYSTEM-SERVER: this machine's clock minus the server's; positive: this machine is fast.
DELAY: round trip. BOUND: how far the server's time may be off, as seen from here."""


def clock_command(args: Sequence[str]) -> int:
    """Ask, print, and return the exit code: 0 answered, 1 nobody did, 2 wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m node clock", description="What time servers say; changes nothing."
    )
    parser.add_argument("servers", nargs="+", metavar="HOST[:PORT]")
    parser.add_argument(
        "--samples", type=int, choices=range(1, 17), default=4, metavar="1-16", help="default: 4"
    )
    parser.add_argument(
        "--apart", type=float, default=2.0, metavar="S", help="seconds between two; default: 2"
    )
    asked = parser.parse_args(args)
    try:
        servers = parse_servers(asked.servers)
    except SettingsWrong as wrong:
        print(f"node clock: {wrong}", file=sys.stderr)
        return 2
    details = asyncio.run(_survey(servers, asked.samples, asked.apart))
    return 0 if details else 1


async def _survey(servers: Sequence[Server], samples: int, apart_s: float) -> bool:
    clock = ClusterClock(RealBase())
    failed: dict[str, NtpFailed] = {}

    async def ask(server: Server) -> None:
        clock.source(str(server))
        client = NtpClient(server, clock.base)
        for turn in range(samples):
            if turn:
                await asyncio.sleep(apart_s)
            try:
                clock.adopt(await client.ask())
            except NtpFailed as failure:
                clock.miss(str(server), failure.reason)
                failed[str(server)] = failure

    await asyncio.gather(*(ask(server) for server in servers))
    state = state_of(clock)
    print(HEAD)
    for source in state.sources:
        print(_line(state, source, failed.get(source.name)))
    print(_verdict(state), KEY, sep="\n\n")
    return clock.synced


def _line(state: ClockState, source: ClockSource, failed: NtpFailed | None) -> str:
    mark = MARKS.get(source.state, "?")
    if source.offset_ms is None or state.drift_ms is None:
        return f"{mark} {source.name:28} {failed or ''}"
    line = (
        f"{mark} {source.name:28} {source.stratum:>2} {source.refid:15} "
        f"{_ms(state.drift_ms - source.offset_ms):>14} "
        f"{(source.delay_ms or 0.0):>8.3f}ms {(source.bound_ms or 0.0):>8.3f}ms"
    )
    return f"{line}  {failed}" if failed else line


def _verdict(state: ClockState) -> str:
    if state.drift_ms is None:
        return "Nobody can be believed: this machine's clock cannot be judged."
    alone = (
        "" if not state.single else " Only one server is believed: a lie of its would go unseen."
    )
    return (
        f"This machine's clock is {_ms(state.drift_ms)} off, "
        f"give or take {state.bound_ms:.3f}ms.{alone}"
    )


def _ms(value: float) -> str:
    return f"{value:+.3f}ms" if abs(value) < 10_000 else f"{value / 1000:+.3f}s"
