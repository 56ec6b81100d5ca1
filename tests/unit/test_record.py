"""The record: ids that always increase, a hash of everything in it, payloads kept byte for byte."""

import json
import uuid
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.digest import MODULUS
from cluster.record import (
    PAYLOAD_BYTES_MAX,
    PAYLOAD_DEPTH_MAX,
    TS_MAX,
    TS_MIN,
    IdMaker,
    Record,
    RowError,
    check_payload,
    hash_of,
    id_text,
    make,
    next_id,
    parse_id,
)

BORN = Record(
    id=bytes.fromhex("01890a5dac96774bbcceb302099a8057"),
    node="n1",
    ts=1_700_000_000_000_000,
    stream="t.outdoor",
    payload='{"celsius": 21.5}',
    hash=0x7961593E5C929FBC,
)
CLOCK_US = st.integers(min_value=-(10**15), max_value=2**48 * 1000 - 1)
RECORD_IDS = st.binary(min_size=16, max_size=16)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


def nested(depth: int) -> bytes:
    """An object nested `depth` deep, itself included."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def as_int(record_id: bytes) -> int:
    return int.from_bytes(record_id, "big")


@settings(max_examples=60, deadline=None)
@given(st.lists(CLOCK_US, min_size=2, max_size=40))
@example([5_000_000, 5_000_000, 1_000, -1_000_000, 5_000_999])
def test_ids_increase_whatever_the_clock_does(clock: list[int]) -> None:
    """Steps back, standing still and leaps: the next id is always the higher one."""
    maker = IdMaker()

    ids = [maker.next(now_us) for now_us in clock]

    assert all(earlier < later for earlier, later in pairwise(ids))


@settings(max_examples=60, deadline=None)
@given(before=st.lists(CLOCK_US, min_size=1, max_size=10), after_us=CLOCK_US)
def test_ids_increase_over_a_restart(before: list[int], after_us: int) -> None:
    """The last id in the database is all that a new process needs to go on in order."""
    maker = IdMaker()
    last = [maker.next(now_us) for now_us in before][-1]

    first = IdMaker(last).next(after_us)

    assert first > last


@settings(max_examples=60, deadline=None)
@given(st.lists(CLOCK_US, min_size=1, max_size=20))
def test_ids_are_uuids_of_version_7(clock: list[int]) -> None:
    """RFC 9562: version 7, its variant, and the milliseconds of the clock in front."""
    maker = IdMaker()

    for number, now_us in enumerate(clock):
        made = uuid.UUID(bytes=maker.next(now_us))

        assert made.version == 7
        assert made.variant == uuid.RFC_4122
        if number == 0 and now_us >= 1000:
            assert made.int >> 80 == now_us // 1000


def test_a_full_tail_moves_on_to_the_next_millisecond() -> None:
    """So many ids in one millisecond that the tail overflows: still in order, still version 7."""
    last = bytes.fromhex("01890a5dac967fffbfffffffffffffff")

    following = IdMaker(last).next(0)

    assert following > last
    assert as_int(following) >> 80 == (as_int(last) >> 80) + 1
    assert uuid.UUID(bytes=following).version == 7


def test_the_hash_never_changes_from_version_to_version() -> None:
    """A golden vector: another value here would make every database in the field "altered"."""
    assert make(*BORN[:5]) == BORN


@settings(max_examples=60, deadline=None)
@given(
    record_id=RECORD_IDS,
    node=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    ts=st.integers(TS_MIN, TS_MAX),
    stream=st.from_regex(r"[a-z0-9._-]{1,64}", fullmatch=True),
    payload=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_field_is_in_the_hash(
    record_id: bytes, node: str, ts: int, stream: str, payload: str
) -> None:
    """Each field changed alone gives another hash; every hash has 63 bits."""
    whole = hash_of(record_id, node, ts, stream, payload)

    others = {
        hash_of(bytes([record_id[0] ^ 1]) + record_id[1:], node, ts, stream, payload),
        hash_of(record_id, node + "x", ts, stream, payload),
        hash_of(record_id, node, ts - 1 if ts > TS_MIN else ts + 1, stream, payload),
        hash_of(record_id, node, ts, stream + "x", payload),
        hash_of(record_id, node, ts, stream, payload + " "),
    }

    assert whole not in others
    assert all(0 <= value < MODULUS for value in (whole, *others))


def test_fields_cannot_run_into_each_other() -> None:
    """The same letters cut in another place are another record."""
    assert hash_of(BORN.id, "ab", 1, "c", "{}") != hash_of(BORN.id, "a", 1, "bc", "{}")
    assert hash_of(BORN.id, "a", 1, "bc", "{}") != hash_of(BORN.id, "a", 1, "b", "c{}")


@settings(max_examples=60, deadline=None)
@given(RECORD_IDS)
def test_ids_are_read_as_they_are_written(record_id: bytes) -> None:
    """Text and bytes of an id are the same thing, in the words of the standard library too."""
    text = id_text(record_id)

    assert parse_id(text) == parse_id(text.upper()) == record_id
    assert text == str(uuid.UUID(bytes=record_id))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
        "01890a5d-ac96-774b-bcce-b302099a805g",
        "٠1890a5d-ac96-774b-bcce-b302099a8057",
    ],
)
def test_what_is_no_uuid_is_no_id(text: str) -> None:
    """One spelling only: what looks nearly right is refused, not repaired."""
    with pytest.raises(RowError) as refused:
        parse_id(text)

    assert refused.value.code == "bad_id"


@settings(max_examples=40, deadline=None)
@given(RECORD_IDS)
@example(b"\xff" * 16)
@example(b"\x00" * 15 + b"\xff")
def test_the_next_id_is_the_very_next(record_id: bytes) -> None:
    """Nothing lies between; after the last there is none."""
    following = next_id(record_id)

    if following is None:
        assert record_id == b"\xff" * 16
    else:
        assert as_int(following) == as_int(record_id) + 1


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES, max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_a_payload_is_kept_byte_for_byte(
    value: dict[str, object], indent: int | None, escaped: bool
) -> None:
    """Any JSON object comes out as it came in; only line breaks between tokens become spaces."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)

    kept = check_payload(text.encode())

    assert kept == text.replace("\n", " ")
    assert json.loads(kept) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":"\\u0000"}',
        '{"a":"line\\nbreak\\r"}',
        '{"a":"\u2028\u2029"}',
        '{"a":"\\ud83d\\ude00 😀"}',
        ' { "a" : 1.0e+00 , "b" : -0 }\t',
        '{"a":18446744073709551616,"b":-9223372036854775809}',
        '{"":{}}',
        "{}",
    ],
)
def test_what_is_odd_but_json_is_kept_as_it_is(text: str) -> None:
    """Duplicate keys, NUL escapes, 2^64 and the shape of numbers are the sender's business."""
    assert check_payload(text.encode()) == text


