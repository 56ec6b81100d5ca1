"""Real input: four years of Seattle's weather, posted, pulled, damaged on both sides, and whole
again, byte for byte."""

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.program import Program, until
from tests.world import world

pytestmark = pytest.mark.e2e

STREAM = "seattle.weather"
WORDS = ("date", "weather")


def weather() -> list[tuple[int, str]]:
    """(ts in microseconds, payload) of each day."""
    from vega_datasets import data  # here, as pandas comes with it

    days = []
    with Path(data.seattle_weather.filepath).open(encoding="utf-8", newline="") as file:
        for day in csv.DictReader(file):
            moment = datetime.strptime(day["date"], "%Y/%m/%d").replace(tzinfo=UTC)
            numbers = {name: float(value) for name, value in day.items() if name not in WORDS}
            payload = json.dumps({**numbers, "weather": day["weather"]})
            days.append((int(moment.timestamp()) * 1_000_000, payload))
    return days


def held(program: Program) -> list[tuple[int, str]]:
    """(ts, payload) of each record in a program's database, by time."""
    (file,) = program.folder.glob("*.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as sql:
        return sql.execute(
            "SELECT ts, payload FROM records WHERE stream = ? ORDER BY ts", (STREAM,)
        ).fetchall()


async def test_four_years_of_weather_survive_deletions_on_both_sides(tmp_path: Path) -> None:
    """Rows deleted with sqlite3 at the node and at central come back by a push and a pull."""
    days = weather()
    lines = b"".join(
        b'{"stream":"%b","ts":%d,"payload":%b}\n' % (STREAM.encode(), ts, payload.encode())
        for ts, payload in days
    )
    async with world(tmp_path) as w:
        node = await w.node("seattle")
        receipt = await w.post("seattle", lines)
        first = await w.pull("seattle")
        lost_at_node = node.sql("DELETE FROM records WHERE payload LIKE '%\"snow\"%'")
        lost_at_central = w.central.sql("DELETE FROM records WHERE payload LIKE '%\"rain\"%'")

        async def seen() -> bool:
            records = (await w.poll("seattle")).records
            return (records.missing_at_central, records.missing_at_node) == (
                lost_at_central,
                lost_at_node,
            )

        await until(seen, "central sees what each side lacks")
        push, pull = await w.push("seattle"), await w.pull("seattle")

        assert receipt.inserted == len(days) == 1461
        assert first.inserted == len(days)
        assert lost_at_node > 10
        assert lost_at_central > 100
        assert (push.inserted, pull.inserted) == (lost_at_node, lost_at_central)
        assert held(node) == held(w.central) == days
        assert (await w.poll("seattle")).data == "in_sync"
        assert w.verdict("seattle").equal
