"""Pages of records as people and tools want them: JSON, NDJSON or CSV."""

import csv
import io

import msgspec
from aiohttp import web

from cluster.exchange import CSV, JSON, NDJSON
from cluster.protocol.shared import RecordPage, served
from cluster.record import id_text
from cluster.records import Page


def page_response(page: Page, epoch: str, media_type: str) -> web.Response:
    """The answer to a GET of records. NDJSON and CSV carry `next` and `more` in headers."""
    if media_type == JSON:
        body = msgspec.json.encode(record_page(page, epoch))
    elif media_type == NDJSON:
        body = msgspec.json.Encoder().encode_lines([served(*row) for row in page.rows])
    else:
        body = _csv(page)
    headers = {
        "Tidehold-Epoch": epoch,
        "Tidehold-Next": str(page.next),
        "Tidehold-More": str(page.more).lower(),
    }
    charset = "utf-8" if media_type == CSV else None
    return web.Response(body=body, content_type=media_type, charset=charset, headers=headers)


def record_page(page: Page, epoch: str) -> RecordPage:
    return RecordPage(epoch, [served(*row) for row in page.rows], page.next, page.more)


def _csv(page: Page) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "node", "ts", "stream", "payload", "hash", "position"))
    for record, position in page.rows:
        writer.writerow((id_text(record.id), *record[1:5], f"{record.hash:016x}", position))
    return text.getvalue().encode()
