"""Pages of records: JSON, NDJSON and CSV say the same, and what came out can go in again."""

import csv
import io
import json

import pytest

from tests.protocol.conftest import Api

NO_ID = "00000000-0000-0000-0000-000000000000"
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
    for answer in (lines, table):
        assert answer.headers["Tidehold-Epoch"] == page.epoch
        assert answer.headers["Tidehold-Next"] == str(page.next)
        assert answer.headers["Tidehold-More"] == "false"


async def test_what_a_get_gave_can_be_posted_back_as_it_is(node: Api) -> None:
    """NDJSON out, NDJSON in: every row is a duplicate, nothing changes."""
    await fill(node)
    before = await node.stored()
    lines = await node.ask("GET", "/v1/records", headers={"Accept": "application/x-ndjson"})

    receipt = (await node.post_rows(lines.body)).receipt()

    assert (receipt.received, receipt.duplicate) == (4, 4)
    assert (await node.stored()).records == before.records


async def test_a_json_page_can_be_posted_back_too(node: Api) -> None:
    """The array inside of the page is an array of rows."""
    await fill(node)
    page = (await node.ask("GET", "/v1/records")).body
    start, end = page.index(b"["), page.rindex(b"]") + 1

    receipt = (await node.post_rows(page[start:end], "application/json")).receipt()

    assert (receipt.received, receipt.duplicate) == (4, 4)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/csv"])
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
        }[kind](answer.body)
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        seen += count
        after, more = answer.headers["Tidehold-Next"], answer.headers["Tidehold-More"] == "true"

    assert (seen, after) == (4, "4")


async def test_filters_hold(node: Api) -> None:
    """By stream, and by time with `since` inclusive and `until` not."""
    await fill(node)

    async def found(query: str) -> list[int]:
        answer = await node.ask("GET", f"/v1/records?{query}")
        return [record["position"] for record in answer.json["records"]]

    assert await found("stream=other") == [4]
    assert await found("stream=null") == []
    assert await found("until=-5") == []
    assert await found("since=-5&until=-4") == [4]
    assert await found("since=0") == [1, 2, 3]


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
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
    ["image/png", "text/html", "application/vnd.sqlite3", "nonsense", "json/*", "*/*;q=0"],
)
async def test_what_cannot_be_given_is_refused(service: Api, accept: str) -> None:
    """406 with what can be had."""
    answer = await service.ask("GET", "/v1/records", headers={"Accept": accept})

    assert "application/x-ndjson" in answer.problem("not_acceptable").detail


async def test_windows_and_fetch_agree_with_the_page(node: Api) -> None:
    """The list of the whole window is the set; records by id are those records."""
    await fill(node)
    page = await node.stored()

    digests = await node.ask("POST", "/v1/digest", {"windows": ["", "01890a5d", "ff"]})
    fetched = await node.ask("POST", "/v1/fetch", {"ids": [page.records[3].id, NO_ID]})

    whole, some, none = digests.json["windows"]
    assert whole["elements"] == sorted([record.id, record.hash] for record in page.records)
    assert some["elements"] == [[page.records[3].id, page.records[3].hash]]
    assert (none.get("count", 0), none["digest"]) == (0, "0" * 16)
    assert [one["position"] for one in fetched.json["records"]] == [4]
