"""docs/replication.md can be implemented as it stands: its example and its formats are the code's.

The numbers are worked out here from the words of the document, with hashlib alone, and compared
with what the code gives as well.
"""

import re
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

from cluster.digest import EMPTY, Digest, bounds
from cluster.inside import LIST_MAX
from cluster.page_file import APPLICATION_ID, TABLE
from cluster.record import Record, hash_of, id_text

TEXT = (Path(__file__).parents[2] / "docs" / "replication.md").read_text(encoding="utf-8")
NODE = "shop-7"


def cells(pattern: str) -> list[list[str]]:
    """The rows of tables that begin like this, without backticks."""
    rows = re.findall(rf"^\| ({pattern} \|.*) \|$", TEXT, re.MULTILINE)
    return [[cell.strip("`") for cell in row.split(" | ")] for row in rows]


def records() -> list[Record]:
    """The records of the example, with the hashes that the document gives them."""
    return [
        Record(UUID(name).bytes, NODE, int(ts), stream, payload, int(value, 16))
        for _, name, ts, stream, payload, value in cells(r"\d \| `[0-9a-f-]{36}`")
    ]


def hashed(record: Record) -> bytes:
    """The bytes that are hashed, as the table under "Hash" says."""
    node, stream = record.node.encode(), record.stream.encode()
    return (
        record.id
        + record.ts.to_bytes(8, "big", signed=True)
        + bytes([len(node)])
        + node
        + bytes([len(stream)])
        + stream
        + record.payload.encode()
    )


def blake(content: bytes) -> str:
    return blake2b(content, digest_size=8, person=b"tidehold-record1").hexdigest()


def test_the_hashes_of_the_example_follow_from_the_text() -> None:
    """With hashlib alone, and with our own function."""
    found = records()

    assert len(found) == 3
    for one in found:
        assert int(blake(hashed(one)), 16) & (1 << 63) - 1 == one.hash
        assert hash_of(one.id, one.node, one.ts, one.stream, one.payload) == one.hash
        assert f"`{id_text(one.id)}`" in TEXT


def test_the_bytes_that_are_shown_are_those_that_are_hashed() -> None:
    """The first record's in full; the third one's highest bit is really cleared."""
    first, _, third = records()

    assert f"\n{hashed(first).hex()}\n" in TEXT
    assert f"{len(hashed(first))} of them" in TEXT
    assert f"BLAKE2b of the third one is `{blake(hashed(third))}`" in TEXT
    assert int(blake(hashed(third)), 16) >> 63 == 1


def test_the_windows_of_the_example_hold_what_they_are_said_to() -> None:
    """Bounds, counts and digests; at least one window holds more than one record, but not all."""
    windows = cells(r'`"[0-9a-f]*"`')

    counts = set()
    for quoted, low, high, count, digest in windows:
        window = quoted.strip('"')
        inside = [one for one in records() if low <= one.id.hex() <= high]
        assert bounds(window) == (bytes.fromhex(low), bytes.fromhex(high))
        assert [one for one in records() if one.id.hex().startswith(window)] == inside
        assert len(inside) == int(count)
        assert sum(one.hash for one in inside) % 2**63 == int(digest, 16)
        whole = sum((Digest(1, one.hash) for one in inside), EMPTY)
        assert whole == Digest.parse(int(count), digest)
        counts.add(int(count))
    assert counts == {1, 2, 3}


def test_the_formats_are_those_of_the_code() -> None:
    """The table of a page file character for character, and what marks the file."""
    assert f"\n{TABLE}\n" in TEXT
    assert f"| application_id | {APPLICATION_ID:#010x} (`THPG`) |" in TEXT
    assert f"at most {LIST_MAX} records" in TEXT
