"""The least that aiohttp does for the same: peers of central, each in a process of its own.

`python -m benchmarks.bare poll SECONDS PORT...` asks each port once a second and prints its CPU
seconds, its polls and how late 99 % of them began, in ms, as JSON; `python -m benchmarks.bare
serve` answers with the bytes from its standard input, prints its port, and serves until killed.
"""

import asyncio
import json
import sys
import time

import aiohttp
import uvloop
from aiohttp import web

from cluster.peer import open_session


async def poll(seconds: float, ports: list[int]) -> None:
    late_s: list[float] = []
    async with open_session() as session:
        start_s = asyncio.get_running_loop().time() + 1.0
        lanes = [
            _lane(session, port, start_s + number / len(ports), start_s + seconds, late_s)
            for number, port in enumerate(ports)
        ]
        await asyncio.gather(*lanes)
    late_s.sort()
    print(json.dumps([time.process_time(), len(late_s), 1000 * late_s[len(late_s) * 99 // 100]]))


async def _lane(
    session: aiohttp.ClientSession, port: int, due_s: float, end_s: float, late_s: list[float]
) -> None:
    """One node: asked, read and decoded; whatever fails is one poll too."""
    loop = asyncio.get_running_loop()
    url, headers = f"http://127.0.0.1:{port}/v1/status", {"Authorization": f"Bearer {'t' * 32}"}
    while due_s < end_s:
        await asyncio.sleep(due_s - loop.time())
        late_s.append(loop.time() - due_s)
        try:
            async with asyncio.timeout(0.8), session.get(url, headers=headers) as response:
                json.loads(await response.read())
        except (TimeoutError, aiohttp.ClientError, ValueError):
            pass
        due_s = max(due_s, loop.time() - 1.0) + 1.0


async def serve(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/v1/status", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    if word == "poll":
        uvloop.run(poll(float(rest[0]), [int(port) for port in rest[1:]]))
    else:
        uvloop.run(serve(sys.stdin.buffer.read()))
