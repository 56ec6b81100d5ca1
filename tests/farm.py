"""Many nodes in a process of its own, so cheap that whoever polls them is what is measured.

`python -m tests.farm COUNT SICK`, of which every SICK-th is sick in one of five ways: prints a
line of JSON, the nodes as [name, port, ailment or null], and serves until its input ends.
"""

import asyncio
import json
import socket
import sys
from functools import partial
from itertools import cycle
from typing import Any

from tests.raw_nodes import good

AILMENTS = ("refuses", "silent", "refuses", "drips", "refuses", "garbage", "error")
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"


class Node(asyncio.Protocol):
    """One connection to one node."""

    def __init__(self, answer: bytes, ailment: str | None) -> None:
        self._answer = ERROR if ailment == "error" else answer
        self._ailment = ailment
        self._read = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._read = (self._read + data).split(b"\r\n\r\n")
        for _ in requests:
            if self._ailment == "garbage":
                self._transport.write(bytes(range(256)))
            elif self._ailment == "drips":
                self._drip(0)
            elif self._ailment != "silent":
                self._transport.write(self._answer)

    def _drip(self, at: int) -> None:
        if at < len(self._answer) and not self._transport.is_closing():
            self._transport.write(self._answer[at : at + 1])
            asyncio.get_running_loop().call_later(0.2, self._drip, at + 1)


async def serve(count: int, sick: int) -> None:
    ailments, nodes, places = cycle(AILMENTS), list[Any](), list[socket.socket]()
    loop = asyncio.get_running_loop()
    for number in range(count):
        name = f"n{number}"
        ailment = next(ailments) if number % sick == sick - 1 else None
        place = socket.socket()  # nobody else gets its port, also where nobody listens
        places.append(place)
        place.bind(("127.0.0.1", 0))
        nodes.append([name, place.getsockname()[1], ailment])
        if ailment != "refuses":
            await loop.create_server(partial(Node, good(name), ailment), sock=place)
    sys.stdout.write(json.dumps(nodes) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
