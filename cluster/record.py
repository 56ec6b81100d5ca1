"""The record: an immutable fact born on one node, and its identity.

Its id is a UUIDv7 (RFC 9562) made at the node and always increasing there; its hash is a 63-bit
BLAKE2b fingerprint of everything in it. The pair (id, hash) is the element of the sets that the
two sides compare: the same id with the same hash is a duplicate, with another hash a conflict.
A payload is kept byte for byte, except that raw line breaks, which JSON allows only between
tokens, become spaces on arrival: a record is always one line.
"""

import re
import secrets
from hashlib import blake2b
from typing import Annotated, NamedTuple

import msgspec

from cluster.digest import MODULUS
from cluster.shape import END, shape, wording

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}" + END
STREAM_PATTERN = r"^[a-z0-9._-]{1,64}" + END
UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}" + END
HASH_PATTERN = r"^[0-7][0-9a-f]{15}" + END
PAYLOAD_BYTES_MAX = 64 * 1024
PAYLOAD_DEPTH_MAX = 32
#: Years 1 to 9999: what every calendar library can show.
TS_MIN, TS_MAX = -62_135_596_800_000_000, 253_402_300_799_999_999

NodeName = Annotated[str, shape(NAME_PATTERN, "1-64 of a-z 0-9 . _ -, the first a-z 0-9")]
StreamName = Annotated[str, shape(STREAM_PATTERN, "1-64 of a-z 0-9 . _ -")]
RecordId = Annotated[str, shape(UUID_PATTERN, "a UUID, with its hyphens")]
HashText = Annotated[str, shape(HASH_PATTERN, "a 63-bit hash or sum, 16 hex digits")]
Timestamp = Annotated[
    int, msgspec.Meta(ge=TS_MIN, le=TS_MAX, description="microseconds since 1970-01-01 UTC")
]

_UUID = re.compile(UUID_PATTERN)
_MS_BITS, _TAIL_BITS = 48, 74


class Record(NamedTuple):
    """One record, in the order of the columns of the table `records`."""

    id: bytes  # 16 bytes
    node: str
    ts: int  # microseconds, UTC
    stream: str
    payload: str  # one line of JSON, an object
    hash: int  # 0 <= hash < 2^63


class RowError(ValueError):
    """A row that cannot become a record: `code` for programs, the text for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def hash_of(record_id: bytes, node: str, ts: int, stream: str, payload: str) -> int:
    """The 63-bit fingerprint of a record's whole content."""
    head = b"%b%b%c%b%c%b" % (
        record_id,
        ts.to_bytes(8, "big", signed=True),
        len(node),
        node.encode(),
        len(stream),
        stream.encode(),
    )
    body = blake2b(head, digest_size=8, person=b"tidehold-record1")
    body.update(payload.encode())
    return int.from_bytes(body.digest(), "big") % MODULUS


def make(record_id: bytes, node: str, ts: int, stream: str, payload: str) -> Record:
    """A record with its hash worked out."""
    value = hash_of(record_id, node, ts, stream, payload)
    return Record(record_id, node, ts, stream, payload, value)


def check_payload(raw: bytes) -> str:
    """The text of a payload that may be stored. RowError says why another may not."""
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise RowError("payload_too_large", f"{len(raw)} bytes; at most {PAYLOAD_BYTES_MAX}")
    try:
        value = msgspec.json.decode(raw, type=dict)
        text = raw.decode()
    except RecursionError:
        raise RowError("too_deep", f"nested deeper than {PAYLOAD_DEPTH_MAX}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RowError("bad_payload", f"not a JSON object: {wording(error)}") from None
    if raw.count(b"{") + raw.count(b"[") > PAYLOAD_DEPTH_MAX and _depth(value) > PAYLOAD_DEPTH_MAX:
        raise RowError("too_deep", f"nested deeper than {PAYLOAD_DEPTH_MAX}")
    if "\n" in text or "\r" in text:
        text = text.replace("\n", " ").replace("\r", " ")
    return text


def _depth(value: object) -> int:
    """How deep a decoded JSON value is nested, counted without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def id_text(record_id: bytes) -> str:
    """16 bytes -> the canonical text of a UUID."""
    h = record_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse_id(text: str) -> bytes:
    """The text of a UUID -> 16 bytes. RowError when it is none."""
    if not _UUID.match(text):
        raise RowError("bad_id", "an id is a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
    return bytes.fromhex(text.replace("-", ""))


def next_id(record_id: bytes) -> bytes | None:
    """The id that follows in order; None after the last."""
    value = int.from_bytes(record_id, "big") + 1
    return None if value >> 128 else value.to_bytes(16, "big")


class IdMaker:
    """Makes UUIDv7 ids that always increase, whatever the clock does.

    RFC 9562 section 6.2, method 2: within one millisecond (or behind a clock that stepped back)
    the random tail is increased by a random amount, so ids stay ordered and hard to guess.
    `last` is the last id given out, kept in the database to hold the order over a restart.
    """

    def __init__(self, last: bytes | None = None) -> None:
        value = int.from_bytes(last, "big") if last else 0
        self._ms = value >> 80
        self._tail = (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1

    def next(self, now_us: int) -> bytes:
        """The next id; `now_us` is the cluster clock."""
        ms = max(now_us // 1000, 0)
        if ms > self._ms:
            self._ms, self._tail = ms, secrets.randbits(_TAIL_BITS - 1)
        else:
            self._tail += 1 + secrets.randbits(32)
            if self._tail >> _TAIL_BITS:
                self._ms, self._tail = self._ms + 1, secrets.randbits(_TAIL_BITS - 1)
        high = self._ms << 16 | 0x7000 | self._tail >> 62
        low = 0b10 << 62 | self._tail & (1 << 62) - 1
        return (high << 64 | low).to_bytes(16, "big")
