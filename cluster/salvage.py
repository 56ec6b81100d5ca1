"""Records found in the bytes of a damaged database.

A record proves itself by its hash, so it does not matter what leads to it. Every page of the file
and every page in its log is looked at, though SQLite may no longer be able to: whatever cell of a
table there is a whole record is one. Rows that were deleted shortly before may be found as well;
a set takes no harm from them. Layout of pages and cells: https://sqlite.org/fileformat2.html.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from cluster.record import Record, RowError, check_content
from cluster.schema import log_of

PAGE = 4096
LOG_HEADER, FRAME_HEADER = 32, 24
TABLE_LEAF, LEAF_HEADER = 0x0D, 8
ROW_MAX = 70_000  # bytes: a payload of 65,536 with all else
ID_TYPE = 2 * 16 + 12  # a blob of 16 bytes
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes by serial type
_MAGIC = b"SQLite format 3\0"


def find_records(path: Path) -> Iterator[Record]:
    """Every whole record in a file and its log, in no order, some of them several times."""
    file, log = _content(path), _content(log_of(path))
    pages = _Pages(file, log)
    for page in pages.all():
        yield from _records(page, pages)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


class _Pages:
    """The pages of a file and of its log; one number may stand for several."""

    def __init__(self, file: bytes, log: bytes) -> None:
        self.size = _page_size(file)
        self._file = file
        self._log = log
        self._frames: dict[int, int] = {}  # number -> where its last page in the log begins
        for frame in range(LOG_HEADER, len(log) - FRAME_HEADER, FRAME_HEADER + self.size):
            (number,) = struct.unpack_from(">I", log, frame)
            self._frames[number] = frame + FRAME_HEADER

    def all(self) -> Iterator[bytes]:
        """Each page but the first, which has no records."""
        for start in range(self.size, len(self._file), self.size):
            yield self._file[start : start + self.size]
        step = FRAME_HEADER + self.size
        for frame in range(LOG_HEADER + FRAME_HEADER, len(self._log), step):
            yield self._log[frame : frame + self.size]

    def versions(self, number: int) -> Iterator[bytes]:
        """What may be the page of this number, the newest first."""
        if number in self._frames:
            start = self._frames[number]
            yield self._log[start : start + self.size]
        start = (number - 1) * self.size
        if 0 <= start < len(self._file):
            yield self._file[start : start + self.size]


def _page_size(file: bytes) -> int:
    if file[:16] == _MAGIC:
        (size,) = struct.unpack_from(">H", file, 16)
        size = 65536 if size == 1 else size
        if size >= 512 and size & (size - 1) == 0:
            return int(size)
    return PAGE


def _records(page: bytes, pages: _Pages) -> Iterator[Record]:
    """The records in the cells of a leaf; nothing where it is none, or noise."""
    if len(page) < LEAF_HEADER or page[0] != TABLE_LEAF:
        return
    (cells,) = struct.unpack_from(">H", page, 3)
    for place in range(LEAF_HEADER, min(LEAF_HEADER + 2 * cells, len(page) - 1), 2):
        (start,) = struct.unpack_from(">H", page, place)
        for payload in _payloads(page, start, pages):
            if (record := _record(payload)) is not None:
                yield record
                break


def _payloads(page: bytes, start: int, pages: _Pages) -> Iterator[bytes]:
    """What a cell may hold: several things where its end is on pages of another time."""
    try:
        size, at = _varint(page, start)
        _, at = _varint(page, at)  # the position
    except IndexError:
        return
    usable = pages.size
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    if size > ROW_MAX:
        return
    if size <= most:
        yield page[at : at + size]
        return
    here = least + (size - least) % (usable - 4)
    here = here if here <= most else least
    following = page[at + here : at + here + 4]
    if len(following) == 4:
        number = int.from_bytes(following, "big")
        for newest in (True, False):
            for rest in _chain(pages, number, size - here, newest=newest):
                yield page[at : at + here] + rest


def _chain(pages: _Pages, number: int, size: int, *, newest: bool) -> Iterator[bytes]:
    """The rest of a payload, along its pages; nothing when they lead nowhere."""
    parts, left = [], size
    while left > 0:
        versions = list(pages.versions(number))
        if not versions:
            return
        page = versions[0 if newest else -1]
        parts.append(page[4 : 4 + left])
        left -= pages.size - 4
        number = int.from_bytes(page[:4], "big")
    yield b"".join(parts)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. IndexError when it does not."""
    value = 0
    for place in range(at, at + 8):
        byte = content[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return value << 8 | content[at + 8], at + 9


def _record(payload: bytes) -> Record | None:
    """The record in a row of the table `records`: position, id, node, ts, stream, payload, hash."""
    try:
        end, at = _varint(payload, 0)
        types = []
        while at < end:
            kind, at = _varint(payload, at)
            types.append(kind)
        if len(types) != 7 or types[1] != ID_TYPE:
            return None
        values = []
        for kind in types:
            value, at = _value(payload, at, kind)
            values.append(value)
        _, record_id, node, ts, stream, text, number = values
        check_content(record_id, node, ts, stream, text, number)  # type: ignore[arg-type]
    except (IndexError, RowError, TypeError, struct.error):
        return None
    return Record(record_id, node.decode(), ts, stream.decode(), text.decode(), number)  # type: ignore[union-attr, arg-type]


def _value(payload: bytes, at: int, kind: int) -> tuple[bytes | int | None, int]:
    """A column's value, a text as its bytes, and where it ends."""
    if kind >= 12:
        end = at + (kind - 12) // 2
        return payload[at:end], end
    if kind in (8, 9):
        return kind - 8, at
    if size := _INTEGERS.get(kind, 0):
        return int.from_bytes(payload[at : at + size], "big", signed=True), at + size
    return None, at
