"""Prefetch: the next item is made while this one is worked on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")
_END = object()


@asynccontextmanager
async def prefetched(items: AsyncGenerator[T, None]) -> AsyncIterator[AsyncIterator[T]]:
    """`items`, always one ahead. Whatever is under way when the block ends is cancelled."""
    coming: list[asyncio.Future[object]] = []

    def begin() -> None:
        coming[:] = [asyncio.ensure_future(anext(items, _END))]

    async def ready() -> AsyncGenerator[T, None]:
        while (item := await asyncio.shield(coming[0])) is not _END:
            begin()
            yield item  # type: ignore[misc]  # only _END is not of this type

    begin()
    giving = ready()
    try:
        yield giving
    finally:
        coming[0].cancel()
        await asyncio.wait(coming)
        if not coming[0].cancelled():
            coming[0].exception()  # the block has ended otherwise, and nobody asks for it any more
        await giving.aclose()
        await items.aclose()
