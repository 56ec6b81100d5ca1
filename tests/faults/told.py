"""A node's store that is filled, closed and filled again: `python -m tests.faults.told FOLDER N`.

It tells the id of each record on standard output, in a line for each batch, once that batch is
acknowledged. SQLite checkpoints more often here than in a service, so that a short record has
many of its checkpoints in it; all else is the product's own.
"""

import asyncio
import os
import sys
from pathlib import Path
from random import Random

from cluster import schema
from cluster.record import IdMaker, Record, make
from node.store import open_node_store
from tests.sides import CLOCK

OFTEN = "PRAGMA wal_autocheckpoint = 60"
schema.WRITER_PRAGMAS += (OFTEN,)  # type: ignore[assignment]


async def main(folder: Path, batches: int) -> None:
    rng, maker = Random(7), IdMaker()
    for _ in range(2):
        async with open_node_store(folder, "n1", CLOCK) as store:
            for _ in range(batches // 2):
                group = [batch(rng, maker) for _ in range(rng.randrange(1, 4))]
                await asyncio.gather(*(store.store(rows) for rows in group))
                ids = (row.id.hex() for rows in group for row in rows)
                os.write(1, f"{' '.join(ids)}\n".encode())


def batch(rng: Random, maker: IdMaker) -> list[Record]:
    return [
        make(
            maker.next(number), "n1", number, "s", f'{{"t":"{"x" * rng.choice((5, 400, 6_000))}"}}'
        )
        for number in range(rng.randrange(1, 6))
    ]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
