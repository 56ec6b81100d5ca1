"""Which address of a server our client asks: the one that answered last, or the next."""

from cluster.clock.base import RealBase
from cluster.clock.client import NtpClient
from cluster.clock.sample import Server
from tests.clock.impostor import NAME, PATIENCE_S, Names, closed, failure, honest, impostor, silent

SHORT_S = 0.2
BASE = RealBase()


async def test_one_that_refuses_or_cannot_be_sent_to_goes_to_the_next() -> None:
    """Within the one question; and the next question begins where this one ended."""
    async with impostor(honest) as good:
        names = Names(Server("255.255.255.255"), closed(), good.server)
        client = NtpClient(NAME, BASE, PATIENCE_S, names)
        samples = [await client.ask(), await client.ask()]

    assert [sample.source for sample in samples] == ["time.example:123"] * 2
    assert (len(good.askers), names.asked) == (2, 1)


async def test_when_none_can_be_reached_each_is_told() -> None:
    """A person has to find out which of them is wrong."""
    names = Names(Server("255.255.255.255"), closed())

    failed = await failure(NtpClient(NAME, BASE, PATIENCE_S, names))

    assert failed.reason == "unreachable"
    assert "255.255.255.255: Permission denied; 127.0.0.1: Connection refused" in failed.detail


async def test_after_a_miss_the_next_one_is_asked() -> None:
    """Silence takes the whole time of a question, but not of two."""
    async with impostor(silent) as mute, impostor(honest) as good:
        client = NtpClient(NAME, BASE, SHORT_S, Names(mute.server, good.server))

        assert (await failure(client)).reason == "timeout"
        await client.ask()

    assert (len(mute.askers), len(good.askers)) == (1, 1)


async def test_after_three_misses_the_name_is_looked_up_again() -> None:
    """The server may have moved."""
    async with impostor(honest) as good:
        names = Names(closed())
        client = NtpClient(NAME, BASE, PATIENCE_S, names)
        for _ in range(3):
            assert (await failure(client)).reason == "unreachable"
        names.servers = (good.server,)
        await client.ask()

    assert names.asked == 2
