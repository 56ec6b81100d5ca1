"""Pages of records: every format says the same, and what came out can go in again."""

import csv
import io
import json

import pytest

from cluster.arrival import WHOLE_MAX
from cluster.compression import decompress
from cluster.exchange import NDJSON, SQLITE
from cluster.page_file import CHECKSUM, TABLE, checksum
from cluster.protocol.node import RECORDS
from cluster.protocol.shared import PAGE_RECORDS_MAX
from cluster.record import TS_MAX, Record, id_text, make
from tests.page_files import page_of, rows_of
from tests.protocol.conftest import Api
from tests.world import lines

COLUMNS = ("id", "node", "ts", "stream", "payload", "hash", "position")
TEXTS = [
    '{"a":1,"a":2}',
    '{"text":"comma, \\"quote\\", \\n line break, 😀"}',
    '{ "spaced" : [ 1.50 , -0 ] }',
    "{}",
]


async def fill(node: Api) -> None:
    """Store TEXTS; one of them in another stream, with its own id and ts."""
    rows = [f'{{"stream":"s","payload":{text}}}' for text in TEXTS[:3]]
    own = '"id":"01890a5d-ac96-774b-bcce-b302099a8057","ts":-5'
    rows.append(f'{{"stream":"other",{own},"payload":{TEXTS[3]}}}')
    assert (await node.post_rows("\n".join(rows))).receipt().inserted == 4


async def test_every_format_says_the_same(node: Api) -> None:
    """The same records, the same bytes of payload, the same way on."""
    await fill(node)

    page = await node.stored()
    lines = await node.ask("GET", "/v1/records", headers={"Accept": "application/x-ndjson"})
    table = await node.ask("GET", "/v1/records", headers={"Accept": "text/csv"})
    file = await node.ask("GET", "/v1/records", headers={"Accept": SQLITE})

    assert [bytes(record.payload).decode() for record in page.records] == TEXTS
    as_json = [
        [str(getattr(record, name)) for name in COLUMNS if name != "payload"]
        for record in page.records
    ]
    as_lines = [json.loads(line) for line in lines.body.splitlines()]
    assert [[str(row[name]) for name in COLUMNS if name != "payload"] for row in as_lines] == (
        as_json
    )
    head, *rows = csv.reader(io.StringIO(table.body.decode(), newline=""))
    assert tuple(head) == COLUMNS
    assert [[text for n, text in enumerate(row) if n != 4] for row in rows] == as_json
    assert [row[4] for row in rows] == TEXTS
    kept = rows_of(file.body)
    assert [
        [id_text(one), owner, str(ts), stream, f"{value:016x}", str(position)]
        for position, one, owner, ts, stream, _, value in kept
    ] == as_json
    assert [row[5] for row in kept] == TEXTS
    assert file.headers[CHECKSUM] == checksum(file.body)
    for answer in (lines, table, file):
        assert answer.headers["Tidehold-Epoch"] == page.epoch
        assert answer.headers["Tidehold-Next"] == str(page.next)
        assert answer.headers["Tidehold-More"] == "false"


@pytest.mark.fault(60)
async def test_no_cell_of_a_csv_is_a_formula(node: Api) -> None:
    """Nothing has to be put in front: a payload is a JSON object, and names have no such sign."""
    hostile = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", '","=1', "\n=1", "\r=1", "\t=1"]
    payloads = [json.dumps({text: text}) for text in hostile]
    rows = [f'{{"stream":"s","payload":{payload}}}' for payload in payloads]
    assert (await node.post_rows("\n".join(rows))).receipt().inserted == len(rows)

    table = await node.ask("GET", "/v1/records", headers={"Accept": "text/csv"})

    read = list(csv.reader(io.StringIO(table.body.decode(), newline="")))
    assert [row[4] for row in read[1:]] == payloads
    assert not [cell for row in read for cell in row if cell[0] in "=+-@\t\r\n"]


