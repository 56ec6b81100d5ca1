"""Renewal: tokens and certificates are changed on the disk, and no member has to stop for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from cluster.protocol.views import Level
from cluster.settings import SettingsWrong

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Renewable(Protocol):
    """What is read again when its file changes. SettingsWrong: it cannot be used, the old is."""

    def renew(self) -> bool: ...


async def renew_for_ever(
    what: Sequence[Renewable], tell: Callable[[Level, str, str], None]
) -> None:
    """Look again and again. `tell` hears how grave it is, its kind, and what has happened."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for one in what:
            try:
                if one.renew():
                    text = f"{type(one).__name__.lower()} renewed from the disk"
                    tell("info", "keys-renewed", text)
            except SettingsWrong as wrong:
                text = f"not renewed, what was known before still holds: {wrong}"
                tell("error", "keys-wrong", text)


def tell_log(level: Level, kind: str, text: str) -> None:
    """For a member without a journal."""
    log.log(logging.getLevelNamesMapping()[level.upper()], text, extra={"event": kind})
