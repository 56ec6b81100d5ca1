"""`python -m console.web`: how it starts, what it tells whom, and how it ends."""

import os
import signal
import socket
from contextlib import closing

import aiohttp
import psutil
import pytest

from cluster.settings import KEY_VARIABLE, TOKEN_VARIABLE
from tests.console.conftest import until
from tests.console.fake_central import TOKEN, FakeCentral, view
from tests.console.web.conftest import program, start
from tests.e2e.cluster import gone

pytestmark = pytest.mark.e2e


async def test_secrets_stay_off_command_lines_and_killed_servers_leave_nothing(
    fake: FakeCentral,
) -> None:
    """The token goes by the environment, the key nowhere; kill -9 takes the consoles along."""
    fake.put(view("node-1"))
    async with program(fake.url) as (server, address):
        base, _, key = address.partition("/?key=")
        cookies = aiohttp.CookieJar(unsafe=True)  # an IP address has cookies only so
        async with aiohttp.ClientSession(cookie_jar=cookies) as session:
            await (await session.get(address)).read()
            tab = await session.ws_connect(f"{base}/ws", origin=base)
            await until(lambda: fake.streams == 1)
            ours = psutil.Process(server.pid)
            (console,) = ours.children()

            lines = [*ours.cmdline(), *console.cmdline()]
            assert not [word for word in lines if key in word or TOKEN in word]
            assert console.environ()[TOKEN_VARIABLE] == TOKEN
            assert key not in console.environ().values()
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: gone(console))
            await tab.close()


async def test_a_key_that_is_given_is_used_and_not_printed() -> None:
    """Who gave it tells it; our lines may be kept where others read them."""
    key = "k" * 43
    server = await start("--port=0", variables={KEY_VARIABLE: key})
    assert server.stderr is not None
    line = (await server.stderr.readline()).decode()
    url = line.split()[-1]
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{url}/?key={key}", allow_redirects=False)
        await answer.read()
    server.send_signal(signal.SIGINT)
    out, err = await server.communicate()

    assert answer.status == 303
    assert key not in (out + err).decode()
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("flags", "token", "variables", "says"),
    [
        ([], None, {}, "a token is needed"),
        (["--port=99999"], TOKEN, {}, "--port"),
        (["--host=0.0.0.0"], TOKEN, {}, "--host"),
        ([], TOKEN, {KEY_VARIABLE: "short"}, KEY_VARIABLE),
        (["--port={taken}"], TOKEN, {}, "is taken"),
    ],
)
async def test_a_start_that_cannot_succeed_is_one_line(
    flags: list[str], token: str | None, variables: dict[str, str], says: str
) -> None:
    """With what to do, and exit code 2."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        flags = [flag.format(taken=taken.getsockname()[1]) for flag in flags]
        server = await start(*flags, token=token, variables=variables)
        out, err = await server.communicate()

    assert server.returncode == 2
    assert not out
    assert len(err.decode().splitlines()) == 1
    assert says in err.decode()