async def test_what_a_get_gave_can_be_posted_back_as_it_is(node: Api) -> None:
    """NDJSON out, NDJSON in: every row is a duplicate, nothing changes."""
    await fill(node)
    before = await node.stored()
    lines = await node.ask("GET", "/v1/records", headers={"Accept": "application/x-ndjson"})

    receipt = (await node.post_rows(lines.body)).receipt()

    assert (receipt.received, receipt.duplicate) == (4, 4)
    assert (await node.stored()).records == before.records


async def test_a_sqlite_page_can_be_posted_back_too(node: Api) -> None:
    """With its checksum or without."""
    await fill(node)
    page = await node.ask("GET", "/v1/records", headers={"Accept": SQLITE})

    for headers in ({}, {CHECKSUM: page.headers[CHECKSUM]}):
        answer = await node.ask(
            "POST", "/v1/records", page.body, content_type=SQLITE, headers=headers
        )

        receipt = answer.receipt()
        assert (receipt.received, receipt.duplicate) == (4, 4)


async def test_a_json_page_can_be_posted_back_too(node: Api) -> None:
    """The array inside of the page is an array of rows."""
    await fill(node)
    page = (await node.ask("GET", "/v1/records")).body
    start, end = page.index(b"["), page.rindex(b"]") + 1

    receipt = (await node.post_rows(page[start:end], "application/json")).receipt()

    assert (receipt.received, receipt.duplicate) == (4, 4)


@pytest.mark.parametrize("kind", RECORDS.gives)
async def test_pages_lead_on_in_every_format(node: Api, kind: str) -> None:
    """`next` and `more` bring every record once."""
    await fill(node)
    seen, after, more = 0, "0", True

    while more:
        answer = await node.ask(
            "GET", f"/v1/records?limit=3&after={after}", headers={"Accept": kind}
        )
        count = {
            "application/json": lambda body: len(json.loads(body)["records"]),
            "application/x-ndjson": lambda body: len(body.splitlines()),
            "text/csv": lambda body: len(body.splitlines()) - 1,
            SQLITE: lambda body: len(rows_of(body)),
        }[kind](answer.body)
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        seen += count
        after, more = answer.headers["Tidehold-Next"], answer.headers["Tidehold-More"] == "true"

    assert (seen, after) == (4, "4")


async def test_a_page_for_people_has_an_end_of_its_own(node: Api) -> None:
    """A program that takes SQLite pages may ask for more at once."""
    await node.post_rows('{"stream":"s","payload":{}}\n' * (PAGE_RECORDS_MAX + 1))

    as_json = await node.ask("GET", "/v1/records?limit=20000")
    file = await node.ask("GET", "/v1/records?limit=20000", headers={"Accept": SQLITE})

    assert len(as_json.json["records"]) == PAGE_RECORDS_MAX
    assert as_json.json["more"]
    assert len(rows_of(file.body)) == PAGE_RECORDS_MAX + 1
    assert file.headers["Tidehold-More"] == "false"


@pytest.mark.parametrize("kind", RECORDS.gives)
async def test_a_page_is_compressed_for_those_who_say_that_they_can_unpack_it(
    node: Api, kind: str
) -> None:
    """Unpacked it is the same, byte for byte."""
    await node.post_rows('{"stream":"s","payload":{}}\n' * 100)
    accept = {"Accept": kind}

    plain = await node.ask("GET", "/v1/records", headers=accept)
    packed = await node.ask(
        "GET", "/v1/records", headers={**accept, "Accept-Encoding": "gzip, zstd"}
    )

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "zstd"
    assert len(packed.body) < len(plain.body)
    assert decompress(packed.body, len(plain.body)) == plain.body


