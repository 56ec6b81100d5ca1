"""Pages of records as they are asked for: JSON, NDJSON or CSV for people and tools, SQLite files.

NDJSON, CSV and SQLite pages carry `next` and `more` in headers, a SQLite file its checksum as well
(RFC 9530), and all are compressed where the other side says that it can unpack them.
"""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from cluster.exchange import CSV, NDJSON, SQLITE
from cluster.page_file import CHECKSUM, PageFile, checksum
from cluster.problem import Refusal
from cluster.protocol.shared import PAGE_RECORDS_MAX, RECORD_TYPES, RecordPage, Span, served
from cluster.record import id_text
from cluster.record_set import RecordSet
from cluster.records import Filter, Page
from cluster.server import accepted, compressed

SpansOf = Callable[[int, int], Awaitable[Sequence[Span]]]


async def _none_of(first: int, last: int) -> Sequence[Span]:
    return ()


class PageAsk(Protocol):
    """What the asks for pages of nodes and of central have in common."""

    @property
    def after(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def upto(self) -> int: ...
    @property
    def epoch(self) -> str | None: ...


async def answer_page(
    request: web.Request,
    ask: PageAsk,
    wanted: Filter,
    rows: RecordSet,
    epoch: str,
    unsynced: SpansOf = _none_of,
) -> web.StreamResponse:
    """The answer to a GET of records. Refusal for another epoch or a representation unknown.

    `unsynced`: which positions, from the first to the last that it is given, are.
    """
    media_type = accepted(request, RECORD_TYPES)
    check_epoch(ask.epoch, epoch)
    if media_type == SQLITE:
        return await file_response(
            request, await rows.page_file(ask.after, ask.limit, wanted, ask.upto), epoch
        )
    page = await rows.page(ask.after, min(ask.limit, PAGE_RECORDS_MAX), wanted, ask.upto)
    headers = _headers(epoch, page.next, page.more)
    charset = "utf-8" if media_type == CSV else None
    spans = await unsynced(page.rows[0][1], page.rows[-1][1]) if page.rows else []
    body = _body(page, epoch, media_type, spans)
    response = web.Response(body=body, content_type=media_type, charset=charset, headers=headers)
    return await compressed(request, response)


def check_epoch(asked: str | None, epoch: str) -> None:
    if asked not in (None, epoch):
        raise Refusal("epoch_changed", f"the epoch is {epoch}; begin again with after=0")


async def file_response(request: web.Request, page: PageFile, epoch: str) -> web.StreamResponse:
    """A page file as an answer."""
    headers = _headers(epoch, page.next, page.more) | {
        CHECKSUM: await asyncio.to_thread(checksum, page.content)
    }
    response = web.Response(body=page.content, content_type=SQLITE, headers=headers)
    return await compressed(request, response)


def _headers(epoch: str, following: int, more: bool) -> dict[str, str]:
    return {
        "Tidehold-Epoch": epoch,
        "Tidehold-Next": str(following),
        "Tidehold-More": str(more).lower(),
    }


def _body(page: Page, epoch: str, media_type: str, unsynced: Sequence[Span]) -> bytes:
    if media_type == CSV:
        return _csv(page)
    records = [served(*row, unsynced) for row in page.rows]
    if media_type == NDJSON:
        return msgspec.json.Encoder().encode_lines(records)
    return msgspec.json.encode(RecordPage(epoch, records, page.next, page.more))


def _csv(page: Page) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "node", "ts", "stream", "payload", "hash", "position"))
    for record, position in page.rows:
        writer.writerow((id_text(record.id), *record[1:5], f"{record.hash:016x}", position))
    return text.getvalue().encode()
