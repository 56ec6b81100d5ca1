"""Quick reads: those that come together go to the reader's thread together.

A status, and the judgement of a poll, read a few rows. To send each of them to a thread and back
costs ten times what it reads, and a thousand polls a second do nothing else. So while the reader is
busy, or in the same turn of the loop, all that is asked waits, and goes in one hop.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from cluster.connection import Connection, T, Work

Read = Callable[[Work[Any], sqlite3.Connection], Any]


class QuickReads:
    """`read` runs a work in one transaction, on one of the `free` readers."""

    def __init__(self, free: "asyncio.LifoQueue[Connection]", read: Read) -> None:
        self._free = free
        self._read = read
        self._asked: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._serving: asyncio.Task[None] | None = None

    async def ask(self, work: Work[T]) -> T:
        """What the work returns or raises. It sees a state that is no older than this call."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append((work, answer))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        reader = await self._free.get()
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                await self._answer(reader, asked)
        finally:
            self._free.put_nowait(reader)

    async def _answer(
        self, reader: Connection, asked: list[tuple[Work[Any], asyncio.Future[Any]]]
    ) -> None:
        works = [work for work, answer in asked if not answer.done()]  # some may be cancelled
        answers = [answer for _, answer in asked if not answer.done()]
        try:
            outcomes = await reader.run(lambda sql: [self._try(work, sql) for work in works])
        except Exception as error:  # the connection is closed
            outcomes = [(None, error)] * len(answers)
        for answer, (result, failure) in zip(answers, outcomes, strict=True):
            if not answer.done():
                answer.set_exception(failure) if failure else answer.set_result(result)

    def _try(self, work: Work[Any], sql: sqlite3.Connection) -> tuple[Any, Exception | None]:
        try:
            return self._read(work, sql), None
        except Exception as error:
            return None, error
