"""The record: an immutable fact born on one node, and its identity.

Its id is a UUIDv7 (RFC 9562) made at the node and always increasing there; its hash is a 63-bit
BLAKE2b fingerprint of everything in it. The pair (id, hash) is the element of the sets that the
two sides compare: the same id with the same hash is a duplicate, with another hash a conflict.
A payload is kept byte for byte, except that raw line breaks, which JSON allows only between
tokens, become spaces on arrival: a record is always one line.
"""

import re
import secrets
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Annotated, Any, NamedTuple

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
_NAME, _STREAM = re.compile(NAME_PATTERN), re.compile(STREAM_PATTERN)
_EMPTY = blake2b(digest_size=8, person=b"tidehold-record1")
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_HEAD, _BYTE = Struct(">16sqB").pack, Struct("B").pack
_MS_BITS, _TAIL_BITS = 48, 74
#: Of a step within a millisecond: about 16,000 ids fit into one, and they are spread over it, so
#: that windows need not be deep.
STEP_BITS = 60


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
    return hash_of_bytes(record_id, node.encode(), ts, stream.encode(), payload.encode())


def hash_of_bytes(record_id: bytes, node: bytes, ts: int, stream: bytes, payload: bytes) -> int:
    """The same of UTF-8 texts.

    BLAKE2b (RFC 7693) with a digest of 8 bytes and the person "tidehold-record1", of: id, ts as 8
    bytes big-endian, length and text of node and stream, payload. Its lowest 63 bits.
    """
    body = _EMPTY.copy()
    body.update(_HEAD(record_id, ts, len(node)) + node + _BYTE(len(stream)) + stream + payload)
    return int.from_bytes(body.digest(), "big") % MODULUS


def check_content(
    record_id: bytes, node: bytes, ts: int, stream: bytes, payload: bytes, value: int
) -> None:
    """RowError unless these are a whole record, as it is in a database, texts as UTF-8."""
    if len(record_id) != 16:
        raise RowError("bad_id", f"id: {len(record_id)} bytes instead of 16")
    _check_names(node, stream)
    if not TS_MIN <= ts <= TS_MAX:
        raise RowError("bad_value", "ts: not within the years 1 to 9999")
    try:
        if check_payload(payload).encode() != payload:
            raise RowError("bad_payload", "more than one line")
    except RowError as error:
        raise RowError(error.code, f"payload: {error}") from None
    if value != hash_of_bytes(record_id, node, ts, stream, payload):
        raise RowError("hash_mismatch", "the content is not what its hash says")


def is_stream(text: str) -> bool:
    return _STREAM.match(text) is not None


@lru_cache(maxsize=1024)
def _check_names(node: bytes, stream: bytes) -> None:
    name, told = node.decode("utf-8", "replace"), stream.decode("utf-8", "replace")
    if not _NAME.match(name):
        raise RowError("bad_value", "node: not a name")
    if not _STREAM.match(told):
        raise RowError("bad_value", f"stream: {told[:64]}: not 1-64 of a-z 0-9 . _ -")


def make(record_id: bytes, node: str, ts: int, stream: str, payload: str) -> Record:
    """A record with its hash worked out."""
    value = hash_of(record_id, node, ts, stream, payload)
    return Record(record_id, node, ts, stream, payload, value)


def check_payload(raw: bytes) -> str:
    """The text of a payload that may be stored. RowError says why another may not."""
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise RowError("payload_too_large", f"{len(raw)} bytes; at most {PAYLOAD_BYTES_MAX}")
    try:
        value = _OBJECT.decode(raw)
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
        self._steps: Iterator[int] = iter(())  # random numbers of 64 bits

    def next(self, now_us: int) -> bytes:
        """The next id; `now_us` is the cluster clock."""
        ms = max(now_us // 1000, 0)
        if ms > self._ms:
            self._ms, self._tail = ms, secrets.randbits(_TAIL_BITS - 1)
        else:
            self._tail += 1 + self._step()
            if self._tail >> _TAIL_BITS:
                self._ms, self._tail = self._ms + 1, secrets.randbits(_TAIL_BITS - 1)
        high = self._ms << 16 | 0x7000 | self._tail >> 62
        low = 0b10 << 62 | self._tail & (1 << 62) - 1
        return (high << 64 | low).to_bytes(16, "big")

    def _step(self) -> int:
        """A random number of STEP_BITS; the system is asked for many at once."""
        for step in self._steps:
            return step >> 64 - STEP_BITS
        self._steps = iter(memoryview(secrets.token_bytes(4096)).cast("Q"))
        return self._step()