@pytest.mark.parametrize("kind", ["application/json", SQLITE])
async def test_filters_hold(node: Api, kind: str) -> None:
    """By stream, and by time with `since` inclusive and `until` not."""
    await fill(node)

    async def found(query: str) -> list[int]:
        answer = await node.ask("GET", f"/v1/records?{query}", headers={"Accept": kind})
        assert answer.status == 200
        if kind == SQLITE:
            return [row[0] for row in rows_of(answer.body)]
        return [record["position"] for record in answer.json["records"]]

    assert await found("stream=other") == [4]
    assert await found("stream=null") == []
    assert await found("until=-5") == []
    assert await found("since=-5&until=-4") == [4]
    assert await found("since=0") == [1, 2, 3]
    assert await found("upto=2") == [1, 2]
    assert await found("upto=3&after=2") == [3]


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("application/vnd.sqlite3", "application/vnd.sqlite3"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv;q=0.5", "text/csv"),
        ("image/png, application/x-ndjson", "application/x-ndjson"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/csv, application/json", "application/json"),
        ("text/csv;q=0.1, application/json;q=0.9", "application/json"),
        ("application/json;q=0.1, text/csv;q=0.9", "text/csv"),
        ("application/json;q=0, text/csv", "text/csv"),
        ("application/json;q=0, */*", "application/x-ndjson"),
        ("*/*;q=0.1, text/csv", "text/csv"),
        ("*/*, text/csv", "text/csv"),
        ("text/csv;charset=utf-8;q=nonsense", "text/csv"),
        ("text/csv;q=0.9, application/x-ndjson;q=1.9", "application/x-ndjson"),
        ("application/json;q=1, text/csv;q=1.9", "application/json"),
    ],
)
async def test_the_client_gets_what_it_accepts(
    service: Api, accept: str | None, given: str
) -> None:
    """A browser and curl get JSON without asking for it."""
    headers = {} if accept is None else {"Accept": accept}

    answer = await service.ask("GET", "/v1/records", headers=headers)

    assert answer.headers["Content-Type"].partition(";")[0] == given


@pytest.mark.parametrize(
    "accept",
    ["image/png", "text/html", "application/x-sqlite3", "nonsense", "json/*", "*/*;q=0"],
)
async def test_what_cannot_be_given_is_refused(service: Api, accept: str) -> None:
    """406 with what can be had."""
    answer = await service.ask("GET", "/v1/records", headers={"Accept": accept})

    assert "application/x-ndjson" in answer.problem("not_acceptable").detail


async def test_windows_and_fetch_agree_with_the_page(node: Api) -> None:
    """The list of the whole window is the set; what is inside of windows are those records."""
    await fill(node)
    page = await node.stored()
    own = page.records[3].id

    digests = await node.ask("POST", "/v1/digest", {"windows": ["", "01890a5d", "ff"]})
    fetched = await node.ask("POST", "/v1/fetch", {"windows": [own.replace("-", ""), "ff"]})
    all_of_it = await node.ask("POST", "/v1/fetch", {"windows": [""]})

    whole, some, none = digests.json["windows"]
    assert whole["elements"] == sorted([record.id, record.hash] for record in page.records)
    assert some["elements"] == [[own, page.records[3].hash]]
    assert (none.get("count", 0), none["digest"]) == (0, "0" * 16)
    assert [row[0] for row in rows_of(fetched.body)] == [4]
    assert [row[0] for row in rows_of(all_of_it.body)] == [1, 2, 3, 4]
    for answer in (fetched, all_of_it):
        assert answer.headers["Tidehold-Epoch"] == page.epoch
        assert answer.headers["Tidehold-More"] == "false"


async def test_a_window_of_many_is_told_by_its_children(node: Api) -> None:
    """In order, null where there is nothing, and together they are the whole."""
    ids = [bytes([16 * (n % 3), n % 256]) + n.to_bytes(14, "big") for n in range(300)]
    rows = [f'{{"id":"{id_text(one)}","stream":"s","ts":0,"payload":{{}}}}' for one in ids]
    assert (await node.post_rows("\n".join(rows))).receipt().inserted == 300
    stored = (await node.stored()).records

    answer = await node.ask("POST", "/v1/digest", {"windows": ["", "0", "00"], "upto": 150})

    for view in answer.json["windows"]:
        inner = [one for one in stored[:150] if one.id.startswith(view["window"])]
        assert "elements" not in view
        assert view["count"] == len(inner)
        assert len(view["children"]) == 16
        for digit, child in zip("0123456789abcdef", view["children"], strict=True):
            hashes = [
                int(one.hash, 16) for one in inner if one.id.startswith(view["window"] + digit)
            ]
            assert child == ([len(hashes), f"{sum(hashes) % 2**63:016x}"] if hashes else None)


