"""A network in user space: what comes out of one TUN device waits here, and goes into the other.

    python -m tests.clock.peers.emulator NEAR FAR SEED

NEAR and FAR are open TUN devices, given by number. Each line on standard input is JSON and sets
both ways anew, [delay, jitter, loss] in seconds and as a share of 1: {"there": .., "back": ..}.
Each is answered by a line on standard output. The end of standard input ends the program, so it
never outlives whoever started it.

The same seed loses and delays the same packets of each way. Jitter may change their order.
"""

import contextlib
import heapq
import json
import os
import random
import select
import sys
import time
from dataclasses import dataclass, field

LARGEST_PACKET = 65_535
IPV4 = 4
STDIN = 0
SPIN_S = 200e-6  # a sleep ends up to 0.1 ms late, so the end of a wait is spent awake


@dataclass
class Way:
    """One direction, from the device `entrance` to the device `exit`."""

    entrance: int
    exit: int
    chance: random.Random
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0

    def fate_s(self) -> float | None:
        """How long the next packet travels; None when it is lost.

        Both are always drawn, so that a changed loss leaves the jitter of the others alone.
        """
        lost, extra = self.chance.random() < self.loss, self.chance.expovariate(1.0)
        return None if lost else self.delay_s + extra * self.jitter_s


@dataclass(order=True)
class Packet:
    """A packet under way. The earliest to arrive comes first, then the first sent."""

    due_s: float
    number: int
    exit: int = field(compare=False)
    content: bytes = field(compare=False)


class Emulator:
    """Moves packets both ways until it is told to end."""

    def __init__(self, near: int, far: int, seed: int) -> None:
        self._there = Way(near, far, random.Random(f"{seed} there"))
        self._back = Way(far, near, random.Random(f"{seed} back"))
        self._under_way: list[Packet] = []
        self._number = 0

    def run(self) -> None:
        """Returns at the end of standard input."""
        ways = {way.entrance: way for way in (self._there, self._back)}
        while True:
            self._deliver()
            ready, _, _ = select.select([STDIN, *ways], [], [], self._patience_s())
            for entrance in ready:
                if entrance == STDIN:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._change(line)
                else:
                    self._take(ways[entrance])

    def _patience_s(self) -> float | None:
        if not self._under_way:
            return None
        return max(0.0, self._under_way[0].due_s - time.monotonic() - SPIN_S)

    def _take(self, way: Way) -> None:
        arrived_s = time.monotonic()
        while True:
            try:
                content = os.read(way.entrance, LARGEST_PACKET)
            except BlockingIOError:
                return
            if content[0] >> 4 != IPV4:
                continue  # IPv6 looks for routers by itself, at times that no seed decides
            travel_s = way.fate_s()
            if travel_s is not None:
                self._number += 1
                packet = Packet(arrived_s + travel_s, self._number, way.exit, content)
                heapq.heappush(self._under_way, packet)

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0].due_s <= time.monotonic():
            packet = heapq.heappop(self._under_way)
            with contextlib.suppress(OSError):  # unplugged: the packet falls out of the cable
                os.write(packet.exit, packet.content)

    def _change(self, line: str) -> None:
        ways = json.loads(line)
        for way, name in ((self._there, "there"), (self._back, "back")):
            way.delay_s, way.jitter_s, way.loss = ways[name]
        sys.stdout.write("set\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.nice(-15)  # a packet should wait as long as it was told, however busy the tests are
    Emulator(*map(int, sys.argv[1:])).run()
