"""Page files as a stranger would make them: any rows, and more in the file than there should be."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from cluster.page_file import APPLICATION_ID, TABLE


def page_of(rows: Iterable[tuple[Any, ...]], *more: str, table: str = TABLE) -> bytes:
    """A file of rows (id, node, ts, stream, payload, hash), then changed by the statements `more`.

    The rows get the positions 1, 2, 3 and so on.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
        sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        sql.execute(table)
        sql.executemany(
            "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        for statement in more:
            sql.execute(statement)
        return sql.serialize()


def rows_of(page: bytes) -> list[tuple[Any, ...]]:
    """Every row of a page file, whole, in the order of positions."""
    with closing(sqlite3.connect(":memory:")) as sql:
        sql.deserialize(page)
        return list(
            sql.execute(
                "SELECT position, id, node, ts, stream, payload, hash FROM records "
                "ORDER BY position"
            )
        )
