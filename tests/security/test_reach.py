"""Where central goes when somebody gives it an address: judged where it is dialled."""

import socket
from typing import Any

import msgspec
import pytest

from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol import central, node
from cluster.protocol.central import Address
from cluster.settings import SettingsWrong
from cluster.trust.reach import LOOPBACKS, Reach
from tests.security.members import Members, ask

OPERATOR = "an-operator-of-tests-0123456789"
pytestmark = pytest.mark.fault(69)

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "192.0.0.192",
]


@pytest.mark.parametrize("address", NEVER)
def test_an_address_for_nobody_is_never_dialled(address: str) -> None:
    assert not Reach().allows(address)
    assert not Reach.parse(["0.0.0.0/0", "::/0"]).allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "8.8.8.8", "fd12::1"])
def test_all_others_may_be_nodes(address: str) -> None:
    assert Reach().allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_central_that_listens_elsewhere_does_not_ask_this_machine(address: str) -> None:
    """Else whoever says hello could have it ask what listens here only."""
    assert not Reach.parse([], LOOPBACKS).allows(address)
    assert Reach.parse(["127.0.0.0/8", "::1/128"], LOOPBACKS).allows(address)


def test_only_the_networks_of_nodes() -> None:
    reach = Reach.parse(["10.0.0.0/16", "fd00::/64"])

    assert [reach.allows(one) for one in ("10.0.255.1", "10.1.0.1", "fd00::1", "fd01::1")] == [
        True,
        False,
        True,
        False,
    ]
    with pytest.raises(SettingsWrong, match="--node-net"):
        Reach.parse(["10.0.0.1/16"])


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://[::ffff:a9fe:a9fe]",
        "http://[::ffff:169.254.169.254]:80",
        "http://[fe80::1]",
        "http://0.0.0.0:8101",
    ],
)
async def test_such_an_address_is_not_asked(fleet: Members, url: str) -> None:
    operator = await fleet.peer(await fleet.central(), OPERATOR)

    with pytest.raises(PeerFailed, match=r"forbidden_address|--node-net"):
        await ask(operator, central.TEST, Address(url=url))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1@169.254.169.254",
        "http://127.0.0.1/v1",
        "http://127.0.0.1?x",
        "http://127.0.0.1#x",
        "http://127.0.0.1:99999",
        "gopher://127.0.0.1",
        "http://[:::]:80",
        "http://[1::2::3]",
        "http://[1:2:3:4:5:6:7:8:9]",
        "http://0xa9fea9fe",
        "http://2852039166:80",
        "http://0251.0376.0251.0376",
        "http://169.254.43518",
        "http://256.1.1.1",
        "http://0",
        "http://[::1%eth0]",
        "//127.0.0.1",
    ],
)
async def test_what_is_no_address_of_a_node_is_refused(fleet: Members, url: str) -> None:
    operator = await fleet.peer(await fleet.central(), OPERATOR)

    with pytest.raises(PeerFailed, match="url: expected http://HOST:PORT"):
        await ask(operator, central.TEST, Address(url=url))


async def test_a_name_that_turns_into_another_address_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: at the first look it is a node, at the second the cloud's own address."""
    answers = iter(["127.0.0.1", "169.254.169.254"])
    real = socket.getaddrinfo

    def rebinding(host: Any, *more: Any, **named: Any) -> Any:
        return real(next(answers) if host == "node.example" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    seen = []
    async with open_session(reach=Reach()) as session:
        peer = Peer(session, "http://node.example:9", OPERATOR)
        for _ in range(2):
            with pytest.raises(PeerFailed) as failed:
                await ask(peer, node.STATUS)
            seen.append(failed.value.reason)
            assert session.connector is not None
            session.connector.clear_dns_cache()  # type: ignore[attr-defined]

    assert seen == ["refused", "forbidden_address"]


async def test_a_node_out_of_reach_is_said_to_be_so(fleet: Members) -> None:
    """Also one that was known before the rule was made."""
    operator = await fleet.peer(await fleet.central(node_net=("10.0.0.0/8",)), OPERATOR)
    await ask(operator, central.HELLO, central.Hello(name="n1", url="http://127.0.0.1:9"))

    view = await fleet.until(operator, "n1", lambda view: view.reason is not None)

    assert view.reason == "forbidden_address"


@pytest.mark.parametrize(
    "url",
    [
        "http://node",
        "https://1node.example:8101",
        "http://10.0.0.1",
        "http://[::1]:8101",
        "http://[::]",
        "http://[fd00::1:2]",
        "http://[1:2:3:4:5:6:7:8]",
        "http://[1:2:3::7:8]",
        "http://[1::]",
    ],
)
def test_these_are_addresses(url: str) -> None:
    assert msgspec.convert({"url": url}, Address).url == url


async def test_the_system_reads_more_forms_than_we_let_in() -> None:
    """So it is the address that counts, not how it was written."""
    async with open_session(reach=Reach()) as session:
        for host in ("0xa9fea9fe", "169.254.43518.", "0251.0376.0251.0376."):
            with pytest.raises(PeerFailed, match=r"forbidden_address|not a URL|not known"):
                await ask(Peer(session, f"http://{host}", OPERATOR), node.STATUS)
