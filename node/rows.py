"""The rows of one POST, read and checked one by one: a bad row never costs a good one."""

import codecs
import re
from dataclasses import dataclass
from itertools import islice

import msgspec

from cluster.exchange import NDJSON
from cluster.problem import Refusal, Rejected
from cluster.protocol.shared import ROWS_MAX, Row
from cluster.record import Record, RowError, check_payload
from cluster.shape import wording
from node.store import Draft

_ROW = msgspec.json.Decoder(Row)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
#: What decides where an element ends: whole strings, runs of brackets, commas; a lone quote.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|"|[\[{]++|[\]}]++|,', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rows:
    """What can be stored, with each one's index in the request, and what can not."""

    good: list[Draft | Record]
    indexes: list[int]
    rejected: list[Rejected]


def read_rows(body: bytes, media_type: str, node: str) -> Rows:
    """Read NDJSON (blank lines do not count), a JSON array, or one JSON object.

    Refusal when the body as a whole cannot be cut into rows, or has too many.
    """
    rows = Rows([], [], [])
    for index, text in enumerate(_cut(body, media_type)):
        try:
            rows.good.append(_read(text, node))
            rows.indexes.append(index)
        except RowError as error:
            rows.rejected.append(Rejected(index, error.code, str(error)))
    return rows


def _cut(body: bytes, media_type: str) -> list[bytes | msgspec.Raw]:
    body = body.removeprefix(codecs.BOM_UTF8)  # some programs begin every file with it
    if media_type == NDJSON:
        lines = (line for line in body.split(b"\n") if line.strip())
        parts: list[bytes | msgspec.Raw] = list(islice(lines, ROWS_MAX + 1))
    elif body.lstrip()[:1] == b"{":
        parts = [body]
    else:
        parts = _array(body)
    if len(parts) > ROWS_MAX:
        raise Refusal("too_large", f"at most {ROWS_MAX} rows a request; send them in parts")
    return parts


def _array(body: bytes) -> list[bytes | msgspec.Raw]:
    try:
        return list(_ARRAY.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if (parts := _salvage(body)) is not None:
            return parts
        raise Refusal(
            "bad_json", f"a JSON array of rows is needed: {wording(error)}; nothing was stored"
        ) from None


def _salvage(body: bytes) -> list[bytes | msgspec.Raw] | None:
    """The elements of an array in which some are not JSON (NaN, nested too deeply), uncut.

    None when strings and brackets do not tell where each element ends.
    """
    text = body.strip()
    if text[:1] != b"[":
        return None
    parts: list[bytes | msgspec.Raw] = []
    depth, start = 0, 1
    for mark in _MARKS.finditer(text):
        kind, size = mark[0][:1], len(mark[0])
        depth += size * ((kind in b"[{") - (kind in b"]}"))
        if depth == 0 or (depth == 1 and kind == b","):
            parts.append(text[start : mark.end() - 1])
            start = mark.end()
        if depth <= 0 or mark[0] == b'"' or len(parts) > ROWS_MAX:
            break
    whole = depth == 0 and start == len(text)
    return parts if whole or len(parts) > ROWS_MAX else None


def _read(text: bytes | msgspec.Raw, node: str) -> Draft | Record:
    try:
        row = _ROW.decode(text)
    except msgspec.ValidationError as error:
        raise RowError("bad_value", wording(error)) from None
    except RecursionError:
        raise RowError("too_deep", "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RowError("bad_json", wording(error)) from None
    if row.id is not None:
        return row.record(node)
    if row.hash is not None:
        raise RowError("bad_value", "a row with a hash needs its id and ts too")
    if row.node not in (None, node):
        raise RowError("wrong_node", f"belongs to {row.node}, this is {node}")
    return Draft(row.stream, check_payload(bytes(row.payload)), row.ts)
