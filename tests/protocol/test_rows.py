"""Rows sent to a node: each bad one is named by its index, and never costs a good one."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.compression import compress
from cluster.exchange import JSON, NDJSON
from cluster.protocol.node import APPEND
from cluster.protocol.shared import ROWS_MAX
from cluster.record import PAYLOAD_BYTES_MAX
from tests.protocol.conftest import Api

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
GOOD = b'{"stream":"a","payload":{"good":1}}'
KINDS = [pytest.param(NDJSON, id="ndjson"), pytest.param(JSON, id="array")]


def payload(text: bytes) -> bytes:
    """A row with this payload."""
    return b'{"stream":"a","payload":' + text + b"}"


def field(**values: Any) -> bytes:
    """A row with these fields changed."""
    return json.dumps({"stream": "a", "payload": {}} | values).encode()


def joined(rows: list[bytes], content_type: str) -> bytes:
    """The rows as one body."""
    return b"\n".join(rows) if content_type == NDJSON else b"[" + b",".join(rows) + b"]"


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


BAD = [
    # What no JSON parser should take.
    pytest.param(payload(b'{"a":NaN}'), "bad_json", id="NaN"),
    pytest.param(payload(b'{"a":-Infinity}'), "bad_json", id="Infinity"),
    pytest.param(payload(b'{"a":1e999}'), "bad_payload", id="1e999"),
    pytest.param(payload(b'{"a":' + b"9" * 5000 + b"}"), "bad_payload", id="5,000 digits"),
    pytest.param(payload(b'{"a":"\\ud800"}'), "bad_", id="lone surrogate"),
    pytest.param(payload(b'{"\\udfff":1}'), "bad_", id="lone surrogate in a key"),
    pytest.param(payload(b'{"a":"\xff"}'), "bad_", id="invalid UTF-8"),
    pytest.param(payload(b'{"a":"\x00"}'), "bad_json", id="raw NUL"),
    pytest.param(payload(b"{'a':1}"), "bad_json", id="single quotes"),
    # What is JSON, but no payload.
    pytest.param(payload(b"[]"), "bad_payload", id="payload is an array"),
    pytest.param(payload(b"null"), "bad_payload", id="payload is null"),
    pytest.param(payload(b'"{}"'), "bad_payload", id="payload is a string"),
    pytest.param(payload(nested(33)), "too_deep", id="depth 33"),
    pytest.param(payload(nested(2_000)), "too_deep", id="depth 2,000"),
    pytest.param(payload(nested(100_000)), "too_deep", id="depth 100,000"),
    pytest.param(
        payload(b'{"a":"' + b"x" * PAYLOAD_BYTES_MAX + b'"}'), "payload_too_large", id="64 KiB + 1"
    ),
    # What is no row.
    pytest.param(b"1", "bad_value", id="number"),
    pytest.param(b"null", "bad_value", id="null"),
    pytest.param(b'["a",{}]', "bad_value", id="array"),
    pytest.param(b'"row"', "bad_value", id="string"),
    pytest.param(b'{"stream":"a"}', "bad_value", id="no payload"),
    pytest.param(b'{"payload":{}}', "bad_value", id="no stream"),
    pytest.param(field(colour="red"), "bad_value", id="unknown field"),
    # Fields of a wrong type or out of range.
    pytest.param(field(stream="A"), "bad_value", id="capital in stream"),
    pytest.param(field(stream="a\n"), "bad_value", id="line break in stream"),
    pytest.param(field(stream="x" * 65), "bad_value", id="long stream"),
    pytest.param(field(stream=""), "bad_value", id="empty stream"),
    pytest.param(field(stream=1), "bad_value", id="stream is a number"),
    pytest.param(field(stream="٣"), "bad_value", id="digit of another script"),
    pytest.param(field(ts=2**63), "bad_value", id="ts 2^63"),
    pytest.param(field(ts=-(2**63)), "bad_value", id="ts -2^63"),
    pytest.param(field(ts="1"), "bad_value", id="ts is a string"),
    pytest.param(field(ts=1.5), "bad_value", id="ts is a fraction"),
    pytest.param(field(ts=True), "bad_value", id="ts is true"),
    pytest.param(b'{"stream":"a","payload":{},"ts":1e999}', "bad_value", id="ts 1e999"),
    pytest.param(field(id="1", ts=1), "bad_value", id="id is no UUID"),
    pytest.param(field(id=ID.replace("-", ""), ts=1), "bad_value", id="id without hyphens"),
    pytest.param(field(id=7, ts=1), "bad_value", id="id is a number"),
    pytest.param(field(id=ID), "bad_value", id="id without ts"),
    pytest.param(field(node="n2"), "wrong_node", id="another node's row"),
    pytest.param(field(id=ID, ts=1, node="n2"), "wrong_node", id="another node's record"),
    pytest.param(field(node="N 1"), "bad_value", id="no node name"),
    pytest.param(field(id=ID, ts=1, hash="0" * 16), "hash_mismatch", id="wrong hash"),
    pytest.param(field(id=ID, ts=1, hash="f" * 16), "bad_value", id="64-bit hash"),
    pytest.param(field(hash="0" * 16), "bad_value", id="hash without id"),
    pytest.param(field(position=-1), "bad_value", id="position -1"),
    pytest.param(field(position=2**63), "bad_value", id="position 2^63"),
]


@pytest.mark.fault(31, 32)
@pytest.mark.parametrize("content_type", KINDS)
@pytest.mark.parametrize(("row", "code"), BAD)
async def test_a_bad_row_is_named_and_the_good_ones_are_kept(
    node: Api, row: bytes, code: str, content_type: str
) -> None:
    """The bad one is the third of five: the others are stored, in order, and acknowledged."""
    rows = [GOOD.replace(b"1", b"%d" % number) for number in range(5)]
    rows[2] = row

    answer = await node.post_rows(joined(rows, content_type), content_type)

    receipt = answer.receipt()
    assert (receipt.received, receipt.inserted) == (5, 4)
    assert [one.index for one in receipt.rejected] == [2]
    assert receipt.rejected[0].code.startswith(code)
    assert "regex" not in receipt.rejected[0].detail
    assert "\n" not in receipt.rejected[0].detail
    assert await node.payloads() == [f'{{"good":{number}}}' for number in (0, 1, 3, 4)]


@pytest.mark.fault(32)
@pytest.mark.parametrize(("row", "code"), BAD)
async def test_a_request_of_bad_rows_only_is_a_problem(node: Api, row: bytes, code: str) -> None:
    """422 with every index; the numbers say that nothing was stored."""
    answer = await node.post_rows(joined([row, row], NDJSON))

    problem = answer.problem("rows_rejected")
    assert (problem.received, problem.inserted) == (2, 0)
    assert problem.rejected is not None
    assert [one.index for one in problem.rejected] == [0, 1]
    assert all(one.code.startswith(code) for one in problem.rejected)
    assert await node.payloads() == []


@pytest.mark.parametrize("body", [b"x", b"5", b"}", b"]", b'"', b"[", b"[]]", b"55", b"\xff"])
async def test_a_body_that_is_no_array_is_refused(node: Api, body: bytes) -> None:
    """However short it is."""
    (await node.post_rows(body, JSON)).problem("bad_json")


async def test_half_a_surrogate_pair_is_called_that(node: Api) -> None:
    answer = await node.post_rows(payload(b'{"a":"\\ud800"}'))

    (rejected,) = answer.problem("rows_rejected").rejected or []
    assert "half of a \\u pair" in rejected.detail


async def test_a_single_object_is_one_row(node: Api) -> None:
    """Kept when it is good, a problem with index 0 when it is not."""
    assert (await node.post_rows(b" " + GOOD + b"\n", JSON)).receipt().inserted == 1

    problem = (await node.post_rows(field(ts=2**63), JSON)).problem("rows_rejected")

    assert problem.rejected is not None
    assert problem.rejected[0].index == 0
    assert await node.payloads() == ['{"good":1}']


async def test_a_refusal_says_what_would_be_right(node: Api) -> None:
    """The field, and what it should be, in words; never a regular expression."""
    rows = [field(stream="A"), field(id="x"), field(ts=2**63), field(node="-")]

    problem = (await node.post_rows(joined(rows, NDJSON))).problem("rows_rejected")

    assert [one.detail for one in problem.rejected or []] == [
        "stream: expected 1-64 of a-z 0-9 . _ -",
        "id: expected a UUID, with its hyphens",
        "ts: expected `int` <= 253402300799999999",
        "node: expected 1-64 of a-z 0-9 . _ -, the first a-z 0-9",
    ]


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    "ts",
    [
        *("2026-03-29T02:30:00", "2026-03-29T02:30:00+02:00", "2016-12-31T23:59:60Z", "1760000000"),
        *(1.5, True, [], 253_402_300_800_000_000, -62_135_596_800_000_001, 2**63, 1e300),
    ],
)
async def test_a_time_is_a_whole_number_of_microseconds(node: Api, ts: object) -> None:
    """No zone can be missing, no leap second be odd: whatever else is refused, and named."""
    problem = (await node.post_rows(field(ts=ts))).problem("rows_rejected")

    assert [one.detail.split(":")[0] for one in problem.rejected or []] == ["ts"]


@pytest.mark.fault(53)
async def test_years_1_to_9999_are_kept_to_the_microsecond(node: Api) -> None:
    ends = [-62_135_596_800_000_000, 253_402_300_799_999_999]

    answer = await node.post_rows(joined([field(ts=end) for end in ends], NDJSON))

    assert answer.receipt().inserted == 2
    assert [record.ts for record in (await node.stored()).records] == ends


@pytest.mark.fault(31, 32)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" + GOOD, id="cut array"),
        pytest.param(b"[" + GOOD + b"," + GOOD[:-9], id="array cut in a row"),
        pytest.param(b"[" + GOOD + b"]]", id="one bracket too many"),
        pytest.param(b"[" + GOOD + b'],"', id="more after the array"),
        pytest.param(b"[" * 1_000_000, id="a million brackets"),
        pytest.param(b'[{"a":' * 200_000, id="deep and cut"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"rows"', id="string"),
        pytest.param(b"stream=a&payload=1", id="a form"),
        pytest.param(f"[{GOOD.decode()}]".encode("utf-16"), id="UTF-16"),
        pytest.param(b'[{"stream":"a","payload":{"a":"}]', id="open string"),
    ],
)
async def test_a_body_that_is_no_array_is_refused_whole(node: Api, body: bytes) -> None:
    """Where rows cannot be told apart nothing is stored, and that is said."""
    answer = await node.post_rows(body, JSON)

    assert "nothing was stored" in answer.problem("bad_json").detail
    assert await node.payloads() == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n \n"])
async def test_line_ends_and_blank_lines_do_not_matter(node: Api, end: bytes) -> None:
    """NDJSON from any system; blank lines have no index."""
    receipt = (await node.post_rows(end.join([b"", GOOD, b"x", GOOD, b""]))).receipt()

    assert (receipt.received, receipt.inserted) == (3, 2)
    assert [one.index for one in receipt.rejected] == [1]


async def test_no_rows_are_no_error(node: Api) -> None:
    """An empty NDJSON body and an empty array store nothing and say so."""
    assert (await node.post_rows(b"")).receipt().received == 0
    assert (await node.post_rows(b" [ ] ", JSON)).receipt().received == 0


async def test_payloads_are_kept_byte_for_byte(node: Api) -> None:
    """Duplicate keys, NUL escapes, odd spaces and numbers come back just as they were sent."""
    texts = [
        '{"a":1,"a":2}',
        '{ "a" : 1.0e+00, "b":-0 }',
        '{"a":"\\u0000\\ud83d\\ude00 😀 \u2028"}',
        '{"a":18446744073709551616}',
        nested(32).decode(),
    ]

    receipt = (await node.post_rows(joined([payload(t.encode()) for t in texts], NDJSON))).receipt()

    assert receipt.inserted == len(texts)
    assert await node.payloads() == texts


@pytest.mark.fault(37)
async def test_a_row_with_its_own_id_is_stored_once(node: Api) -> None:
    """The same again is a duplicate, another content a conflict that is kept out and named."""
    own, other = field(id=ID, ts=1), field(id=ID, ts=2)
    assert (await node.post_rows(own)).receipt().inserted == 1
    before = await node.stored()

    receipt = (await node.post_rows(joined([GOOD, own, b"x", other, own], NDJSON))).receipt()

    assert (receipt.inserted, receipt.duplicate, receipt.conflict) == (1, 2, 1)
    assert receipt.conflicts == [3]
    assert [one.index for one in receipt.rejected] == [2]
    after = await node.stored()
    assert after.records[0] == before.records[0]
    assert len(after.records) == 2


@pytest.mark.fault(37)
async def test_of_two_contents_under_one_new_id_the_first_is_kept(node: Api) -> None:
    """Within one request too, nothing is overwritten."""
    body = joined([field(id=ID, ts=1), field(id=ID.upper(), ts=2)], JSON)

    receipt = (await node.post_rows(body, JSON)).receipt()

    assert (receipt.inserted, receipt.conflict, receipt.conflicts) == (1, 1, [1])
    assert [record.ts for record in (await node.stored()).records] == [1]


@pytest.mark.fault(29)
@pytest.mark.parametrize("content_type", KINDS)
async def test_too_many_rows_are_refused_whole(node: Api, content_type: str) -> None:
    """10,000 are taken, one more is not; then nothing is stored."""
    rows = [b'{"stream":"a","payload":{}}'] * ROWS_MAX

    refused = await node.post_rows(joined([*rows, GOOD], content_type), content_type)
    broken = await node.post_rows(joined([*rows, b"NaN"], content_type), content_type)

    refused.problem("too_large")
    broken.problem("too_large")
    assert await node.payloads() == []
    receipt = (await node.post_rows(joined(rows, content_type), content_type)).receipt()
    assert receipt.inserted == ROWS_MAX


async def endless(size: int) -> AsyncIterator[bytes]:
    """Good rows in chunks, without a Content-Length, until `size` bytes are over."""
    chunk = (GOOD + b"\n") * 1_000
    for _ in range(size // len(chunk) + 2):
        yield chunk


@pytest.mark.fault(29)
async def test_an_oversized_body_is_refused(node: Api) -> None:
    """With a Content-Length at once; without one as soon as it is over. Nothing is stored."""
    line = GOOD + b"\n"
    body = line * (APPEND.body_max // len(line) + 1)

    (await node.post_rows(body)).problem("too_large")
    (await node.post_rows(endless(APPEND.body_max))).problem("too_large")

    assert await node.payloads() == []


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/csv", "application/x-www-form-urlencoded", "json", "", None],
)
async def test_another_content_type_is_refused(node: Api, content_type: str | None) -> None:
    """415 with those that are taken; also when it is missing."""
    answer = await node.ask("POST", "/v1/records", GOOD, content_type=content_type)

    assert NDJSON in answer.problem("unsupported_type").detail
    assert await node.payloads() == []


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    "encoding", ["gzip", "br", "deflate", "gzip, gzip", "zstd, zstd", "nonsense"]
)
async def test_a_body_of_another_encoding_is_refused(node: Api, encoding: str) -> None:
    """415 whatever it holds: nothing is unpacked."""
    answer = await node.ask("POST", "/v1/records", GOOD, headers={"Content-Encoding": encoding})

    answer.problem("unsupported_type")
    assert await node.payloads() == []


async def test_a_compressed_body_is_taken(node: Api) -> None:
    """As if it had come as it is."""
    answer = await node.ask(
        "POST",
        "/v1/records",
        compress(joined([GOOD] * 100, NDJSON)),
        content_type=NDJSON,
        headers={"Content-Encoding": "zstd"},
    )

    assert answer.receipt().inserted == 100


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD, id="not compressed"),
        pytest.param(b"", id="nothing"),
        pytest.param(compress(GOOD)[:-3], id="cut"),
        pytest.param(compress(GOOD) + b"x", id="more behind it"),
        pytest.param(compress((GOOD + b"\n") * 1_000_000), id="35 MB out of a few kB"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_refused(node: Api, body: bytes) -> None:
    """Whole, and never unpacked beyond what a body may be."""
    answer = await node.ask(
        "POST",
        "/v1/records",
        body,
        content_type=NDJSON,
        headers={"Content-Encoding": "zstd"},
    )

    answer.problem("bad_request")
    assert await node.payloads() == []


async def test_parameters_beside_the_content_type_do_not_matter(node: Api) -> None:
    receipt = (await node.post_rows(GOOD, "application/x-ndjson; charset=utf-8")).receipt()

    assert receipt.inserted == 1
