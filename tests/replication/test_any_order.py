"""Whatever happens, in whatever order, a pull and a push make both sides whole again.

Hypothesis draws what happens: rows come in, rows are deleted on either side, the node loses its
disk or gets an old backup back, pulls and pushes run or are cut after any number of exchanges.
The stores are the real ones on real files; only HTTP is left out.
"""

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sides import SHELL, Sides, small_sizes

NORMAL = {"pull": "incremental", "push": "missing"}
KINDS = st.sampled_from(["pull", "push"])
CUTS = st.integers(0, 12)
VERBS = st.one_of(
    st.integers(1, 150).map(lambda count: partial(Sides.ingest, count=count)),
    st.tuples(st.sampled_from(["node", "central"]), st.integers(2, 9)).map(
        lambda drawn: partial(Sides.lose_rows, side=drawn[0], nth=drawn[1])
    ),
    st.tuples(
        st.sampled_from(["node", "central"]), st.integers(2, 9), st.sampled_from(sorted(SHELL))
    ).map(
        lambda drawn: partial(Sides.lose_rows_to_a_shell, side=drawn[0], nth=drawn[1], how=drawn[2])
    ),
    st.just(Sides.lose_disk),
    st.just(Sides.back_up),
    st.just(Sides.restore),
    st.just(Sides.poll),
    st.tuples(KINDS, CUTS).map(
        lambda drawn: partial(Sides.replicate, kind=drawn[0], mode=NORMAL[drawn[0]], calls=drawn[1])
    ),
    KINDS.map(lambda kind: partial(Sides.replicate, kind=kind, mode=NORMAL[kind], calls=None)),
    KINDS.map(lambda kind: partial(Sides.replicate, kind=kind, mode="full", calls=None)),
)


@pytest.mark.fault(16, 18)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VERBS, min_size=3, max_size=14))
def test_after_any_story_a_pull_and_a_push_make_both_sides_equal(
    story: list[Callable[[Sides], object]],
) -> None:
    """And at every step a poll says in_sync exactly when the sets are equal."""
    with tempfile.TemporaryDirectory() as folder, small_sizes():
        asyncio.run(tell(Path(folder), story))


async def tell(folder: Path, story: list[Callable[[Sides], object]]) -> None:
    sides = Sides(folder)
    await sides.open()
    try:
        for verb in story:
            await verb(sides)  # type: ignore[misc]  # every verb is a coroutine function
            # I5 may be broken for a while: that is what the story does behind central's back.
            assert [text for text in sides.verdict().broken if text[:2] != "I5"] == []
            await sides.poll()
        for kind in ("pull", "push", "pull"):
            await sides.replicate(kind, NORMAL[kind], None)
        assert sides.verdict().equal
        await sides.poll()
    finally:
        await sides.close()
