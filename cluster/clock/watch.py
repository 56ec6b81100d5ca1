"""Watches a clock, once a second: what happened to it is logged once, and what it knows is saved.

A machine that slept is noticed here, as no timer of the event loop counts the time asleep.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.memory import SAVED_EVERY_S, Memory, save
from cluster.clock.report import state_of
from cluster.clock.state import ClockState, ClockStatus

LOOK_S = 1.0

_log = logging.getLogger(__name__)

_CHANGES: dict[tuple[ClockStatus, ClockStatus], tuple[str, str]] = {
    ("UNSYNC", "SYNC"): ("clock-synced", "clock set for the first time"),
    ("SYNC", "HOLDOVER"): ("clock-lost", "no time server answers; the clock runs on its own"),
    ("SUSPECT", "HOLDOVER"): ("clock-lost", "no time server answers; the clock runs on its own"),
    ("HOLDOVER", "SYNC"): ("clock-regained", "a time server answers again"),
    ("SYNC", "SUSPECT"): ("clock-suspect", "the time servers contradict what was known"),
    ("HOLDOVER", "SUSPECT"): ("clock-suspect", "the time servers contradict what was known"),
    ("SUSPECT", "SYNC"): ("clock-trusted", "the time servers agree again"),
}


class Watch:
    """Looks after `clock`. `slept` is called when the machine has; `path`: the memory's file."""

    def __init__(
        self, clock: ClusterClock, path: Path | None = None, slept: Callable[[], None] | None = None
    ) -> None:
        self._clock = clock
        self._path = path
        self._slept = slept
        self._told = state_of(clock)
        self._saved: Memory | None = None
        self._saved_sync_ns: int | None = None
        self._can_save = True

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Watch for ever; what is known is saved at the end too."""
        try:
            while True:
                await sleep(LOOK_S)
                self.look()
                if self._is_time_to_save():
                    await asyncio.to_thread(self.save)
        finally:
            self.save()

    def look(self) -> None:
        """Notice and tell what has changed since the last look."""
        if self._clock.look() and self._slept is not None:
            self._slept()
        before, self._told = self._told, state_of(self._clock)
        now = self._told
        if now.suspends > before.suspends:
            _tell("machine-slept", "the machine was suspended; its clock is looked into", now)
        elif (change := _CHANGES.get((before.status, now.status))) is not None:
            _tell(*change, now)
        if now.steps > before.steps:
            _tell("clock-stepped", "over a second behind: stepped forward", now)
        if now.system_steps > before.system_steps:
            _tell("system-clock-stepped", "somebody set the machine's clock; no effect here", now)
        for source in now.sources:
            earlier = next((old for old in before.sources if old.name == source.name), None)
            was = earlier.state if earlier is not None else None
            if source.state != was and source.state in ("falseticker", "denied"):
                _tell(f"time-server-{source.state}", f"{source.name} is not followed", now)

    def save(self) -> None:
        """Keep what the clock knows. A disk that cannot take it is told of once."""
        synced_ns, memory = self._clock.synced_ns, self._clock.memory()
        if self._path is None or memory is None:
            return
        try:
            save(self._path, memory)
        except OSError as error:
            if self._can_save:
                _log.warning(
                    "the clock's memory is not saved; a restart begins without it",
                    extra={"event": "clock-not-saved", "why": str(error)},
                )
            self._can_save = False
            return
        self._saved, self._saved_sync_ns, self._can_save = memory, synced_ns, True

    def _is_time_to_save(self) -> bool:
        """Every ten seconds, and after each sample: the old line would lead elsewhere."""
        memory = self._clock.memory()
        if self._path is None or memory is None:
            return False
        if self._saved is None or self._clock.synced_ns != self._saved_sync_ns:
            return True
        return memory.at_ns - self._saved.at_ns >= SAVED_EVERY_S * 1e9


def _tell(event: str, message: str, state: ClockState) -> None:
    facts = {
        "event": event,
        "server": state.reference,
        "drift_ms": state.drift_ms,
        "bound_ms": state.bound_ms,
        "steps": state.steps,
        "last_step_ms": state.last_step_ms,
        "sources": [f"{source.name} {source.state}" for source in state.sources],
    }
    _log.info(message, extra=facts)
