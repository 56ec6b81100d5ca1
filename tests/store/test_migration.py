"""Files that an earlier version wrote are taken over, with every record in them.

tests/store/version1 to version3 hold dumps of such files, as those versions left them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from central.store import open_central_store
from cluster import chain
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.digest import EMPTY, Digest
from node.store import open_node_store
from tests.invariants import check, read_side

DUMPS = Path(__file__).parent


def restore(version: str, name: str, file: Path) -> Digest:
    """Write the file anew; the digest of its rows."""
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as sql:
        sql.executescript((DUMPS / version / f"{name}.sql").read_text(encoding="utf-8"))
        hashes = [value for (value,) in sql.execute("SELECT hash FROM records")]
    return sum((Digest(1, value) for value in hashes), EMPTY)


@pytest.mark.parametrize("version", ["version1", "version2", "version3"])
async def test_files_of_an_earlier_version_are_taken_over(version: str, tmp_path: Path) -> None:
    """Digests of windows are worked out at once, and both sides are what they were."""
    node_file, central_file = tmp_path / "node" / "node.db", tmp_path / "central" / "central.db"
    at_node, at_central = (
        restore(version, "node", node_file),
        restore(version, "central", central_file),
    )

    async with (
        open_node_store(node_file.parent, "n1", ClusterClock.reference(RealBase())) as node,
        open_central_store(central_file.parent) as central,
    ):
        counts = await node.counts()
        own, standing = await central.standing("n1")

        assert counts.as_digest() == at_node
        assert (own, standing.tidemark) == (at_central, None)
        assert await central.nodes() == [("n1", "http://127.0.0.1:1", None)]
        journal = await central.database.read(chain.examine)
        assert (journal.lines, journal.wrong) == (3 if version == "version3" else 0, "")

    assert check("n1", node_file, central_file).broken == []
    assert len(read_side(node_file, "n1").rows) == 8