async def test_windows_of_a_fetch_may_overlap(node: Api) -> None:
    """What lies in several of them comes once."""
    (await node.post_rows(lines(5))).receipt()
    windows = ["ff", "0", "", *(record.id[:6] for record in (await node.stored()).records), ""]

    answer = await node.ask("POST", "/v1/fetch", {"windows": windows})

    assert answer.status == 200
    assert len(rows_of(answer.body)) == 5


async def test_fetch_leads_on_by_the_last_id(node: Api) -> None:
    """Every record of the windows comes once."""
    await fill(node)
    expected = sorted(record.id for record in (await node.stored()).records)
    seen: list[str] = []
    ask: dict[str, object] = {"windows": ["0"], "limit": 3}

    more = True
    while more:
        answer = await node.ask("POST", "/v1/fetch", ask)
        seen += sorted(id_text(row[1]) for row in rows_of(answer.body))
        following = int(seen[-1].replace("-", ""), 16) + 1
        ask["first"] = id_text(following.to_bytes(16, "big"))
        more = answer.headers["Tidehold-More"] == "true"

    assert seen == expected


async def test_fetch_of_another_epoch_is_refused(node: Api) -> None:
    """Whoever asks for windows has compared another database."""
    answer = await node.ask("POST", "/v1/fetch", {"windows": [""], "epoch": "0" * 16})

    answer.problem("epoch_changed")


GOOD = make(bytes(16), "n1", 1, "s", "{}")
OTHER = make(bytes(15) + b"1", "n1", 1, "s", '{"a":1}')
POSTED = page_of([GOOD, OTHER])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 5_000, id="noise"),
        pytest.param(POSTED[:-4096], id="cut"),
        pytest.param(POSTED[:4096] + b"\xa5" * 4096, id="a damaged page"),
        pytest.param(page_of([GOOD], "PRAGMA application_id = 7"), id="another program's"),
        pytest.param(page_of([GOOD], "CREATE TABLE more (x)"), id="another table"),
        pytest.param(page_of([GOOD], "CREATE INDEX more ON records (ts)"), id="an index"),
        pytest.param(
            page_of(
                [GOOD],
                "CREATE TRIGGER more BEFORE INSERT ON records BEGIN SELECT 1; END",
            ),
            id="a trigger",
        ),
        pytest.param(
            page_of([GOOD], "DROP TABLE records", "CREATE VIEW records AS SELECT 1"), id="a view"
        ),
        pytest.param(page_of([GOOD], table=TABLE.replace(" STRICT", "")), id="loose types"),
        pytest.param(
            page_of([GOOD], table=TABLE.replace("payload TEXT", "payload ANY")), id="other columns"
        ),
    ],
)
async def test_a_file_that_is_no_page_is_refused_whole(node: Api, page: bytes) -> None:
    """It may have been made to do harm: one table like ours, and nothing else in it."""
    answer = await node.ask("POST", "/v1/records", page, content_type=SQLITE)

    answer.problem("bad_page")
    assert await node.payloads() == []


async def test_a_page_that_was_damaged_on_its_way_is_refused(node: Api) -> None:
    """The checksum that came with it is that of another content."""
    answer = await node.ask(
        "POST",
        "/v1/records",
        POSTED,
        content_type=SQLITE,
        headers={CHECKSUM: checksum(page_of([GOOD]))},
    )

    assert "damaged on its way" in answer.problem("bad_page").detail
    assert await node.payloads() == []


