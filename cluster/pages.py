"""Pages of records as they are asked for: JSON, NDJSON or CSV for people and tools, SQLite files.

NDJSON, CSV and SQLite pages carry `next` and `more` in headers, a SQLite file its checksum as well
(RFC 9530), and all are compressed where the other side says that it can unpack them.
"""

import asyncio
import csv
import io
from typing import Protocol

import msgspec
from aiohttp import web

from cluster.exchange import CSV, JSON, NDJSON, SQLITE
from cluster.page_file import CHECKSUM, PageFile, checksum
from cluster.problem import Refusal
from cluster.protocol.shared import PAGE_RECORDS_MAX, RECORD_TYPES, RecordPage, served
from cluster.record import id_text
from cluster.record_set import RecordSet
from cluster.records import Filter, Page
from cluster.server import accepted, compressed


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
    request: web.Request, ask: PageAsk, wanted: Filter, rows: RecordSet, epoch: str
) -> web.StreamResponse:
    """The answer to a GET of records. Refusal for another epoch or a representation unknown."""
    media_type = accepted(request, RECORD_TYPES)
    check_epoch(ask.epoch, epoch)
    if media_type == SQLITE:
        return await file_response(
            request, await rows.page_file(ask.after, ask.limit, wanted, ask.upto), epoch
        )
    page = await rows.page(ask.after, min(ask.limit, PAGE_RECORDS_MAX), wanted, ask.upto)
    headers = _headers(epoch, page.next, page.more)
    charset = "utf-8" if media_type == CSV else None
    body = _body(page, epoch, media_type)
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


def _body(page: Page, epoch: str, media_type: str) -> bytes:
    if media_type == JSON:
        return msgspec.json.encode(record_page(page, epoch))
    if media_type == NDJSON:
        return msgspec.json.Encoder().encode_lines([served(*row) for row in page.rows])
    return _csv(page)


def record_page(page: Page, epoch: str) -> RecordPage:
    return RecordPage(epoch, [served(*row) for row in page.rows], page.next, page.more)


def _csv(page: Page) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "node", "ts", "stream", "payload", "hash", "position"))
    for record, position in page.rows:
        writer.writerow((id_text(record.id), *record[1:5], f"{record.hash:016x}", position))
    return text.getvalue().encode()
