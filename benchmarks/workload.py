"""The workload: N records of one node, the same ones for the same seed.

Ids are UUIDv7 about 1.2 ms apart, five streams, payloads of 4 to 6 fields and about 105 bytes.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random

from cluster import windows
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX
from cluster.record import Record, make
from cluster.schema import Schema, prepare
from node.store import SCHEMA

NODE = "n1"
SEED = 7
START_US = 1_760_000_000_000_000
STEP_US = 1_200
_INSERT = "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)"


def records(count: int, first: int = 0, node: str = NODE) -> Iterator[Record]:
    """Records number `first` and on."""
    rng = Random(f"{SEED} {node} {first}")
    for number in range(first, first + count):
        moment = START_US + number * STEP_US + rng.randrange(200)
        tail = rng.getrandbits(74)
        high = (moment // 1000) << 16 | 0x7000 | tail >> 62
        low = 0b10 << 62 | tail & (1 << 62) - 1
        record_id = (high << 64 | low).to_bytes(16, "big")
        yield make(record_id, node, moment, f"sensor.{number % 5}", payload(rng, number))


def payload(rng: Random, number: int) -> str:
    more = ("", ',"battery_v":3.91', ',"battery_v":3.87,"site":"north"')[number % 3]
    return (
        f'{{"value":{rng.randrange(-2000, 4000) / 100},"unit":"C","quality":"ok",'
        f'"sequence":{number},"sensor":"pt100-{rng.randrange(40)}"{more}}}'
    )


def write_database(path: Path, count: int, schema: Schema = SCHEMA, node: str = NODE) -> None:
    """A database file of that schema with `count` records in it, folded and checkpointed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(open_new(path, schema)) as sql:
        rows = records(count, node=node)
        while batch := list(islice(rows, 50_000)):
            sql.execute("BEGIN")
            sql.executemany(_INSERT, batch)
            windows.fold(sql)
            sql.execute("COMMIT")
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_new(path: Path, schema: Schema = SCHEMA) -> sqlite3.Connection:
    """A writer's connection to a new file of that schema."""
    sql = sqlite3.connect(path, isolation_level=None)
    prepare(schema, sql)
    return sql


def copy_all(
    source: Path, target: Path, schema: Schema, chunk: int = PAGE_FILE_RECORDS_MAX
) -> None:
    """The floor: ATTACH, INSERT OR IGNORE ... SELECT, and the digests, `chunk` rows a commit."""
    with closing(open_new(target, schema)) as sql:
        sql.execute("ATTACH ? AS source", (str(source),))
        (last,) = sql.execute("SELECT max(position) FROM source.records").fetchone()
        for after in range(0, last, chunk):
            sql.execute("BEGIN IMMEDIATE")
            sql.execute(
                "INSERT OR IGNORE INTO main.records (id, node, ts, stream, payload, hash) "
                "SELECT id, node, ts, stream, payload, hash FROM source.records "
                "WHERE position > ? AND position <= ?",
                (after, after + chunk),
            )
            windows.fold_new(sql)
            sql.execute("COMMIT")
