"""Renewal: tokens and certificates are changed on the disk, and no member has to stop for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from cluster.settings import SettingsWrong

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Renewable(Protocol):
    """What is read again when its file changes. SettingsWrong: it cannot be used, the old is."""

    def renew(self) -> bool: ...


async def renew_for_ever(
    what: Sequence[Renewable], tell: Callable[[bool, str], None], every_s: float = LOOK_EVERY_S
) -> None:
    """Look again and again. `tell` hears what was renewed (True) or could not be, and why."""
    while True:
        await asyncio.sleep(every_s)
        for one in what:
            try:
                if one.renew():
                    tell(True, f"{type(one).__name__.lower()} renewed from the disk")
            except SettingsWrong as wrong:
                tell(False, f"not renewed, what was known before still holds: {wrong}")


def tell_log(renewed: bool, text: str) -> None:
    """For a member without a journal."""
    kind = "keys-renewed" if renewed else "keys-wrong"
    log.log(logging.INFO if renewed else logging.ERROR, text, extra={"event": kind})
