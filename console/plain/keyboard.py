"""Somebody at a terminal, who can be asked."""

import asyncio
import sys

from console.plain.page import Page


class Unwanted(Exception):
    """The command makes no sense so: one line says why."""


async def typed(question: str, page: Page, *, unasked: str) -> str:
    """The line that is typed. Unwanted, with the text `unasked`, where nobody can be asked.

    A read would hold up the loop, and with it Ctrl-C.
    """
    if not (sys.stdin.isatty() and page.terminal):
        raise Unwanted(unasked)
    page.say(question)
    there = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip()
