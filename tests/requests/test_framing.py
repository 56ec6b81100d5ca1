"""Requests that two programs could read in two ways, and odd targets: refused, or one meaning."""

import pytest

from tests.protocol.conftest import Api
from tests.requests.conftest import cuts
from tests.requests.line import AUTH, HOST, get, line

pytestmark = pytest.mark.usefixtures("nothing_stays")

START = b"GET /v1/status HTTP/1.1\r\n" + AUTH
POST = b"POST /v1/records HTTP/1.1\r\nContent-Type: application/json\r\n" + AUTH
#: What a smuggler hides behind the first request: it must never be answered.
HIDDEN = get("/metrics")


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
TWO_WAYS = {
    "TE and CL": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
    "length +2": POST + b"Content-Length: +2\r\n\r\n[]",
    "length 0x2": POST + b"Content-Length: 0x2\r\n\r\n[]",
    "length 1_0": POST + b"Content-Length: 1_0\r\n\r\n[]",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n[]",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before :": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two hosts": START + HOST + b"\r\n",
    "folded header": START + b"X: a\r\n b\r\n\r\n",
    "NUL in a header": START + b"X: a\x00b\r\n\r\n",
    "bare LF": START + b"X: a\nEvil: b\r\n\r\n",
    "bare CR": START + b"X: a\rEvil: b\r\n\r\n",
    "space in a name": START + b"X Y: a\r\n\r\n",
    "header of 9 kB": START + b"X: " + b"x" * 9_000 + b"\r\n\r\n",
    "200 headers": START + b"X: a\r\n" * 200 + b"\r\n",
    "9 kB of path": b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n" + AUTH + b"\r\n",
    "HTTP/9.9": b"GET /v1/status HTTP/9.9\r\n" + AUTH + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
BAD_CHUNKS = {
    "-1": CHUNKED + b"-1\r\n\r\n",
    "over 2^64": CHUNKED + b"fffffffffffffffff\r\n[]",
    "no number": CHUNKED + b"x\r\n[]",
    "longer than it says": CHUNKED + b"1\r\n[]\r\n0\r\n\r\n",
}


@pytest.mark.fault(33)
async def test_what_can_be_read_in_two_ways_is_refused(service: Api) -> None:
    """400 as a problem, and a close: nothing that comes behind it is taken for a request."""
    for name, request_bytes in TWO_WAYS.items():
        async with line(service) as odd:
            await odd.send(request_bytes + HIDDEN)

            answer = await odd.answer()

            assert answer.status == 400, name
            answer.problem("bad_request")
            assert await odd.is_closed(), name
    assert await cuts(service) == {"bad_http": len(TWO_WAYS)}


@pytest.mark.fault(33)
async def test_a_body_of_bad_chunks_is_refused(node: Api) -> None:
    """Whole, as a problem; what comes behind it is no request."""
    for name, request_bytes in BAD_CHUNKS.items():
        async with line(node) as odd:
            await odd.send(request_bytes + HIDDEN)

            answer = await odd.answer()

            assert answer.status == 400, name
            answer.problem("bad_request")
            assert await odd.is_closed(), name
    assert await node.payloads() == []


@pytest.mark.fault(33)
async def test_a_whole_url_as_the_target_counts_and_not_the_host(service: Api) -> None:
    """As RFC 9112 (3.2.2) says: who is asked is one thing, read in one way."""
    for target, host, status in (
        ("http://localhost/v1/status", "localhost", 200),
        ("https://localhost/v1/status", "localhost", 200),
        ("http://localhost/v1/status", "evil.example", 200),
        ("http://evil.example/v1/status", "localhost", 421),
        ("http://evil.example/v1/status", "evil.example", 421),
        ("/v1/status", "evil.example", 421),
    ):
        async with line(service) as odd:
            await odd.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode())
            await odd.send(AUTH[len(HOST) :] + b"\r\n")

            assert (await odd.answer()).status == status, (target, host)


TARGETS = (
    *("/v1/../v1/nowhere", "/%2e%2e/%2e%2e/etc/passwd", "/v1/%00", "/v1/status%00", "/v1/status/"),
    *("/v1//status", "/v1/statu%73%2f", "*", "/" + "x" * 8_000),
)
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 421: "foreign_host"}


@pytest.mark.fault(34)
@pytest.mark.parametrize("method", ["GET", "POST", "TRACE", "CONNECT", "FOO"])
async def test_an_odd_target_is_nothing(node: Api, method: str) -> None:
    """A problem, whatever is to be done to it. To connect is to ask for another host."""
    for target in TARGETS:
        async with line(node) as odd:
            await odd.send(f"{method} {target} HTTP/1.1\r\n".encode() + AUTH + b"\r\n")

            answer = await odd.answer()

            answer.problem(CODES[answer.status])


NO_MEANING = (
    "Range: bytes=0-5",
    "Range: bytes=5-0",
    "Range: bytes=-1",
    "Range: bytes=9999999999999999999999-",
    "Range: bytes=" + ",".join(["0-"] * 500),
    "Range: lines=1-2",
    "Range: \xff",
    "If-Range: nonsense\r\nRange: bytes=0-0",
    "If-Modified-Since: yesterday",
    'If-None-Match: "x',
    "Accept-Charset: klingon",
    "Cookie: " + "a=b;" * 500,
    "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https",
)


@pytest.mark.fault(35)
async def test_headers_that_mean_nothing_here_change_nothing(service: Api) -> None:
    """There are no ranges, and no second copies: the answer is whole."""
    for header in NO_MEANING:
        async with line(service) as odd:
            await odd.send(b"GET /v1/records HTTP/1.1\r\n" + AUTH)
            await odd.send(header.encode("latin-1") + b"\r\n\r\n")

            answer = await odd.answer()

            assert answer.status == 200, header
            assert answer.json["records"] == []