def test_line_breaks_between_tokens_become_spaces() -> None:
    """A record is one line, whatever the line ends of its sender."""
    assert check_payload(b'{\r\n"a":\n1\r}\n') == '{  "a": 1 } '


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":1e999}', id="1e999"),
        pytest.param(b'{"a":-1e999}', id="-1e999"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a":"\\ud800"}', id="lone high surrogate"),
        pytest.param(b'{"\\udfff":1}', id="lone low surrogate"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"a":"\x00"}', id="raw NUL"),
        pytest.param(b'{"a":"\n"}', id="raw line break in a string"),
        pytest.param(b"\xef\xbb\xbf{}", id="BOM"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"{}"', id="string"),
        pytest.param(b"1", id="number"),
        pytest.param(b"{}{}", id="two objects"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":1', id="cut short"),
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """Whatever `json.loads` or SQLite would let through by mistake stops here, in one line."""
    with pytest.raises(RowError, match=r"^not a JSON object: ") as refused:
        check_payload(raw)

    assert refused.value.code == "bad_payload"
    assert "\n" not in str(refused.value)


def test_depth_is_limited_exactly() -> None:
    """32 levels are taken, in objects and in lists; 33 are not."""
    at_limit, over = nested(PAYLOAD_DEPTH_MAX), nested(PAYLOAD_DEPTH_MAX + 1)
    lists = b'{"a":' + b"[" * (PAYLOAD_DEPTH_MAX - 1) + b"]" * (PAYLOAD_DEPTH_MAX - 1) + b"}"

    assert check_payload(at_limit) == at_limit.decode()
    assert check_payload(lists) == lists.decode()
    with pytest.raises(RowError) as refused:
        check_payload(over)
    assert refused.value.code == "too_deep"


@pytest.mark.parametrize("depth", [900, 10_900])
def test_bottomless_nesting_is_refused_and_nothing_breaks(depth: int) -> None:
    """Deeper than Python's own stack: the same refusal, no RecursionError."""
    with pytest.raises(RowError) as refused:
        check_payload(nested(depth))

    assert refused.value.code == "too_deep"


def test_a_wide_payload_is_not_a_deep_one() -> None:
    """Brackets side by side, or inside of strings, are no depth."""
    wide = b'{"a":[' + b",".join([b"{}"] * 200) + b'],"b":"' + b"[{" * 200 + b'"}'

    assert check_payload(wide) == wide.decode()


def test_size_is_limited_in_bytes_exactly() -> None:
    """64 KiB are taken, one byte more is not; letters of two bytes count twice."""
    empty = len('{"a":""}')
    full = '{"a":"' + "x" * (PAYLOAD_BYTES_MAX - empty) + '"}'
    umlauts = '{"a":"' + "ü" * (PAYLOAD_BYTES_MAX // 2) + '"}'

    assert check_payload(full.encode()) == full
    for over in (full + " ", umlauts, nested(100_000).decode()):
        with pytest.raises(RowError) as refused:
            check_payload(over.encode())
        assert refused.value.code == "payload_too_large"
