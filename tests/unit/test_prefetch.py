"""Prefetch: one ahead, in order, and nothing is left over whatever happens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest

from central.prefetch import prefetched
from tests.program import until


class Maker:
    """Makes 0, 1, 2 and so on; tells what it has begun, and how it ended."""

    def __init__(self, count: int, *, fail: Exception | None = None, stuck_at: int = -1) -> None:
        self.begun: list[int] = []
        self.ended = ""
        self._count = count
        self._fail = fail
        self._stuck_at = stuck_at

    async def items(self) -> AsyncGenerator[int, None]:
        self.ended = "never"
        try:
            for number in range(self._count):
                self.begun.append(number)
                if number == self._stuck_at:
                    await asyncio.Event().wait()
                await asyncio.sleep(0)
                yield number
            if self._fail is not None:
                raise self._fail
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        except GeneratorExit:
            self.ended = "closed"
            raise
        except Exception:
            self.ended = "failed"
            raise
        else:
            self.ended = "done"


async def fail_at_first(
    items: AsyncGenerator[int, None],
    work: Callable[[], Awaitable[None]],
    kept: list[AsyncIterator[int]] | None = None,
) -> None:
    """A consumer that fails after its work on the first item."""
    async with prefetched(items) as ahead:
        if kept is not None:
            kept.append(ahead)
        async for item in ahead:
            await work()
            raise LookupError(item)


def nothing_is_left(maker: Maker, items: AsyncGenerator[int, None]) -> bool:
    """No task but the test's, and the maker is closed for good."""
    return (
        asyncio.all_tasks() == {asyncio.current_task()}
        and maker.ended != "never"
        and getattr(items, "ag_frame", items) is None
    )


async def has_begun(maker: Maker, number: int) -> None:
    async def begun() -> bool:
        return number in maker.begun

    await until(begun, f"{number} is being made", 5)


async def test_the_next_item_is_made_while_this_one_is_worked_on() -> None:
    """One ahead and no more: what is made is held in memory."""
    maker = Maker(5)
    items, seen = maker.items(), list[tuple[int, list[int]]]()
    async with prefetched(items) as ahead:
        async for item in ahead:
            for _ in range(20):
                await asyncio.sleep(0)  # work, during which a maker without a bound would run on
            seen.append((item, list(maker.begun)))

    assert [item for item, _ in seen] == [0, 1, 2, 3, 4]
    assert [begun[-1] for _, begun in seen] == [1, 2, 3, 4, 4]
    assert (maker.ended, nothing_is_left(maker, items)) == ("done", True)


async def test_nothing_made_is_nothing_given() -> None:
    """An empty set is no special case."""
    maker = Maker(0)
    items = maker.items()
    async with prefetched(items) as ahead:
        assert [item async for item in ahead] == []

    assert nothing_is_left(maker, items)


async def test_an_error_of_the_maker_comes_after_the_items_before_it() -> None:
    """What was made is worked on first, then the consumer has the very error."""
    error = OSError("cut")
    maker = Maker(2, fail=error)
    items, seen = maker.items(), list[int]()

    async def consume() -> None:
        async with prefetched(items) as ahead:
            async for item in ahead:
                seen.append(item)

    with pytest.raises(OSError, match="cut") as raised:
        await consume()

    assert seen == [0, 1]
    assert raised.value is error
    assert (maker.ended, nothing_is_left(maker, items)) == ("failed", True)


@pytest.mark.parametrize("waited", [True, False], ids=["under way", "not yet begun"])
async def test_leaving_early_cancels_what_is_being_made(waited: bool) -> None:
    """A consumer that has enough, or fails, leaves no maker behind, nor its iterator."""
    maker = Maker(5, stuck_at=1)
    items, kept = maker.items(), list[AsyncIterator[int]]()

    async def work() -> None:
        if waited:
            await has_begun(maker, 1)

    with pytest.raises(LookupError):
        await fail_at_first(items, work, kept)

    assert nothing_is_left(maker, items)
    with pytest.raises(StopAsyncIteration):
        await anext(kept[0])  # closed too, not left to the collector


async def test_a_block_that_takes_nothing_leaves_nothing() -> None:
    """Whether or not the first item was begun."""
    maker = Maker(1)
    items = maker.items()
    async with prefetched(items):
        pass

    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(StopAsyncIteration):
        await anext(items)


@pytest.mark.parametrize("where", ["waiting for an item", "working on one"])
async def test_a_cancel_of_the_consumer_reaches_the_maker(where: str) -> None:
    """Wherever the consumer is."""
    maker = Maker(5, stuck_at=1)
    items = maker.items()

    async def consume() -> None:
        async with prefetched(items) as ahead:
            async for _ in ahead:
                if where == "working on one":
                    await asyncio.Event().wait()

    consumer = asyncio.create_task(consume())
    await has_begun(maker, 1)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer

    assert (maker.ended, nothing_is_left(maker, items)) == ("cancelled", True)


async def test_an_error_made_ahead_is_not_raised_over_the_consumers_own() -> None:
    """The consumer fails first: that is what is told, and the other is not lost as unseen."""
    maker = Maker(1, fail=OSError("later"))
    items = maker.items()

    async def work() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    with pytest.raises(LookupError):
        await fail_at_first(items, work)

    assert nothing_is_left(maker, items)