@pytest.mark.parametrize(
    ("row", "code"),
    [
        pytest.param(OTHER._replace(hash=OTHER.hash ^ 1), "hash_mismatch", id="hash"),
        pytest.param(OTHER._replace(payload='{"a":2}'), "hash_mismatch", id="content"),
        pytest.param(make(OTHER.id, "n2", 1, "s", "{}"), "wrong_node", id="another node's"),
        pytest.param(make(OTHER.id, "n1", 1, "s", "[]"), "bad_payload", id="no object"),
        pytest.param(make(OTHER.id, "n1", 1, "s", '{"a":\n1}'), "bad_payload", id="two lines"),
        pytest.param(make(OTHER.id, "n1", 1, "S", "{}"), "bad_value", id="stream"),
        pytest.param(make(OTHER.id, "n1", TS_MAX + 1, "s", "{}"), "bad_value", id="ts"),
        pytest.param(OTHER._replace(id=b"short"), "bad_id", id="short id"),
    ],
)
@pytest.mark.parametrize("others", [2, 1_500], ids=["small page", "large page"])
async def test_a_bad_row_of_a_page_is_named_and_the_good_ones_are_kept(
    node: Api, row: Record, code: str, others: int
) -> None:
    """In a large page only a sample is hashed; what else can be seen of a row is seen of all."""
    good = [make(n.to_bytes(16, "big"), "n1", n, "s", "{}") for n in range(1_000, 1_000 + others)]
    if others > WHOLE_MAX and code in ("hash_mismatch", "bad_payload"):
        bad_ones = [
            row._replace(id=bytes([255] * 14) + n.to_bytes(2, "big")) for n in range(others)
        ]
    else:
        bad_ones = [row]

    answer = await node.ask("POST", "/v1/records", page_of([*good, *bad_ones]), content_type=SQLITE)

    receipt = answer.receipt()
    assert (receipt.received, receipt.inserted) == (others + len(bad_ones), others)
    assert [one.index for one in receipt.rejected] == list(range(others, others + len(bad_ones)))
    assert len(await node.payloads()) == others


async def test_an_id_twice_in_a_page_is_kept_once(node: Api) -> None:
    """As in rows of any other format: the first of it."""
    other = make(GOOD.id, "n1", 2, "s", '{"b":1}')

    answer = await node.ask(
        "POST", "/v1/records", page_of([GOOD, GOOD, other]), content_type=SQLITE
    )

    receipt = answer.receipt()
    assert (receipt.inserted, receipt.duplicate, receipt.conflicts) == (1, 1, [2])
    assert await node.payloads() == [GOOD.payload]


async def test_a_conflict_in_a_page_is_named(node: Api) -> None:
    """What is held is never overwritten; the rest of the page is stored."""
    await node.ask("POST", "/v1/records", page_of([GOOD]), content_type=SQLITE)
    clashing = make(GOOD.id, "n1", 1, "s", '{"b":1}')

    answer = await node.ask("POST", "/v1/records", page_of([OTHER, clashing]), content_type=SQLITE)

    receipt = answer.receipt()
    assert (receipt.inserted, receipt.conflict, receipt.conflicts) == (1, 1, [1])
    assert await node.payloads() == [GOOD.payload, OTHER.payload]


async def test_records_from_before_the_clock_was_set_say_so(node: Api) -> None:
    """This node has no time server. Only those whose time is the node's, and only where asked
    in a form that people and tools read."""
    await node.post_rows(b'{"stream":"a","payload":{}}\n{"stream":"b","ts":5,"payload":{}}')

    first, second = (await node.ask("GET", "/v1/records")).json["records"]
    lines = await node.ask("GET", "/v1/records", headers={"Accept": NDJSON})

    assert first["unsynced"] is True
    assert "correction_us" not in first  # nobody knows it yet
    assert "unsynced" not in second
    assert lines.body.splitlines()[0].endswith(b'"unsynced":true}')
    assert (await node.ask("GET", "/v1/status")).json["records"]["unsynced"] == 1
